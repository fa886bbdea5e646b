/**
 * OpenTelemetry without its SDK: spans, metrics and logs by OTLP over HTTP, with nothing but Effect.
 */
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as OtlpLogger from "effect/observability/OtlpLogger"
import * as OtlpMetrics from "effect/observability/OtlpMetrics"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as OtlpTracer from "effect/observability/OtlpTracer"
import * as Environment from "./Environment.ts"
import * as PrometheusServer from "./PrometheusServer.ts"
import * as Sampling from "./Sampling.ts"

/** How long the last export may take when the program ends, in milliseconds. */
const LAST_EXPORT = 3000

/** A third of the cost of Effect's protobuf; collectors take both at the same port. */
const DEFAULT_PROTOCOL = "http/json"

const target = (signal: Environment.Signal, resource: Environment.ProcessResource) =>
  Effect.gen(function*() {
    const given = yield* Environment.otlpTarget(signal, DEFAULT_PROTOCOL)
    if (given.protocol === "grpc") {
      yield* Effect.logWarning(`OTLP of ${signal} goes over HTTP: OtlpLive speaks no gRPC; OtelLive does`)
    }
    const isBinary = given.protocol === "http/protobuf"
    const serialization = isBinary ? OtlpSerialization.layerProtobuf : OtlpSerialization.layerJson
    const { compression, headers, url } = given
    return { serialization, options: { url, headers, compression, resource, shutdownTimeout: LAST_EXPORT } }
  })

const transport = Layer.provide(FetchHttpClient.layer)

type Scraped = Layer.Layer<never, PrometheusServer.PrometheusServerError>

const traces = Effect.fnUntraced(function*(resource: Environment.ProcessResource) {
  if (!(yield* Environment.exporters("traces")).includes("otlp")) return Layer.empty
  const { options, serialization } = yield* target("traces", resource)
  const { interval, size } = yield* Environment.spanBatches
  const tracer = OtlpTracer.layer({ ...options, exportInterval: interval, maxBatchSize: size })
  return Sampling.layer(yield* Environment.sampler).pipe(
    Layer.provide(tracer),
    Layer.provide(serialization),
    transport
  )
})

const metrics = Effect.fnUntraced(function*(resource: Environment.ProcessResource) {
  const exporters = yield* Environment.exporters("metrics")
  const scraped = exporters.includes("prometheus") ? PrometheusServer.layer() : Layer.empty
  if (!exporters.includes("otlp")) return scraped
  const { options, serialization } = yield* target("metrics", resource)
  const pushed = OtlpMetrics.layer({
    ...options,
    exportInterval: yield* Environment.metricInterval,
    temporality: yield* Environment.temporality
  })
  const both: Scraped = Layer.merge(scraped, pushed.pipe(Layer.provide(serialization), transport))
  return both
})

const logs = Effect.fnUntraced(function*(resource: Environment.ProcessResource) {
  if (!(yield* Environment.exporters("logs")).includes("otlp")) return Layer.empty
  const { options, serialization } = yield* target("logs", resource)
  const { interval, size } = yield* Environment.logBatches
  const logger = OtlpLogger.layer({ ...options, exportInterval: interval, maxBatchSize: size })
  const layer: Layer.Layer<never> = logger.pipe(Layer.provide(serialization), transport)
  return layer
})

/**
 * Exports spans, metrics and logs by OTLP over HTTP, as the standard environment variables say; without any, to
 * `http://localhost:4318`. `OTEL_METRICS_EXPORTER=prometheus` serves a page for Prometheus.
 *
 * **Example** (Everything to a collector on this machine)
 *
 * ```ts
 * program.pipe(Effect.provide(LoadBalancerLive.pipe(Layer.provideMerge(OtlpLive))), NodeRuntime.runMain)
 * ```
 */
export const OtlpLive: Layer.Layer<never, PrometheusServer.PrometheusServerError> = Layer.unwrap(
  Effect.gen(function*() {
    if (yield* Environment.isDisabled) return Layer.empty
    const resource = yield* Environment.resource
    return Layer.mergeAll(
      yield* traces(resource),
      yield* metrics(resource),
      yield* logs(resource),
      Environment.layerTelemetryDefaults
    )
  })
)
