import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { answer, type Fleet, fleet, heard, hello, run, sent, service, stateOf, steady } from "../../support/Balanced.ts"

const names = ["east", "west", "north", "south", "centre"]

const quintet = () => names.map((name) => service(name))

/** Asks within a session, and says which resource answered. */
const ask = (one: Fleet, session: string, params: object = {}) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    yield* answer(lb.chat({ ...hello, ...params }, { session }))
    return one.sends.at(-1)!.resource
  })

describe("LoadBalancer affinity", () => {
  it.effect("F1: requests of one session go to one deployment", () =>
    run(fleet(quintet()), function*(_, five) {
      for (let i = 0; i < 20; i++) yield* ask(five, "user-1")
      assert.deepStrictEqual(Object.values(sent(five)).toSorted(), [0, 0, 0, 0, 20])
    }))

  it.effect("F1: every process finds the same home without talking, whatever its luck", () =>
    Effect.gen(function*() {
      const sessions = Array.from({ length: 20 }, (_, i) => `user-${i}`)
      const homes = (seed: number) => {
        const five = fleet(quintet())
        return run(five, Effect.forEach(sessions, (session) => ask(five, session)), seed)
      }
      const [first, second] = [yield* homes(1), yield* homes(2)]
      assert.deepStrictEqual(first, second)
      assert.isAtLeast(new Set(first).size, 3)
    }))

  it.effect("F1: a session is the caller's option, else the prompt's cache key", () =>
    run(fleet(quintet()), function*(lb, five) {
      const homeOfA = yield* ask(five, "user-a")
      const homeOfC = yield* ask(five, "user-c")
      assert.notStrictEqual(homeOfA, homeOfC)
      yield* answer(lb.chat({ ...hello, prompt_cache_key: "user-a" }))
      assert.strictEqual(five.sends.at(-1)!.resource, homeOfA)
      assert.strictEqual(yield* ask(five, "user-c", { prompt_cache_key: "user-a" }), homeOfC)
    }))

  it.effect("F2: a session whose home fails moves, and stays where its cache is warm now", () =>
    run(fleet(quintet()), function*(_, five, { events }) {
      const home = yield* ask(five, "user-1")
      five.services[home]!.fault("gpt-4o", { kind: "status", status: 500, times: 1 })
      const other = yield* ask(five, "user-1")
      assert.notStrictEqual(other, home)
      for (let i = 0; i < 10; i++) assert.strictEqual(yield* ask(five, "user-1"), other)
      assert.deepStrictEqual(
        heard(events, "SessionMoved").map(({ from, session, to }) => [session, from, to]),
        [["user-1", `${home}/gpt-4o`, `${other}/gpt-4o`]]
      )
    }))

  it.effect("F3: five sessions of twenty requests each: every deployment has a multiple of twenty", () =>
    run(fleet(quintet()), function*(_, five) {
      for (let i = 0; i < 100; i++) yield* ask(five, `user-${i % 5}`)
      for (const count of Object.values(sent(five))) assert.strictEqual(count % 20, 0)
    }))

  it.effect("F4: a removed deployment gets no request of its sessions, also not when it is added again elsewhere", () =>
    run(fleet(quintet()), function*(_, five, { members }) {
      const home = yield* ask(five, "user-1")
      assert.isTrue(yield* members.remove(`${home}/gpt-4o`))
      const other = yield* ask(five, "user-1")
      assert.notStrictEqual(other, home)
      yield* members.add(five.services[home]!.config())
      // its cache is warm at the other one now
      assert.strictEqual(yield* ask(five, "user-1"), other)
    }))

  it.effect("F4: a request that ends at a draining deployment leaves no memory of it", () =>
    run(fleet(quintet()), function*(lb, five, { members }) {
      const fiber = yield* Effect.forkChild(lb.chat(hello, { session: "user-1" }), { startImmediately: true })
      const home = five.sends[0]!.resource
      yield* members.drain(`${home}/gpt-4o`)
      yield* answer(Fiber.join(fiber))
      assert.strictEqual((yield* lb.snapshot).sessions, 0)
      assert.notStrictEqual(yield* ask(five, "user-1"), home)
    }))

  it.effect("F5: a deployment that this request has tried is not taken again for its session's sake", () =>
    run(fleet(quintet(), { failover: { attempts: 5 } }), function*(_, five) {
      const home = yield* ask(five, "user-1")
      five.services[home]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 0, times: 1 })
      for (const name of names.filter((name) => name !== home).slice(0, 2)) {
        five.services[name]!.fault("gpt-4o", { kind: "status", status: 500, times: 1 })
      }
      yield* ask(five, "user-1")
      const route = five.sends.slice(1).map(({ resource }) => resource)
      assert.strictEqual(route[0], home)
      assert.strictEqual(new Set(route).size, route.length)
    }))

  it.effect("F6: only so many sessions are remembered, the longest unused forgotten first", () =>
    run(fleet(quintet(), { session: { capacity: 3 } }), function*(lb, five) {
      const home = yield* ask(five, "displaced")
      five.services[home]!.fault("gpt-4o", { kind: "status", status: 500, times: 1 })
      const other = yield* ask(five, "displaced")
      for (const session of ["a", "b"]) yield* ask(five, session)
      assert.strictEqual(yield* ask(five, "displaced"), other)
      for (const session of ["c", "d", "e"]) yield* ask(five, session)
      assert.strictEqual((yield* lb.snapshot).sessions, 3)
      // forgotten, it goes home
      assert.strictEqual(yield* ask(five, "displaced"), home)
    }))

  it.effect("F6: a session that was silent for a cache's life goes home", () =>
    run(fleet(quintet(), { session: { idle: "5 minutes" } }), function*(_, five) {
      const home = yield* ask(five, "user-1")
      five.services[home]!.fault("gpt-4o", { kind: "status", status: 500, times: 1 })
      const other = yield* ask(five, "user-1")
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual(yield* ask(five, "user-1"), other)
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual(yield* ask(five, "user-1"), other)
      yield* TestClock.adjust("6 minutes")
      assert.strictEqual(yield* ask(five, "user-1"), home)
    }))

  it.effect("F7: a session has a place for each model: moving one does not move the other", () => {
    const deployments = [{ name: "gpt-4o", latency: steady }, { name: "o3", latency: steady }]
    const five = fleet(names.map((name) => ({ name, deployments })))
    return run(five, function*() {
      const home = yield* ask(five, "user-1")
      const homeOfO3 = yield* ask(five, "user-1", { model: "o3" })
      five.services[home]!.fault("gpt-4o", { kind: "status", status: 500, times: 1 })
      const other = yield* ask(five, "user-1")
      assert.notStrictEqual(other, home)
      for (let i = 0; i < 3; i++) {
        assert.strictEqual(yield* ask(five, "user-1", { model: "o3" }), homeOfO3)
        assert.strictEqual(yield* ask(five, "user-1"), other)
      }
    })
  })

  it.effect("a home above its load bound sends its session to the next, and no further", () =>
    run(fleet(names.map((name) => service(name, { tpm: 10_000 }))), function*(_, five) {
      const big = { max_completion_tokens: 3200 }
      const home = yield* ask(five, "user-1", big)
      assert.strictEqual(yield* ask(five, "user-1", big), home)
      const { utilisation } = yield* stateOf(home)
      assert.isAbove(utilisation, 0.6)
      const next = yield* ask(five, "user-1", big)
      assert.notStrictEqual(next, home)
      assert.strictEqual(yield* ask(five, "user-1", big), next)
    }))

  it.effect("a session leaves a worse tier once its home is well again", () =>
    run(fleet([service("east"), service("west")], { tiers: { east: 1, west: 2 } }), function*(_, two) {
      assert.strictEqual(yield* ask(two, "user-1"), "east")
      two.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 5000, times: 1 })
      assert.strictEqual(yield* ask(two, "user-1"), "west")
      assert.strictEqual(yield* ask(two, "user-1"), "west")
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* ask(two, "user-1"), "east")
    }))

  it.effect("an older attempt that answers later does not move its session back", () =>
    run(fleet(quintet()), function*(lb, five) {
      const home = yield* ask(five, "user-1")
      five.services[home]!.fault("gpt-4o", { kind: "slow", factor: 100, times: 1 })
      const older = yield* Effect.forkChild(lb.chat(hello, { session: "user-1" }), { startImmediately: true })
      five.services[home]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 2000, times: 1 })
      const other = yield* ask(five, "user-1")
      assert.notStrictEqual(other, home)
      yield* TestClock.adjust("20 seconds")
      yield* Fiber.join(older)
      assert.strictEqual(yield* ask(five, "user-1"), other)
    }))
})
