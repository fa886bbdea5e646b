/**
 * Where the next attempt goes: gates, then the session's warm place, then the policy.
 *
 * Reads live state and changes none. It runs in one synchronous block with the reservation that follows it, so that
 * concurrent requests see each other.
 */
import type { Deployment } from "../deployment/Deployment.ts"
import { type Demand, isFailing, opensAt, type Refusal, refusalOf } from "../deployment/Gate.ts"
import type { Model } from "../deployment/Model.ts"
import { Candidate, type Policy, type TwoChoices } from "./Policy.ts"
import { FEW, Sample } from "./Sample.ts"
import { hashSession, meanConfiguredCapacity, rendezvousScore } from "./SessionAffinity.ts"

/** Utilisation below which a session's home is never too busy. */
const MIN_LOAD_BOUND = 0.6

/** Later than any time that is known. */
const FAR = 1e15

/** What the choice needs to know of a request. */
export interface Query {
  readonly group: Model
  readonly demand: Demand
  /** Deployments that this request has been sent to. */
  readonly tried: ReadonlySet<Deployment>
  readonly session: string | undefined
  /** Which shard of the session, where that is hot; 0 where it is not. */
  readonly shard: number
  /** Where the session's cache is warm. */
  readonly warm: Deployment | undefined
  /** Whether that was slower by far for this session, again and again, whatever it is for others. Default: false. */
  readonly isWarmSlow?: boolean
}

/** Settings of the choice. */
export interface RouterOptions {
  readonly policy: Policy
  readonly hot: number
  readonly loadBound: number
  readonly random: () => number
}

/** A deployment for the next attempt. */
export interface Decision {
  readonly _tag: "Decision"
  readonly deployment: Deployment
  /** Whether it was tried before, because no other passes. */
  readonly isRepeat: boolean
}

/** A deployment passes its gates now; which, nobody has chosen. */
export interface Ready {
  readonly _tag: "Ready"
  /** Whether only such pass that were tried before. */
  readonly isRepeat: boolean
}

/** No deployment passes its gates now. */
export interface NoCandidate {
  readonly _tag: "NoCandidate"
  /** When the first may: a time of the monotonic clock, `Infinity` when waiting does not help. */
  readonly opensAt: number
  /** Whether all of them are failing, rather than throttled or full. */
  readonly isOutage: boolean
  /** Whether the service knows none of them. */
  readonly isMissing: boolean
  /** The failing one that is most likely to be back, for when there is nothing better. */
  readonly bestBet: Deployment | undefined
  readonly refusals: ReadonlyArray<Refused>
}

/** One that does not pass, what refuses it, and when it may: `Infinity` when nobody can say. */
export interface Refused {
  readonly deployment: Deployment
  readonly refusal: Refusal
  readonly opensAt: number
}

const FRESH: Ready = { _tag: "Ready", isRepeat: false }
const AGAIN: Ready = { _tag: "Ready", isRepeat: true }

/** Whether an attempt could go anywhere now. No policy is asked. */
export const ask = (query: Query, now: number): Ready | NoCandidate => {
  let ready: Ready | undefined
  for (const deployment of query.group.deployments) {
    if (refusalOf(deployment, query.demand, now) !== undefined) continue
    if (!query.tried.has(deployment)) return FRESH
    ready = AGAIN
  }
  return ready ?? explainNone(query, now)
}

/**
 * Decides where the next attempt goes.
 */
export const decide = (query: Query, options: RouterOptions, now: number): Decision | NoCandidate => {
  const early = query.session !== undefined
    ? pickAtHome(query, now)
    : query.group.deployments.length > FEW
    ? pickOfMany(query, options, now)
    : undefined
  if (early !== undefined) return { _tag: "Decision", deployment: early, isRepeat: false }
  for (const isRepeat of query.tried.size > 0 ? freshThenTried : onlyFresh) {
    const passing = survivors(query, now, isRepeat)
    if (passing.length === 0) continue
    return { _tag: "Decision", deployment: pick(passing, query, options, now), isRepeat }
  }
  return explainNone(query, now)
}

