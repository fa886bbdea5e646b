/**
 * What a caller sees, as plain data that can be compared: results, responses, pages, streams and errors.
 */
import { APIError } from "openai"
import type { Play } from "./Server.ts"

/** Headers that differ from one answer to the next. */
const passing = new Set(["date", "connection", "keep-alive"])

/** Parts of the client's objects that are the client itself, or what it was given. */
const inner = new Set([
  "_client",
  "client",
  "controller",
  "options",
  "response",
  "body",
  "iterator",
  "stack",
  "headers"
])

const headersSeen = (headers: Headers): Record<string, string> =>
  Object.fromEntries([...headers].filter(([name]) => !passing.has(name)))

const isAsyncIterable = (value: object): value is AsyncIterable<unknown> => Symbol.asyncIterator in value

/** Every item of a stream, and how it ended. */
export const items = async (stream: AsyncIterable<unknown>): Promise<unknown> => {
  const items: Array<unknown> = []
  try {
    for await (const item of stream) items.push(await seen(item))
    return { items }
  } catch (error) {
    return { items, threw: await seen(error) }
  }
}

/** An error: its class, words and all that a program may read of it. */
const errorSeen = async (error: Error): Promise<unknown> => {
  const { cause, message, name } = error
  const kind = { $error: error.constructor.name, name, message }
  if (!(error instanceof APIError)) {
    return { ...kind, ...(cause === undefined ? {} : { cause: await seen(cause) }) }
  }
  const { code, error: body, headers, param, requestID, status, type } = error
  return {
    ...kind,
    status,
    code,
    type,
    param,
    requestID,
    body: await seen(body),
    headers: headers === undefined ? undefined : headersSeen(headers as unknown as Headers),
    ...(cause === undefined ? {} : { cause: await seen(cause) })
  }
}

/** A response of which nothing was read, and all that can be read of it. */
const responseSeen = async (response: Response): Promise<unknown> => {
  const { ok, redirected, status, statusText, type, url } = response
  const bytes = response.bodyUsed ? undefined : Buffer.from(await response.arrayBuffer()).toString("latin1")
  return { $response: { ok, status, statusText, type, redirected, url, headers: headersSeen(response.headers), bytes } }
}

/** Anything, as plain data. */
export const seen = async (value: unknown): Promise<unknown> => {
  if (typeof value === "function") return "a function"
  if (typeof value !== "object" || value === null) return value
  if (value instanceof Error) return errorSeen(value)
  if (value instanceof Response) return responseSeen(value)
  if (value instanceof Headers) return headersSeen(value)
  if (value instanceof ReadableStream) return { $stream: await new Response(value).text() }
  if (value instanceof Blob) return { $blob: await value.text() }
  if (ArrayBuffer.isView(value)) {
    return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("latin1") }
  }
  if (value instanceof ArrayBuffer) return { $bytes: Buffer.from(value).toString("latin1") }
  if (Array.isArray(value)) return Promise.all(value.map(seen))
  return objectSeen(value)
}

const isPage = (value: object): value is { readonly hasNextPage: () => boolean } => "getPaginatedItems" in value

const objectSeen = async (value: object): Promise<unknown> => {
  const copy: Record<string, unknown> = {}
  const kind = value.constructor?.name ?? "Object"
  const isPlain = kind === "Object"
  if (!isPlain) copy["$class"] = kind
  const keys = Object.keys(value).filter((key) => isPlain || !inner.has(key))
  const values = await Promise.all(keys.map((key) => seen(value[key as keyof typeof value])))
  for (const [i, key] of keys.entries()) copy[key] = values[i]
  if ("_request_id" in value) copy["_request_id"] = value._request_id
  if (isPage(value)) copy["hasNextPage"] = value.hasNextPage()
  else if (isAsyncIterable(value)) copy["$stream"] = await items(value)
  return copy
}

/** The base of a play differs from one to the next. */
const withoutBase = (value: object, base: string): unknown =>
  JSON.parse(JSON.stringify(value).replaceAll(base, "{base}")) as unknown

/** All that one play showed: what the caller was given, and what the service was sent. */
export const play = async (call: () => unknown, played: Play, ignoresSent: boolean): Promise<unknown> => {
  const result = await outcome(call)
  return withoutBase(ignoresSent ? result : { ...result, sent: played.sent }, played.base)
}

/** What a call gave or threw. */
export const outcome = async (
  call: () => unknown
): Promise<{ readonly given: unknown } | { readonly threw: unknown }> => {
  try {
    return { given: await seen(await call()) }
  } catch (error) {
    return { threw: await seen(error) }
  }
}
