/**
 * Metrics for an SDK of OpenTelemetry that the program has set up already.
 */
import * as OtelMetrics from "@effect/opentelemetry/OtelMetrics"
import * as Resource from "@effect/opentelemetry/Resource"
import type { MetricProducer } from "@opentelemetry/sdk-metrics"
import * as Effect from "effect/Effect"

/**
 * Metrics of Effect's own registry, which balancers use unless they are given another.
 *
 * **Example** (In the file that sets the SDK up)
 *
 * ```ts
 * new PeriodicExportingMetricReader({ exporter, metricProducers: [metricProducer()] })
 * ```
 */
export const metricProducer = (temporality: OtelMetrics.TemporalityPreference = "cumulative"): MetricProducer =>
  Effect.runSync(Effect.provide(OtelMetrics.makeProducer(temporality), Resource.layerEmpty))