const onlyFresh = [false]
const freshThenTried = [false, true]

/** Where the session's cache is warm, where nothing that the others do could change that. */
const pickAtHome = ({ demand, group, isWarmSlow, tried, warm }: Query, now: number): Deployment | undefined => {
  if (warm === undefined || isWarmSlow === true || warm.tier !== group.deployments[0]?.tier || tried.has(warm)) {
    return undefined
  }
  const isAtEase = refusalOf(warm, demand, now) === undefined && !warm.isFarSlower(now)
    && warm.quota.utilisation(now) <= MIN_LOAD_BOUND
  return isAtEase ? warm : undefined
}

/** One of many, where the policy compares but two. */
const pickOfMany = (query: Query, { policy, random }: RouterOptions, now: number): Deployment | undefined => {
  const { demand, group, tried } = query
  const sample = "better" in policy ? Sample.of(group.deployments, now) : undefined
  if (sample === undefined) return undefined
  const passes = (deployment: Deployment) => !tried.has(deployment) && refusalOf(deployment, demand, now) === undefined
  const first = sample.draw(passes, now, random)
  if (first === -1) return undefined
  const again = sample.draw(passes, now, random)
  const second = again === first ? sample.draw(passes, now, random, first) : again
  if (second === -1) return undefined
  const moment = { now }
  const [a, b] = [new Candidate(sample.at(first), moment), new Candidate(sample.at(second), moment)]
  // where all of a tier are slow, it gives way
  if (isSlow(a) && isSlow(b)) return undefined
  const shares = [sample.shareAt(first, now), sample.shareAt(second, now)] as const
  return (policy as TwoChoices).better(a, shares[0], b, shares[1], again === first, random).deployment
}

/**
 * The lowest tier with a deployment that passes: those of its deployments that do. Where all of them are slower by far, a
 * tier gives way to the next that is not.
 */
const survivors = (query: Query, now: number, tried: boolean): ReadonlyArray<Candidate> => {
  let found: Array<Candidate> = []
  let slow: ReadonlyArray<Candidate> | undefined
  const noneTried = query.tried.size === 0
  const moment = { now }
  let tier = Infinity
  for (const deployment of query.group.deployments) {
    if (deployment.tier > tier) {
      if (!found.every(isSlow)) break
      slow ??= found
      found = []
      tier = Infinity
    }
    if (noneTried ? tried : query.tried.has(deployment) !== tried) continue
    if (refusalOf(deployment, query.demand, now) === undefined) {
      found.push(new Candidate(deployment, moment))
      tier = deployment.tier
    }
  }
  return slow === undefined || !found.every(isSlow) ? found : slow
}

const pick = (passing: ReadonlyArray<Candidate>, query: Query, options: RouterOptions, now: number): Deployment => {
  if (query.session !== undefined) return pickWarm(passing, query, query.session, options, now)
  const chosen: unknown = options.policy(passing, options.random)
  if (chosen instanceof Candidate) return chosen.deployment
  throw new TypeError("The selector gave no candidate: it must return one of those that it is given.")
}

/**
 * Where the session's cache is warm, unless that is too busy or slower by far; else the first in rendezvous order that is
 * neither; else the session's home, such as it is. A warm place in a worse tier is left once a candidate of the better tier is not hot.
 */
