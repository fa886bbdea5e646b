/**
 * OpenTelemetry's SDK for Node as the environment wants it.
 */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import {
  BatchLogRecordProcessor,
  ConsoleLogRecordExporter,
  type LogRecordExporter,
  SimpleLogRecordProcessor
} from "@opentelemetry/sdk-logs"
import {
  ConsoleMetricExporter,
  PeriodicExportingMetricReader,
  type PushMetricExporter
} from "@opentelemetry/sdk-metrics"
import {
  BatchSpanProcessor,
  ConsoleSpanExporter,
  SimpleSpanProcessor,
  type SpanExporter
} from "@opentelemetry/sdk-trace-base"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Environment from "./Environment.ts"
import { load, type MissingPackage } from "./MissingPackage.ts"

/** Packages of OTLP exporters, by protocol. */
const packages = { "http/protobuf": "proto", "http/json": "http", grpc: "grpc" } as const

/** An exporter of a package that is loaded only where it is asked for. It reads the rest of the environment by itself. */
const otlp = <E>(
  signal: Environment.Signal,
  kind: "trace" | "metrics" | "logs",
  exported: string
): Effect.Effect<E, MissingPackage> =>
  Effect.gen(function*() {
    const { protocol } = yield* Environment.otlpTarget(signal, "http/protobuf")
    const name = `@opentelemetry/exporter-${kind}-otlp-${packages[protocol]}`
    const variable = `OTEL_${signal.toUpperCase()}_EXPORTER`
    const loading = () => import(name) as Promise<Readonly<Record<string, new() => E>>>
    const loaded = yield* load(loading, `exports ${signal} by OTLP (${variable}=none does without)`)
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

/** Providers of all three signals, which end with their scope after what they hold was exported. */
export const fromEnvironment: Effect.Effect<Layer.Layer<never>, MissingPackage> = Effect.gen(function*() {
  const configuration: NodeSdk.Configuration = {
    spanProcessor: yield* spanProcessors,
    metricReader: yield* metricReaders,
    metricTemporality: yield* Environment.temporality,
    logRecordProcessor: yield* logProcessors,
    loggerMergeWithExisting: true,
    resource: yield* Environment.resource
  }
  return NodeSdk.layer(() => configuration)
})
