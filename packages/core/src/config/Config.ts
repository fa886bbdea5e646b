/**
 * The configuration: one schema for every door.
 *
 * `decode` takes anything and gives a complete `Config`, or every mistake in it, all at once, each with its path and
 * with what would be right. Durations are numbers of milliseconds once decoded. Keys are `Redacted`, and no message
 * shows one.
 */
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as SchemaParser from "effect/SchemaParser"
import { type ConfigIssue, invalidConfig, type LoadBalancerError } from "../Errors.ts"
import type { TlsOptions } from "../transport/Transport.ts"
import { defaults as configDefaults, entraScope, openAiEndpoint } from "./ConfigDefaults.ts"
import { type Context, formatPath, fromSchemaIssue, type Reference, valueAt } from "./ConfigErrors.ts"
import * as ConfigRelations from "./ConfigRules.ts"
import { ConfigSchema } from "./ConfigSchema.ts"
import * as Endpoint from "./Endpoint.ts"
import type { PriceList } from "./Prices.ts"

export type { Reference } from "./ConfigErrors.ts"
export type {
  ConfigInput,
  DeploymentInput,
  DurationInput,
  FailoverInput,
  HealthCheckInput,
  HealthInput,
  ModelTimeoutsInput,
  QuotaInput,
  ResourceInput,
  SessionInput,
  TimeoutsInput,
  TlsInput
} from "./ConfigInput.ts"

/**
 * A complete configuration. Every duration is a number of milliseconds.
 *
 * @category models
 */
export interface Config {
  /** At least one, with unique names. */
  readonly resources: ReadonlyArray<ResourceConfig>
  /** Name of the resource for endpoints that name no model. */
  readonly defaultResource: string
  readonly session: SessionConfig
  readonly health: HealthConfig
  readonly failover: FailoverConfig
  readonly timeouts: TimeoutsConfig
  /** Complete limits of the models that have their own, without a prototype: any model's name is safe to look up. */
  readonly modelTimeouts: Readonly<Record<string, TimeoutsConfig>>
  readonly quota: QuotaConfig
}

/**
 * One resource: the owner of a credential, a connection pool and deployments.
 *
 * @category models
 */
export interface ResourceConfig {
  readonly name: string
  readonly provider: "azure" | "openai" | "compatible"
  /** Origin and base path, without a trailing slash or query. Azure: without `/openai`. */
  readonly endpoint: string
  /** Azure: a date for the classic API, undefined for the v1 API. */
  readonly apiVersion: string | undefined
  readonly region: string | undefined
  readonly auth: ResourceAuth
  /** Headers of its own, by lower-case name. */
  readonly headers: Readonly<Record<string, Redacted.Redacted<string>>>
  /** `"none"`: no proxy, whatever the environment says. `undefined`: what the environment says. */
  readonly proxy: "none" | Redacted.Redacted<string> | undefined
  readonly tls: TlsOptions | undefined
  /** Plain `http:` beyond this machine was allowed. */
  readonly allowInsecure: boolean
  /** Chat streams are asked for their usage where their caller does not say. */
  readonly streamUsage: boolean
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

/**
 * One model deployed on one resource.
 *
 * @category models
 */
export interface DeploymentConfig {
  /** `"*"`: every model, under the caller's own name for it. */
  readonly name: string
  readonly model: string
  /** A whole number from 1, which is tried first. */
  readonly tier: number
  readonly provisioned: boolean
  readonly weight: number
  /** Tokens a minute. */
  readonly tpm: number | undefined
  /** Requests a minute. */
  readonly rpm: number | undefined
  /** Overrides every table of prices. */
  readonly price: PriceList | undefined
}

/** @category models */
export interface SessionConfig {
  readonly capacity: number
  readonly idle: number
  readonly loadBound: number
  readonly maxRate: number
}

/** @category models */
export interface HealthConfig {
  readonly consecutiveFailures: number
  readonly successRatio: number
  readonly minimumSamples: number
  readonly window: number
  readonly openFor: number
  readonly maxOpenFor: number
  readonly cooldown: number
  readonly maxCooldown: number
  readonly slowStart: number
  readonly slowStartFloor: number
  readonly check: HealthCheckConfig
}

/** @category models */
export interface HealthCheckConfig {
  readonly kind: "models" | "path" | "completion" | "none"
  readonly path: string | undefined
  readonly interval: number
  readonly timeout: number
}

/** @category models */
export interface FailoverConfig {
  readonly attempts: number
  readonly maxWait: number
  readonly maxWaiting: number
  readonly hedge: boolean
  readonly budgetRatio: number
  readonly budgetPerSecond: number
  readonly backoff: number
  readonly maxBackoff: number
}

/** @category models */
export interface TimeoutsConfig {
  readonly connect: number
  readonly total: number
  /** `undefined`: as long as the kind of request lets expect. */
  readonly firstEvent: number | undefined
  readonly firstContent: number
  readonly idle: number
}

/** @category models */
export interface QuotaConfig {
  readonly hot: number
  readonly requestSlice: number
  readonly headerMaxAge: number
}

/**
 * What holds where a configuration says nothing, in decoded form.
 *
 * @category configuration
 */
export const defaults: Pick<Config, "session" | "health" | "failover" | "timeouts" | "quota"> = configDefaults

/**
 * Settings of `decode`, for sources that put values in from elsewhere.
 *
 * @category configuration
 */
export interface DecodeOptions {
  /**
   * Values that came from variables, by path (`resources[0].apiKey`): messages show their labels, never their content,
   * and one that is whole may be a number, `true` or `false` written as a text.
   */
  readonly references?: ReadonlyMap<string, Reference> | undefined
}

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
): Result.Result<Config, ReadonlyArray<ConfigIssue>> => {
  try {
    return decodeWith({ input, references: options?.references ?? new Map() })
  } catch {
    // a getter, a proxy or a wiped key threw; what it said may hold a secret
    return Result.fail([{ path: "", message: "cannot be read: reading one of its values failed" }])
  }
}

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

