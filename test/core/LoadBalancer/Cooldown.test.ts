import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  answer,
  failure,
  fleet,
  heard,
  hello,
  reasonOf,
  run,
  sent,
  service,
  settle,
  stateOf,
  statsOf,
  steady
} from "../../support/Balanced.ts"

const throttled = (headers: Record<string, string>): SimulatedFault => ({ kind: "throttle", times: 1, headers })

/** Asks so many times, one after the other, whatever comes of it. */
const askTimes = (times: number) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    for (let i = 0; i < times; i++) yield* settle(lb.chat(hello))
  })

/** East is asked first, west only when east is out. */
const tiered = { tiers: { east: 1, west: 2 } }

describe("LoadBalancer cooldown", () => {
  // virtual time begins at 1970, and the answer comes after 10 ms
  it.effect.each(
    [
      { said: "milliseconds, before seconds", headers: { "retry-after-ms": "1500", "retry-after": "60" }, wait: 1500 },
      { said: "whole seconds", headers: { "retry-after": "7" }, wait: 7000 },
      { said: "a fraction of seconds", headers: { "retry-after": "1.5" }, wait: 1500 },
      { said: "a date", headers: { "retry-after": "Thu, 01 Jan 1970 00:00:20 GMT" }, wait: 19_990 },
      {
        said: "a reset as a duration of Go",
        headers: { "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s" },
        wait: 360_000
      },
      { said: "a reset in seconds", headers: { "x-ratelimit-reset-requests": "42" }, wait: 42_000 },
      { said: "nothing", headers: {}, wait: 10_000 },
      { said: "something unreadable", headers: { "retry-after": "soon", "retry-after-ms": "-5" }, wait: 10_000 },
      { said: "a whole day", headers: { "retry-after": "86400" }, wait: 86_400_000 }
    ]
  )("C1: a deployment cools down for as long as its 429 says: $said", ({ headers, wait }) => {
    const one = fleet([service("east")], { failover: { attempts: 1 } })
    return run(one, function*(lb, _, { events }) {
      one.services["east"]!.fault("gpt-4o", throttled(headers))
      const error = yield* failure(lb.chat(hello))
      assert.deepStrictEqual(heard(events, "CooledDown").map(({ coolFor }) => Math.round(coolFor)), [wait])
      assert.deepInclude(yield* stateOf("east"), { state: "cooling-down" })
      // what a caller is told is when a request may be let in again, which a very long time is probed for
      assert.closeTo(reasonOf(error, "Throttled").retryAfter, Math.min(wait, 300_000), 1)
    })
  })

  it.effect("C1: nothing is sent before the time is over, and the first request after it is", () =>
    run(fleet([service("east")]), function*(lb, one) {
      one.services["east"]!.fault("gpt-4o", throttled({ "retry-after-ms": "5000" }))
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(one.sends.map(({ at }) => at), [0, 5010])
    }))

  it.effect("C1: a wait of a day lets one request in every 300 s to see, and no more", () =>
    run(fleet([service("east"), service("west")], tiered), function*(lb, one) {
      one.services["east"]!.fault("gpt-4o", { kind: "throttle", headers: { "retry-after": "86400" } })
      yield* answer(lb.chat(hello))
      assert.strictEqual(sent(one)["east"], 1)
      yield* TestClock.adjust("299 seconds")
      yield* askTimes(3)
      assert.strictEqual(sent(one)["east"], 1)
      yield* TestClock.adjust("2 seconds")
      yield* answer(
        Effect.forEach(Array.from({ length: 5 }), () => lb.chat(hello), { concurrency: "unbounded" })
      )
      assert.strictEqual(sent(one)["east"], 2)
      yield* TestClock.adjust("290 seconds")
      yield* askTimes(3)
      assert.strictEqual(sent(one)["east"], 2)
      yield* TestClock.adjust("15 seconds")
      yield* askTimes(1)
      assert.strictEqual(sent(one)["east"], 3)
    }))

  it.effect.each(
    [
      { what: "5xx", target: "deployment", fault: { kind: "status", status: 503 } },
      { what: "connection errors", target: "resource", fault: { kind: "refused" } },
      { what: "broken connections", target: "deployment", fault: { kind: "reset" } }
    ] as const
  )("C2: five $what in a row take the $target out for its open time", ({ fault, target }) => {
    const two = fleet([service("east"), service("west")], tiered)
    return run(two, function*(_lb, _on, { events }) {
      two.services["east"]!.fault("gpt-4o", fault)
      yield* askTimes(30)
      const [opened] = heard(events, "BreakerOpened")
      assert.strictEqual(opened?.target, target)
      const { at, openFor } = opened!
      assert.isAtLeast(openFor, 2500)
      assert.isAtMost(openFor, 5000)
      const toEast = two.sends.filter(({ resource }) => resource === "east")
      assert.strictEqual(toEast.filter((send) => send.at <= at).length, 5)
      assert.strictEqual(toEast.filter((send) => send.at > at && send.at < at + openFor).length, 0)
      assert.strictEqual(statsOf(two.services["west"]).finished, 30)
    })
  })

  it.effect("C3: timeouts of a deployment without peers neither cool it down nor open its breaker", () =>
    run(fleet([service("east")], { failover: { attempts: 1 }, timeouts: { firstEvent: 1000 } }), function*(lb, one) {
      one.services["east"]!.fault("gpt-4o", { kind: "hang", times: 6 })
      for (let i = 0; i < 6; i++) {
        const error = yield* failure(Stream.runDrain(lb.chatStream(hello)))
        assert.strictEqual(reasonOf(error, "TimedOut").stage, "first-event")
      }
      assert.deepInclude(yield* stateOf("east"), { state: "healthy" })
      yield* answer(lb.chat(hello))
    }))

  it.effect.each([{ waits: [2000, 20_000] }, { waits: [20_000, 2000] }])(
    "C4: a later, longer wait extends the cooldown, and a shorter one never cuts it: $waits",
    ({ waits }) =>
      run(fleet([service("east")], { failover: { attempts: 1 } }), function*(lb, one) {
        one.services["east"]!.fault("gpt-4o", { kind: "throttle", times: 1, retryAfterMs: waits[0]! })
        const first = yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
        one.services["east"]!.fault("gpt-4o", { kind: "throttle", times: 1, retryAfterMs: waits[1]! })
        yield* TestClock.adjust(5)
        const second = yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
        yield* TestClock.adjust(20)
        yield* Fiber.await(first)
        yield* Fiber.await(second)
        const { opensIn, state } = yield* stateOf("east")
        assert.strictEqual(state, "cooling-down")
        assert.closeTo(opensIn!, 20_000, 30)
      })
  )

  it.effect("C5: a request that is wrong cools nothing down and opens nothing", () =>
    run(fleet([service("east")]), function*(lb, one) {
      for (let i = 0; i < 12; i++) {
        const error = yield* failure(lb.chat({ ...hello, temperature: 9 }))
        assert.strictEqual(reasonOf(error, "Rejected").status, 400)
      }
      assert.deepInclude(yield* stateOf("east"), { state: "healthy" })
      yield* answer(lb.chat(hello))
      assert.strictEqual(sent(one)["east"], 13)
    }))

  it.effect("C7: a throttled deployment does not take the others of its resource with it", () => {
    const one = fleet([{
      name: "east",
      deployments: [
        { name: "gpt-4o", latency: steady },
        { name: "o3", model: "o3", latency: steady },
        { name: "gpt-4o-two", model: "gpt-4o", latency: steady }
      ]
    }])
    return run(one, function*(lb) {
      one.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 60_000 })
      // of two at once, each goes to another
      yield* answer(Effect.all([lb.chat(hello), lb.chat(hello)], { concurrency: 2 }))
      for (let i = 0; i < 3; i++) yield* answer(lb.chat(hello))
      yield* answer(lb.chat({ ...hello, model: "o3" }))
      assert.strictEqual((yield* stateOf("east/gpt-4o")).state, "cooling-down")
      assert.strictEqual((yield* stateOf("east/o3")).state, "healthy")
      assert.strictEqual((yield* stateOf("east/gpt-4o-two")).totals.succeeded, 5)
      assert.strictEqual(statsOf(one.services["east"], "gpt-4o").requests, 1)
    })
  })

  it.effect.each(
    [
      { outcomes: "F", state: "healthy" },
      { outcomes: "FFFF", state: "healthy" },
      { outcomes: "FFFFF", state: "open" },
      { outcomes: "SSSSF", state: "healthy" },
      { outcomes: "SSSSSSSSFF", state: "healthy" },
      { outcomes: "SSSSSSSFFF", state: "open" },
      { outcomes: "SSSSFF", state: "open" }
    ]
  )(
    "C8: one failure is no rule, five of five or less than 80 % of at least five is: $outcomes",
    ({ outcomes, state }) =>
      run(fleet([service("east")], { failover: { attempts: 1 } }), function*(lb, one) {
        for (const outcome of outcomes) {
          if (outcome === "F") one.services["east"]!.fault("gpt-4o", { kind: "status", status: 500, times: 1 })
          yield* settle(lb.chat(hello))
        }
        assert.strictEqual((yield* stateOf("east")).state, state)
      })
  )

  it.effect("C9: after its open time a breaker admits one probe, however many ask at once", () =>
    run(fleet([service("east"), service("west")], tiered), function*(lb, two) {
      two.services["east"]!.fault("gpt-4o", { kind: "status", status: 500, times: 5 })
      yield* askTimes(5)
      yield* TestClock.adjust("5 seconds")
      const burst = Effect.forEach(Array.from({ length: 10 }), () => lb.chat(hello), { concurrency: "unbounded" })
      yield* answer(burst)
      assert.strictEqual(sent(two)["east"], 6)
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
    }))

  it.effect("C9: a probe that was interrupted frees its slot for the next", () =>
    run(fleet([service("east"), service("west")], tiered), function*(lb, two) {
      two.services["east"]!.fault("gpt-4o", { kind: "status", status: 500, times: 5 })
      yield* askTimes(5)
      yield* TestClock.adjust("5 seconds")
      const probe = yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
      yield* TestClock.adjust(20)
      assert.strictEqual(sent(two)["east"], 6)
      yield* answer(lb.chat(hello))
      assert.strictEqual(sent(two)["east"], 6)
      yield* Fiber.interrupt(probe)
      const { inFlight } = yield* stateOf("east")
      assert.strictEqual(inFlight, 0)
      yield* answer(lb.chat(hello))
      assert.strictEqual(sent(two)["east"], 7)
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
    }))
})
