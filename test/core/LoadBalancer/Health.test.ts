import { TransportError, type TransportErrorKind } from "#core/transport/Transport"
import { assert, describe, it } from "@effect/vitest"
import { HealthMonitor, LoadBalancer } from "@evenkeel/core"
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
  stateOf,
  steady
} from "../../support/Balanced.ts"

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

/** East and west, whose every send fails while `kind` says so. */
const troubled = (trouble: { kind: TransportErrorKind | undefined }, check: "none" | "models" = "none") =>
  fleet(
    [service("east"), service("west")],
    { ...tiered, health: { check: { kind: check } }, failover: { budgetPerSecond: 100 } },
    { healthMonitor: HealthMonitor.layer },
    ({ send }) => ({
      send: (request) =>
        trouble.kind === undefined ? send(request) : Effect.fail(new TransportError({ kind: trouble.kind, code: "X" }))
    })
  )

const healthy = Effect.gen(function*() {
  const { deployments, resources } = yield* (yield* LoadBalancer).snapshot
  for (const { state } of [...deployments, ...resources]) assert.strictEqual(state, "healthy")
  for (const { inFlight } of deployments) assert.strictEqual(inFlight, 0)
})

describe("what no service is to blame for", () => {
  for (const kind of ["local", "stale"] as const) {
    it.effect(`opens no breaker, of requests or of checks, and says what it is: ${kind}`, () => {
      const trouble: { kind: TransportErrorKind | undefined } = { kind }
      const two = troubled(trouble, "models")
      return run(two, function*(lb) {
        for (let i = 0; i < 8; i++) {
          const error = yield* failure(lb.chat(hello))
          assert.include(String(error), `${kind} (X)`)
        }
        yield* TestClock.adjust("10 minutes")
        yield* healthy
        trouble.kind = undefined
        yield* answer(lb.chat(hello))
      })
    })
  }

  it.effect("decides no probe, and leaves its slot to the next", () => {
    const trouble: { kind: TransportErrorKind | undefined } = { kind: undefined }
    const two = troubled(trouble)
    return run(two, function*() {
      yield* open(two)
      trouble.kind = "local"
      yield* failure((yield* LoadBalancer).chat(hello))
      assert.strictEqual((yield* stateOf("east")).state, "open")
      trouble.kind = undefined
      yield* answer((yield* LoadBalancer).chat(hello))
      yield* healthy
    })
  })
})

