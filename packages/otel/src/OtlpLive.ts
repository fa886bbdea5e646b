/**
 * OpenTelemetry without its SDK: spans, metrics and logs by OTLP over HTTP, with nothing but Effect.
 */
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
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

/** What the layers of all signals are made with. */
interface OtlpOptions extends Pick<Environment.OtlpTarget, "url" | "headers" | "compression"> {
  readonly resource: Environment.ProcessResource
  readonly shutdownTimeout: number
}

type OtlpLayer = Layer.Layer<never, never, HttpClient.HttpClient | OtlpSerialization.OtlpSerialization>

/** Exports a signal, where the environment asks for it. */
const exported = Effect.fnUntraced(function*(
  signal: Environment.Signal,
  resource: Environment.ProcessResource,
  layerOf: (options: OtlpOptions) => Effect.Effect<OtlpLayer>
) {
  if (!(yield* Environment.exporters(signal)).includes("otlp")) return Layer.empty
  const { compression, headers, protocol, url } = yield* Environment.otlpTarget(signal, DEFAULT_PROTOCOL)
  if (protocol === "grpc") {
    yield* Effect.logWarning(`OTLP of ${signal} goes over HTTP: OtlpLive speaks no gRPC; OtelLive does`)
  }
  const layer = yield* layerOf({ url, headers, compression, resource, shutdownTimeout: LAST_EXPORT })
  const isBinary = protocol === "http/protobuf"
  return layer.pipe(
    Layer.provide(isBinary ? OtlpSerialization.layerProtobuf : OtlpSerialization.layerJson),
    Layer.provide(FetchHttpClient.layer)
  )
})

const traces = Effect.fnUntraced(function*(options: OtlpOptions) {
  const tracer = OtlpTracer.layer({ ...options, ...(yield* Environment.spanBatches) })
  return Layer.provide(Sampling.layer(yield* Environment.sampler), tracer)
})

const metrics = Effect.fnUntraced(function*(options: OtlpOptions) {
  const exportInterval = yield* Environment.metricInterval
  return OtlpMetrics.layer({ ...options, exportInterval, temporality: yield* Environment.temporality })
})

const logs = (options: OtlpOptions) =>
  Effect.map(Environment.logBatches, (batches) => OtlpLogger.layer({ ...options, ...batches }))

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
    const isScraped = (yield* Environment.exporters("metrics")).includes("prometheus")
    return Layer.mergeAll(
      yield* exported("traces", resource, traces),
      isScraped ? PrometheusServer.layer() : Layer.empty,
      yield* exported("metrics", resource, metrics),
      yield* exported("logs", resource, logs),
      Environment.layerTelemetryDefaults
    )
  })
)
