/**
 * Gates: what a deployment must pass to be a candidate for a request, in this order. A refusal has a name.
 */
import { isEndpoint } from "../request/Scope.ts"
import type { Deployment } from "./Deployment.ts"

/**
 * Why a deployment is no candidate.
 *
 * - `pinned-elsewhere`: the request refers to something that another resource owns.
 * - `draining`: it is leaving the set.
 * - `too-long`: the prompt is longer than it says it takes, or another provisioned one refused this one for its length.
 * - `resource-open`, `breaker-open`: it, or its resource, is failing.
 * - `cooling-down`: the service asked to wait.
 * - `missing`: the service does not know it (404), and is asked again after a while.
 * - `over-quota`: the reservation does not fit what is left of this minute.
 * - `pool-cooling-down`, `pool-over-quota`: the same of the quota that it shares with others.
 */
export type Refusal =
  | "pinned-elsewhere"
  | "draining"
  | "too-long"
  | "resource-open"
  | "breaker-open"
  | "cooling-down"
  | "missing"
  | "over-quota"
  | "pool-cooling-down"
  | "pool-over-quota"

/** What the gates ask of a request. */
export interface Demand {
  /** Prompt and possible output. */
  readonly tokens: number
  /** Of these, the prompt. */
  readonly promptTokens: number
  /** Whether the prompt was too long for a provisioned deployment, so that no other is asked. */
  readonly isStandardOnly: boolean
  /** Whether the model has a standard deployment, so that a provisioned one may be spared what it refused before. */
  readonly hasStandard: boolean
  /** What is asked for besides deployments' own traffic; an endpoint asks only for the resource. See `request/Scope`. */
  readonly scope: string | undefined
  /** Until when this request itself was told to leave a deployment alone. */
  readonly told: ReadonlyMap<Deployment, number> | undefined
  /** Resources that may serve it; `undefined` for any. */
  readonly resources: ReadonlySet<string> | undefined
}

/**
 * The first gate that refuses, or nothing when the deployment may take the request now.
 */
export const refusalOf = (deployment: Deployment, demand: Demand, now: number): Refusal | undefined => {
  if (demand.resources !== undefined && !demand.resources.has(deployment.resource.name)) return "pinned-elsewhere"
  const { scope, told } = demand
  if (scope !== undefined && deployment.cooldownOf(scope)?.allows(now) === false) return "cooling-down"
  if (told !== undefined && (told.get(deployment) ?? 0) > now) return "cooling-down"
  if (isEndpoint(scope)) return deployment.resource.breaker.allows(now) ? undefined : "resource-open"
  if (deployment.draining) return "draining"
  if (demand.hasStandard && deployment.isTooLong(demand.promptTokens, now)) return "too-long"
  if (demand.isStandardOnly && deployment.provisioned) return "too-long"
  if (!deployment.resource.breaker.allows(now)) return "resource-open"
  if (!deployment.breaker.allows(now)) return "breaker-open"
  const { cooldown } = deployment
  if (!cooldown.allows(now) || (told !== undefined && now < cooldown.opensAtForTold())) {
    return cooldown.isMissing(now) ? "missing" : "cooling-down"
  }
  const pool = deployment.pool?.cooldown
  if (pool !== undefined && (!pool.allows(now) || (told !== undefined && now < pool.opensAtForTold()))) {
    return "pool-cooling-down"
  }
  if (deployment.quota.fits(now, demand.tokens)) return undefined
  return deployment.pool === undefined ? "over-quota" : "pool-over-quota"
}

/** Whether a refusal means that nothing but room in the quota is missing. */
export const isFull = (refusal: Refusal): boolean => refusal === "over-quota" || refusal === "pool-over-quota"

/** Whether a refusal means that the deployment is failing, rather than full or told to wait. */
export const isFailing = (refusal: Refusal): boolean => refusal === "breaker-open" || refusal === "resource-open"

/**
 * When a deployment that was refused may be asked again: a time of the monotonic clock, or `Infinity` where waiting
 * does not help, or nobody can say for how long.
 */
export const opensAt = (deployment: Deployment, refusal: Refusal, demand: Demand, now: number): number => {
  switch (refusal) {
    case "missing":
    case "cooling-down":
    case "pool-cooling-down": {
      const { scope, told } = demand
      const { cooldown, pool, quota } = deployment
      const opens = Math.max(told?.get(deployment) ?? 0, deployment.cooldownOf(scope)?.opensAt ?? 0)
      if (isEndpoint(scope)) return opens
      const own = told === undefined
        ? deployment.coolAt
        : Math.max(cooldown.opensAtForTold(), pool?.cooldown.opensAtForTold() ?? 0)
      return Math.max(opens, own, now + quota.timeUntilFits(now, demand.tokens))
    }
    case "over-quota":
    case "pool-over-quota":
      return now + deployment.quota.timeUntilFits(now, demand.tokens)
    // while its probe is out, nobody knows
    case "breaker-open":
      return deployment.breaker.openUntil > now ? Math.max(deployment.breaker.openUntil, deployment.coolAt) : Infinity
    case "resource-open":
      return deployment.resource.breaker.openUntil > now ? deployment.resource.breaker.openUntil : Infinity
    default:
      return Infinity
  }
}
