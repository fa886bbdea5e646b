/**
 * One quota of several deployments, as a subscription has it over all its regions.
 *
 * **Example** (Two regions, one quota)
 *
 * ```ts
 * const pool = SimulatedPool.make({ name: "global", tpm: 30_000, rpm: 180 })
 * const east = SimulatedService.make({ name: "east", deployments: [{ name: "gpt-4o", pool }] })
 * const west = SimulatedService.make({ name: "west", deployments: [{ name: "gpt-4o", pool }] })
 * ```
 */
import * as Limiter from "./SimulatedLimiter.ts"

/**
 * What a pool is like. It is never provisioned.
 */
export interface PoolOptions extends Omit<Limiter.LimiterOptions, "provisioned" | "burstMs"> {
  readonly name: string
}

/**
 * A pool and its live state. The headers of each member tell of the pool's counters.
 */
export interface SimulatedPool {
  readonly options: PoolOptions
  readonly limiter: Limiter.SimulatedLimiter
}

/**
 * Creates a pool.
 */
export const make = (options: PoolOptions): SimulatedPool => ({ options, limiter: Limiter.make(options) })
