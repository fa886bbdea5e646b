/**
 * Policies: the choice among candidates that passed their gates, as pure functions of them and a random source.
 *
 * The default is power of two choices: draw two in proportion to capacity, take the better. The draw keeps unequal
 * deployments level, the comparison leaves slow and crowded ones. (Mitzenmacher; Finagle's P2C; Prequal's hot and cold.
 * The formula is explained in docs/architecture.md.)
 */
import type { Deployment } from "../deployment/Deployment.ts"
import { FAR_SLOWER } from "../deployment/Latency.ts"

/** When a choice is made. */
export interface Moment {
  readonly now: number
}

/**
 * A deployment as a policy sees it, as of one moment. Everything is read when asked for.
 */
export class Candidate {
  readonly deployment: Deployment
  private readonly moment: Moment

  /** @param moment shared by all candidates of a choice: a number of its own would cost each an allocation */
  constructor(deployment: Deployment, moment: Moment) {
    this.deployment = deployment
    this.moment = moment
  }

  /** The moment, in milliseconds of the monotonic clock. */
  get now(): number {
    return this.moment.now
  }

  /** `resource/deployment`. */
  get id(): string {
    return this.deployment.id
  }

  /** Tokens a minute, from configuration or the service's word: its part, where it shares a quota. `NaN` when unknown. */
  get capacity(): number {
    return this.deployment.capacity
  }

  get weight(): number {
    return this.deployment.weight
  }

  /** Share of its weight while it comes back from a trip: 1 when it is warm. */
  get warmth(): number {
    return this.deployment.warmth(this.now)
  }

  /** Share of its quota in use, 0 when no limit is known. */
  get utilisation(): number {
    return this.deployment.quota.utilisation(this.now)
  }

  /** Latency as a ratio to what is expected of the model: 1 is like its peers. */
  get latency(): number {
    return this.deployment.slowness(this.now)
  }

  /** Attempts in flight. */
  get inFlight(): number {
    return this.deployment.inFlight
  }

  /** Attempts in flight that still wait for their first byte. */
  get waiting(): number {
    return this.deployment.waiting
  }
}

/**
 * A policy: takes one of the candidates, of which there is at least one. It must not keep them.
 */
export type Policy = (candidates: ReadonlyArray<Candidate>, random: () => number) => Candidate

let shares = new Float64Array(64)

/**
 * Fills `shares` with what each candidate should get (capacity x weight x warmth; an unknown capacity counts as the mean
 * of the known ones), and returns their sum.
 */
const fillShares = (candidates: ReadonlyArray<Candidate>): number => {
  const { length } = candidates
  if (shares.length < length) shares = new Float64Array(length * 2)
  let known = 0
  let capacities = 0
  let sum = 0
  const now = length === 0 ? 0 : candidates[0]!.now
  for (let i = 0; i < length; i++) {
    const { deployment } = candidates[i]!
    const { capacity } = deployment
    const factor = deployment.weight * deployment.warmth(now)
    // an unknown capacity is marked by a negative share
    if (capacity > 0) {
      capacities += capacity
      known++
      shares[i] = capacity * factor
      sum += capacity * factor
    } else {
      shares[i] = -factor
    }
  }
  if (known === length) return sum
  const mean = known === 0 ? 1 : capacities / known
  for (let i = 0; i < length; i++) {
    if (shares[i]! >= 0) continue
    shares[i]! *= -mean
    sum += shares[i]!
  }
  return sum
}

/** Index drawn in proportion to `shares`, leaving out `except`. */
const draw = (length: number, sum: number, point: number, except: number): number => {
  let left = point * sum
  let last = -1
  for (let i = 0; i < length; i++) {
    if (i === except) continue
    last = i
    left -= shares[i]!
    if (left < 0) return i
  }
  // rounding may leave a trace at the end
  return last
}

/** Drawn twice, a candidate is left only for one that is better by this factor. */
const CLEARLY_WORSE = 2

/** A policy that compares two, drawn in proportion to their shares: the router may draw them without asking for all. */
export interface TwoChoices extends Policy {
  /** The better of two. Shares are relative to the mean; `isTwice` says that `a` was drawn twice, and `b` besides. */
  readonly better: (
    a: Candidate,
    shareOfA: number,
    b: Candidate,
    shareOfB: number,
    isTwice: boolean,
    random: () => number
  ) => Candidate
}

