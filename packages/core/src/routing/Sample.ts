/**
 * Two of many deployments, drawn in proportion to what each should get, without looking at the others.
 *
 * To walk all of a thousand deployments for a choice between two takes as long as everything else that a request costs.
 * What cannot take the request is drawn again, which leaves the proportions of those that can: rejection sampling.
 */
import type { Deployment } from "../deployment/Deployment.ts"

/** Of so few, walking all is as fast. */
export const FEW = 8

/** How often one is drawn that takes the request, before all are looked at. */
const TRIES = 8

/** How long shares are taken to stay as they are, in milliseconds: a service may tell another limit. */
const FRESH_FOR = 1_000

/**
 * The deployments of a first tier of many.
 */
export class Sample {
  private readonly members: ReadonlyArray<Deployment>
  /** Sums of the shares up to each, warmth aside. */
  private readonly sums: Float64Array
  private readonly builtAt: number

  private constructor(deployments: ReadonlyArray<Deployment>, builtAt: number) {
    const members = deployments.filter(({ tier }) => tier === deployments[0]!.tier)
    const known = members.map((member) => member.capacity).filter((capacity) => capacity > 0)
    const mean = known.length === 0 ? 1 : known.reduce((sum, capacity) => sum + capacity) / known.length
    this.members = members
    this.sums = new Float64Array(members.length)
    this.builtAt = builtAt
    let sum = 0
    members.forEach(({ capacity, weight }, i) => {
      sum += (capacity > 0 ? capacity : mean) * weight
      this.sums[i] = sum
    })
  }

  /** Of a model's deployments, in order of tier; nothing where they are few. */
  static of(deployments: ReadonlyArray<Deployment>, now: number): Sample | undefined {
    let sample = samples.get(deployments)
    if (sample === undefined || now - sample.builtAt > FRESH_FOR) {
      sample = new Sample(deployments, now)
      samples.set(deployments, sample)
    }
    return sample.members.length <= FEW ? undefined : sample
  }

  /** The place of one that passes, drawn in proportion to its share; -1 where none was found. */
  draw(passes: (deployment: Deployment) => boolean, now: number, random: () => number, except = -1): number {
    const { members, sums } = this
    for (let i = 0; i < TRIES; i++) {
      const place = placeOf(sums, random() * sums[sums.length - 1]!)
      if (place === except || !passes(members[place]!)) continue
      const warmth = members[place]!.warmth(now)
      if (warmth >= 1 || random() < warmth) return place
    }
    return -1
  }

  at(place: number): Deployment {
    return this.members[place]!
  }

  /** What the deployment at a place should get, relative to the mean. */
  shareAt(place: number, now: number): number {
    const { members, sums } = this
    const share = sums[place]! - (place === 0 ? 0 : sums[place - 1]!)
    return share * members[place]!.warmth(now) * members.length / sums[sums.length - 1]!
  }
}

/** By the set of deployments, which is replaced whole where it changes. */
const samples = new WeakMap<ReadonlyArray<Deployment>, Sample>()

/** The first whose sum is above a point. */
const placeOf = (sums: Float64Array, point: number): number => {
  let low = 0
  let high = sums.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (sums[middle]! > point) high = middle
    else low = middle + 1
  }
  return low
}
