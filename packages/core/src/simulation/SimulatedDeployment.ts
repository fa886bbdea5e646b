/**
 * One deployment of the simulated service: what it is like, its live state, and what its headers say of it.
 */
import { hash } from "./SeededRandom.ts"
import * as Cache from "./SimulatedCache.ts"
import type { ErrorName } from "./SimulatedErrors.ts"
import * as Fault from "./SimulatedFault.ts"
import * as Limiter from "./SimulatedLimiter.ts"
import type { SimulatedPool } from "./SimulatedPool.ts"
import type { Json, PromptSize } from "./SimulatedPrompt.ts"
import type { Operation } from "./SimulatedRoute.ts"

/**
 * How fast a deployment is.
 */
export interface SimulatedLatency {
  /** Time to the first token of an empty prompt, in ms. */
  readonly baseMs: number
  /** What each prompt token that is not cached adds to it. */
  readonly perPromptTokenMs: number
  readonly perOutputTokenMs: number
  /** Spread (sigma) of the lognormal jitter; 0 for none. */
  readonly jitter: number
  /** Requests in flight at which everything takes twice as long. Latency grows with the square of the load. */
  readonly capacity: number
  /** Tokens in one stream event. Azure's content filter sends bursts. */
  readonly tokensPerEvent: number
  /** How long a refusal takes. */
  readonly errorMs: number
}

/**
 * What a deployment is like when nothing else was said.
 */
export const defaultLatency: SimulatedLatency = {
  baseMs: 250,
  perPromptTokenMs: 0.05,
  perOutputTokenMs: 12,
  jitter: 0.15,
  capacity: Infinity,
  tokensPerEvent: 1,
  errorMs: 10
}

/**
 * What a caller of the simulation may have the model say instead of prose.
 */
export type SimulatedReply = string | {
  readonly text?: string | undefined
  readonly calls?: ReadonlyArray<{ readonly name: string; readonly arguments: unknown }> | undefined
}

/**
 * What a deployment is like. Only the name is needed.
 */
export interface DeploymentOptions extends Limiter.LimiterOptions {
  readonly name: string
  /** The model that answers name. Default: the deployment's name. */
  readonly model?: string | undefined
  /** A quota that it shares with deployments of other resources, in place of limits of its own. */
  readonly pool?: SimulatedPool | undefined
  /** Prompt and output together. Default 128,000. Often shorter on provisioned deployments. */
  readonly contextTokens?: number | undefined
  /** What admission adds for a request without an output limit. Default 16; provisioned: the mean output. */
  readonly defaultOutputCharge?: number | undefined
  /** What an output token weighs in a provisioned deployment's bucket. Default 1. */
  readonly outputRatio?: number | undefined
  readonly latency?: Partial<SimulatedLatency> | undefined
  /** Mean length of an answer. Default 120. */
  readonly outputTokens?: number | undefined
  /** Mean length of the reasoning before it. Default 0, which makes it no reasoning model. */
  readonly reasoningTokens?: number | undefined
  /** What the tokenizer makes of text. Default 4; admission always estimates with 4. */
  readonly charactersPerToken?: number | undefined
  /** How long an unused prompt stays cached, if the cache is its own. Default 5 minutes. */
  readonly cacheIdleMs?: number | undefined
  /** Whether it bills what it writes to its cache, as models from gpt-5.6 on do. Default false. */
  readonly billsCacheWrites?: boolean | undefined
  /** Length of the vectors of an embedding model. Default 1,536. */
  readonly dimensions?: number | undefined
  /** On which answers it tells of its limits in headers. Default `all`; `refusals`: on its 429s only. */
  readonly tellsLimits?: "all" | "refusals" | "none" | undefined
  /** Which 429 body it sends. Default: what goes with the protocol. */
  readonly throttleBody?: ErrorName | undefined
  /** Azure's asynchronous content filter: annotations come as chunks without a delta. */
  readonly asyncFilter?: boolean | undefined
  /** Calls the first tool it is offered, also when it need not. Default: only when `tool_choice` demands it. */
  readonly callsTools?: boolean | undefined
  /** What goes wrong from the start. */
  readonly faults?: ReadonlyArray<Fault.SimulatedFault> | undefined
  /** What to say instead of prose; nothing for prose. */
  readonly reply?: ((call: SimulatedCall) => SimulatedReply | undefined) | undefined
}

/**
 * What a `reply` may look at.
 */
export interface SimulatedCall {
  readonly deployment: string
  readonly operation: Operation
  readonly body: Json
}

const makeCounters = () => ({
  /** Sends that reached it, refused and broken ones too. */
  requests: 0,
  admitted: 0,
  /** Answered 429, whoever's fault. */
  throttled: 0,
  /** Answered with another error, or with a broken connection. */
  failed: 0,
  /** Played to their end, and left by the client before it. */
  finished: 0,
  abandoned: 0,
  inFlight: 0,
  /** Sends by status; `refused`, `reset` and `hang` stand for no answer. */
  statuses: {} as Record<string, number>,
  /** What admission charged. */
  chargedTokens: 0,
  /** What was billed. */
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens: 0
})

