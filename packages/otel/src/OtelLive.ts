/**
 * OpenTelemetry through its own SDK for Node, over Effect's bridge.
 */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import * as OtelMetrics from "@effect/opentelemetry/OtelMetrics"
import * as OtelTracer from "@effect/opentelemetry/OtelTracer"
import * as Resource from "@effect/opentelemetry/Resource"
import {
  BatchLogRecordProcessor,
  ConsoleLogRecordExporter,
  type LogRecordExporter,
  SimpleLogRecordProcessor
} from "@opentelemetry/sdk-logs"
import {
  ConsoleMetricExporter,
  type MetricProducer,
  PeriodicExportingMetricReader,
  type PushMetricExporter
} from "@opentelemetry/sdk-metrics"
import {
  BatchSpanProcessor,
  ConsoleSpanExporter,
  SimpleSpanProcessor,
  type SpanExporter
} from "@opentelemetry/sdk-trace-base"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Environment from "./Environment.ts"
import * as PrometheusServer from "./PrometheusServer.ts"

/** Something that the environment asks for is not installed. */
export class MissingExporter extends Data.TaggedError("MissingExporter")<{
  readonly signal: Environment.Signal
  /** The package that has it. */
  readonly name: string
}> {
  override get message(): string {
    const variable = `OTEL_${this.signal.toUpperCase()}_EXPORTER`
    return `The ${this.signal} are to be exported by OTLP, but ${this.name} is not installed: install it, use OtlpLive, which needs no package, or set ${variable}=none.`
  }
}

/** Packages of OTLP exporters, by protocol. */
const packages = { "http/protobuf": "proto", "http/json": "http", grpc: "grpc" } as const

/** An exporter of a package that is loaded only where it is asked for. It reads the rest of the environment by itself. */
const otlp = <E>(signal: Environment.Signal, kind: "trace" | "metrics" | "logs", exported: string) =>
  Effect.gen(function*() {
    const { protocol } = yield* Environment.otlpTarget(signal, "http/protobuf")
    const name = `@opentelemetry/exporter-${kind}-otlp-${packages[protocol]}`
    const loaded = yield* Effect.tryPromise({
      try: () => import(name) as Promise<Readonly<Record<string, new() => E>>>,
      catch: () => new MissingExporter({ signal, name })
    })
    return new loaded[exported]!()
  })

const spanProcessors = Effect.gen(function*() {
  const exporters = yield* Environment.exporters("traces")
  return [
    ...(exporters.includes("otlp")
      ? [new BatchSpanProcessor(yield* otlp<SpanExporter>("traces", "trace", "OTLPTraceExporter"))]
      : []),
    ...(exporters.includes("console") ? [new SimpleSpanProcessor(new ConsoleSpanExporter())] : [])
  ]
})

const metricReaders = Effect.gen(function*() {
  const exporters = yield* Environment.exporters("metrics")
  const exportIntervalMillis = yield* Environment.metricInterval
  const exportTimeoutMillis = Math.min(30_000, exportIntervalMillis)
  const reader = (exporter: PushMetricExporter) =>
    new PeriodicExportingMetricReader({ exporter, exportIntervalMillis, exportTimeoutMillis })
  return [
    ...(exporters.includes("otlp")
      ? [reader(yield* otlp<PushMetricExporter>("metrics", "metrics", "OTLPMetricExporter"))]
      : []),
    ...(exporters.includes("console") ? [reader(new ConsoleMetricExporter())] : [])
  ]
})

const logProcessors = Effect.gen(function*() {
  const exporters = yield* Environment.exporters("logs")
  return [
    ...(exporters.includes("otlp")
      ? [new BatchLogRecordProcessor({ exporter: yield* otlp<LogRecordExporter>("logs", "logs", "OTLPLogExporter") })]
      : []),
    ...(exporters.includes("console")
      ? [new SimpleLogRecordProcessor({ exporter: new ConsoleLogRecordExporter() })]
      : [])
  ]
})

/**
 * Exports spans, metrics and logs through OpenTelemetry's SDK, as the standard environment variables say; without any, by
 * OTLP to `http://localhost:4318`. The OTLP exporters are packages of their own, which are loaded where they are asked for.
 *
 * **Example** (A program that is configured by `OTEL_*`)
 *
 * ```ts
 * program.pipe(Effect.provide(LoadBalancerLive), Effect.provide(OtelLive), NodeRuntime.runMain)
 * ```
 */
export const OtelLive: Layer.Layer<never, MissingExporter | PrometheusServer.PrometheusServerError> = Layer.unwrap(
  Effect.gen(function*() {
    if (yield* Environment.isDisabled) return Layer.empty
    const scraped = (yield* Environment.exporters("metrics")).includes("prometheus")
    const configuration: NodeSdk.Configuration = {
      spanProcessor: yield* spanProcessors,
      metricReader: yield* metricReaders,
      metricTemporality: yield* Environment.temporality,
      logRecordProcessor: yield* logProcessors,
      loggerMergeWithExisting: true
    }
    const layer: Layer.Layer<never, PrometheusServer.PrometheusServerError> = Layer.mergeAll(
      NodeSdk.layer(() => configuration),
      scraped ? PrometheusServer.layerFromEnvironment : Layer.empty,
      Environment.layerTelemetryDefaults
    )
    return layer
  })
)

/**
 * Gives spans to the SDK that the program has registered already, whatever it does with them. Metrics are read from there
 * by `metricProducer`.
 *
 * **Example** (A balancer in a program that is instrumented already)
 *
 * ```ts
 * const lb = createLoadBalancer(config, { instrumentation: OtelGlobal })
 * ```
 */
export const OtelGlobal: Layer.Layer<never> = Layer.mergeAll(
  OtelTracer.layerGlobal,
  Environment.layerTelemetryDefaults
)

/**
 * Metrics for a reader of an SDK that the program has set up already.
 *
 * **Example** (In the file that sets the SDK up)
 *
 * ```ts
 * new PeriodicExportingMetricReader({ exporter, metricProducers: [metricProducer()] })
 * ```
 */
export const metricProducer = (temporality: OtelMetrics.TemporalityPreference = "cumulative"): MetricProducer =>
  Effect.runSync(Effect.provide(OtelMetrics.makeProducer(temporality), Resource.layerEmpty))
