/**
 * A body that is passed on as it comes.
 */
import type { TransportResponse } from "../transport/Transport.ts"
import { AnswerBody, type Source, StreamBreak } from "./AnswerBody.ts"
import type { AttemptFailure } from "./AttemptRecord.ts"
import type { BodyIds } from "./BodyIds.ts"
import type { Batch } from "./SseReader.ts"

/**
 * Gives out bytes.
 */
export class RawStream extends AnswerBody {
  private readonly watched: BodyIds | undefined

  /**
   * @param watched learns the ids in the body, where anybody may ask for them
   */
  constructor(source: Source, response: TransportResponse, isEmpty: boolean, watched: BodyIds | undefined) {
    super(source, response)
    this.watched = watched
    if (isEmpty) this.succeed()
  }

  protected override awaitMore(): void {
    this.source.time.awaitMore(this.source.now)
  }

  protected override take(bytes: Uint8Array): Batch {
    this.source.time.pause()
    this.delivered++
    this.watched?.take(bytes)
    return { events: [], bytes }
  }

  protected override takeEnd(): Batch {
    if (this.watched !== undefined) this.source.ids = this.watched.end()
    this.succeed()
    return { events: [], bytes: undefined }
  }

  protected override breakOf(failure: AttemptFailure): StreamBreak {
    return new StreamBreak(failure, { events: this.delivered, usage: undefined }, false)
  }
}
