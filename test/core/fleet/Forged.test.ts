import { quotaKey } from "#core/fleet/FleetKeys"
import type { Heard, Mark, Said } from "#core/fleet/FleetStore"
import { StoreState } from "#core/fleet/StoreState"
import { assert, describe, it } from "@effect/vitest"
import { FleetStore } from "@evenkeel/core"
import { Clock, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { answer, fleet, heard, hello, run, sent, service, settle, stateOf } from "../../support/Balanced.ts"
import { failUntilOpen } from "../../support/Parts.ts"
import { Rig } from "./Rig.ts"

/** A store that adds to what is true. */
const forging = (forge: (heard: Heard, said: Said) => Heard) => {
  const state = new StoreState()
  return Layer.succeed(FleetStore, {
    exchange: (said: Said) => Effect.map(Clock.currentTimeMillis, (now) => forge(state.exchange(said, now), said))
  })
}

const everything = (kind: Mark["kind"]) => (heard: Heard, { quotas }: Said): Heard => ({
  ...heard,
  marks: quotas.flatMap(({ key }) =>
    [key, key.slice(0, key.lastIndexOf("/"))].map((key) => ({ kind, key, for: 80_000_000 + heard.now % 1e6, age: 0 }))
  )
})

const inUse = (heard: Heard): Heard => ({
  ...heard,
  quotas: heard.quotas.map((quota) => ({ ...quota, tokens: 1e9, requests: 1e6, slice: 1e6 }))
})

const services = [service("a", { tpm: 60_000 }), service("b", { tpm: 60_000 })]

describe("a fleet's word that is forged", () => {
  for (
    const [what, forge] of [
      ["all are to be left alone for a day", everything("cooldown")],
      ["all do not exist", everything("missing")],
      ["all are failing", everything("open")],
      ["all quotas are in use", inUse]
    ] as const
  ) {
    it.effect(`does not stop traffic: ${what}`, () =>
      run(fleet(services, {}, { fleet: forging(forge) }), function*(lb) {
        yield* TestClock.adjust(3000)
        let answered = 0
        for (let i = 0; i < 20; i++) {
          const exit = yield* settle(lb.chat(hello))
          if (exit._tag === "Success") answered++
          yield* TestClock.adjust(1000)
        }
        assert.isAtLeast(answered, 18)
      }))
  }

  it.effect("is obeyed no longer than the cap of such times, and makes nobody less careful", () => {
    const forged = fleet(services, { health: { maxCooldown: "1 minute" } }, {
      fleet: forging((heard, { quotas }) => ({
        ...heard,
        marks: quotas.filter(({ key }) => key.startsWith("a.")).map(({ key }) => ({
          kind: "cooldown",
          key,
          for: 80_000_000,
          age: 0
        }))
      }))
    })
    return run(forged, function*() {
      yield* TestClock.adjust(3000)
      const states = [yield* stateOf("a"), yield* stateOf("b")].filter(({ state }) => state === "cooling-down")
      assert.strictEqual(states.length, 1)
      assert.isAtMost(states[0]!.opensIn!, 60_000)
      assert.strictEqual(states[0]!.reason, "told by the fleet")
    })
  })

  it.effect("is named where it refuses", () => {
    const forged = fleet([service("a", { tpm: 60_000 }), service("b", { tpm: 60_000 })], {}, {
      fleet: forging((heard, said) => said.quotas.some(({ key }) => key.startsWith("a.")) ? inUse(heard) : heard)
    })
    return run(forged, function*(lb) {
      yield* TestClock.adjust(3000)
      const explanation = yield* lb.explain(hello)
      assert.deepStrictEqual(explanation.deployments.map(({ isFleetWord, refusal }) => [refusal, isFleetWord]), [
        ["over-quota", true],
        ["over-quota", true]
      ])
      assert.include(String(explanation), "over-quota, by the fleet's word")
    })
  })

  it.effect("that says nothing is used takes nothing from what a member knows itself", () => {
    const forged = fleet([service("a", { tpm: 1000 })], {}, {
      fleet: forging((heard) => ({
        ...heard,
        quotas: heard.quotas.map((quota) => ({
          ...quota,
          tokens: 0,
          share: 1e-9,
          granted: { tokens: 1e9, requests: 1e9 }
        }))
      }))
    })
    return run(forged, function*(lb) {
      yield* TestClock.adjust(3000)
      for (let i = 0; i < 5; i++) yield* settle(lb.chat({ ...hello, max_completion_tokens: 400 }))
      assert.isAtMost(sent(forged)["a"]!, 2)
    })
  })
})

describe("a member", () => {
  it.effect("says so, once, when its store is lost and when it is back", () => {
    const state = new StoreState()
    let isUp = false
    const store = Layer.succeed(FleetStore, {
      exchange: (said: Said) =>
        Effect.flatMap(
          Clock.currentTimeMillis,
          (now) => isUp ? Effect.succeed(state.exchange(said, now)) : Effect.never
        )
    })
    return run(fleet(services, {}, { fleet: store }), function*(lb, _, { events }) {
      yield* TestClock.adjust(60_000)
      assert.strictEqual(heard(events, "FleetLost").length, 1)
      assert.isFalse((yield* lb.snapshot).fleet!.isHeard)
      isUp = true
      yield* TestClock.adjust(20_000)
      assert.strictEqual(heard(events, "FleetJoined").length, 1)
      assert.isAtMost((yield* lb.snapshot).fleet!.heardAgo!, 1500)
      yield* answer(lb.chat(hello))
    })
  })

  it("whose own network is broken takes nobody else's deployments down", () => {
    const rig = new Rig(2, [{}, {}])
    const [broken, well] = rig.members as [Rig["members"][number], Rig["members"][number]]
    rig.exchangeAll(2)
    for (const deployment of broken.deployments) {
      failUntilOpen(deployment, rig.now)
      const { id: name } = deployment
      broken.tidings.notice(
        { _tag: "BreakerOpened", at: 0, target: "deployment", name, reason: "connect", openFor: 5000 },
        rig.now
      )
    }
    rig.exchangeAll(3)
    assert.isTrue(well.deployments.every(({ breaker }) => breaker.isClosed))
  })

  it("opens for failures in a row that none of the members saw all of, and not where it was answered since", () => {
    const rig = new Rig(6, [{}, {}])
    rig.exchangeAll(2)
    const [first, ...others] = rig.members
    for (const { deployments: [failing, well] } of rig.members) well!.lastSuccessAt = failing!.lastSuccessAt = rig.now
    rig.now += 100
    for (const { deployments: [failing, well] } of others) {
      failing!.breaker.fail(0, rig.now, 0.5, "http 500")
      well!.lastSuccessAt = rig.now
    }
    rig.exchangeAll(1)
    rig.now += 100
    // it alone is answered
    first!.deployments[0]!.lastSuccessAt = rig.now + 1
    rig.exchange(1)
    assert.isFalse(others[0]!.deployments[0]!.breaker.isClosed)
    rig.exchange(0)
    assert.isTrue(first!.deployments[0]!.breaker.isClosed)
    assert.isTrue(others[0]!.deployments[1]!.breaker.isClosed)
  })

  it("knows a quota by where it is, and not by what the configuration calls it", () => {
    const rig = new Rig(1, [{ name: "one" }])
    assert.strictEqual(quotaKey(rig.members[0]!.deployments[0]!), "127.0.0.1:1/v1#one/gpt")
  })
})