/**
 * Power of two choices. `hot` is the utilisation above which scarce quota decides instead of latency.
 *
 * With `w = latency x (1 + waiting / share)`, the share relative to the candidates' mean: one that is slower by a factor
 * of four is left, whatever the quotas, since to send it what the fast ones have no room for makes it slower still.
 * Else, one hot: the cold one. Both hot: the lower utilisation, and where they share a quota the lower `w`. Both cold: the lower
 * `w / (1.02 - max(utilisation, 0.6))^2`. Ties are random.
 *
 * The same candidate may be drawn twice: it is then taken, unless another is cold where it is hot, or clearly better.
 * Two that must differ would be level whatever their weights where there are only two.
 */
export const powerOfTwoChoices = (hot: number): TwoChoices => {
  const better: TwoChoices["better"] = (a, shareOfA, b, shareOfB, isTwice, random) => {
    const wa = a.latency * (1 + a.waiting / shareOfA)
    const wb = b.latency * (1 + b.waiting / shareOfB)
    if (wa > FAR_SLOWER * wb) return b
    if (wb > FAR_SLOWER * wa) return a
    const ua = a.utilisation
    const ub = b.utilisation
    if (ua > hot || ub > hot) {
      if (ua > hot && ub > hot) {
        if (isTwice) return a
        if (ua !== ub) return ua < ub ? a : b
        return wa === wb ? either(a, b, random) : wa < wb ? a : b
      }
      return ua > hot ? b : a
    }
    const sa = wa / scarcity(ua)
    const sb = wb / scarcity(ub)
    if (isTwice) return sa > CLEARLY_WORSE * sb ? b : a
    return sa === sb ? either(a, b, random) : sa < sb ? a : b
  }
  const policy: Policy = (candidates, random) => {
    const { length } = candidates
    if (length === 1) return candidates[0]!
    const sum = fillShares(candidates)
    const first = draw(length, sum, random(), -1)
    const again = draw(length, sum, random(), -1)
    const second = again === first ? draw(length, sum - shares[first]!, random(), first) : again
    const mean = sum / length
    const share = shares[first]! / mean
    return better(candidates[first]!, share, candidates[second]!, shares[second]! / mean, again === first, random)
  }
  return Object.assign(policy, { better })
}

const either = (a: Candidate, b: Candidate, random: () => number): Candidate => random() < 0.5 ? a : b

/** What is left of a quota, where it gets scarce. */
const scarcity = (utilisation: number): number => (1.02 - Math.max(utilisation, 0.6)) ** 2

/** Each in turn, in proportion to weight: smooth weighted round robin. Blind to load; for comparison and for tests. */
export const roundRobin = (): Policy => {
  const credit = new WeakMap<Deployment, number>()
  return (candidates) => {
    let sum = 0
    let best = candidates[0]!
    let most = -Infinity
    for (const candidate of candidates) {
      sum += candidate.weight
      const now = (credit.get(candidate.deployment) ?? 0) + candidate.weight
      credit.set(candidate.deployment, now)
      if (now > most) {
        most = now
        best = candidate
      }
    }
    credit.set(best.deployment, most - sum)
    return best
  }
}

/** Drawn in proportion to capacity and weight. */
export const weightedRandom: Policy = (candidates, random) => {
  if (candidates.length === 1) return candidates[0]!
  return candidates[draw(candidates.length, fillShares(candidates), random(), -1)]!
}

/** The lowest of a measure, given each candidate's share relative to the mean; ties are drawn by share, by reservoir. */
const lowest = (measure: (candidate: Candidate, share: number) => number): Policy => (candidates, random) => {
  const mean = fillShares(candidates) / candidates.length
  let best = candidates[0]!
  let least = Infinity
  let tied = 0
  for (let i = 0; i < candidates.length; i++) {
    const share = shares[i]! / mean
    const value = measure(candidates[i]!, share)
    if (value < least) {
      least = value
      best = candidates[i]!
      tied = share
    } else if (value === least) {
      tied += share
      if (random() * tied < share) best = candidates[i]!
    }
  }
  return best
}

/** The fewest in flight for its share, among all; where nothing is in flight, the least used. */
export const leastLoaded: Policy = lowest((candidate, share) =>
  candidate.inFlight / share + candidate.utilisation / (candidate.weight * candidate.warmth)
)

/** The lowest latency for its load, among all: latency x (1 + waiting / share). */
export const lowestLatency: Policy = lowest((candidate, share) => candidate.latency * (1 + candidate.waiting / share))
