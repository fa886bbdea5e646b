/**
 * The body of a request, read whole within a limit, so that it can be sent again.
 */
import type { IncomingMessage } from "node:http"

/** Why there is none: it is larger than the limit, or its client went away. */
export type Unread = "too-large" | "aborted"

/**
 * Reads a body. One that says beforehand that it is too large is not read at all.
 *
 * @param limit bytes
 * @param done told once; `undefined` for a request without a body
 */
export const read = (
  request: IncomingMessage,
  limit: number,
  done: (body: Buffer<ArrayBuffer> | Unread | undefined) => void
): void => {
  const length = request.headers["content-length"]
  if (length === undefined && request.headers["transfer-encoding"] === undefined) {
    request.resume()
    return done(undefined)
  }
  if (Number(length) > limit) return done("too-large")
  const chunks: Array<Buffer<ArrayBuffer>> = []
  let size = 0
  let isDone = false
  const finish = (body: Buffer<ArrayBuffer> | Unread): void => {
    if (isDone) return
    isDone = true
    done(body)
  }
  request.on("data", (chunk: Buffer<ArrayBuffer>) => {
    size += chunk.length
    if (size <= limit) return void chunks.push(chunk)
    request.pause()
    chunks.length = 0
    finish("too-large")
  })
  request.on("end", () => finish(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
  request.on("close", () => finish("aborted"))
  request.on("error", () => finish("aborted"))
}
