/**
 * OpenTelemetry through its own SDK for Node, over Effect's bridge.
 *
 * The SDK is made of packages that only its users install. So it is a door of its own, since a bundler looks for all that
 * is behind one, and is loaded when its layer is built: then a package that is missing has a name.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Environment from "./Environment.ts"
import { load, type MissingPackage } from "./MissingPackage.ts"
import * as PrometheusServer from "./PrometheusServer.ts"

/**
 * Exports spans, metrics and logs through OpenTelemetry's SDK, as the standard environment variables say; without any, by
 * OTLP to `http://localhost:4318`. The OTLP exporters are packages of their own, which are loaded where they are asked for.
 *
 * **Example** (A program that is configured by `OTEL_*`)
 *
 * ```ts
 * import { OtelLive } from "@evenkeel/otel/OtelLive"
 *
 * program.pipe(Effect.provide(LoadBalancerLive.pipe(Layer.provideMerge(OtelLive))), NodeRuntime.runMain)
 * ```
 */
export const OtelLive: Layer.Layer<never, MissingPackage | PrometheusServer.PrometheusServerError> = Layer.unwrap(
  Effect.gen(function*() {
    if (yield* Environment.isDisabled) return Layer.empty
    const scraped = (yield* Environment.exporters("metrics")).includes("prometheus")
    const Sdk = yield* load(() => import("./Sdk.ts"), "OtelLive is made of")
    const layer: Layer.Layer<never, PrometheusServer.PrometheusServerError> = Layer.mergeAll(
      yield* Sdk.fromEnvironment,
      scraped ? PrometheusServer.layer() : Layer.empty,
      Environment.layerTelemetryDefaults
    )
    return layer
  })
)
