/**
 * Shards of hot sessions.
 *
 * A service keeps a prefix warm on one machine for some 15 requests a minute, and sends what is more to further machines,
 * which begin cold. So nothing is gained from keeping more at one deployment: it goes to the next shard, whose home is
 * another, and stays there. A session that asks for less has one shard, which is itself. (OpenAI and Azure OpenAI, prompt
 * caching: "approximately 15 requests per minute" for a prefix and its `prompt_cache_key`.)
 */
import type { Config } from "../config/Config.ts"
import { remember } from "../Remember.ts"

/** Minutes' worth of requests that a shard takes at once: a session that is busy for a moment is not hot. */
const BURST = 2

/** What a session's shards took lately: each a bucket that leaks as many requests a minute as a shard takes. */
interface Rates {
  readonly levels: Array<number>
  at: number
}

/**
 * Rates of sessions: bounded, the longest unused forgotten first. Times are milliseconds of a monotonic clock. Keys are a session
 * and a model together.
 */
export class SessionShards {
  private readonly options: Pick<Config["session"], "capacity" | "maxRate">
  private readonly sessions = new Map<string, Rates>()

  constructor(options: Pick<Config["session"], "capacity" | "maxRate">) {
    this.options = options
  }

  /** The first shard, of so many, that takes another request; where none does, the least busy. */
  next(key: string, shards: number, now: number): number {
    const { maxRate } = this.options
    const rates = this.sessions.get(key)
    if (rates === undefined || maxRate === 0) return 0
    this.leak(rates, now)
    let least = 0
    for (let shard = 0; shard < shards; shard++) {
      const level = rates.levels[shard] ?? 0
      if (level + 1 <= BURST * maxRate) return shard
      if (level < rates.levels[least]!) least = shard
    }
    return least
  }

  /** A shard gets a request. */
  count(key: string, shard: number, now: number): void {
    if (this.options.maxRate === 0) return
    const rates = this.sessions.get(key) ?? { levels: [], at: now }
    remember(this.sessions, key, rates, this.options.capacity)
    this.leak(rates, now)
    rates.levels[shard] = (rates.levels[shard] ?? 0) + 1
  }

  private leak(rates: Rates, now: number): void {
    const leaked = ((now - rates.at) * this.options.maxRate) / 60_000
    rates.at = now
    const { levels } = rates
    for (let shard = 0; shard < levels.length; shard++) levels[shard] = Math.max(0, levels[shard]! - leaked)
  }
}
