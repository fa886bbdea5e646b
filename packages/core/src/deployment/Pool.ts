/**
 * A quota that several deployments of a model draw on: a subscription's, over all its regions. It has one ledger and one
 * cooldown; health, latency and caches stay each deployment's own.
 *
 * A 429 of a member may be of the pool or of that deployment alone. What words and headers do not tell is tried, as any
 * time to wait in doubt is: where another member answers, it was that deployment's own.
 */
import type { DeploymentConfig } from "../config/Config.ts"
import { Cooldown, type CooldownOptions } from "./Cooldown.ts"
import type { Quota } from "./Quota.ts"

/** Limits of tokens and requests a minute. */
type Limits = Pick<DeploymentConfig, "tpm" | "rpm">

/**
 * Live state of a pool of deployments. Times are milliseconds of a monotonic clock.
 */
export class Pool<Member extends { readonly config: Limits }> {
  readonly name: string
  readonly quota: Quota
  readonly cooldown: Cooldown
  readonly members = new Set<Member>()
  /** Whether nobody configured it: its members' counters were seen to fall together. */
  readonly isFound: boolean

  /** The least of its members' own limits, for one that was found: those were given for each. */
  get leastLimits(): Limits {
    const least = (key: "tpm" | "rpm") => {
      const known = [...this.members].map(({ config }) => config[key]).filter((limit) => limit !== undefined)
      return known.length === 0 ? undefined : Math.min(...known)
    }
    return { tpm: least("tpm"), rpm: least("rpm") }
  }

  constructor(name: string, quota: Quota, health: CooldownOptions, isFound = false) {
    this.name = name
    this.quota = quota
    this.cooldown = new Cooldown(health)
    this.isFound = isFound
  }
}
