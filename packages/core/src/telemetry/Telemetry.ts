/**
 * The seam to telemetry: it is told every event, in order and synchronously, and nobody else in the core knows of it.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { OnChunks } from "../attempt/AttemptRecord.ts"
import type { Trace } from "../balancer/CallTrace.ts"
import type { Event } from "../Event.ts"
import type { Explanation } from "../routing/Explanation.ts"
import { EventMetrics } from "./EventMetrics.ts"
import type { LiveState } from "./LiveState.ts"
import { Logs } from "./Logs.ts"
import { Meter } from "./Meter.ts"
import * as Spans from "./Spans.ts"
import { StateMetrics } from "./StateMetrics.ts"

/**
 * What telemetry does.
 */
export interface TelemetryOptions {
  /** Whether requests and attempts are spans of the caller's tracer, where it has one. Default: true. */
  readonly spans?: boolean | undefined
  /** Whether metrics are kept in Effect's registry, where exporters find them. Default: true. */
  readonly metrics?: boolean | undefined
  /** Whether changes of state are logged through Effect's logger. Default: true. */
  readonly logs?: boolean | undefined
  /** Whether prompts and completions are attributes of spans. They may hold personal data. Default: false. */
  readonly captureContent?: boolean | undefined
  /** Whether requests to the service carry `traceparent`. Azure counts custom headers, of which it takes ten. Default: false. */
  readonly propagate?: boolean | undefined
  /**
   * Names of the GenAI conventions: `stable` are those of 1.41.1, `latest` those that are in development and will replace
   * them. Default: `stable`.
   */
  readonly genAi?: "stable" | "latest" | undefined
}

/**
 * Options that hold where none are given in code. `@evenkeel/otel` sets them from the standard environment variables.
 */
export const TelemetryDefaults: Context.Reference<TelemetryOptions> = Context.Reference<TelemetryOptions>(
  "@evenkeel/core/telemetry/Telemetry/TelemetryDefaults",
  { defaultValue: () => ({}) }
)

/**
 * Service that is told what happens. Nothing of it may wait, and what it throws is ignored; what is left out costs nothing.
 */
export class Telemetry extends Context.Service<Telemetry, {
  /** Told every event. */
  readonly observe?: ((event: Event) => void) | undefined
  /** Told why each attempt goes where it goes, which costs several times what the choice does. */
  readonly explain?: ((explanation: Explanation) => void) | undefined
  /** Follows a request from its beginning to its end. */
  readonly trace?: Trace | undefined
  /** Told of each piece of a stream. */
  readonly onChunks?: OnChunks | undefined
  /** Given the state of the balancer, to look at until its scope ends. */
  readonly attach?: ((state: LiveState) => Effect.Effect<void, never, Scope.Scope>) | undefined
}>()("@evenkeel/core/telemetry/Telemetry") {
  /**
   * Spans, metrics and logs of Effect's own, wherever they are exported to; see docs/observability.md.
   *
   * **Example** (Metrics alone)
   *
   * ```ts
   * LoadBalancer.layer(config, { telemetry: Telemetry.layer({ spans: false, logs: false }) })
   * ```
   */
  static layer(options: TelemetryOptions = {}): Layer.Layer<Telemetry> {
    return Layer.effect(Telemetry, make(options))
  }

  /** Tells nobody. */
  static readonly layerNoop: Layer.Layer<Telemetry> = Layer.succeed(Telemetry, {})

  /** Tells a function what happens, and another, if there is one, why each attempt goes where it goes. */
  static layerListener(
    observe: ((event: Event) => void) | undefined,
    explain?: (explanation: Explanation) => void
  ): Layer.Layer<Telemetry> {
    return Layer.succeed(Telemetry, { observe, explain })
  }
}

const make = (options: TelemetryOptions): Effect.Effect<Telemetry["Service"]> =>
  Effect.gen(function*() {
    const given = { ...(yield* TelemetryDefaults), ...options }
    const { captureContent = false, genAi = "stable", logs = true, metrics = true, propagate = false, spans = true } =
      given
    const context = yield* Effect.context<never>()
    const clock = yield* Clock.Clock
    const isLatest = genAi === "latest"
    const listeners: Array<(event: Event) => void> = []
    let attach: Telemetry["Service"]["attach"]
    let onChunks: OnChunks | undefined
    if (metrics) {
      const meter = Meter.of(context)
      const counted = new EventMetrics(meter, isLatest)
      onChunks = counted.onChunks
      listeners.push((event) => counted.observe(event))
      attach = (state) =>
        Effect.map(StateMetrics.attach(meter, state), (gauges) => {
          counted.attach(state)
          listeners.push((event) => gauges.observe(event))
        })
    }
    if (logs) {
      // a line is no part of the span in which the balancer happened to be made
      const run = Effect.runForkWith(Context.omit(Tracer.ParentSpan)(context) as Context.Context<never>)
      const lines = new Logs((line) => void run(line))
      listeners.push((event) => lines.observe(event))
    }
    return {
      observe: metrics || logs
        ? (event: Event) => {
          for (const listener of listeners) {
            try {
              listener(event)
            } catch {
              // what one of them cannot make of it must not silence the others
            }
          }
        }
        : undefined,
      onChunks,
      trace: spans
        ? Spans.make(clock, { captureContent, propagate, isLatest }, Context.get(context, Tracer.Tracer))
        : undefined,
      attach
    }
  })
