/**
 * The body of a request, read whole within a limit, so that it can be sent again.
 *
 * What is refused is read to its end all the same, and dropped: a connection that is closed over unread bytes may take the
 * answer with it.
 */
import type { IncomingMessage } from "node:http"

/** Why there is none: it is larger than the limit, there is no room for it now, or its client went away. */
export type Unread = "too-large" | "no-room" | "aborted"

/** Bytes to begin with, where more are told of or nothing is; doubled as more come. */
const FIRST = 16_384

/**
 * Reads a body.
 *
 * @param limit bytes
 * @param hold asked for each part whether there is room for so many bytes
 * @param done told once; `undefined` for a request without a body
 */
export const read = (
  request: IncomingMessage,
  limit: number,
  hold: (bytes: number) => boolean,
  done: (body: Buffer<ArrayBuffer> | Unread | undefined) => void
): void => {
  const length = request.headers["content-length"]
  if (length === undefined && request.headers["transfer-encoding"] === undefined) {
    request.resume()
    return done(undefined)
  }
  if (Number(length) > limit) {
    request.resume()
    return done("too-large")
  }
  // in one piece: of a body in parts of a byte each, the parts would take a hundred times its room
  let bytes = Buffer.allocUnsafe(length === undefined ? FIRST : Math.min(Number(length), FIRST))
  let size = 0
  let isDone = false
  const finish = (body: Buffer<ArrayBuffer> | Unread): void => {
    if (isDone) return
    isDone = true
    done(body)
  }
  request.on("data", (part: Buffer) => {
    if (isDone) return
    const needed = size + part.length
    if (needed > limit) return finish("too-large")
    if (!hold(part.length)) return finish("no-room")
    if (needed > bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, Math.min(2 * bytes.length, limit)))
      bytes.copy(larger, 0, 0, size)
      bytes = larger
    }
    part.copy(bytes, size)
    size = needed
  })
  request.on("end", () => finish(bytes.subarray(0, size)))
  request.on("close", () => finish("aborted"))
  request.on("error", () => finish("aborted"))
}

/** Values in a JSON body, and parts of a form: with more, reading it takes seconds, and fifty times its bytes. */
const MOST_VALUES = 1_000_000
const MOST_PARTS = 1000

const QUOTE = 34
const COMMA = 44
const BACKSLASH = 92
const LIST = 91
const OBJECT = 123

/** Whether a body would keep everybody waiting while it is parsed. */
export const isTooComplex = (body: Buffer, contentType: string | undefined): boolean => {
  const [, quoted, bare] = /^multipart\/form-data\b.*;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType ?? "") ??
    []
  const boundary = quoted ?? bare
  if (boundary !== undefined) return hasMoreParts(body, `--${boundary}`)
  // each takes a byte at least; and what is no JSON is found to be none at once
  if (body.length <= MOST_VALUES) return false
  const first = body.find((byte) => byte > 32)
  return (first === LIST || first === OBJECT) && hasMoreValues(body)
}

const hasMoreParts = (body: Buffer, delimiter: string): boolean => {
  let parts = 0
  for (let at = body.indexOf(delimiter); at !== -1; at = body.indexOf(delimiter, at + delimiter.length)) {
    if (++parts > MOST_PARTS) return true
  }
  return false
}

const hasMoreValues = (body: Buffer): boolean => {
  let values = 0
  for (let at = 0; at < body.length; at++) {
    const byte = body[at]
    if (byte === QUOTE) at = endOfText(body, at)
    else if ((byte === COMMA || byte === LIST || byte === OBJECT) && ++values > MOST_VALUES) return true
  }
  return false
}

/** Where the text ends that begins at a quote. */
const endOfText = (body: Buffer, start: number): number => {
  for (let at = body.indexOf(QUOTE, start + 1); at !== -1; at = body.indexOf(QUOTE, at + 1)) {
    let before = at - 1
    while (body[before] === BACKSLASH) before--
    if ((at - before) % 2 === 1) return at
  }
  return body.length
}
