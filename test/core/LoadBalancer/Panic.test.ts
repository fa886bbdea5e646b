import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import { answer, failure, fleet, hello, reasonOf, run, sent, service, settle, stateOf } from "../../support/Balanced.ts"

/** East is asked first, west only when east is out. */
const tiered = { tiers: { east: 1, west: 2 } }

const failing = { kind: "status", status: 500 } as const

const pair = () => fleet([service("east"), service("west")], tiered)

/** Fails five requests in a row at east, which opens its breaker, and waits until it may be probed. */
const open = (two: ReturnType<typeof fleet>) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    two.services["east"]!.fault("gpt-4o", { ...failing, times: 5 })
    for (let i = 0; i < 5; i++) yield* answer(lb.chat(hello))
    assert.strictEqual((yield* stateOf("east")).state, "open")
    yield* TestClock.adjust("5 seconds")
  })

describe("LoadBalancer panic", () => {
  it.effect("with one failing and one told to wait for long, the failing one is tried", () =>
    run(pair(), function*(lb, two, { members }) {
      yield* members.observe("east/gpt-4o", { health: "failing" })
      yield* members.observe("west/gpt-4o", { cooldownFor: 60_000 })
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(sent(two), { east: 1, west: 0 })
    }))

  it.effect("with one failing and one told to wait for a moment, the moment is waited for", () =>
    run(pair(), function*(lb, two, { members }) {
      yield* members.observe("east/gpt-4o", { health: "failing" })
      yield* members.observe("west/gpt-4o", { cooldownFor: 1000 })
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(two.sends.map(({ at, resource }) => [resource, at]), [["west", 1000]])
    }))

  it.effect("a time set by the service stands where a failing deployment is still left to ask", () =>
    run(pair(), function*(lb, two, { members }) {
      yield* members.observe("east/gpt-4o", { health: "failing" })
      yield* answer(lb.chat(hello))
      two.services["west"]!.fault("gpt-4o", { kind: "status", status: 429, headers: { "retry-after": "60" }, times: 1 })
      // too short to wait until east may be probed
      for (let i = 0; i < 4; i++) {
        yield* answer(lb.chat(hello, { timeout: "2 seconds" }))
        yield* members.observe("east/gpt-4o", { health: "failing" })
        yield* TestClock.adjust("1 second")
      }
      assert.deepStrictEqual(sent(two), { east: 4, west: 2 })
    }))

  it.effect("a time set by the service is not broken in panic either", () =>
    run(pair(), function*(lb, two, { members }) {
      for (const name of ["east", "west"]) {
        yield* members.observe(`${name}/gpt-4o`, { health: "failing", cooldownFor: 60_000 })
      }
      const error = yield* failure(lb.chat(hello))
      assert.closeTo(reasonOf(error, "Throttled").retryAfter, 60_000, 10)
      assert.strictEqual(two.sends.length, 0)
    }))

  it.effect("what comes back during an outage is used at once", () =>
    run(pair(), function*(lb, two) {
      for (const { fault } of Object.values(two.services)) fault("gpt-4o", { kind: "refused" })
      for (let i = 0; i < 6; i++) yield* settle(lb.chat(hello))
      for (const { clear } of Object.values(two.services)) clear()
      for (let i = 0; i < 5; i++) yield* answer(lb.chat(hello))
    }))

  it.effect("while the only probe is out and the other one is told to wait for long, a request does not spin", () => {
    const two = pair()
    let reads = 0
    const test = run(two, function*(lb, _, { members }) {
      yield* open(two)
      yield* members.observe("west/gpt-4o", { cooldownFor: 60_000 })
      two.services["east"]!.fault("gpt-4o", { kind: "slow", factor: 100, times: 1 })
      yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
      yield* TestClock.adjust(100)
      assert.strictEqual((yield* stateOf("east")).state, "half-open")
      reads = 0
      yield* settle(lb.chat(hello), { limit: 15_000 })
      assert.isBelow(reads, 2000)
    })
    return Effect.gen(function*() {
      const clock = yield* Clock.Clock
      const counting: Clock.Clock = {
        ...clock,
        monotonicTimeNanosUnsafe: () => {
          reads++
          return clock.monotonicTimeNanosUnsafe()
        }
      }
      yield* Effect.provideService(test, Clock.Clock, counting)
    })
  })
})
