/**
 * An answer that is being given out piece by piece, until its proper end, its failure, or until nobody wants more.
 *
 * Whatever happens first settles the attempt; a proper end does so when it is read, not when the caller comes back for
 * it, so that stopping at the last event is no abandonment.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import type { TimeoutsConfig } from "../config/Config.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import {
  type AttemptSummary,
  type Delivered,
  LoadBalancerError,
  StreamInterrupted,
  type TimeoutStage,
  type Usage
} from "../Errors.ts"
import type { AttemptStory } from "../telemetry/AttemptStory.ts"
import type { TransportResponse } from "../transport/Transport.ts"
import type { BodyIds } from "./BodyIds.ts"
import * as Outcome from "./Outcome.ts"
import type { Batch, EventReader, StreamEvent } from "./SseReader.ts"

/** An attempt that did not answer, or broke while it did. */
export interface AttemptFailure {
  readonly outcome: Outcome.Unanswered
  readonly summary: AttemptSummary
  readonly deployment: Deployment
}

/** What broke a stream after its content had begun. */
export class StreamBreak {
  readonly failure: AttemptFailure
  readonly delivered: Delivered
  /** Whether the service's own word for it was given out as the last event. */
  readonly isTold: boolean
  /** The `sequence_number` of an event that tells of it in a stream of responses; `undefined` anywhere else. */
  readonly nextSequence: number | undefined

