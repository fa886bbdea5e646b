/**
 * A stream whose content has begun. A proper end settles its attempt when it is read, not when the caller comes back for
 * it, so that stopping at the last event is no abandonment.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { Usage } from "../Errors.ts"
import type { TransportError, TransportResponse } from "../transport/Transport.ts"
import { AnswerBody, type Source, StreamBreak } from "./AnswerBody.ts"
import type { Pace } from "./AttemptRecord.ts"
import * as Outcome from "./Outcome.ts"
import { type Batch, merge, type SseReader } from "./SseReader.ts"

/** Milliseconds of a stream after which its pace is looked at, again and again. */
const LOOK_EVERY = 500

type Pulled = Effect.Effect<Batch, StreamBreak | Cause.Done>

/**
 * Gives out a stream of events.
 */
export class CommittedStream extends AnswerBody {
  private readonly reader: SseReader
  private held: ReadonlyArray<Batch>
  private delivered = 0
  private readonly pace: Pace = { waited: 0, spoken: 0, events: 0 }
  private pulledAt = 0
  private lookAt = LOOK_EVERY
  /** Whether the service may be silent while the next events are awaited. */
  private isSilent = false
  private readonly fromNetwork: Pulled

  constructor(source: Source, response: TransportResponse, reader: SseReader, held: ReadonlyArray<Batch>) {
    super(source, response)
    this.reader = reader
    this.held = held
    const onSuccess = (bytes: Uint8Array) => this.take(this.reader.feed(bytes))
    const onFailure = (error: TransportError | Cause.Done) => {
      if (error._tag !== "TransportError") return this.take(this.reader.end())
      this.expire(Outcome.fromTransport(error))
      return this.pull()
    }
    this.fromNetwork = Effect.matchEffect(response.pull, { onSuccess, onFailure })
    this.pace.events = reader.events
    source.pace = this.pace
    for (const batch of held) source.story.given(batch)
    this.settleIfEnded()
  }

  /** The next events, or comments between them, which are bytes alone. Ends with `Done` after a proper end, fails with what broke it otherwise. */
  readonly next: Pulled = Effect.suspend(() => {
    if (this.held.length > 0) {
      const batch = merge(this.held)
      this.held = []
      if (isSomething(batch)) return this.give(batch)
    }
    return this.pull()
  })

  /** Billed tokens, once the service has said. */
  usage(): Usage | undefined {
    return this.reader.usage
  }

  override close(): void {
    this.held = []
    super.close()
  }

  protected override settle(outcome: Outcome.Outcome): void {
    this.source.usage = this.reader.usage
    super.settle(outcome)
  }

  private pull(): Pulled {
    if (this.failure !== undefined) {
      const { isFailureDelivered, nextSequence, usage } = this.reader
      const delivered = { events: this.delivered, usage }
      return Effect.fail(new StreamBreak(this.failure, delivered, isFailureDelivered, nextSequence))
    }
    if (this.isOver) return Cause.done()
    // silence counts only while someone listens
    this.pulledAt = this.source.now
    this.isSilent = this.reader.openItems > 0
    if (this.isSilent) this.source.time.pause()
    else this.source.time.awaitMore(this.pulledAt)
    return this.fromNetwork
  }

  private take(batch: Batch): Pulled {
    const { pace, source: { now } } = this
    this.source.time.pause()
    pace.waited += now - this.pulledAt
    if (!this.isSilent) pace.spoken += now - this.pulledAt
    pace.events = this.reader.events
    if (pace.spoken >= this.lookAt) {
      this.lookAt = pace.spoken + LOOK_EVERY
      this.source.onPace(pace)
    }
    this.source.story.arrived(batch.events, now)
    this.source.story.given(batch)
    this.settleIfEnded()
    return isSomething(batch) ? this.give(batch) : this.pull()
  }

  private give(batch: Batch): Pulled {
    this.delivered += batch.events.length
    return Effect.succeed(batch)
  }

  /** Settles as soon as the reader knows how the stream ended. */
  private settleIfEnded(): void {
    if (this.isOver) return
    if (this.reader.failure !== undefined) this.expire(this.reader.failure)
    else if (this.reader.isComplete) this.succeed(this.reader.usage)
  }
}

const isSomething = ({ bytes, events }: Batch): boolean => events.length > 0 || bytes !== undefined
