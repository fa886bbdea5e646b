import { assert, describe, it } from "@effect/vitest"
import type { LoadBalancer } from "@evenkeel/core"
import { Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { answer, failure, fleet, hello, reasonOf, run, sent, service, settle, stateOf } from "../../support/Balanced.ts"

/** East is asked first, west only when east is out. */
const tiered = { tiers: { east: 1, west: 2 } }

const streamed = (lb: LoadBalancer["Service"]) => Stream.runDrain(lb.chatStream(hello))

describe("LoadBalancer timeouts and health", () => {
  it.effect("timeouts count while peers are well: a silent deployment is taken out", () => {
    const two = fleet([service("east"), service("west")], { ...tiered, timeouts: { firstEvent: "2 seconds" } })
    return run(two, function*(lb) {
      two.services["east"]!.fault("gpt-4o", { kind: "hang" })
      // the first timeout comes before any peer has proved well, so it does not count
      yield* answer(streamed(lb))
      yield* answer(Effect.all(Array.from({ length: 5 }, () => streamed(lb)), { concurrency: "unbounded" }))
      assert.deepStrictEqual(sent(two), { east: 6, west: 6 })
      assert.strictEqual((yield* stateOf("east")).state, "open")
    })
  })

  it.effect("a slow-down of all of them trips nobody", () => {
    const three = fleet([service("east"), service("west"), service("north")], {
      timeouts: { firstEvent: "10 seconds" }
    })
    return run(three, function*(lb) {
      for (let i = 0; i < 10; i++) yield* answer(streamed(lb))
      yield* TestClock.adjust("31 seconds")
      for (const { fault } of Object.values(three.services)) fault("gpt-4o", { kind: "slow", factor: 1000 })
      for (let i = 0; i < 20; i++) {
        reasonOf(yield* failure(streamed(lb)), "TimedOut")
      }
      for (const name of ["east", "west", "north"]) {
        const { latency, state } = yield* stateOf(name)
        assert.strictEqual(state, "healthy")
        assert.isAbove(latency, 2)
      }
    })
  })

  it.effect("an attempt that the request's own deadline cut is abandoned, and counts for nobody", () =>
    run(fleet([service("east"), service("west")], tiered), function*(lb, two) {
      // a peer that is well, so that timeouts would count
      two.services["east"]!.fault("gpt-4o", { kind: "status", status: 500, times: 1 })
      yield* answer(streamed(lb))
      two.services["east"]!.fault("gpt-4o", { kind: "hang" })
      const cut = Effect.flip(Stream.runDrain(lb.chatStream(hello, { timeout: "1 second" })))
      const errors = yield* answer(Effect.all(Array.from({ length: 10 }, () => cut), { concurrency: "unbounded" }))
      for (const error of errors) assert.strictEqual(reasonOf(error, "TimedOut").stage, "total")
      assert.deepInclude((yield* stateOf("east")).totals, { failed: 1, abandoned: 10 })
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
    }))

  it.effect("impatient callers do not hide a hang: far past its peers, an abandoned wait counts", () =>
    run(fleet([service("east"), service("west")], tiered), function*(lb, two) {
      for (let i = 0; i < 25; i++) yield* answer(streamed(lb))
      two.services["east"]!.fault("gpt-4o", { kind: "status", status: 500, times: 1 })
      yield* answer(streamed(lb))
      assert.deepStrictEqual(sent(two), { east: 26, west: 1 })
      yield* answer(streamed(lb))
      // nobody waits for longer than 3 s, thirty times of what is usual
      two.services["east"]!.fault("gpt-4o", { kind: "hang" })
      const asking = Array.from({ length: 5 }, () => Effect.exit(Effect.timeout(streamed(lb), "3 seconds")))
      yield* answer(Effect.all(asking, { concurrency: "unbounded" }))
      const { reason, state } = yield* stateOf("east")
      assert.strictEqual(state, "open")
      assert.strictEqual(reason, "hang")
    }))

  it.effect("callers that leave early harm nobody", () =>
    run(fleet([service("east"), service("west")], tiered), function*(lb) {
      for (let i = 0; i < 25; i++) yield* answer(streamed(lb))
      for (let i = 0; i < 20; i++) yield* settle(Effect.timeout(streamed(lb), 60))
      const { latency, state, totals } = yield* stateOf("east")
      assert.strictEqual(state, "healthy")
      assert.strictEqual(totals.abandoned, 20)
      assert.closeTo(latency, 1, 0.2)
    }))
})
