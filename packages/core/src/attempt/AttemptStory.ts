/**
 * The way of one attempt, as it is told to whoever listens. Telemetry that throws harms no attempt.
 */
import { ignoreThrows } from "../IgnoreThrows.ts"
import type { AttemptEnded } from "./AttemptEvent.ts"
import type { AttemptRecord } from "./AttemptRecord.ts"
import type { Batch } from "./SseReader.ts"

/**
 * Story of one attempt.
 */
export class AttemptStory {
  private readonly attempt: AttemptRecord
  private lastChunkAt: number | undefined

  constructor(attempt: AttemptRecord) {
    this.attempt = attempt
  }

  /** The content of a stream begins, with some more that arrived together with it. */
  committed(now: number, more: Batch["events"]): void {
    this.lastChunkAt = now
    ignoreThrows(() => this.attempt.plan.trace?.committed())
    this.arrived(more, now)
  }

  /** Events of a stream arrived after its first content. */
  arrived(events: Batch["events"], now: number): void {
    const { environment: { onChunks }, plan: { group, permit, request } } = this.attempt
    if (onChunks === undefined) return
    // the mark of the end is no piece of the stream
    const count = events.at(-1)?.data.startsWith("[DONE]") === true ? events.length - 1 : events.length
    if (count === 0) return
    const gap = now - (this.lastChunkAt ?? now)
    this.lastChunkAt = now
    ignoreThrows(() => onChunks(group.model, request, permit, gap, count))
  }

  /** Content came: events of a stream that is to be given out, before its end is told, or a whole answer. */
  given(content: Batch | Readonly<Record<string, unknown>>): void {
    const { trace } = this.attempt.plan
    if (trace?.content !== undefined) ignoreThrows(() => trace.content?.(content))
  }

  /** It ended: put into words only where somebody hears them. */
  ended(now: number): void {
    const { cost, environment: { events }, facts, limits, plan, usage } = this.attempt
    const { group, permit, placement, request, role, selection, trace } = plan
    if (!events.hasListeners && trace === undefined) return
    const { summary } = this.attempt
    const hasAnswered = permit.firstByteAt !== undefined || summary.outcome === "success"
    const event: AttemptEnded = {
      _tag: "AttemptEnded",
      at: this.attempt.wallNow,
      model: group.model,
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
      answer: facts
    }
    events.emit<AttemptEnded>(event)
    ignoreThrows(() => trace?.ended(event))
  }
}
