import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Clock, Effect, Exit, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  answer,
  fleet,
  type FleetConfig,
  heard,
  hello,
  listen,
  run,
  sent,
  service,
  stateOf
} from "../../support/Balanced.ts"

const names = ["east", "west"]

const two = (config: FleetConfig = {}) => fleet(names.map((name) => service(name)), config)

const stream = (options: Parameters<LoadBalancer["Service"]["chatStream"]>[1] = {}) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    const chunks = yield* answer(Stream.runCollect(lb.chatStream(hello, options)))
    return [...chunks].map(({ choices }) => choices[0]?.delta.content ?? "").join("")
  })

/** So much traffic that it is known what is usual. */
const learn = Effect.replicateEffect(stream(), 40)

const nothingInFlight = Effect.gen(function*() {
  for (const name of names) {
    const { inFlight, waiting } = yield* stateOf(name)
    assert.deepStrictEqual({ name, inFlight, waiting }, { name, inFlight: 0, waiting: 0 })
  }
})

describe("a hedged stream", () => {
  it.effect("whose first token is late is answered by another deployment, and the late one is given up", () =>
    run(two(), function*(_, fleet) {
      yield* learn
      const events = yield* listen
      for (const name of names) fleet.services[name]!.fault("*", { kind: "hang", times: 1 })
      // whichever is asked first hangs once, and so may the other: then it is not hedged again
      fleet.services["west"]!.clear()
      const began = yield* Clock.currentTimeMillis
      for (let i = 0; i < 6; i++) assert.match(yield* stream({ hedge: true }), /^I am (?:east|west)\.$/)
      assert.isAtMost((yield* Clock.currentTimeMillis) - began, 6 * 500)
      assert.deepStrictEqual(heard(events, "Hedged").map(({ deployment }) => deployment), ["east/gpt-4o"])
      yield* nothingInFlight
      assert.strictEqual((yield* stateOf("east")).totals.abandoned, 1)
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
    }))

  it.effect("costs both deployments their quota, since the service counts both", () =>
    run(two(), function*(_, fleet) {
      yield* learn
      // what was learned from is forgotten by both ledgers
      yield* TestClock.adjust("2 minutes")
      for (const name of names) fleet.services[name]!.fault("*", { kind: "slow", factor: 20, times: 1 })
      yield* stream({ hedge: true })
      const used = yield* Effect.forEach(names, (name) => Effect.map(stateOf(name), ({ tokens }) => tokens.used))
      assert.strictEqual(fleet.sends.length, 42)
      assert.strictEqual(used[0], used[1])
      assert.isAbove(used[0]!, 0)
      yield* nothingInFlight
    }))

  it.effect("is not hedged unless it is asked for", () =>
    run(two(), function*(lb, fleet) {
      yield* learn
      const events = yield* listen
      for (const name of names) fleet.services[name]!.fault("*", { kind: "slow", factor: 20 })
      const fiber = yield* Effect.forkChild(answer(Stream.runDrain(lb.chatStream(hello))), { startImmediately: true })
      yield* Fiber.join(fiber)
      assert.isEmpty(heard(events, "Hedged"))
    }))

  it.effect("is whole, whichever of both begins, and of one of them alone", () =>
    run(two({ failover: { hedge: true, budgetRatio: 1 } }), function*(_, fleet) {
      yield* learn
      for (const factor of [1.1, 1.5, 2, 3]) {
        for (const name of names) {
          fleet.services[name]!.clear()
          fleet.services[name]!.fault("*", { kind: "slow", factor })
        }
        for (let i = 0; i < 10; i++) assert.match(yield* stream(), /^I am (?:east|west)\.$/)
      }
      yield* nothingInFlight
    }))

  it.effect("draws on the retry budget, and waits where that is spent", () =>
    run(two({ failover: { hedge: true, budgetRatio: 0, budgetPerSecond: 0 } }), function*(_, fleet) {
      yield* learn
      const events = yield* listen
      const before = fleet.sends.length
      for (const name of names) fleet.services[name]!.fault("*", { kind: "slow", factor: 20 })
      yield* stream()
      assert.lengthOf(fleet.sends, before + 1)
      assert.isEmpty(heard(events, "Hedged"))
    }))

  it.effect("fails over as ever when one of both fails, and lists every attempt when both do", () =>
    run(two({ failover: { hedge: true, attempts: 2 } }), function*(_, fleet) {
      yield* learn
      for (const name of names) {
        fleet.services[name]!.fault("*", { kind: "slow", factor: 20 })
        fleet.services[name]!.fault("*", { kind: "cut", afterEvents: 0, ending: "reset" })
      }
      const error = yield* Effect.flip(stream())
      assert.sameMembers(error.attempts.map(({ deployment }) => deployment), names.map((name) => `${name}/gpt-4o`))
      yield* nothingInFlight
    }))

  it.effect("that is interrupted leaves nothing of either attempt", () =>
    run(two({ failover: { hedge: true } }), function*(lb, fleet) {
      yield* learn
      for (const name of names) fleet.services[name]!.fault("*", { kind: "hang" })
      const before = sent(fleet)
      const fiber = yield* Effect.forkChild(Stream.runDrain(lb.chatStream(hello)), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      const after = sent(fleet)
      for (const name of names) assert.strictEqual(after[name]! - before[name]!, 1)
      yield* Fiber.interrupt(fiber)
      yield* nothingInFlight
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      for (const name of names) assert.strictEqual(fleet.services[name]!.stats(0).inFlight, 0)
    }))
})
