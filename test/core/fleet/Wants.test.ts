import type { Heard, Said } from "#core/fleet/FleetStore"
import { StoreState } from "#core/fleet/StoreState"
import { assert, describe, it } from "@effect/vitest"
import { FleetStore } from "@evenkeel/core"
import { Clock, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { fleet, hello, run, service, settle } from "../../support/Balanced.ts"

/** A store that says that others use everything, and notes what it is asked for. */
const full = (wants: Array<ReadonlyArray<number>>) => {
  const state = new StoreState()
  const inUse = { tokens: 1e9, requests: 1e6, slice: 1e6 }
  return Layer.succeed(FleetStore, {
    exchange: (said: Said) =>
      Effect.map(Clock.currentTimeMillis, (now): Heard => {
        if (said.realm === hello.model) wants.push(said.wants)
        const heard = state.exchange({ ...said, wants: [] }, now)
        return { ...heard, quotas: heard.quotas.map((quota) => Object.assign(quota, inUse)) }
      })
  })
}

describe("room", () => {
  it.effect("that the fleet says a pool lacks is told as the fleet's word", () => {
    const two = fleet([service("a", { tpm: 6000 }), service("b", { tpm: 6000 })])
    const deployments = [{ name: "gpt-4o", tpm: 6000, pool: "shared" }]
    const resources = Object.values(two.services).map((one) => Object.assign(one.config(), { deployments }))
    const pooled = fleet([service("a", { tpm: 6000 }), service("b", { tpm: 6000 })], { resources }, { fleet: full([]) })
    return run(pooled, function*(lb) {
      yield* TestClock.adjust(3000)
      const explanation = yield* lb.explain(hello)
      for (const deployment of explanation.deployments) {
        assert.deepInclude(deployment, { refusal: "pool-over-quota", isFleetWord: true })
      }
      assert.include(String(explanation), "by the fleet's word")
    })
  })

  it.effect("is asked of the fleet for what waits, as long as it does, and for no question", () => {
    const wants: Array<ReadonlyArray<number>> = []
    return run(fleet([service("a", { tpm: 6000 })], {}, { fleet: full(wants) }), function*(lb) {
      yield* TestClock.adjust(3000)
      for (let i = 0; i < 20; i++) {
        const { deployments: [a] } = yield* lb.explain(hello)
        assert.deepInclude(a, { refusal: "over-quota", isFleetWord: true })
        yield* TestClock.adjust(100)
      }
      assert.isTrue(wants.length > 1 && wants.every((sizes) => sizes.length === 0))
      wants.length = 0
      const waiting = yield* Effect.forkChild(settle(lb.chat({ ...hello, max_completion_tokens: 500 })))
      yield* TestClock.adjust(5000)
      // an exchange may come between two looks
      const asked = wants.filter((sizes) => sizes.length === 1 && sizes[0]! > 500)
      assert.isAbove(asked.length, wants.length / 2)
      yield* Fiber.interrupt(waiting)
      yield* TestClock.adjust(2000)
      assert.deepStrictEqual(wants.at(-1), [])
    })
  })
})
