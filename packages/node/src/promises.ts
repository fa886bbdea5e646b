/**
 * The promise facade with what it needs of Effect inside, for programs where start-up counts, such as a function or a command:
 * imported in 0.6 of the time, and otherwise the same. What is a layer it does not take: a program that makes one has loaded
 * Effect, and shares it with the facade of `@evenkeel/node`.
 *
 * **Example** (The same first program)
 *
 * ```ts
 * import { createLoadBalancer } from "@evenkeel/node/promises"
 *
 * const lb = createLoadBalancer(config)
 * ```
 */
import type { ConfigInput } from "@evenkeel/core"
import { invalidConfig } from "@evenkeel/core/internal"
import * as Layer from "effect/Layer"
import type OpenAI from "openai"
import * as Facade from "./createLoadBalancer.ts"

export {
  type CallOptions,
  type CheckReport,
  type ConfigInput,
  type Event,
  type Explanation,
  LoadBalancerError,
  type Snapshot
} from "@evenkeel/core"
export { type LoadBalancerClient } from "./createLoadBalancer.ts"
export { type BalancerWarning } from "./Warnings.ts"

/**
 * Options besides the configuration: those of `@evenkeel/node` that are no layers.
 */
export type LoadBalancerClientOptions<Client = OpenAI> = Pick<
  Facade.LoadBalancerClientOptions<Client>,
  "openai" | "warnings"
>

/**
 * Creates a load balancer and starts its checks at once. Secrets in the configuration are texts.
 *
 * @throws LoadBalancerError with the reason `InvalidConfig`, which lists every mistake
 */
export function createLoadBalancer<Client = OpenAI>(
  config: ConfigInput,
  options?: LoadBalancerClientOptions<Client>
): Facade.LoadBalancerClient<Client>
// what `ReturnType` sees
export function createLoadBalancer(config: ConfigInput, options?: LoadBalancerClientOptions): Facade.LoadBalancerClient
export function createLoadBalancer(
  config: ConfigInput,
  options?: LoadBalancerClientOptions
): Facade.LoadBalancerClient {
  refuseLayers(options)
  return Facade.createLoadBalancer(config, options)
}

/**
 * The same with the configuration of the environment: `EVENKEEL_CONFIG` (a YAML or JSON file, or its text), else the
 * variables of Azure OpenAI, else `OPENAI_API_KEY`.
 *
 * @throws LoadBalancerError with the reason `InvalidConfig`, which lists every mistake
 */
export function createLoadBalancerFromEnvironment<Client = OpenAI>(
  options?: LoadBalancerClientOptions<Client>
): Facade.LoadBalancerClient<Client>
export function createLoadBalancerFromEnvironment(options?: LoadBalancerClientOptions): Facade.LoadBalancerClient
export function createLoadBalancerFromEnvironment(options?: LoadBalancerClientOptions): Facade.LoadBalancerClient {
  refuseLayers(options)
  return Facade.createLoadBalancerFromEnvironment(options)
}

/** A layer is of another copy of Effect, and maybe of another version, which this one need not understand. */
const refuseLayers = (options: object | undefined): void => {
  const layers = Object.entries(options ?? {}).filter(([, value]) => Layer.isLayer(value))
  if (layers.length === 0) return
  const message = "a layer; those are for `createLoadBalancer` of @evenkeel/node"
  throw invalidConfig("the given options", layers.map(([key]) => ({ path: `options.${key}`, message })))
}
