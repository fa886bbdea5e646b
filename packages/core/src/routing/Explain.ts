/**
 * Makes an explanation of a choice, and plays one again.
 *
 * It costs several times what the choice does, so it is made only for whoever asks.
 */
import type { Deployment } from "../deployment/Deployment.ts"
import { type Refusal, refusalOf } from "../deployment/Gate.ts"
import { type Because, type ExplainedDeployment, Explanation } from "./Explanation.ts"
import { Candidate, type Policy } from "./Policy.ts"
import { decide, type Decision, type NoCandidate, type Query, type RouterOptions } from "./Router.ts"
import { hashSession, meanConfiguredCapacity, rendezvousScore } from "./SessionAffinity.ts"

/** Decides as `decide` does, and says why. */
export const explain = (
  query: Query,
  options: RouterOptions,
  now: number,
  attempt: number
): { readonly decision: Decision | NoCandidate; readonly explanation: Explanation } => {
  const draws: Array<number> = []
  const compared = new Set<Deployment>()
  const before = query.group.deployments.map((deployment) => stateOf(deployment, query, now))
  const random = () => {
    const drawn = options.random()
    draws.push(drawn)
    return drawn
  }
  const decision = decide(query, { ...options, policy: observed(options.policy, compared), random }, now)
  const winner = decision._tag === "Decision" ? decision.deployment : undefined
  const explanation = new Explanation({
    model: query.group.model,
    attempt,
    tokens: query.demand.tokens,
    session: query.session,
    shard: query.shard,
    warm: query.warm?.id,
    deployments: before.map((state, i) => ({ ...state, isCompared: compared.has(query.group.deployments[i]!) })),
    draws,
    ahead: query.group.line.length,
    winner: winner?.id,
    because: winner === undefined ? undefined : becauseOf(winner, query, before),
    opensIn: decision._tag === "NoCandidate" && decision.opensAt !== Infinity ? decision.opensAt - now : undefined
  })
  return { decision, explanation }
}

/** A policy of which it is noted whose load it looks at. */
const observed = (policy: Policy, seen: Set<Deployment>): Policy => {
  const notes: ProxyHandler<Candidate> = {
    get: (candidate, key) => {
      if (key === "utilisation" || key === "latency") seen.add(candidate.deployment)
      return Reflect.get(candidate, key)
    }
  }
  return (candidates, random) => policy(candidates.map((candidate) => new Proxy(candidate, notes)), random)
}

/** A deployment as the choice is about to see it. */
type Seen = Omit<ExplainedDeployment, "isCompared">

const stateOf = (deployment: Deployment, query: Query, now: number): Seen => {
  const refusal = refusalOf(deployment, query.demand, now)
  return {
    id: deployment.id,
    tier: deployment.tier,
    refusal,
    isFleetWord: isFleetWord(deployment, refusal, query, now),
    isTried: query.tried.has(deployment),
    pool: deployment.pool?.name,
    capacity: deployment.capacity > 0 ? deployment.capacity : undefined,
    weight: deployment.weight,
    warmth: deployment.warmth(now),
    utilisation: deployment.quota.utilisation(now),
    latency: deployment.slowness(now),
    inFlight: deployment.inFlight,
    waiting: deployment.waiting
  }
}

/** Whether it is what the fleet says that refuses. */
const isFleetWord = (deployment: Deployment, refusal: Refusal | undefined, query: Query, now: number): boolean => {
  switch (refusal) {
    case "over-quota":
    case "pool-over-quota":
      return deployment.quota.isFullByFleet(now, query.demand.tokens)
    case "cooling-down":
    case "missing":
      return deployment.cooldown.isHeard(now)
    case "pool-cooling-down":
      return deployment.pool?.cooldown.isHeard(now) === true
    case "breaker-open":
      return deployment.breaker.isHeard
    case "resource-open":
      return deployment.resource.breaker.isHeard
    default:
      return false
  }
}

const becauseOf = (winner: Deployment, query: Query, states: ReadonlyArray<Seen>): Because => {
  if (query.session !== undefined) {
    if (winner === query.warm) return "warm"
    return winner === homeOf(query.session, query, winner.tier) ? "home" : "displaced"
  }
  return rivalsOf(winner.id, states).length === 1 ? "only-candidate" : "policy"
}

/** Those that the policy chose among when it chose one of them, itself included. */
const rivalsOf = <A extends Seen>(winner: string, states: ReadonlyArray<A>): ReadonlyArray<A> => {
  const won = states.find(({ id }) => id === winner)
  return states.filter(({ isTried, refusal, tier }) =>
    refusal === undefined && tier === won?.tier && isTried === won.isTried
  )
}

const homeOf = (session: string, query: Query, tier: number): Deployment | undefined => {
  const hash = hashSession(session)
  const { deployments } = query.group
  const mean = meanConfiguredCapacity(deployments)
  const order = deployments
    .filter((deployment) => deployment.tier === tier)
    .toSorted((a, b) => rendezvousScore(hash, b, mean) - rendezvousScore(hash, a, mean))
  return order[query.shard % order.length]
}

/**
 * Plays a policy's choice again from what was noted, and returns the winner: the same, unless the policy is another.
 * Only choices that the policy made can be played.
 */
export const replay = (explanation: Explanation, policy: Policy): string | undefined => {
  const { because, deployments, draws, winner } = explanation
  if (winner === undefined || (because !== "policy" && because !== "only-candidate")) return undefined
  const candidates = rivalsOf(winner, deployments).map((state) => new Candidate(frozen(state), { now: 0 }))
  let drawn = 0
  return policy(candidates, () => draws[drawn++] ?? 0).id
}

/** What a policy may read of a deployment, as it was. */
const frozen = (state: ExplainedDeployment): Deployment =>
  ({
    id: state.id,
    tier: state.tier,
    weight: state.weight,
    inFlight: state.inFlight,
    waiting: state.waiting,
    warmth: () => state.warmth,
    capacity: state.capacity ?? NaN,
    quota: { utilisation: () => state.utilisation },
    slowness: () => state.latency
  }) as unknown as Deployment
