/**
 * What telemetry adds to a call over real sockets: each way of it beside the same calls with telemetry off.
 */
import { LoadBalancer } from "#core/LoadBalancer"
import { Telemetry, type TelemetryOptions } from "#core/telemetry/Telemetry"
import * as GenAiPrices from "#node/GenAiPrices"
import * as UndiciTransport from "#node/UndiciTransport"
import { OtlpLive } from "@evenkeel/otel"
import { OtelLive } from "@evenkeel/otel/OtelLive"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Metric from "effect/Metric"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { question } from "./Canned.ts"
import { configOf, fibers } from "./Doors.ts"
import type { Contestant, ProcessRounds } from "./Measure.ts"
import { pairs } from "./Pairs.ts"
import type { Section } from "./Report.ts"

type Kind = "whole" | "burst"

const CONCURRENCY = 64
const OFF = "telemetry off"

/** Most that everything may add. */
const GOAL = 1.12

interface Way {
  readonly name: string
  readonly telemetry: Layer.Layer<Telemetry>
  readonly exporter?: Layer.Layer<never, Error>
  readonly goal?: number
}

const on = (options: TelemetryOptions = {}) => Telemetry.layer({ logs: false, ...options })

const off: Way = { name: OFF, telemetry: Telemetry.layerNoop }

const ways: ReadonlyArray<Way> = [
  { name: "the default: metrics, no tracer", telemetry: on() },
  {
    name: "everything, exported nowhere",
    telemetry: on({ logs: true }),
    exporter: Layer.succeed(Tracer.Tracer, Tracer.make({ span: (options) => new Tracer.NativeSpan(options) })),
    goal: GOAL
  },
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

/** A door with telemetry as one of the ways has it: does so many calls. */
export const door = async (endpoint: string, kind: Kind, name: string): Promise<Contestant["run"]> => {
  const { exporter = Layer.empty, telemetry } = ways.find((way) => way.name === name) ?? off
  const layer = LoadBalancer.layer(configOf(endpoint), { telemetry, prices: GenAiPrices.layer }).pipe(
    Layer.provide(UndiciTransport.layer()),
    Layer.provideMerge(exporter),
    Layer.provideMerge(Layer.succeed(Metric.MetricRegistry, new Map()))
  )
  const runtime = ManagedRuntime.make(layer)
  const lb = await runtime.runPromise(LoadBalancer)
  const asked = question(kind)
  const call: Effect.Effect<unknown, unknown> = kind === "whole"
    ? lb.chat(asked)
    : Stream.runDrain(lb.chatStream(asked))
  const context = await runtime.context()
  return fibers(CONCURRENCY, Effect.provideContext(call, context))
}

export const telemetry = async (endpoint: string, kind: Kind, sizes: ProcessRounds): Promise<Section> => {
  const names = ways.map(({ name }) => name)
  const goals = kind === "whole" ? Object.fromEntries(ways.map(({ goal, name }) => [name, goal])) : {}
  const rows = await pairs("telemetry", endpoint, kind, OFF, names, sizes, goals)
  return {
    title: kind === "whole"
      ? "What telemetry adds: lb.chat, an answer of 1 KB; 64 at a time, against telemetry off"
      : "What telemetry adds: lb.chatStream; 64 at a time, against telemetry off",
    rows
  }
}
