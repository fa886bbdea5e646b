/**
 * The balancer wired for Node: undici, Entra ID, and configuration from a file or the environment.
 */
import {
  type Config,
  type ConfigInput,
  type Deployments,
  type LayerOptions,
  LoadBalancer,
  type LoadBalancerError
} from "@evenkeel/core"
import { decodeBeside, invalidConfig, layerRules } from "@evenkeel/core/internal"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as ConfigSource from "./ConfigSource.ts"
import * as DefaultTransport from "./DefaultTransport.ts"
import * as EntraId from "./EntraId.ts"
import * as GenAiPrices from "./GenAiPrices.ts"
import * as RedisFleetStore from "./RedisFleetStore.ts"

type Live = Layer.Layer<LoadBalancer | Deployments, LoadBalancerError>

/** Layer of a balancer whose configuration was decoded before. */
export const layerDecoded = (settings: Config, replace: LayerOptions = {}) =>
  LoadBalancer.layerDecoded(settings, {
    ...replace,
    prices: replace.prices ?? GenAiPrices.layer,
    fleet: replace.fleet ?? RedisFleetStore.layerOf(settings)
  }).pipe(
    Layer.provide(DefaultTransport.layer(settings)),
    Layer.provide(EntraId.layer)
  )

/**
 * Layer of a balancer with a configuration in code.
 *
 * **Example** (A balancer of two resources)
 *
 * ```ts
 * const Balanced = layer({
 *   resources: [
 *     { name: "east", provider: "azure", endpoint: eastUrl, apiKey: eastKey, deployments: [{ name: "gpt-4o" }] },
 *     { name: "west", provider: "azure", endpoint: westUrl, auth: "entra", deployments: [{ name: "gpt-4o" }] }
 *   ]
 * })
 * ```
 */
export const layer = (config: ConfigInput, replace: LayerOptions = {}): Live =>
  Layer.unwrap(Effect.suspend(() => {
    const decoded = decodeBeside(config, replace, layerRules)
    return Result.isFailure(decoded)
      ? Effect.fail(invalidConfig("the given object", decoded.failure))
      : Effect.succeed(layerDecoded(decoded.success, replace))
  }))

/**
 * Layer of a balancer whose configuration is read where the process is started: `EVENKEEL_CONFIG`, else the variables
 * of Azure OpenAI, else `OPENAI_API_KEY`. See docs/configuration.md.
 */
export const layerFromEnvironment = (replace: LayerOptions = {}): Live =>
  Layer.unwrap(
    Effect.mapBoth(ConfigSource.load, {
      onFailure: ({ issues, source }) => invalidConfig(source, issues),
      onSuccess: (settings) => layerDecoded(settings, replace)
    })
  )

/**
 * `layerFromEnvironment` with every default.
 */
export const LoadBalancerLive: Live = layerFromEnvironment()
