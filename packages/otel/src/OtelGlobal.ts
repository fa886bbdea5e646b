/**
 * OpenTelemetry through whatever SDK the program has set up.
 */
import * as OtelTracer from "@effect/opentelemetry/OtelTracer"
import * as Layer from "effect/Layer"
import * as Environment from "./Environment.ts"

/**
 * Gives spans to the SDK that the program has registered already, whatever it does with them. Its readers get metrics from
 * `metricProducer`, of `@evenkeel/otel/MetricProducer`.
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
