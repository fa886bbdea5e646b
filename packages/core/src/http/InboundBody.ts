/**
 * Bodies of clients that think they speak to one service: read whole, so that they can be sent again.
 */
import { concat } from "../Bytes.ts"
import type { RequestBody } from "../request/LlmRequest.ts"

/**
 * Reads a body of bytes or texts to its end. When a signal says so it stops, and lets go of what it reads from; whoever gave the signal
 * knows that the rest is missing.
 */
export const readAll = async (
  { body }: { readonly body: ReadableStream<unknown> | null },
  signals: ReadonlyArray<AbortSignal>
): Promise<Uint8Array<ArrayBuffer>> => {
  const chunks: Array<unknown> = []
  if (body !== null) {
    const reader = body.getReader()
    const stop = () => void reader.cancel().catch(() => {})
    for (const signal of signals) {
      if (signal.aborted) stop()
      else signal.addEventListener("abort", stop, { once: true })
    }
    try {
      let read = await reader.read()
      while (!read.done) {
        chunks.push(read.value)
        // oxlint-disable-next-line no-await-in-loop -- a body comes one chunk after the other
        read = await reader.read()
      }
    } finally {
      for (const signal of signals) signal.removeEventListener("abort", stop)
    }
  }
  return join(chunks)
}

/**
 * Chunks as one. Those that are texts become UTF-8, as Node's own fetch sends them.
 *
 * @throws TypeError when one is neither text nor bytes
 */
export const join = (chunks: ReadonlyArray<unknown>): Uint8Array<ArrayBuffer> => concat(chunks.map(bytesOf))

const encoder = new TextEncoder()

const bytesOf = (chunk: unknown): Uint8Array => {
  if (chunk instanceof Uint8Array) return chunk
  if (typeof chunk === "string") return encoder.encode(chunk)
  throw new TypeError(`A part of the request's body is neither bytes nor text: a ${typeof chunk}; nothing was sent.`)
}

/** The form in a multipart body; nothing where it cannot be read as one. */
export const parseForm = async (
  body: string | Uint8Array<ArrayBuffer>,
  contentType: string
): Promise<FormData | undefined> => {
  try {
    return await new Response(body, { headers: { "content-type": contentType } }).formData()
  } catch {
    return undefined
  }
}

/** A form as bytes, with the content type that names its boundary. */
export const writeForm = async (form: FormData): Promise<RequestBody> => {
  const carrier = new Response(form)
  const contentType = carrier.headers.get("content-type") ?? undefined
  const bytes = new Uint8Array(await carrier.arrayBuffer())
  return { contentType, withModel: () => bytes }
}

/** A form with a model: written once with a mark in the model's place, which each attempt fills with its own name. */
export const writeModelForm = async (form: FormData, model: string): Promise<RequestBody> => {
  const mark = `evenkeel-${crypto.randomUUID()}`
  const marked = new FormData()
  let hasModel = false
  for (const [name, value] of form) {
    marked.append(name, name === "model" && !hasModel ? mark : value)
    hasModel ||= name === "model"
  }
  // a model that the URL named
  if (!hasModel) marked.append("model", mark)
  const { contentType, withModel } = await writeForm(marked)
  const bytes = withModel(undefined) as Uint8Array
  const encoded = encoder.encode(mark)
  const at = indexOf(bytes, encoded)
  const before = bytes.subarray(0, at)
  const after = bytes.subarray(at + encoded.length)
  return { contentType, withModel: (name = model) => concat([before, encoder.encode(name), after]) }
}

const indexOf = (bytes: Uint8Array, part: Uint8Array): number => {
  let at = bytes.indexOf(part[0]!)
  while (at !== -1 && !part.every((byte, i) => bytes[at + i] === byte)) at = bytes.indexOf(part[0]!, at + 1)
  return at
}
