/**
 * Policies: the choice among candidates that passed their gates, as pure functions of them and a random source.
 *
 * The default is power of two choices: draw two in proportion to capacity, take the better. The draw keeps unequal
 * deployments level, the comparison leaves slow and crowded ones. (Mitzenmacher; Finagle's P2C; Prequal's hot and cold;
 * the formula's variants side by side are in docs/architecture.md.)
 */
import type { Deployment } from "../deployment/Deployment.ts"

/**
 * A deployment as a policy sees it, as of one moment. Everything is read when asked for.
 */
export class Candidate {
  readonly deployment: Deployment
  /** The moment, in milliseconds of the monotonic clock. */
  readonly now: number

  constructor(deployment: Deployment, now: number) {
    this.deployment = deployment
    this.now = now
  }

  /** `resource/deployment`. */
  get id(): string {
    return this.deployment.id
  }

  /** Tokens a minute, from configuration or the service's word; `NaN` when unknown. */
  get capacity(): number {
    return this.deployment.quota.capacity
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
    return this.deployment.latency.ratio(this.now)
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

/** Mean of the known capacities; 1 when none is known, so that all are alike. */
const meanCapacity = (candidates: ReadonlyArray<Candidate>): number => {
  let sum = 0
  let known = 0
  for (const candidate of candidates) {
    const capacity = candidate.capacity
    if (capacity > 0) {
      sum += capacity
      known++
    }
  }
  return known === 0 ? 1 : sum / known
}

let shares = new Float64Array(64)

/** Fills `shares` with what each candidate should get, and returns their sum. */
const fillShares = (candidates: ReadonlyArray<Candidate>, mean: number): number => {
  if (shares.length < candidates.length) shares = new Float64Array(candidates.length * 2)
  let sum = 0
  for (let i = 0; i < candidates.length; i++) {
    const candidate = candidates[i]!
    const capacity = candidate.capacity
    const share = (capacity > 0 ? capacity : mean) * candidate.weight * candidate.warmth
    shares[i] = share
    sum += share
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

/**
 * Power of two choices. `hot` is the utilisation above which scarce quota decides instead of latency.
 *
 * One hot: the cold one. Both hot: the lower utilisation. Both cold: the lower
 * `latency x (1 + waiting / capacity) / (1.02 - max(utilisation, 0.6))^2`, with capacity relative to the candidates'
 * mean. Ties are random.
 */
export const powerOfTwoChoices = (hot: number): Policy => (candidates, random) => {
  if (candidates.length === 1) return candidates[0]!
  const mean = meanCapacity(candidates)
  const sum = fillShares(candidates, mean)
  const first = draw(candidates.length, sum, random(), -1)
  const second = draw(candidates.length, sum - shares[first]!, random(), first)
  return better(candidates[first]!, candidates[second]!, mean, hot, random)
}

const better = (a: Candidate, b: Candidate, mean: number, hot: number, random: () => number): Candidate => {
  const ua = a.utilisation
  const ub = b.utilisation
  const difference = ua > hot || ub > hot
    ? (ua > hot && ub > hot ? ua - ub : ua > hot ? 1 : -1)
    : score(a, ua, mean) - score(b, ub, mean)
  if (difference === 0) return random() < 0.5 ? a : b
  return difference < 0 ? a : b
}

const score = (candidate: Candidate, utilisation: number, mean: number): number => {
  const capacity = candidate.capacity
  const relative = capacity > 0 ? capacity / mean : 1
  return candidate.latency * (1 + candidate.waiting / relative) / (1.02 - Math.max(utilisation, 0.6)) ** 2
}

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
  const sum = fillShares(candidates, meanCapacity(candidates))
  return candidates[draw(candidates.length, sum, random(), -1)]!
}

/** The lowest of a measure; ties are random, by reservoir. */
const lowest = (measure: (candidate: Candidate, mean: number) => number): Policy => (candidates, random) => {
  const mean = meanCapacity(candidates)
  let best = candidates[0]!
  let least = Infinity
  let ties = 0
  for (const candidate of candidates) {
    const value = measure(candidate, mean)
    if (value < least) {
      least = value
      best = candidate
      ties = 1
    } else if (value === least && random() * ++ties < 1) {
      best = candidate
    }
  }
  return best
}

const relativeCapacity = (candidate: Candidate, mean: number): number =>
  (candidate.capacity > 0 ? candidate.capacity / mean : 1) * candidate.weight

/**
 * The fewest in flight for its capacity and weight, among all; where nothing is in flight, the least used share.
 */
export const leastLoaded: Policy = lowest((candidate, mean) =>
  (candidate.inFlight + candidate.utilisation) / relativeCapacity(candidate, mean)
)

/** The lowest latency for its load, among all: latency x (1 + waiting / capacity). */
export const lowestLatency: Policy = lowest((candidate, mean) =>
  candidate.latency * (1 + candidate.waiting / relativeCapacity(candidate, mean))
)