describe("LoadBalancer health", () => {
  it.effect("open time doubles with each failed probe, jittered, up to its cap", () =>
    run(pair(), function*(lb, two, { events }) {
      two.services["east"]!.fault("gpt-4o", failing)
      for (let i = 0; i < 5; i++) yield* answer(lb.chat(hello))
      for (let i = 0; i < 9; i++) {
        yield* TestClock.adjust(heard(events, "BreakerOpened").at(-1)!.openFor)
        yield* answer(lb.chat(hello))
      }
      const times = heard(events, "BreakerOpened").map(({ openFor }) => openFor)
      const full = [5, 10, 20, 40, 80, 160, 300, 300, 300, 300].map((seconds) => seconds * 1000)
      assert.strictEqual(times.length, full.length)
      times.forEach((time, i) => assert.isTrue(time >= full[i]! / 2 && time <= full[i]!, `${i}: ${time}`))
      assert.isAbove(new Set(times.map((time, i) => (time / full[i]!).toFixed(3))).size, 5)
      assert.deepStrictEqual(sent(two), { east: 14, west: 14 })
    }))

  it.effect("a probe that succeeds closes the breaker; of a stream, when its content begins", () =>
    run(fleet([service("east", { reply: () => "x".repeat(400) }), service("west")], tiered), function*(lb, two) {
      yield* open(two)
      const probe = yield* Effect.forkChild(Stream.runDrain(lb.chatStream(hello)), { startImmediately: true })
      yield* TestClock.adjust(90)
      assert.strictEqual((yield* stateOf("east")).state, "half-open")
      yield* TestClock.adjust(20)
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
      assert.isUndefined(probe.pollUnsafe())
      yield* Fiber.interrupt(probe)
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
    }))

  it.effect("a probe that is refused closes the breaker too: the deployment is alive", () =>
    run(pair(), function*(lb, two) {
      yield* open(two)
      reasonOf(yield* failure(lb.chat({ ...hello, temperature: 9 })), "Rejected")
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
    }))

  it.effect("a probe that is throttled leaves the breaker open until its cooldown ends, and does not grow it", () =>
    run(pair(), function*(lb, two, { events }) {
      yield* open(two)
      two.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 20_000, times: 1 })
      yield* answer(lb.chat(hello))
      assert.strictEqual((yield* stateOf("east")).state, "open")
      yield* TestClock.adjust("19 seconds")
      yield* answer(lb.chat(hello))
      assert.strictEqual(sent(two)["east"], 6)
      yield* TestClock.adjust("1 second")
      two.services["east"]!.fault("gpt-4o", { ...failing, times: 1 })
      yield* answer(lb.chat(hello))
      assert.strictEqual(sent(two)["east"], 7)
      const [first, second] = heard(events, "BreakerOpened")
      assert.isAtMost(first!.openFor, 5000)
      assert.isAtMost(second!.openFor, 10_000)
      assert.isAtLeast(second!.openFor, 5000)
    }))

  it.effect("one that failed is probed by real traffic and returns, while nobody sees an error", () =>
    run(fleet([service("east"), service("west")]), function*(lb, two) {
      two.services["east"]!.fault("gpt-4o", failing)
      for (let i = 0; i < 150; i++) {
        if (i === 50) two.services["east"]!.clear()
        yield* answer(lb.chat(hello))
        yield* TestClock.adjust("500 millis")
      }
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
      assert.isAbove((yield* stateOf("east")).totals.succeeded, 20)
      // before it was well again, it was asked five times and then probed
      const before = two.sends.filter(({ at, resource }) => resource === "east" && at < 30_000).length
      assert.isAtMost(before, 10)
    }))

  it.effect("after a trip a deployment takes up its share slowly, from a tenth", () =>
    run(pair(), function*(lb, two) {
      assert.strictEqual((yield* stateOf("east")).warmth, 1)
      yield* open(two)
      yield* answer(lb.chat(hello))
      assert.closeTo((yield* stateOf("east")).warmth, 0.1, 0.01)
      yield* TestClock.adjust("15 seconds")
      assert.closeTo((yield* stateOf("east")).warmth, 0.5, 0.01)
      yield* TestClock.adjust("15 seconds")
      assert.strictEqual((yield* stateOf("east")).warmth, 1)
    }))

  it.effect.each([
    { of: 2, names: ["east", "west"] },
    { of: 5, names: ["east", "west", "north", "south", "centre"] }
  ])("slow start is felt: one of $of that has just returned gets little at first", ({ names }) => {
    const several = fleet(names.map((name) => service(name)))
    return run(several, function*(lb, _, { members }) {
      yield* members.observe("east/gpt-4o", { health: "failing" })
      yield* TestClock.adjust("6 seconds")
      yield* members.observe("east/gpt-4o", { health: "healthy" })
      const fair = 100 / names.length
      const ask = Effect.forEach(Array.from({ length: 100 }), () => lb.chat(hello), { concurrency: 20 })
      yield* answer(ask)
      const early = sent(several)["east"]!
      yield* TestClock.adjust("1 minute")
      yield* answer(ask)
      const late = sent(several)["east"]! - early
      assert.isBelow(early, fair / 2)
      assert.isAbove(late, fair / 2)
    })
  })

  it.effect("a cooldown is not followed by a slow start", () =>
    run(pair(), function*(lb, two) {
      two.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 5000, times: 1 })
      yield* answer(lb.chat(hello))
      yield* TestClock.adjust("5 seconds")
      yield* answer(lb.chat(hello))
      assert.strictEqual((yield* stateOf("east")).warmth, 1)
      assert.strictEqual(sent(two)["east"], 2)
    }))

  it.effect("a deployment that is added starts slowly", () => {
    const two = fleet([service("east"), service("west")], { resources: [pair().services["east"]!.config()] })
    return run(two, function*(_lb, _on, { members }) {
      yield* members.add(two.services["west"]!.config())
      assert.strictEqual((yield* stateOf("east")).warmth, 1)
      assert.closeTo((yield* stateOf("west")).warmth, 0.1, 0.01)
    })
  })

  it.effect("failures of the connection take out every deployment of the resource", () => {
    const models = [{ name: "gpt-4o", latency: steady }, { name: "o3", latency: steady }]
    const two = fleet([{ name: "east", deployments: models }, { name: "west", deployments: models }], tiered)
    return run(two, function*(lb) {
      two.services["east"]!.fault("*", { kind: "refused", because: "dns" })
      for (let i = 0; i < 5; i++) yield* answer(lb.chat(hello))
      yield* answer(lb.chat({ ...hello, model: "o3" }))
      assert.strictEqual(sent(two)["east"], 5)
      assert.strictEqual((yield* stateOf("east/o3")).state, "open")
      assert.deepInclude((yield* stateOf("east/gpt-4o")).totals, { failed: 5 })
      two.services["east"]!.clear()
      yield* TestClock.adjust("5 seconds")
      // one probe, by whichever of its deployments is asked first, brings both back
      yield* answer(lb.chat({ ...hello, model: "o3" }))
      assert.strictEqual((yield* stateOf("east/gpt-4o")).state, "healthy")
      yield* answer(lb.chat(hello))
      assert.strictEqual(sent(two)["east"], 7)
    })
  })
})
