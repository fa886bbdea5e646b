/**
 * What telemetry adds to a call over real sockets: each way of it against the same call with telemetry off.
 */
import { LoadBalancer } from "@evenkeel/core/LoadBalancer"
import { Telemetry, type TelemetryOptions } from "@evenkeel/core/telemetry/Telemetry"
import * as GenAiPrices from "@evenkeel/node/GenAiPrices"
import * as UndiciTransport from "@evenkeel/node/UndiciTransport"
import { OtelLive, OtlpLive } from "@evenkeel/otel"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Metric from "effect/Metric"
import * as Stream from "effect/Stream"
import { question } from "./Canned.ts"
import { configOf, fibers } from "./Doors.ts"
import { type Contestant, figureOf, measure, ratioOf, type Rounds } from "./Measure.ts"
import type { Section } from "./Report.ts"

const CONCURRENCY = 64
const OFF = "telemetry off"

/** Most that everything may add. */
const GOAL = 1.15

interface Way {
  readonly name: string
  readonly telemetry: Layer.Layer<Telemetry>
  readonly exporter?: Layer.Layer<never, Error>
  readonly goal?: number
}

const on = (options: TelemetryOptions = {}) => Telemetry.layer({ logs: false, ...options })

const ways: ReadonlyArray<Way> = [
  { name: OFF, telemetry: Telemetry.layerNoop },
  { name: "the default: metrics, no tracer", telemetry: on() },
  {
    name: "everything, by OTLP (OtlpLive)",
    telemetry: on({ logs: true }),
    exporter: OtlpLive,
    goal: GOAL
  },
  {
    name: "everything, one trace in ten",
    telemetry: on({ logs: true }),
    exporter: OtlpLive.pipe(
      Layer.provide(ConfigProvider.layerAdd(
        ConfigProvider.fromUnknown({
          OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
          OTEL_TRACES_SAMPLER_ARG: "0.1"
        }),
        { asPrimary: true }
      ))
    ),
    goal: GOAL
  },
  { name: "everything, by the SDK (OtelLive)", telemetry: on({ logs: true }), exporter: OtelLive }
]

export const telemetry = async (endpoint: string, kind: "whole" | "burst", sizes: Rounds): Promise<Section> => {
  // OpenTelemetry's own exporters read the process's variables
  process.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
  const asked = question(kind)
  const doors = await Promise.all(ways.map(async ({ exporter = Layer.empty, telemetry }) => {
    const layer = LoadBalancer.layer(configOf(endpoint), { telemetry, prices: GenAiPrices.layer }).pipe(
      Layer.provide(UndiciTransport.layer()),
      Layer.provideMerge(exporter),
      Layer.provideMerge(Layer.succeed(Metric.MetricRegistry, new Map()))
    )
    const runtime = ManagedRuntime.make(layer)
    const lb = await runtime.runPromise(LoadBalancer)
    const call: Effect.Effect<unknown, unknown> = kind === "whole"
      ? lb.chat(asked)
      : Stream.runDrain(lb.chatStream(asked))
    const context = await runtime.context()
    return { run: fibers(CONCURRENCY, Effect.provideContext(call, context)), close: () => runtime.dispose() }
  }))
  const contestants: ReadonlyArray<Contestant> = ways.map(({ name }, i) => ({ name, run: doors[i]!.run }))
  const measured = await measure(contestants, sizes)
  await Promise.all(doors.map(({ close }) => close()))
  return {
    title: kind === "whole"
      ? "What telemetry adds: lb.chat, an answer of 1 KB; 64 at a time"
      : "What telemetry adds: lb.chatStream; 64 at a time",
    rows: ways.map(({ goal, name }) => ({
      what: name,
      unit: "x",
      figure: ratioOf(measured, name, OFF),
      goal: kind === "whole" ? goal : undefined,
      cpu: figureOf(measured.get(name)!)
    }))
  }
}
