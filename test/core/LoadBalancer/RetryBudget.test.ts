import { assert, describe, it } from "@effect/vitest"
import { type ConfigInput, LoadBalancer } from "@evenkeel/core"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { answer, failure, fleet, hello, reasonOf, run, sent, service } from "../../support/Balanced.ts"

const tiered = { tiers: { east: 1, west: 2, north: 3 } }

/** No retry is granted but those that are free. */
const broke: ConfigInput["failover"] = { budgetRatio: 0, budgetPerSecond: 0 }

const trio = (failover: ConfigInput["failover"] = broke) =>
  fleet([service("east"), service("west"), service("north")], { ...tiered, failover })

const failing = { kind: "status", status: 500 } as const

const retriesLeft = Effect.map(Effect.flatMap(LoadBalancer, (lb) => lb.snapshot), (snapshot) => snapshot.retriesLeft)

describe("LoadBalancer retry budget", () => {
  it.effect("the first failover of a request is free while half of the deployments are healthy", () =>
    run(trio(), function*(lb, three) {
      three.services["east"]!.fault("gpt-4o", failing)
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(sent(three), { east: 1, west: 1, north: 0 })
    }))

  it.effect("the second failover is paid for, and without budget the error says so", () =>
    run(trio(), function*(lb, three) {
      three.services["east"]!.fault("gpt-4o", failing)
      three.services["west"]!.fault("gpt-4o", failing)
      const error = yield* failure(lb.chat(hello))
      assert.strictEqual(reasonOf(error, "Unavailable").limitedBy, "budget")
      assert.deepStrictEqual(sent(three), { east: 1, west: 1, north: 0 })
    }))

  it.effect("moving away from a throttled deployment is free, however often", () =>
    run(trio(), function*(lb, three) {
      three.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 60_000 })
      three.services["west"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 60_000 })
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(sent(three), { east: 1, west: 1, north: 1 })
    }))

  it.effect("no failover is free while less than half of the deployments are healthy", () => {
    const tiers = { south: 1, centre: 2, east: 3, west: 4, north: 5 }
    const five = fleet(Object.keys(tiers).map((name) => service(name)), { failover: broke, tiers })
    return run(five, function*(lb, _, { members }) {
      for (const name of ["east", "west", "north"]) {
        yield* members.observe(`${name}/gpt-4o`, { health: "failing" })
      }
      five.services["south"]!.fault("gpt-4o", failing)
      const error = yield* failure(lb.chat(hello))
      assert.strictEqual(reasonOf(error, "Unavailable").limitedBy, "budget")
      assert.strictEqual(five.sends.length, 1)
      // with three of five, it is
      yield* members.observe("east/gpt-4o", { health: "healthy" })
      yield* answer(lb.chat(hello))
      assert.deepInclude(sent(five), { south: 2, centre: 1 })
    })
  })

  it.effect("the same deployment again is always paid for", () =>
    run(fleet([service("east")], { failover: broke }), function*(lb, one) {
      one.services["east"]!.fault("gpt-4o", { ...failing, times: 1 })
      assert.strictEqual(reasonOf(yield* failure(lb.chat(hello)), "Unavailable").limitedBy, "budget")
      assert.strictEqual(one.sends.length, 1)
    }))

  it.effect("an outage is not multiplied: retries stay within a fifth of the requests and one a second", () => {
    const three = fleet([service("east"), service("west"), service("north")], {
      health: { consecutiveFailures: 1000, successRatio: 0 }
    })
    return run(three, function*(lb) {
      for (const { fault } of Object.values(three.services)) fault("gpt-4o", failing)
      const burst = Effect.forEach(Array.from({ length: 100 }), () => Effect.exit(lb.chat(hello)), {
        concurrency: "unbounded"
      })
      yield* answer(burst)
      // a hundred first attempts, a hundred free first failovers, and at most 20 + 10 paid ones
      assert.isAtMost(three.sends.length, 230)
      assert.isAbove(three.sends.length, 220)
      assert.strictEqual(yield* retriesLeft, 0)
      yield* TestClock.adjust("12 seconds")
      assert.strictEqual(yield* retriesLeft, 10)
    })
  })

  it.effect("waiting for the first deployment is no retry", () =>
    run(fleet([service("east")], { failover: broke }), function*(lb, one) {
      one.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 3000, times: 1 })
      yield* failure(lb.chat(hello))
      yield* answer(lb.chat(hello))
      assert.strictEqual(one.sends.length, 2)
    }))
})