const pickWarm = (
  candidates: ReadonlyArray<Candidate>,
  query: Query,
  session: string,
  options: RouterOptions,
  now: number
): Deployment => {
  const bound = Math.max(MIN_LOAD_BOUND, options.loadBound * fillUtilisations(candidates))
  const { isWarmSlow, warm } = query
  const isSlowHere = (candidate: Candidate): boolean =>
    (isWarmSlow === true && candidate.deployment === warm) || isSlow(candidate)
  let own: Candidate | undefined
  if (warm !== undefined) {
    for (let i = 0; i < candidates.length; i++) {
      const candidate = candidates[i]!
      if (candidate.deployment !== warm || utilisations[i]! > bound) continue
      // slow for this session alone, it is better still than what is full
      if (isWarmSlow === true && !isSlow(candidate)) own = candidate
      // a warm cache is not worth an answer that is slower by far, where others are not
      if (!isSlowHere(candidate) || candidates.every(isSlowHere)) return warm
    }
  }
  const hash = hashSession(session)
  const mean = meanConfiguredCapacity(query.group.deployments)
  let first: Candidate | undefined
  let firstScore = Infinity
  let calm: Candidate | undefined
  // a shard's home is as many places further down the order; what is calm further up is as good as none
  for (let place = query.shard % candidates.length; place >= 0; place--) {
    const below = firstScore
    firstScore = -1
    let calmScore = -1
    for (let i = 0; i < candidates.length; i++) {
      const candidate = candidates[i]!
      const score = rendezvousScore(hash, candidate.deployment, mean)
      if (score >= below) continue
      if (score > firstScore) {
        firstScore = score
        first = candidate
      }
      if (score > calmScore && utilisations[i]! <= bound && !isSlowHere(candidate)) {
        calmScore = score
        calm = candidate
      }
    }
  }
  const target = calm ?? own ?? first!
  const isWarmElsewhere = warm !== undefined && warm.tier > target.deployment.tier && !query.tried.has(warm)
  if (isWarmElsewhere && target.utilisation > options.hot && refusalOf(warm, query.demand, now) === undefined) {
    return warm
  }
  return target.deployment
}

/** So slow, beside its peers, that even sessions that are warm there leave. */
const isSlow = (candidate: Candidate): boolean => candidate.deployment.isFarSlower(candidate.now)

/** Of the candidates of the choice in hand. */
let utilisations = new Float64Array(64)

/** Fills `utilisations`, and returns their mean, in which a quota that several share counts once. */
const fillUtilisations = (candidates: ReadonlyArray<Candidate>): number => {
  const { length } = candidates
  if (utilisations.length < length) utilisations = new Float64Array(length * 2)
  let sum = 0
  let quotas = 0
  for (let i = 0; i < length; i++) {
    const part = 1 / candidates[i]!.deployment.sharers
    utilisations[i] = candidates[i]!.utilisation
    sum += part * utilisations[i]!
    quotas += part
  }
  return sum / quotas
}

const explainNone = ({ demand, group, tried }: Query, now: number): NoCandidate => {
  const refusals: Array<Refused> = []
  for (const deployment of group.deployments) {
    const refusal = refusalOf(deployment, demand, now)
    if (refusal === undefined) continue
    refusals.push({ deployment, refusal, opensAt: opensAt(deployment, refusal, demand, now) })
  }
  const possible = refusals.filter(({ opensAt, refusal }) => opensAt !== Infinity || isFailing(refusal))
  const failing = possible.filter(({ refusal }) => isFailing(refusal))
  const isOutage = possible.length > 0 && failing.length === possible.length
  // a time that the service set is not broken even now
  const bets = failing.filter(({ deployment }) => deployment.isCool(now))
  const cooling = failing.filter(({ deployment }) => !deployment.isCool(now))
  // what was not tried yet comes first
  const preferenceOf = ({ deployment, opensAt }: Refused) =>
    Math.min(opensAt, FAR) + (tried.has(deployment) ? 2 * FAR : 0)
  return {
    _tag: "NoCandidate",
    opensAt: Math.min(
      ...possible.map(({ opensAt }) => opensAt),
      // where all are failing, one is asked all the same as soon as the service allows
      ...(isOutage ? cooling.map(({ deployment }) => deployment.coolAt) : [])
    ),
    isOutage,
    isMissing: possible.length > 0 && possible.every(({ refusal }) => refusal === "missing"),
    bestBet: bets.toSorted((a, b) => preferenceOf(a) - preferenceOf(b))[0]?.deployment,
    refusals
  }
}

/** Share of a model's deployments whose breakers are closed. */
export const healthyShare = (group: Model): number => {
  const members = group.deployments.filter(({ draining }) => !draining)
  const healthy = members.filter(({ breaker, resource }) => breaker.isClosed && resource.breaker.isClosed)
  return members.length === 0 ? 0 : healthy.length / members.length
}
