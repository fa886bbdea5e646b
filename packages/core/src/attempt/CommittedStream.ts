/**
 * A stream whose content has begun. A proper end settles its attempt when it is read, not when the caller comes back for
 * it, so that stopping at the last event is no abandonment.
 */
import type { Usage } from "../Errors.ts"
import type { TransportResponse } from "../transport/Transport.ts"
import { AnswerBody, type Source, StreamBreak } from "./AnswerBody.ts"
import type { AttemptFailure, Pace } from "./AttemptRecord.ts"
import type * as Outcome from "./Outcome.ts"
import { type Batch, merge, type SseReader } from "./SseReader.ts"

/** Milliseconds of a stream after which its pace is looked at, again and again. */
const LOOK_EVERY = 500

/**
 * Gives out a stream of events, and of comments between them, which are bytes alone.
 */
export class CommittedStream extends AnswerBody {
  private readonly reader: SseReader
  private held: ReadonlyArray<Batch>
  private readonly pace: Pace = { waited: 0, spoken: 0, events: 0 }
  private pulledAt = 0
  private lookAt = LOOK_EVERY
  /** Whether the service may be silent while the next events are awaited. */
  private isSilent = false

  constructor(source: Source, response: TransportResponse, reader: SseReader, held: ReadonlyArray<Batch>) {
    super(source, response)
    this.reader = reader
    this.held = held
    this.pace.events = reader.events
    source.pace = this.pace
    for (const batch of held) source.story.given(batch)
    this.settleIfEnded()
  }

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

  protected override takeHeld(): Batch | undefined {
    const { held } = this
    if (held.length === 0) return undefined
    this.held = []
    return merge(held)
  }

  protected override awaitMore(): void {
    // silence counts only while someone listens
    this.pulledAt = this.source.now
    this.isSilent = this.reader.openItems > 0
    if (this.isSilent) this.source.time.pause()
    else this.source.time.awaitMore(this.pulledAt)
  }

  protected override take(bytes: Uint8Array): Batch {
    return this.arrived(this.reader.feed(bytes))
  }

  protected override takeEnd(): Batch {
    return this.arrived(this.reader.end())
  }

  private arrived(batch: Batch): Batch {
    const { pace, source, source: { now } } = this
    source.time.pause()
    pace.waited += now - this.pulledAt
    if (!this.isSilent) pace.spoken += now - this.pulledAt
    pace.events = this.reader.events
    if (pace.spoken >= this.lookAt) {
      this.lookAt = pace.spoken + LOOK_EVERY
      source.onPace(pace)
    }
    source.story.arrived(batch.events, now)
    source.story.given(batch)
    this.settleIfEnded()
    return batch
  }

  /** Settles as soon as the reader knows how the stream ended. */
  private settleIfEnded(): void {
    if (this.isOver) return
    if (this.reader.failure !== undefined) this.expire(this.reader.failure)
    else if (this.reader.isComplete) this.succeed(this.reader.usage)
  }

  protected override breakOf(failure: AttemptFailure): StreamBreak {
    const { isFailureDelivered, nextSequence, usage } = this.reader
    return new StreamBreak(failure, { events: this.delivered, usage }, isFailureDelivered, nextSequence)
  }
}