/**
 * What a deployment did so far.
 */
export interface DeploymentStats extends Readonly<ReturnType<typeof makeCounters>> {
  /** What is in use now. */
  readonly usage: Limiter.LimiterUsage
}

/**
 * A deployment and its live state, which only `SimulatedService` changes.
 */
export type SimulatedDeployment = Readonly<ReturnType<typeof make>>

/**
 * Creates a deployment of a resource. `cache` is given if the resource has one for all.
 */
export const make = (
  options: DeploymentOptions,
  resource: string,
  cache: Cache.SimulatedCache | undefined
) => {
  const model = options.model ?? options.name
  return {
    name: options.name,
    model,
    embeds: model.includes("embedding"),
    options,
    latency: { ...defaultLatency, ...options.latency },
    contextTokens: options.contextTokens ?? 128_000,
    charactersPerToken: options.charactersPerToken ?? 4,
    meanTokens: options.outputTokens ?? 120,
    limiter: options.pool?.limiter
      ?? Limiter.make({ ...options, phaseMs: options.phaseMs ?? hash(`${resource}/${options.name}`) % 60_000 }),
    cache: cache ?? Cache.make({ idleMs: options.cacheIdleMs }),
    faults: Fault.makeSet(options.faults),
    counters: makeCounters()
  }
}

/**
 * The counters as of now.
 */
export const stats = (self: SimulatedDeployment, now: number): DeploymentStats => ({
  ...self.counters,
  statuses: { ...self.counters.statuses },
  usage: self.limiter.usage(now)
})

/**
 * What admission charges for a request, in tokens.
 *
 * @param outputLimit of all its answers together; absent if it sets none, 0 if it generates nothing
 */
export const estimate = (
  { meanTokens, options: { defaultOutputCharge, outputRatio = 1, provisioned } }: SimulatedDeployment,
  { characters, extraTokens, promptTokens }: PromptSize,
  cachedTokens: number,
  outputLimit: number | undefined
): number =>
  provisioned === true
    ? promptTokens - cachedTokens + (outputLimit ?? defaultOutputCharge ?? meanTokens) * outputRatio
    : Math.ceil(characters / 4) + extraTokens + (outputLimit ?? defaultOutputCharge ?? 16)

/**
 * The headers that tell of limits. `refusal` is given if they came with a 429 for it.
 */
export const limitHeaders = (
  self: SimulatedDeployment,
  azure: boolean,
  now: number,
  refusal?: Limiter.Refusal
): Record<string, string> => {
  const headers: Record<string, string> = {}
  const { tellsLimits = "all" } = self.options
  if (tellsLimits === "none" || (tellsLimits === "refusals" && refusal === undefined)) return headers
  const usage = self.limiter.usage(now)
  if (self.options.provisioned === true) {
    headers["azure-openai-deployment-utilization"] = `${(usage.utilization * 100).toFixed(1)}%`
    return headers
  }
  const add = (what: "tokens" | "requests", limit: number | undefined, used: number, resetMs: number): void => {
    if (limit === undefined) return
    headers[`x-ratelimit-limit-${what}`] = String(limit)
    headers[`x-ratelimit-remaining-${what}`] = String(Math.max(0, Math.floor(limit - used)))
    const reset = refusal?.limit === what ? refusal.retryAfterMs : resetMs
    headers[`x-ratelimit-reset-${what}`] = azure
      ? String(Math.ceil(reset / 1_000))
      : goDuration(refusal?.limit === what ? reset : used / limit * 60_000)
  }
  add("requests", usage.rpm, usage.requests, usage.requestsResetMs)
  add("tokens", usage.tpm, usage.tokens, usage.tokensResetMs)
  return headers
}

/**
 * The headers that tell how long to wait.
 */
export const retryHeaders = (retryAfterMs: number): Record<string, string> => ({
  "retry-after-ms": String(Math.ceil(retryAfterMs)),
  "retry-after": String(Math.ceil(retryAfterMs / 1_000))
})

/**
 * Writes a duration as OpenAI does: `120ms`, `8.64s`, `6m0s`, `2h30m0s`.
 */
export const goDuration = (ms: number): string => {
  const whole = Math.max(0, Math.ceil(ms))
  if (whole < 1_000) return `${whole}ms`
  const hours = Math.floor(whole / 3_600_000)
  const minutes = Math.floor(whole / 60_000) % 60
  const seconds = whole % 60_000 / 1_000
  return `${hours > 0 ? `${hours}h` : ""}${hours > 0 || minutes > 0 ? `${minutes}m` : ""}${seconds}s`
}