const decodeInput = SchemaParser.decodeUnknownResult(ConfigSchema, { errors: "all", onExcessProperty: "error" })

type Decoded = typeof ConfigSchema.Type

const decodeWith = (context: Context): Result.Result<Config, ReadonlyArray<ConfigIssue>> => {
  const decoded = decodeInput(context.input)
  const misfits = Result.isFailure(decoded) ? fromSchemaIssue(decoded.failure, context) : []
  const standIns = misfits.flatMap(({ at }) => {
    const value = context.references.get(formatPath(at))?.whole === true
      ? fromText(valueAt(context.input, at))
      : undefined
    return value === undefined ? [] : [{ at, value }]
  })
  if (standIns.length > 0) {
    const input = standIns.reduce((input, { at, value }) => replaceAt(input, at, value), context.input)
    return decodeWith({ ...context, input })
  }
  const issues = [...misfits.map(({ issue }) => issue), ...ConfigRelations.find(context)]
  return Result.isFailure(decoded) || issues.length > 0
    ? Result.fail(issues)
    : Result.succeed(complete(decoded.success))
}

/** What a text stands for where a text is not accepted. */
const fromText = (text: unknown): number | boolean | undefined => {
  if (typeof text !== "string") return undefined
  if (text === "true" || text === "false") return text === "true"
  return /^\s*-?\d+(?:\.\d+)?(?:e[+-]?\d+)?\s*$/i.test(text) ? Number(text) : undefined
}

const replaceAt = (input: unknown, [key, ...rest]: ReadonlyArray<PropertyKey>, value: unknown): unknown => {
  if (key === undefined) return value
  const copy: any = Array.isArray(input) ? [...input] : { ...input as object }
  copy[key] = replaceAt(copy[key], rest, value)
  return copy
}

const complete = (decoded: Decoded): Config => {
  const { models = {}, ...timeouts } = decoded.timeouts
  const modelTimeouts: Record<string, TimeoutsConfig> = Object.create(null)
  for (const [model, own] of Object.entries(models)) {
    modelTimeouts[model] = {
      connect: own.connect ?? timeouts.connect,
      total: own.total ?? timeouts.total,
      firstEvent: own.firstEvent ?? timeouts.firstEvent,
      firstContent: own.firstContent ?? timeouts.firstContent,
      idle: own.idle ?? timeouts.idle
    }
  }
  const { check } = decoded.health
  return {
    resources: decoded.resources.map(completeResource),
    defaultResource: decoded.defaultResource ?? decoded.resources[0]!.name,
    session: decoded.session,
    health: { ...decoded.health, check: { ...check, path: check.path } },
    failover: decoded.failover,
    timeouts: { ...timeouts, firstEvent: timeouts.firstEvent },
    modelTimeouts,
    quota: decoded.quota
  }
}

const completeResource = (resource: Decoded["resources"][number]): ResourceConfig => ({
  name: resource.name,
  provider: resource.provider,
  endpoint: Result.getOrThrow(
    Endpoint.parse(resource.endpoint ?? openAiEndpoint, resource.provider, resource.allowInsecure)
  ),
  apiVersion: resource.apiVersion === "v1" ? undefined : resource.apiVersion,
  region: resource.region,
  auth: completeAuth(resource),
  headers: Object.fromEntries(
    Object.entries(resource.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value])
  ),
  proxy: resource.proxy,
  tls: resource.tls === undefined
    ? undefined
    : { ca: resource.tls.ca, cert: resource.tls.cert, key: resource.tls.key, servername: resource.tls.servername },
  allowInsecure: resource.allowInsecure,
  streamUsage: resource.streamUsage,
  deployments: (resource.deployments ?? [{ name: "*", tier: 1, provisioned: false, weight: 1 }]).map((deployment) => ({
    name: deployment.name,
    model: deployment.model ?? deployment.name,
    tier: deployment.tier,
    provisioned: deployment.provisioned,
    weight: deployment.weight,
    tpm: deployment.tpm,
    rpm: deployment.rpm,
    price: deployment.price
  }))
})

const completeAuth = ({ apiKey, auth, scope }: Decoded["resources"][number]): ResourceAuth =>
  apiKey !== undefined
    ? { _tag: "Key", key: apiKey }
    : auth === undefined
    ? { _tag: "None" }
    : auth === "entra"
    ? { _tag: "Entra", scope: scope ?? entraScope }
    : { _tag: "TokenProvider", provider: auth }
