/**
 * OpenTelemetry and Prometheus for Evenkeel.
 */
export { type AlertOptions, prometheusRules } from "./Alerts.ts"
export { type DashboardOptions, grafanaDashboard } from "./Dashboard.ts"
export { MissingPackage } from "./MissingPackage.ts"
export { OtelGlobal } from "./OtelGlobal.ts"
export { OtlpLive } from "./OtlpLive.ts"
export * as Prometheus from "./Prometheus.ts"
export * as PrometheusServer from "./PrometheusServer.ts"
