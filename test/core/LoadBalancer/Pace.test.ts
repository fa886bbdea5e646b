import { assert, describe, it } from "@effect/vitest"
import { type RetryContext } from "@evenkeel/core"
import { Effect, Schedule } from "effect"
import {
  answer,
  failure,
  fleet,
  heard,
  hello,
  reasonOf,
  run,
  service,
  settle,
  stateOf
} from "../../support/Balanced.ts"

const tiered = { tiers: { east: 1, west: 2, north: 3 } }

const failing = { kind: "status", status: 500 } as const

describe("LoadBalancer pace", () => {
  it.effect("another deployment is tried at once, the same one after backoff", () => {
    const two = fleet([service("east"), service("west")], {
      failover: { attempts: 4, backoff: "4 seconds", maxBackoff: "8 seconds" }
    })
    return run(two, function*(lb, _, { events }) {
      for (const { fault } of Object.values(two.services)) fault("gpt-4o", failing)
      yield* settle(lb.chat(hello))
      const delays = heard(events, "FailedOver").map(({ delay }) => delay)
      assert.strictEqual(delays.length, 3)
      assert.strictEqual(delays[0], 0)
      assert.isAbove(delays[1]!, 0)
      assert.isAbove(delays[2]!, 0)
      assert.isAtMost(delays[1]!, 8000)
      assert.isAtMost(delays[2]!, 8000)
      const [first, second, third] = two.sends
      assert.strictEqual(second!.at, first!.at + 10)
      assert.strictEqual(third!.at, second!.at + 10 + Math.ceil(delays[1]!))
    })
  })

  it.effect("the same deployment again waits for the service's time when that is longer", () =>
    run(fleet([service("east")], { failover: { backoff: "1 millis" } }), function*(lb, one) {
      one.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 4000, times: 2 })
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(one.sends.map(({ at }) => at), [0, 4010, 8020])
    }))

  it.effect("waits for throttled deployments count together against the longest wait", () =>
    run(fleet([service("east")], { failover: { maxWait: "10 seconds", attempts: 5 } }), function*(lb, one) {
      one.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 6000 })
      const error = yield* failure(lb.chat(hello))
      assert.closeTo(reasonOf(error, "Throttled").retryAfter, 6000, 50)
      assert.deepStrictEqual(one.sends.map(({ at }) => at), [0, 6010])
    }))

  it.effect("a caller's own schedule takes the default's place, and sees what went wrong", () =>
    run(fleet([service("east"), service("west")], tiered), function*(lb, two) {
      const seen: Array<RetryContext> = []
      two.services["east"]!.fault("gpt-4o", { ...failing, times: 1 })
      two.services["west"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 1000, times: 1 })
      const schedule = Schedule.spaced("3 seconds").pipe(
        Schedule.setInputType<RetryContext>(),
        Schedule.modifyDelay(({ duration, input }) => {
          seen.push(input)
          return Effect.succeed(duration)
        })
      )
      yield* answer(lb.chat(hello, { schedule }))
      assert.deepStrictEqual(two.sends.map(({ at, resource }) => [resource, at]), [
        ["east", 0],
        ["west", 3010],
        ["east", 6020]
      ])
      assert.deepInclude(seen[0], { kind: "failed", attempts: 1, maxAttempts: 3, hasAnother: true, wait: 0 })
      assert.deepInclude(seen[1], { kind: "throttled", attempts: 2, hasAnother: false })
    }))

  it.effect("a schedule that ends ends the request, and the error says so", () =>
    run(fleet([service("east"), service("west")], tiered), function*(lb, two) {
      two.services["east"]!.fault("gpt-4o", failing)
      const never = Schedule.recurs(0).pipe(Schedule.setInputType<RetryContext>())
      const error = yield* failure(lb.chat(hello, { schedule: never }))
      assert.strictEqual(reasonOf(error, "Unavailable").limitedBy, "schedule")
      assert.strictEqual(two.sends.length, 1)
    }))

  it.effect("a schedule that is too quick still does not break the service's own time", () =>
    run(fleet([service("east")]), function*(lb, one) {
      one.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 5000, times: 1 })
      const hasty = Schedule.spaced(0).pipe(Schedule.setInputType<RetryContext>())
      yield* answer(lb.chat(hello, { schedule: hasty }))
      assert.deepStrictEqual(one.sends.map(({ at }) => at), [0, 5010])
      assert.strictEqual((yield* stateOf("east")).totals.throttled, 1)
    }))
})
