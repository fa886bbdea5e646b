/**
 * The way of one attempt, as it is told to whoever listens.
 */
import type { Permit } from "../deployment/Deployment.ts"
import type { RateLimits } from "../deployment/RateLimitHeaders.ts"
import type { AttemptSummary, Usage } from "../Errors.ts"
import type { EventHub } from "../EventHub.ts"
import { ignoreThrows } from "../IgnoreThrows.ts"
import type { LlmRequest } from "../request/LlmRequest.ts"
import type { SessionPlacement } from "../routing/SessionPlacement.ts"
import type { AnswerFacts } from "./AnswerFacts.ts"
import type { AttemptEnded, AttemptRole } from "./AttemptEvent.ts"
import type { AttemptTrace } from "./AttemptTrace.ts"
import type { Batch } from "./SseReader.ts"

/** Told of the pieces of a stream after its first: `count` that came together, so many milliseconds after those before. */
export type OnChunks = (model: string, request: LlmRequest, permit: Permit, gap: number, count: number) => void

/** What is known of an attempt when it begins. */
export interface AttemptBegun {
  readonly model: string
  readonly request: LlmRequest
  readonly permit: Permit
  readonly role: AttemptRole
  readonly placement: SessionPlacement | undefined
  readonly selection: number | undefined
}

/** What is known of it when it ends. */
export interface AttemptTold {
  readonly at: number
  readonly now: number
  readonly summary: AttemptSummary
  readonly usage: Usage | undefined
  readonly cost: number | undefined
  readonly limits: RateLimits | undefined
  readonly answer: AnswerFacts | undefined
}

/**
 * Story of one attempt. Telemetry that throws harms no attempt.
 */
export class AttemptStory {
  readonly trace: AttemptTrace | undefined
  private readonly events: EventHub
  private readonly begun: AttemptBegun
  private readonly onChunks: OnChunks | undefined
  private lastChunkAt: number | undefined

  constructor(events: EventHub, begun: AttemptBegun, onChunks?: OnChunks, trace?: AttemptTrace) {
    this.events = events
    this.begun = begun
    this.onChunks = onChunks
    this.trace = trace
  }

  /** The content of a stream begins, with some more that arrived together with it. */
  committed(now: number, more: Batch["events"]): void {
    this.lastChunkAt = now
    ignoreThrows(() => this.trace?.committed())
    this.arrived(more, now)
  }

  /** Events of a stream arrived after its first content. */
  arrived(events: Batch["events"], now: number): void {
    const { onChunks } = this
    if (onChunks === undefined) return
    // the mark of the end is no piece of the stream
    const count = events.at(-1)?.data.startsWith("[DONE]") === true ? events.length - 1 : events.length
    if (count === 0) return
    const { model, permit, request } = this.begun
    const gap = now - (this.lastChunkAt ?? now)
    this.lastChunkAt = now
    ignoreThrows(() => onChunks(model, request, permit, gap, count))
  }

  /** Content came: events of a stream that is to be given out, before its end is told, or a whole answer. */
  given(content: Batch | Readonly<Record<string, unknown>>): void {
    const { trace } = this
    if (trace?.content !== undefined) ignoreThrows(() => trace.content?.(content))
  }

  /** Whether anybody would hear of its end: ask before its end is put into words. */
  get isObserved(): boolean {
    return this.events.hasListeners || this.trace !== undefined
  }

  ended({ answer, at, cost, limits, now, summary, usage }: AttemptTold): void {
    const { model, permit, placement, request, role, selection } = this.begun
    const hasAnswered = permit.firstByteAt !== undefined || summary.outcome === "success"
    const event: AttemptEnded = {
      _tag: "AttemptEnded",
      at,
      model,
      operation: request.operation,
      streamed: request.stream,
      attempt: summary,
      place: permit.deployment.place,
      role,
      firstByte: hasAnswered ? (permit.firstByteAt ?? now) - permit.startedAt : undefined,
      selection,
      placement,
      reserved: permit.reservation.tokens,
      usage,
      cost,
      limits,
      answer
    }
    this.events.emit<AttemptEnded>(event)
    ignoreThrows(() => this.trace?.ended(event))
  }
}
