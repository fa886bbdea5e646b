/**
 * Learns the ids in an answer that is only passed on: whoever makes a file or a video asks for it by its id next.
 *
 * Chunks are kept as they pass, uncopied, and parsed when all have; what turns out large is let go of.
 */
import { isRecord } from "../request/Json.ts"
import { idsOfAnswer } from "../request/StoredIds.ts"

/** The largest answer that is parsed, in bytes: a fraction of a millisecond. */
const MAX_BYTES = 128 * 1024

/**
 * Watches one body.
 */
export class BodyIds {
  private chunks: Array<Uint8Array> = []
  private bytes = 0

  /** Watches a body of JSON; nothing else has ids. */
  static of(headers: Readonly<Record<string, string>>): BodyIds | undefined {
    const isSmall = !(Number(headers["content-length"]) > MAX_BYTES)
    return isSmall && headers["content-type"]?.includes("json") === true ? new BodyIds() : undefined
  }

  take(chunk: Uint8Array): void {
    this.bytes += chunk.length
    if (this.bytes <= MAX_BYTES) this.chunks.push(chunk)
    else this.chunks = []
  }

  /** Ids in the body, which has ended. */
  end(): ReadonlyArray<string> {
    const { bytes, chunks } = this
    this.chunks = []
    if (bytes === 0 || bytes > MAX_BYTES) return []
    try {
      const decoder = new TextDecoder()
      let text = ""
      for (const chunk of chunks) text += decoder.decode(chunk, { stream: true })
      const json: unknown = JSON.parse(text)
      return isRecord(json) ? idsOfAnswer(json) : []
    } catch {
      return []
    }
  }
}
