import * as Failover from "#core/balancer/RetrySchedule"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Random, Schedule, Schema } from "effect"
import { check, integer } from "../../support/Check.ts"

const options = { backoff: 500, maxBackoff: 8000 }

const setback: Failover.RetryContext = {
  kind: "failed",
  reason: "http 500",
  attempts: 1,
  maxAttempts: 3,
  hasAnother: false,
  wait: 0
}

/** Delays that the schedule gives for these setbacks; `undefined` from where it stops. */
const delaysOf = Effect.fnUntraced(function*(setbacks: ReadonlyArray<Partial<Failover.RetryContext>>) {
  const step = yield* Schedule.toStep(Failover.schedule(options))
  const delays: Array<number | undefined> = []
  for (const given of setbacks) {
    const exit = yield* Effect.exit(step(0, { ...setback, ...given }))
    delays.push(Exit.isSuccess(exit) ? Duration.toMillis(exit.value[1]) : undefined)
  }
  return delays
})

describe("failing over", () => {
  it.effect("goes to another deployment at once, whatever the wait of this one", () =>
    Effect.gen(function*() {
      const delays = yield* delaysOf([{ hasAnother: true, wait: 24_000, kind: "throttled" }, {
        hasAnother: true,
        attempts: 2
      }])
      assert.deepStrictEqual(delays, [0, 0])
    }))

  it.effect("waits for as long as the service says before the same one again", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* delaysOf([{ wait: 9000, kind: "throttled" }]), [9000])
    }))

  it.effect("stops when the attempts are made", () =>
    Effect.gen(function*() {
      const delays = yield* delaysOf([{ attempts: 2 }, { attempts: 3, hasAnother: true }])
      assert.isDefined(delays[0])
      assert.isUndefined(delays[1])
    }))

  it.effect("keeps each request's state apart", () =>
    Effect.gen(function*() {
      const [long] = yield* delaysOf([{ wait: 9000 }])
      const [short] = yield* delaysOf([{ hasAnother: true }])
      assert.deepStrictEqual([long, short], [9000, 0])
    }))

  it.effect("backs off with full jitter: anything from nothing to the whole", () =>
    Effect.gen(function*() {
      const firsts: Array<number> = []
      for (let i = 0; i < 200; i++) firsts.push((yield* delaysOf([{}]))[0]!)
      assert.isBelow(Math.min(...firsts), 50)
      assert.isAbove(Math.max(...firsts), 450)
      assert.isAtMost(Math.max(...firsts), 500)
      assert.approximately(firsts.reduce((sum, delay) => sum + delay, 0) / firsts.length, 250, 50)
    }).pipe(Random.withSeed("jitter")))

  it.effect.prop("is never sooner than the service's wait, nor later than the longer of it and the capped backoff", {
    steps: Schema.Array(Schema.Struct({ hasAnother: Schema.Boolean, wait: integer(0, 20_000) })).check(
      Schema.isMaxLength(12)
    ),
    seed: Schema.Int
  }, ({ seed, steps }) =>
    Effect.gen(function*() {
      const delays = yield* delaysOf(steps.map((step) => ({ ...step, maxAttempts: 99 })))
      delays.forEach((delay, i) => {
        const { hasAnother, wait } = steps[i]!
        if (hasAnother) return assert.strictEqual(delay, 0)
        assert.isAtLeast(delay!, wait)
        assert.isAtMost(delay!, Math.max(wait, Math.min(500 * 2 ** i, 8000)))
      })
    }).pipe(Random.withSeed(seed)), check())
})
