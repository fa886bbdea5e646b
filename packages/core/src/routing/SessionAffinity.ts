/**
 * Where a session's prompt cache is warm.
 *
 * Its home is the weighted rendezvous winner among the tier's deployments: every process picks the same home without
 * talking. Where it was served last is remembered, because that is where its cache is warm: a session that had to leave
 * home stays away until that place fails or the cache has gone cold. What is forgotten goes home. (Thaler and Ravishankar's highest
 * random weight; bounded loads after Mirrokni, Thorup and Zadimoghaddam.)
 */
import type { Config } from "../config/Config.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import { remember } from "../Remember.ts"

/** 32-bit string hash with good low bits: FNV-1a, finished by murmur's avalanche. Equal in every process. */
const hash = (text: string, seed: number): number => {
  let h = 2166136261 ^ seed
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619)
  return avalanche(h)
}

const avalanche = (value: number): number => {
  let h = value
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

const deploymentHashes = new WeakMap<Deployment, number>()

const hashOf = (deployment: Deployment): number => {
  let h = deploymentHashes.get(deployment)
  if (h === undefined) {
    h = hash(deployment.id, 0x9e3779b9)
    deploymentHashes.set(deployment, h)
  }
  return h
}

/** Hash of a session's key. */
export const hashSession = (session: string): number => hash(session, 0)

/** Weighted rendezvous score of a deployment for a session: the highest wins. */
export const rendezvousScore = (sessionHash: number, deployment: Deployment, meanCapacity: number): number => {
  const capacity = deployment.configuredCapacity > 0 ? deployment.configuredCapacity : meanCapacity
  const uniform = (avalanche(sessionHash ^ hashOf(deployment)) + 0.5) / 4294967296
  return (capacity * deployment.weight) / -Math.log(uniform)
}

/** Mean of the configured capacities, for deployments that have none. Equal in every process. */
export const meanConfiguredCapacity = (deployments: ReadonlyArray<Deployment>): number => {
  let sum = 0
  let known = 0
  for (const deployment of deployments) {
    if (deployment.configuredCapacity > 0) {
      sum += deployment.configuredCapacity
      known++
    }
  }
  return known === 0 ? 1 : sum / known
}

/** Settings of the memory: how many sessions, and for how long after their last request. */
export type SessionAffinityOptions = Pick<Config["session"], "capacity" | "idle">

interface Warm {
  readonly deployment: Deployment
  /** Start of the attempt that wrote this: an older one that commits later does not overwrite it. */
  readonly startedAt: number
  readonly seenAt: number
  /** How many answers in a row were slower by far there, one after the other. */
  readonly slow: number
  /** Whether it left another place for that: it does so once, as it may be slow for its own sake. */
  readonly hasLeft: boolean
}

/** So many slow answers in a row are worth a warm cache. */
const LEAVES_AFTER = 3

const leaves = ({ hasLeft, slow }: Warm): boolean => slow >= LEAVES_AFTER && !hasLeft

/**
 * Memory of where sessions are warm: bounded, the longest unused forgotten first. Times are milliseconds of a monotonic
 * clock. Keys are a session and a model together.
 */
export class SessionAffinity {
  private readonly options: SessionAffinityOptions
  private readonly warm = new Map<string, Warm>()

  constructor(options: SessionAffinityOptions) {
    this.options = options
  }

  /** Sessions remembered. */
  get size(): number {
    return this.warm.size
  }

  /** Where a session's cache is warm, if that is known and not yet cold. */
  recall(key: string, now: number): Deployment | undefined {
    const entry = this.warm.get(key)
    if (entry === undefined) return undefined
    if (now - entry.seenAt > this.options.idle) {
      this.warm.delete(key)
      return undefined
    }
    return entry.deployment
  }

  /** Whether a session leaves its place, as that is slow for it, whatever it is for others. */
  leaves(key: string): boolean {
    const entry = this.warm.get(key)
    return entry !== undefined && leaves(entry)
  }

  /**
   * An attempt that began at `startedAt` committed at a deployment. An attempt that began before the one remembered
   * changes nothing, and a deployment that is leaving the set is not remembered. Returns where the session was before,
   * when it has moved.
   *
   * @param isSlow whether the answer was slower by far than what others answer
   */
  commit(
    key: string,
    deployment: Deployment,
    startedAt: number,
    now: number,
    isSlow = false
  ): Deployment | undefined {
    const known = this.warm.get(key)
    if (known !== undefined && known.startedAt > startedAt) return undefined
    if (deployment.draining) {
      this.warm.delete(key)
      return undefined
    }
    const before = known?.deployment === deployment ? known.slow : 0
    const hasLeft = known !== undefined && (known.hasLeft || (known.deployment !== deployment && leaves(known)))
    // what is slow together is so for one reason
    const isNews = known === undefined || startedAt >= known.seenAt
    const slow = !isSlow ? 0 : before === 0 || isNews ? before + 1 : before
    remember(this.warm, key, { deployment, startedAt, seenAt: now, slow, hasLeft }, this.options.capacity)
    return known === undefined || known.deployment === deployment ? undefined : known.deployment
  }
}
