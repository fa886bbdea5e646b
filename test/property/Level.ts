/**
 * Steady traffic over deployments of unequal capacity, and how much of each one's quota it takes.
 */
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { fleet, run, service, statsNow, steady } from "../support/Balanced.ts"

/**
 * Schema for a set of capacities, and the seed of all that is random.
 */
export const Capacities = Schema.Struct({
  seed: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 })),
  capacities: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 }))).check(
    Schema.isMinLength(2),
    Schema.isMaxLength(3)
  )
})

/** Requests a minute that one unit of capacity holds, and what one of them reserves. */
const UNIT = 25
const TOKENS = 50

const ask = {
  model: "gpt-4o",
  messages: [{ role: "user" as const, content: "x".repeat(40) }],
  max_completion_tokens: TOKENS - 10
}

/** Mean utilisation of each deployment over a minute, after a minute of warming up, at a share of the whole capacity. */
export const utilisations = (
  { capacities, seed }: typeof Capacities.Type,
  share: number
): Effect.Effect<ReadonlyArray<number>, unknown, never> => {
  const latency = { ...steady, baseMs: 800, jitter: 0.2 }
  const several = fleet(capacities.map((capacity, i) => service(`r${i}`, { tpm: capacity * UNIT * TOKENS, latency })))
  const perMinute = capacities.reduce((sum, capacity) => sum + capacity, 0) * UNIT * share
  const test = Effect.gen(function*() {
    const lb = yield* LoadBalancer
    const traffic = (requests: number, each: Effect.Effect<void>) =>
      Effect.forEach(Array.from({ length: requests }), () =>
        Effect.gen(function*() {
          yield* Effect.forkChild(Effect.ignore(lb.chat(ask)), { startImmediately: true })
          yield* TestClock.adjust(60_000 / perMinute)
          yield* each
        }), { discard: true })
    const sums = capacities.map(() => 0)
    let samples = 0
    const sample = Effect.gen(function*() {
      samples++
      for (let i = 0; i < sums.length; i++) {
        sums[i]! += (yield* statsNow(several.services[`r${i}`])).usage.utilization
      }
    })
    yield* traffic(Math.ceil(perMinute), Effect.void)
    yield* traffic(Math.ceil(perMinute), sample)
    return sums.map((sum) => sum / samples)
  })
  return Effect.scoped(run(several, test, seed))
}
