/**
 * OpenTelemetry and Prometheus for Evenkeel.
 */
export { metricProducer, MissingExporter, OtelGlobal, OtelLive } from "./OtelLive.ts"
export { OtlpLive } from "./OtlpLive.ts"
export * as Prometheus from "./Prometheus.ts"
export * as PrometheusServer from "./PrometheusServer.ts"
