/**
 * The configuration: one schema for every door.
 *
 * `decode` takes anything and gives a complete `Config`, or every mistake in it, all at once, each with its path and
 * with what would be right. Durations are numbers of milliseconds once decoded. Keys are `Redacted`, and no message
 * shows one.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Struct from "effect/Struct"
import { type ConfigIssue, invalidConfig, type LoadBalancerError } from "../Errors.ts"
import * as ConfigRules from "./ConfigRules.ts"
import { ConfigSchema } from "./ConfigSchema.ts"
import { decodeBy, type DecodeOptions } from "./Decode.ts"
import * as Endpoint from "./Endpoint.ts"

export type { ConfigInput, DeploymentInput, DurationInput, ResourceInput } from "./ConfigInput.ts"
export { defaults } from "./ConfigSchema.ts"
export type { DecodeOptions } from "./Decode.ts"

type Decoded = typeof ConfigSchema.Type
type DecodedResource = Decoded["resources"][number]

/**
 * A complete configuration. Every duration is a number of milliseconds.
 *
 * @category models
 */
export interface Config extends Pick<Decoded, "session" | "health" | "failover" | "quota" | "fleet" | "gateway"> {
  /** At least one, with unique names. */
  readonly resources: ReadonlyArray<ResourceConfig>
  /** Name of the resource for endpoints that name no model. */
  readonly defaultResource: string
  readonly timeouts: TimeoutsConfig
  /** Complete limits of the models that have their own, without a prototype: any model's name is safe to look up. */
  readonly modelTimeouts: Readonly<Record<string, TimeoutsConfig>>
}

/**
 * One resource: the owner of a credential, a connection pool and deployments. Its headers' names are in lower case; where
 * its `proxy` is undefined, what the environment says holds.
 *
 * @category models
 */
export interface ResourceConfig extends Omit<DecodedResource, "apiKey" | "auth" | "deployments" | "scope"> {
  /** Origin and base path, without a trailing slash or query. Azure: without `/openai`. */
  readonly endpoint: string
  /** Azure: a date for the classic API, undefined for the v1 API. */
  readonly apiVersion: string | undefined
  readonly auth: ResourceAuth
  /** At least one, with unique names. */
  readonly deployments: ReadonlyArray<DeploymentConfig>
}

/**
 * How a resource is authenticated to. `None` is for compatible services only.
 *
 * @category models
 */
export type ResourceAuth =
  | { readonly _tag: "Key"; readonly key: Redacted.Redacted<string> }
  | { readonly _tag: "TokenProvider"; readonly provider: () => Promise<string> | string }
  | { readonly _tag: "Entra"; readonly scope: string }
  | { readonly _tag: "None" }

type DecodedDeployment = DecodedResource["deployments"][number]

/**
 * One model deployed on one resource. The name `"*"` is every model, under the caller's own name for it.
 *
 * @category models
 */
export interface DeploymentConfig extends DecodedDeployment {
  readonly model: string
}

/**
 * Where this process meets the others of its fleet.
 *
 * @category models
 */
export type FleetConfig = NonNullable<Decoded["fleet"]>

/** How `evenkeel serve` listens, and who may come in. No other door reads it. */
export type GatewayConfig = Decoded["gateway"]

/**
 * Time limits of requests. A `firstEvent` that is undefined is as long as the kind of request lets expect.
 *
 * @category models
 */
export interface TimeoutsConfig extends Omit<Decoded["timeouts"], "models"> {}

/**
 * Decodes what a user wrote. Never throws, and reports every mistake at once.
 *
 * **Example** (Reporting mistakes)
 *
 * ```ts
 * const result = decode({ resources: [{ name: "east", provider: "azur", deployment: [] }] })
 * if (Result.isFailure(result)) {
 *   for (const { message, path } of result.failure) console.error(`${path}: ${message}`)
 *   // resources[0].deployment: unknown key; did you mean `deployments`?
 *   // resources[0].provider: expected "azure", "openai" or "compatible", found "azur"
 * }
 * ```
 *
 * @category decoding
 */
export const decode = (
  input: unknown,
  options?: DecodeOptions
): Result.Result<Config, ReadonlyArray<ConfigIssue>> => Result.map(decodeSettings(input, options), complete)

const decodeSettings = decodeBy(ConfigSchema, ConfigRules.find)

/**
 * The same as an effect that fails with `InvalidConfig`.
 *
 * @param source what the mistakes are in, for people
 */
export const decodeEffect = (
  input: unknown,
  source = "the given object"
): Effect.Effect<Config, LoadBalancerError> =>
  Effect.suspend(() => Effect.mapError(Effect.fromResult(decode(input)), (issues) => invalidConfig(source, issues)))

const complete = (decoded: Decoded): Config => {
  const { models, ...timeouts } = decoded.timeouts
  const modelTimeouts: Record<string, TimeoutsConfig> = Object.create(null)
  for (const [model, own] of Object.entries<Record.ReadonlyRecord<string, number | undefined>>(models)) {
    modelTimeouts[model] = { ...timeouts, ...Record.filter(own, Predicate.isNotUndefined) }
  }
  return {
    ...Struct.pick(decoded, ["session", "health", "failover", "quota", "fleet", "gateway"]),
    resources: decoded.resources.map(completeResource),
    defaultResource: decoded.defaultResource ?? decoded.resources[0]!.name,
    timeouts,
    modelTimeouts
  }
}

const completeResource = ({ apiKey, auth, scope, ...resource }: DecodedResource): ResourceConfig => ({
  ...resource,
  endpoint: Result.getOrThrow(Endpoint.parse(resource.endpoint, resource.provider, resource.allowInsecure)),
  apiVersion: resource.apiVersion === "v1" ? undefined : resource.apiVersion,
  auth: apiKey !== undefined
    ? { _tag: "Key", key: apiKey }
    : auth === undefined
    ? { _tag: "None" }
    : auth === "entra"
    ? { _tag: "Entra", scope }
    : { _tag: "TokenProvider", provider: auth },
  headers: Record.mapKeys(resource.headers, (name) => name.toLowerCase()),
  deployments: resource.deployments.map((own) => ({ ...own, model: own.model ?? own.name }))
})
