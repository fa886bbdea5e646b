/**
 * Metrics as Prometheus reads them: a page of text.
 */
import type * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import { gateway, instruments, prometheusName } from "./Names.ts"

/** Prometheus' text format, version 0.0.4. */
export const contentType = "text/plain; version=0.0.4; charset=utf-8"

/** Names as Prometheus has them: base units and `_total` are part of them there. Names that are not ours are left alone. */
const names: ReadonlyMap<string, string> = new Map(
  [...instruments, ...Object.values(gateway)].map((instrument) => [instrument.name, prometheusName(instrument)])
)

export const options: PrometheusMetrics.FormatOptions = { metricNameMapper: (name) => names.get(name) ?? name }
