/**
 * Known policies, each in the few lines that it is known by.
 */
import { SlidingWindow } from "#core/deployment/SlidingWindow"
import type { Place } from "./Scenario.ts"

/** What plain policies know of a place. */
export class PlainPlace {
  readonly place: Place
  readonly weight: number
  coolUntil = 0
  inFlight = 0
  /** In flight, and nothing of the answer is there yet. */
  pending = 0
  /** Tokens sent in the last minute. */
  readonly tokens = new SlidingWindow(60)
  private cost = 0
  private costAt = 0

  constructor(place: Place, isTold: boolean) {
    this.place = place
    this.weight = isTold ? place.tpm : 1
  }

  /** Finagle's PeakEWMA: up at once, down slowly, towards nothing while idle. */
  observe(millis: number, now: number): void {
    const kept = Math.exp(-(now - this.costAt) / 10_000)
    this.cost = millis > this.cost ? millis : this.cost * kept + millis * (1 - kept)
    this.costAt = now
  }

  load(now: number): number {
    this.observe(0, now)
    // what was never heard of is asked once
    return this.cost === 0 && this.pending > 0 ? 1e12 + this.pending : this.cost * (this.pending + 1)
  }
}

export type PlainPolicy = (
  candidates: ReadonlyArray<PlainPlace>,
  now: number,
  random: () => number
) => PlainPlace

const uniform: PlainPolicy = (candidates, _now, random) => candidates[Math.floor(random() * candidates.length)]!

const byWeight: PlainPolicy = (candidates, _now, random) => {
  let left = random() * candidates.reduce((sum, { weight }) => sum + weight, 0)
  return candidates.find(({ weight }) => (left -= weight) < 0) ?? candidates.at(-1)!
}

const roundRobin = (): PlainPolicy => {
  let turn = 0
  return (candidates) => candidates[turn++ % candidates.length]!
}

/** The lower of two that are drawn. */
const lowerOfTwo = (measure: (place: PlainPlace, now: number) => number): PlainPolicy => (candidates, now, random) => {
  const first = Math.floor(random() * candidates.length)
  const other = Math.floor(random() * (candidates.length - 1))
  const a = candidates[first]!
  const b = candidates[other >= first ? other + 1 : other] ?? a
  return measure(a, now) <= measure(b, now) ? a : b
}

const leastBusy: PlainPolicy = (candidates, now, random) => {
  const fewest = Math.min(...candidates.map(({ inFlight }) => inFlight))
  return uniform(candidates.filter(({ inFlight }) => inFlight === fewest), now, random)
}

/** Made anew for each client, because some have a memory. */
export const plainPolicies: Readonly<Record<string, () => PlainPolicy>> = {
  "random": () => uniform,
  "weighted": () => byWeight,
  "round-robin": roundRobin,
  "p2c-usage": () => lowerOfTwo(({ tokens, weight }, now) => tokens.sum(now) / weight),
  "peak-ewma": () => lowerOfTwo((place, now) => place.load(now)),
  "least-busy": () => leastBusy
}
