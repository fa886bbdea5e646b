/**
 * The state of a balancer at one moment, as plain data that survives JSON.
 */
import type { Deployment, DeploymentTotals } from "./Deployment.ts"
import type { Deployments } from "./Deployments.ts"
import type { Resource } from "./Resource.ts"

/** State of one deployment. Durations are milliseconds from now; absent where there is nothing to wait for. */
export interface DeploymentSnapshot {
  readonly id: string
  readonly resource: string
  readonly region: string | undefined
  readonly model: string
  /** The pool whose quota it draws on, if it shares one: tokens, requests and utilisation are then the pool's. */
  readonly pool: string | undefined
  readonly tier: number
  readonly weight: number
  readonly provisioned: boolean
  /** What traffic it gets: all, none until a time, or one probe at a time. */
  readonly state: "healthy" | "cooling-down" | "open" | "half-open" | "draining"
  /** Why, when it is not healthy. */
  readonly reason: string | undefined
  /** Until it may be used again. */
  readonly opensIn: number | undefined
  readonly inFlight: number
  /** Of those in flight, how many wait for their first byte. */
  readonly waiting: number
  /** Tokens and requests of the last minute, and the limits in force. */
  readonly tokens: { readonly used: number; readonly limit: number | undefined; readonly byOthers: number }
  readonly requests: { readonly used: number; readonly limit: number | undefined }
  /** The scarcer of both, as a share. */
  readonly utilisation: number
  /** To the first token, or to a whole answer, as a ratio to what is expected of the model. */
  readonly latency: number
  /** From the first token to the last, likewise. */
  readonly decoding: number
  /** Share of its weight while it comes back. */
  readonly warmth: number
  /** Cached prompt tokens as a share of all that it billed. */
  readonly cachedShare: number
  readonly totals: DeploymentTotals
}

/** State of one resource. */
export interface ResourceSnapshot {
  readonly name: string
  readonly provider: string
  readonly endpoint: string
  readonly region: string | undefined
  readonly state: "healthy" | "open" | "half-open"
  readonly reason: string | undefined
  readonly opensIn: number | undefined
}

/** State of one model. */
export interface ModelSnapshot {
  readonly name: string
  /** Requests that wait for a deployment to come back. */
  readonly waiting: number
}

/** What the fleet's ledgers have of a deployment's quota, in tokens of the last minute. */
export interface FleetShare {
  /** `resource/deployment`. */
  readonly deployment: string
  /** Of all members, what is set aside for those that wait included. */
  readonly tokens: number
  /** Of this one. */
  readonly ownTokens: number
}

/** How the fleet is that this process is a member of. */
export interface FleetSnapshot {
  /** Whether its store answered the last time. */
  readonly isHeard: boolean
  /** Members that are heard, this one included; 1 where the store does not answer. */
  readonly members: number
  /** Milliseconds since the store was last heard; `undefined` before the first time. */
  readonly heardAgo: number | undefined
  readonly shares: ReadonlyArray<FleetShare>
}

/** State of a balancer. */
export interface Snapshot {
  readonly resources: ReadonlyArray<ResourceSnapshot>
  readonly deployments: ReadonlyArray<DeploymentSnapshot>
  readonly models: ReadonlyArray<ModelSnapshot>
  readonly sessions: number
  /** Retries that the budget would grant now. */
  readonly retriesLeft: number
  /** The fleet that this process is a member of; `undefined` where it is on its own. */
  readonly fleet: FleetSnapshot | undefined
}

/** Takes a snapshot of the live set, as of `now` on the monotonic clock. */
export const take = (
  deployments: Deployments["Service"],
  now: number,
  sessions: number,
  retriesLeft: number,
  fleet: FleetSnapshot | undefined
): Snapshot => ({
  resources: deployments.resources().map((resource) => {
    const { breaker, name, origin, place: { region }, provider } = resource
    return {
      name,
      provider,
      endpoint: origin,
      region,
      state: resourceStateOf(resource),
      reason: breaker.reason,
      opensIn: breaker.state === "closed" ? undefined : Math.max(0, breaker.openUntil - now)
    }
  }),
  deployments: deployments.all().map((deployment) => snapshotOf(deployment, now)),
  models: deployments.models().map((name) => ({ name, waiting: deployments.group(name)?.line.length ?? 0 })),
  sessions,
  retriesLeft,
  fleet
})

const snapshotOf = (deployment: Deployment, now: number): DeploymentSnapshot => {
  const { quota, totals } = deployment
  return {
    id: deployment.id,
    resource: deployment.resource.name,
    region: deployment.place.region,
    model: deployment.model,
    pool: deployment.pool?.name,
    tier: deployment.tier,
    weight: deployment.weight,
    provisioned: deployment.provisioned,
    ...stateOf(deployment, now),
    inFlight: deployment.inFlight,
    waiting: deployment.waiting,
    tokens: {
      used: quota.tokensUsed(now),
      limit: finite(quota.tokenLimit),
      byOthers: quota.othersTokensUsed(now)
    },
    requests: { used: quota.requestsUsed(now), limit: finite(quota.requestLimit) },
    utilisation: quota.utilisation(now),
    latency: deployment.latency.ratio(now),
    decoding: deployment.decoding.ratio(now),
    warmth: deployment.warmth(now),
    cachedShare: totals.promptTokens === 0 ? 0 : totals.cachedTokens / totals.promptTokens,
    totals: { ...totals }
  }
}

/** What traffic a resource gets. */
export const resourceStateOf = ({ breaker }: Resource): ResourceSnapshot["state"] =>
  breaker.state === "closed" ? "healthy" : breaker.state

/** What traffic a deployment gets, and why. */
export const stateOf = (
  deployment: Deployment,
  now: number
): Pick<DeploymentSnapshot, "state" | "reason" | "opensIn"> => {
  if (deployment.draining) return { state: "draining", reason: undefined, opensIn: undefined }
  for (const breaker of [deployment.resource.breaker, deployment.breaker]) {
    if (breaker.state !== "closed") {
      return { state: breaker.state, reason: breaker.reason, opensIn: Math.max(0, breaker.openUntil - now) }
    }
  }
  const { cooldown, pool } = deployment
  const longest = pool !== undefined && pool.cooldown.endsAt > cooldown.endsAt ? pool.cooldown : cooldown
  return now < longest.endsAt
    ? { state: "cooling-down", reason: longest.reason, opensIn: longest.endsAt - now }
    : { state: "healthy", reason: undefined, opensIn: undefined }
}

const finite = (limit: number): number | undefined => limit === Infinity ? undefined : limit
