/**
 * A tracer that keeps what it is told, and says where it is told wrong.
 */
import { type Context, Effect, Exit, Layer, Option, Tracer } from "effect"

/** What happened on a span. */
export interface SpanEvent {
  readonly name: string
  readonly at: bigint
  readonly attributes: Readonly<Record<string, unknown>>
}

type SpanOptions = Parameters<Tracer.Tracer["span"]>[0]

/** A span that keeps everything, in order. */
export class RecordedSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly name: string
  readonly spanId: string
  readonly traceId: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly annotations: Context.Context<never>
  readonly attributes = new Map<string, unknown>()
  readonly links: Array<Tracer.SpanLink>
  readonly sampled: boolean
  readonly kind: Tracer.SpanKind
  readonly startedAt: bigint
  readonly events: Array<SpanEvent> = []
  readonly ends: Array<{ readonly at: bigint; readonly exit: Exit.Exit<unknown, unknown> }> = []
  /** What was told of it after its end, which a tracer would lose. */
  readonly late: Array<string> = []

  constructor({ annotations, kind, links, name, parent, sampled, startTime }: SpanOptions, number: number) {
    this.name = name
    this.parent = parent
    this.annotations = annotations
    this.links = links
    this.kind = kind
    this.sampled = sampled
    this.startedAt = startTime
    this.spanId = number.toString(16).padStart(16, "0")
    this.traceId = Option.match(parent, {
      onNone: () => number.toString(16).padStart(32, "0"),
      onSome: ({ traceId }) => traceId
    })
  }

  get status(): Tracer.SpanStatus {
    const [first] = this.ends
    return first === undefined
      ? { _tag: "Started", startTime: this.startedAt }
      : { _tag: "Ended", startTime: this.startedAt, endTime: first.at, exit: first.exit }
  }

  end(at: bigint, exit: Exit.Exit<unknown, unknown>): void {
    this.ends.push({ at, exit })
  }

  attribute(name: string, value: unknown): void {
    if (this.ends.length > 0) this.late.push(name)
    this.attributes.set(name, value)
  }

  event(name: string, at: bigint, attributes: Readonly<Record<string, unknown>> = {}): void {
    if (this.ends.length > 0) this.late.push(name)
    this.events.push({ name, at, attributes })
  }

  addLinks(links: ReadonlyArray<Tracer.SpanLink>): void {
    this.links.push(...links)
  }

  /** Milliseconds from its start to its end. */
  get duration(): number {
    return Number((this.ends[0]?.at ?? NaN as never) - this.startedAt) / 1e6
  }
}

/** How a span ended, as exporters tell it: well, interrupted, or with an error. */
export const endOf = ({ ends }: RecordedSpan): "open" | "ok" | "interrupted" | "error" => {
  const [first] = ends
  if (first === undefined) return "open"
  if (Exit.isSuccess(first.exit)) return "ok"
  return Exit.hasInterrupts(first.exit) ? "interrupted" : "error"
}

/** A recording tracer. */
export interface Recorder {
  readonly tracer: Tracer.Tracer
  readonly layer: Layer.Layer<never>
  /** All spans, in the order in which they began. */
  readonly spans: ReadonlyArray<RecordedSpan>
  /** Those of requests: without a parent of ours. */
  readonly requests: () => ReadonlyArray<RecordedSpan>
  /** The children of a span. */
  readonly childrenOf: (span: Tracer.AnySpan) => ReadonlyArray<RecordedSpan>
}

/** Makes one. */
export const makeRecorder = (): Recorder => {
  const spans: Array<RecordedSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new RecordedSpan(options, spans.length + 1)
      spans.push(span)
      return span
    }
  })
  return {
    tracer,
    layer: Layer.succeed(Tracer.Tracer, tracer),
    spans,
    requests: () => spans.filter(({ name }) => /^(?:chat|embeddings|request)\b/.test(name)),
    childrenOf: (parent) => spans.filter((span) => Option.getOrUndefined(span.parent) === parent)
  }
}

/** Runs an effect whose spans are recorded. */
export const traced = <A, E, R>(recorder: Recorder, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, Tracer.Tracer, recorder.tracer)

/** Everything that a span says, as text. */
export const printedSpan = ({ attributes, ends, events, name }: RecordedSpan): string =>
  [
    name,
    ...[...attributes].map(([key, value]) => `${key}=${JSON.stringify(value)}`),
    ...events.map((event) => `${event.name} ${JSON.stringify(event.attributes)}`),
    ...ends.map(({ exit }) => String(exit))
  ].join("\n")
