/**
 * A body that is passed on as it comes.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { TransportError, TransportResponse } from "../transport/Transport.ts"
import { AnswerBody, type Source, StreamBreak } from "./AnswerBody.ts"
import type { AttemptFailure } from "./AttemptRecord.ts"
import type { BodyIds } from "./BodyIds.ts"
import * as Outcome from "./Outcome.ts"

type Pulled = Effect.Effect<Uint8Array, StreamBreak | Cause.Done>

/**
 * Gives out bytes.
 */
export class RawStream extends AnswerBody {
  private delivered = 0
  private readonly watched: BodyIds | undefined
  private readonly fromNetwork: Pulled

  /**
   * @param watched learns the ids in the body, where anybody may ask for them
   */
  constructor(source: Source, response: TransportResponse, isEmpty: boolean, watched: BodyIds | undefined) {
    super(source, response)
    this.watched = watched
    const onSuccess = (bytes: Uint8Array) => this.take(bytes)
    const onFailure = (error: TransportError | Cause.Done) => this.end(error)
    this.fromNetwork = Effect.matchEffect(response.pull, { onSuccess, onFailure })
    if (isEmpty) this.succeed()
  }

  readonly next: Pulled = Effect.suspend(() => {
    if (this.failure !== undefined) return this.fail(this.failure)
    if (this.isOver) return Cause.done()
    this.source.time.awaitMore(this.source.now)
    return this.fromNetwork
  })

  private take(bytes: Uint8Array): Pulled {
    this.source.time.pause()
    this.delivered++
    this.watched?.take(bytes)
    return Effect.succeed(bytes)
  }

  private end(error: TransportError | Cause.Done): Pulled {
    if (error._tag === "TransportError") {
      this.expire(Outcome.fromTransport(error))
      return this.fail(this.failure!)
    }
    if (this.watched !== undefined) this.source.ids = this.watched.end()
    this.succeed()
    return Cause.done()
  }

  private fail(failure: AttemptFailure): Effect.Effect<never, StreamBreak> {
    return Effect.fail(new StreamBreak(failure, { events: this.delivered, usage: undefined }, false))
  }
}
