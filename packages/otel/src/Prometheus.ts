/**
 * Metrics as Prometheus reads them: a page of text, for a route of your own or from a small server.
 */
import { PrometheusPage } from "@evenkeel/core/internal"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"

/** Content type of the page: Prometheus' text format, version 0.0.4. */
export const { contentType } = PrometheusPage

const { options } = PrometheusPage

/**
 * All metrics of the registry in use, as Prometheus reads them.
 *
 * **Example** (A route of your own, in an Effect program)
 *
 * ```ts
 * router.add("GET", "/metrics", Effect.map(Prometheus.page, (text) => HttpServerResponse.text(text, { contentType })))
 * ```
 */
export const page: Effect.Effect<string> = PrometheusMetrics.format(options)

/**
 * The same outside of Effect: of Effect's own registry, which balancers use unless they are given another.
 *
 * **Example** (A route of Express)
 *
 * ```ts
 * app.get("/metrics", (_, response) => response.type(contentType).send(pageNow()))
 * ```
 */
export const pageNow = (): string => PrometheusMetrics.formatUnsafe(Context.empty(), options)