  constructor(failure: AttemptFailure, delivered: Delivered, isTold: boolean, nextSequence?: number) {
    this.failure = failure
    this.delivered = delivered
    this.isTold = isTold
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

/**
 * A stream that is being given out. Whoever holds it calls `close` when it stops, for whatever reason; to call it
 * twice, or after the end, changes nothing.
 */
export interface CommittedStream {
  /** The next events, at least one. Ends with `Done` after a proper end, fails with what broke it otherwise. */
  readonly next: Pull.Pull<Batch, StreamBreak>
  readonly close: () => void
  /** Whether nothing more comes from the network; what was read before may still be given out. */
  readonly isOver: boolean
  /** Called when that comes to be. */
  onOver: (() => void) | undefined
  /** Billed tokens, once the service has said. */
  readonly usage: () => Usage | undefined
}

/** A body that is being given out as it comes. */
export interface RawStream {
  readonly next: Pull.Pull<Uint8Array, StreamBreak>
  readonly close: () => void
  readonly isOver: boolean
  onOver: (() => void) | undefined
}

/** How a stream has come so far, after its first content. */
export interface Pace {
  /** Milliseconds for which somebody waited for more: what a reader takes for itself is not the service's. */
  waited: number
  /** Those of them in which no reasoning or tool item was open, so that something was to come. */
  spoken: number
  events: number
}

/** Milliseconds of a stream after which its pace is looked at, again and again. */
const LOOK_EVERY = 500

/** The attempt, as its answer sees it. */
export interface Source {
  readonly now: number
  readonly plan: { readonly timeouts: TimeoutsConfig; readonly story: AttemptStory }
  usage: Usage | undefined
  /** Ids that only its resource knows. */
  ids: ReadonlyArray<string>
  pace: Pace | undefined
  /** Told of the pace now and then, while the stream is running. */
  readonly onPace: (pace: Pace) => void
  readonly enterStage: (stage: TimeoutStage, endsAt: number) => void
  readonly pauseStage: () => void
  readonly end: (outcome: Outcome.Outcome) => void
  readonly failure: (outcome: Outcome.Unanswered) => AttemptFailure
}

type Pulled = Effect.Effect<Batch, StreamBreak | Cause.Done>

/** Gives out a stream of events. */
export class GivenStream implements CommittedStream {
  /** The end was read, or the stream broke or was closed: nothing more comes from the network. */
  isOver = false
  onOver: (() => void) | undefined
  private readonly source: Source
  private readonly response: TransportResponse
  private readonly reader: EventReader
  private held: ReadonlyArray<Batch>
  private delivered = 0
  private failure: AttemptFailure | undefined
  private readonly pace: Pace = { waited: 0, spoken: 0, events: 0 }
  private pulledAt = 0
  private lookAt = LOOK_EVERY

  constructor(source: Source, response: TransportResponse, reader: EventReader, held: ReadonlyArray<Batch>) {
    this.source = source
    this.response = response
    this.reader = reader
    this.held = held
    this.pace.events = reader.events
    source.pace = this.pace
    for (const batch of held) source.plan.story.given(batch)
    this.notice()
  }

  readonly next: Pulled = Effect.suspend(() => {
    if (this.held.length > 0) {
      const batch = merge(this.held)
      this.held = []
      if (batch.events.length > 0) return this.give(batch)
    }
    return this.pull()
  })

  usage(): Usage | undefined {
    return this.reader.usage
  }

  close(): void {
    this.held = []
    if (this.isOver) return
    this.isOver = true
    this.source.usage = this.reader.usage
    this.source.end(Outcome.stopped)
    this.response.abort()
    this.onOver?.()
  }

  /** A time limit passed: the stream is broken, whether or not someone waits for it. */
  expire(outcome: Outcome.Unanswered): void {
    this.break(outcome)
  }

  private pull(): Pulled {
    if (this.failure !== undefined) {
      const { isFailureTold, nextSequence, usage } = this.reader
      const delivered = { events: this.delivered, usage }
      return Effect.fail(new StreamBreak(this.failure, delivered, isFailureTold, nextSequence))
    }
    if (this.isOver) return Cause.done()
    // silence counts only while someone listens
    this.pulledAt = this.source.now
    const isSilent = this.reader.openItems > 0
    if (isSilent) this.source.pauseStage()
    else this.source.enterStage("idle", this.pulledAt + this.source.plan.timeouts.idle)
    return Effect.matchEffect(this.response.pull, {
      onSuccess: (bytes) => this.take(this.reader.feed(bytes), isSilent),
      onFailure: (error) => {
        if (error._tag !== "TransportError") return this.take(this.reader.end(), isSilent)
        this.break(Outcome.fromTransport(error))
        return this.pull()
      }
    })
  }

  private take(batch: Batch, isSilent: boolean): Pulled {
    const { pace, source: { now } } = this
    this.source.pauseStage()
    pace.waited += now - this.pulledAt
    if (!isSilent) pace.spoken += now - this.pulledAt
    pace.events = this.reader.events
    if (pace.spoken >= this.lookAt) {
      this.lookAt = pace.spoken + LOOK_EVERY
      this.source.onPace(pace)
    }
    this.source.plan.story.arrived(batch.events, now)
    this.source.plan.story.given(batch)
    this.notice()
    return batch.events.length > 0 ? this.give(batch) : this.pull()
  }

  private give(batch: Batch): Pulled {
    this.delivered += batch.events.length
    return Effect.succeed(batch)
  }

  /** Settles as soon as the reader knows how the stream ended. */
  private notice(): void {
    if (this.isOver) return
    if (this.reader.failure !== undefined) {
      this.break(this.reader.failure)
    } else if (this.reader.isComplete) {
      this.isOver = true
      this.source.usage = this.reader.usage
      this.source.end({ _tag: "Success", usage: this.reader.usage })
      this.response.discard()
      this.onOver?.()
    }
  }

  private break(outcome: Outcome.Unanswered): void {
    if (this.isOver) return
    this.isOver = true
    this.source.usage = this.reader.usage
    this.source.end(outcome)
    // before the abort, which wakes whoever waits
    this.failure = this.source.failure(outcome)
    this.response.abort()
    this.onOver?.()
  }
}

const merge = (batches: ReadonlyArray<Batch>): Batch => {
  if (batches.length === 1) return batches[0]!
  const events: Array<StreamEvent> = []
  for (const batch of batches) {
    for (const event of batch.events) events.push(event)
  }
  return { events, bytes: undefined }
}

/** Gives out bytes as they come. */
export class GivenBytes implements RawStream {
  private readonly source: Source
  private readonly response: TransportResponse
  isOver = false
  onOver: (() => void) | undefined
  private delivered = 0
  private failure: AttemptFailure | undefined
  private readonly watched: BodyIds | undefined

  /**
   * @param watched learns the ids in the body, where anybody may ask for them
   */
  constructor(source: Source, response: TransportResponse, isEmpty: boolean, watched: BodyIds | undefined) {
    this.source = source
    this.response = response
    this.watched = watched
    if (!isEmpty) return
    this.isOver = true
    source.end({ _tag: "Success", usage: undefined })
    response.discard()
  }

  readonly next: Effect.Effect<Uint8Array, StreamBreak | Cause.Done> = Effect.suspend(() => {
    if (this.failure !== undefined) return this.fail(this.failure)
    if (this.isOver) return Cause.done()
    this.source.enterStage("idle", this.source.now + this.source.plan.timeouts.idle)
    return Effect.matchEffect(this.response.pull, {
      onSuccess: (bytes) => {
        this.source.pauseStage()
        this.delivered++
        this.watched?.take(bytes)
        return Effect.succeed(bytes)
      },
      onFailure: (error): Effect.Effect<never, StreamBreak | Cause.Done> => {
        if (error._tag === "TransportError") {
          this.expire(Outcome.fromTransport(error))
          return this.fail(this.failure!)
        }
        this.isOver = true
        if (this.watched !== undefined) this.source.ids = this.watched.end()
        this.source.end({ _tag: "Success", usage: undefined })
        this.onOver?.()
        return Cause.done()
      }
    })
  })

  /** The body broke, or a time limit passed. */
  expire(outcome: Outcome.Unanswered): void {
    if (this.isOver) return
    this.isOver = true
    this.source.end(outcome)
    // before the abort, which wakes whoever waits
    this.failure = this.source.failure(outcome)
    this.response.abort()
    this.onOver?.()
  }

  private fail(failure: AttemptFailure): Effect.Effect<never, StreamBreak> {
    return Effect.fail(new StreamBreak(failure, { events: this.delivered, usage: undefined }, false))
  }

  close(): void {
    if (this.isOver) return
    this.isOver = true
    this.source.end(Outcome.stopped)
    this.response.abort()
    this.onOver?.()
  }
}
