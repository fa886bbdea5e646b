/**
 * The body of an answer that is being given out piece by piece, until its proper end, its failure, or until nobody wants
 * more. Whatever happens first settles the attempt.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { type Delivered, LoadBalancerError, StreamInterrupted, type Usage } from "../Errors.ts"
import type { TransportError, TransportResponse } from "../transport/Transport.ts"
import type { AttemptFailure, AttemptRecord, Pace } from "./AttemptRecord.ts"
import type { AttemptStory } from "./AttemptStory.ts"
import * as Outcome from "./Outcome.ts"
import type { Batch } from "./SseReader.ts"
import type { TimeLimits } from "./TimeLimits.ts"

/** What broke a stream after its content had begun. */
export class StreamBreak {
  readonly failure: AttemptFailure
  readonly delivered: Delivered
  /** Whether the service's own word for it was given out as the last event. */
  readonly isDelivered: boolean
  /** The `sequence_number` of an event that tells of it in a stream of responses; `undefined` anywhere else. */
  readonly nextSequence: number | undefined

  constructor(failure: AttemptFailure, delivered: Delivered, isDelivered: boolean, nextSequence?: number) {
    this.failure = failure
    this.delivered = delivered
    this.isDelivered = isDelivered
    this.nextSequence = nextSequence
  }
}

/** The typed error of a stream that broke after its content had begun. */
export const interrupted = (error: StreamBreak): LoadBalancerError => {
  const { deployment, outcome, summary } = error.failure
  const reason = new StreamInterrupted({
    deployment: deployment.id,
    why: outcome.reason,
    delivered: error.delivered,
    body: "body" in outcome ? outcome.body : undefined
  })
  return new LoadBalancerError({ reason, attempts: [summary] })
}

/** The attempt, as its answer sees it. */
export interface Source extends AttemptRecord {
  readonly story: AttemptStory
  /** Told of the pace now and then, while the stream is running. */
  readonly onPace: (pace: Pace) => void
  readonly time: TimeLimits
  readonly end: (outcome: Outcome.Outcome) => void
}

/**
 * What the bodies of all answers have in common. Whoever holds one calls `close` when it stops, for whatever reason; to
 * call it twice, or after the end, changes nothing.
 */
export abstract class AnswerBody {
  /** Whether nothing more comes from the network; what was read before may still be given out. */
  isOver = false
  /** Called when that comes to be. */
  onOver: (() => void) | undefined
  protected readonly source: Source
  protected readonly response: TransportResponse
  /** What was given out: events, or pieces where no event is known. */
  protected delivered = 0
  private failure: AttemptFailure | undefined

  constructor(source: Source, response: TransportResponse) {
    this.source = source
    this.response = response
  }

  /**
   * What comes next, as `read` makes it of what came together; what it makes nothing of is passed over. Ends with `Done`
   * after a proper end, fails with what broke it otherwise.
   */
  pull<A>(read: (batch: Batch) => A | undefined): Effect.Effect<A, StreamBreak | Cause.Done> {
    type Pulled = Effect.Effect<A, StreamBreak | Cause.Done>
    const give = (batch: Batch): Pulled => {
      this.delivered += batch.events.length
      const isEmpty = batch.events.length === 0 && batch.bytes === undefined
      const value = isEmpty ? undefined : read(batch)
      return value === undefined ? more() : Effect.succeed(value)
    }
    const onSuccess = (bytes: Uint8Array) => give(this.take(bytes))
    const onFailure = (error: TransportError | Cause.Done) => {
      if (error._tag !== "TransportError") return give(this.takeEnd())
      this.expire(Outcome.fromTransport(error))
      return more()
    }
    const fromNetwork: Pulled = Effect.matchEffect(this.response.pull, { onSuccess, onFailure })
    const more = (): Pulled => {
      if (this.failure !== undefined) return Effect.fail(this.breakOf(this.failure))
      if (this.isOver) return Cause.done()
      this.awaitMore()
      return fromNetwork
    }
    return Effect.suspend(() => {
      const held = this.takeHeld()
      return held === undefined ? more() : give(held)
    })
  }

  /** What was read before it was given out. */
  protected takeHeld(): Batch | undefined {
    return undefined
  }

  /** Bytes came. */
  protected abstract take(bytes: Uint8Array): Batch

  /** Nothing more comes. */
  protected abstract takeEnd(): Batch

  /** Somebody waits for more. */
  protected abstract awaitMore(): void

  protected abstract breakOf(failure: AttemptFailure): StreamBreak

  close(): void {
    if (this.isOver) return
    this.settle(Outcome.stopped)
    this.response.abort()
    this.onOver?.()
  }

  /** The body broke, or a time limit passed, whether or not someone waits for it. */
  expire(outcome: Outcome.Unanswered): void {
    if (this.isOver) return
    this.settle(outcome)
    // before the abort, which wakes whoever waits
    this.failure = this.source as AttemptRecord as AttemptFailure
    this.response.abort()
    this.onOver?.()
  }

  protected succeed(usage?: Usage): void {
    this.settle({ _tag: "Success", usage })
    this.response.discard()
    this.onOver?.()
  }

  protected settle(outcome: Outcome.Outcome): void {
    this.isOver = true
    this.source.end(outcome)
  }
}
