/**
 * Cooldowns of what is not a deployment's own traffic: an endpoint of its resource, such as `/batches`, or a service tier.
 * Bounded, since endpoints are the callers' words: the longest unused goes first.
 */
import { Cooldown, type CooldownOptions } from "./Cooldown.ts"

const CAPACITY = 32

/**
 * Cooldowns by scope, made when one is first told to wait.
 */
export class ScopedCooldowns {
  private readonly options: CooldownOptions
  private readonly scopes = new Map<string, Cooldown>()

  constructor(options: CooldownOptions) {
    this.options = options
  }

  /** The one that is there, if any. */
  find(scope: string): Cooldown | undefined {
    return this.scopes.size === 0 ? undefined : this.scopes.get(scope)
  }

  get(scope: string): Cooldown {
    const known = this.scopes.get(scope) ?? new Cooldown(this.options)
    this.scopes.delete(scope)
    this.scopes.set(scope, known)
    if (this.scopes.size > CAPACITY) this.scopes.delete(this.scopes.keys().next().value!)
    return known
  }
}
