import { assert, describe, it } from "@effect/vitest"
import { type ConfigInput, decodeConfig, Deployments, HealthMonitor, LoadBalancer } from "@evenkeel/core"
import { Effect, Fiber, Layer, Random, Result, Scope } from "effect"
import { TestClock } from "effect/testing"
import { answer, type Fleet, fleet, heard, hello, run, type Send, service, stateOf } from "../../support/Balanced.ts"

type Check = NonNullable<ConfigInput["health"]>["check"]

const monitored = (services: ReadonlyArray<Parameters<typeof fleet>[0][number]>, check: Check = {}, health = {}) =>
  fleet(services, { health: { ...health, check } }, { healthMonitor: HealthMonitor.layer })

/** The monitor and the live set, without a balancer; its own rounds are an hour apart. */
const monitor = (one: Fleet) =>
  Layer.unwrap(Effect.sync(() => {
    const resources = Object.values(one.services).map((service) => service.config())
    const settings = Result.getOrThrow(decodeConfig({ resources, health: { check: { interval: "1 hour" } } }))
    return HealthMonitor.layer.pipe(Layer.provideMerge(Deployments.layer(settings)), Layer.provide(one.transport))
  }))

const checks = (one: Fleet): ReadonlyArray<Send> => one.sends.filter(({ request }) => request.method === "GET")

const completions = (one: Fleet): ReadonlyArray<Send> =>
  one.sends.filter(({ request }) => String(request.body).includes("\"max_completion_tokens\":1}"))

const stateOfResource = (name: string) =>
  Effect.map(
    Effect.flatMap(LoadBalancer, (lb) => lb.snapshot),
    ({ resources }) => resources.find((resource) => resource.name === name)!.state
  )

describe("HealthMonitor", () => {
  it.effect("asks an idle resource for its models on a jittered interval, with its own key", () =>
    run(monitored([service("east")]), function*(_, one) {
      yield* TestClock.adjust("5 minutes")
      const times = checks(one).map(({ at }) => at)
      const gaps = times.map((at, i) => at - (times[i - 1] ?? 0))
      assert.isAtLeast(times.length, 8)
      for (const gap of gaps) assert.isTrue(gap >= 22_500 && gap <= 37_500 + 100, String(gap))
      assert.isAbove(new Set(gaps).size, 5)
      assert.strictEqual(one.sends[0]!.request.path, "/openai/v1/models")
      assert.deepStrictEqual(one.services["east"]!.stats(0).credentials, ["east-key"])
    }))

  it.effect("asks nothing of a resource that has just answered a request", () =>
    run(monitored([service("east"), service("west")], { interval: "10 seconds" }), function*(lb, two) {
      for (let i = 0; i < 60; i++) {
        yield* answer(lb.chat(hello))
        yield* TestClock.adjust("1 second")
      }
      const asked = new Set(
        two.sends.filter(({ request }) => request.method === "POST").map(({ resource }) => resource)
      )
      for (const { resource } of checks(two)) {
        // whatever was checked had been silent for an interval
        assert.isTrue(asked.size === 1 ? !asked.has(resource) : true, resource)
      }
      assert.isAtMost(checks(two).length, 6)
    }))

  it.effect("takes a resource out that nobody asked, and brings it back, without touching its deployments", () =>
    run(monitored([service("east")], { interval: "10 seconds" }), function*(_, one, { events }) {
      one.services["east"]!.fault("*", { kind: "refused" })
      yield* TestClock.adjust("80 seconds")
      assert.strictEqual(yield* stateOfResource("east"), "open")
      one.services["east"]!.clear()
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual(yield* stateOfResource("east"), "healthy")
      assert.deepStrictEqual(heard(events, "BreakerClosed").map(({ name, target }) => [target, name]), [
        ["resource", "east"]
      ])
      assert.isTrue(heard(events, "BreakerOpened").every(({ target }) => target === "resource"))
      assert.strictEqual((yield* stateOf("east")).totals.attempts, 0)
    }))

  it.effect("a free check never closes a deployment's breaker", () =>
    run(monitored([service("east"), service("west")], { interval: "10 seconds" }), function*(lb, one) {
      one.services["east"]!.fault("gpt-4o", { kind: "status", status: 500 })
      for (let i = 0; i < 30; i++) yield* answer(lb.chat(hello))
      assert.strictEqual((yield* stateOf("east")).state, "open")
      yield* TestClock.adjust("2 minutes")
      assert.isAbove(checks(one).filter(({ resource }) => resource === "east").length, 3)
      assert.strictEqual((yield* stateOf("east")).state, "open")
    }))

  it.effect("a check that hangs ends after its time and counts as a failure", () =>
    run(monitored([service("east")], { interval: "5 seconds", timeout: "2 seconds" }), function*(_, one) {
      one.services["east"]!.fault("*", { kind: "hang" })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* stateOfResource("east"), "open")
      assert.strictEqual(one.services["east"]!.stats(0).inFlight, 0)
    }))

  it.effect("a wrong key is found before a request meets it", () =>
    run(monitored([service("east")], { interval: "5 seconds" }), function*(_, one) {
      one.services["east"]!.setCredentials({ apiKey: "rotated" })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* stateOfResource("east"), "open")
    }))

  for (const status of [404, 500, 503]) {
    it.effect(`a free check that is answered with ${status} takes nothing out`, () =>
      run(monitored([service("east")], { interval: "5 seconds" }), function*(_, one) {
        one.services["east"]!.fault("*", { kind: "status", status })
        yield* TestClock.adjust("2 minutes")
        assert.isAbove(checks(one).length, 10)
        assert.strictEqual(yield* stateOfResource("east"), "healthy")
      }))
  }

  it.effect("asks for a path of yours where you say so", () =>
    run(monitored([service("east")], { kind: "path", path: "/models/gpt-4o" }), function*(_, one) {
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(one.sends[0]!.request.path, "/openai/v1/models/gpt-4o")
    }))

  it.effect("a check of one token closes a deployment's breaker, where you pay for it", () => {
    const two = monitored([service("east"), service("west")], { kind: "completion", interval: "10 seconds" })
    return run(two, function*(lb) {
      two.services["east"]!.fault("gpt-4o", { kind: "status", status: 500 })
      for (let i = 0; i < 30; i++) yield* answer(lb.chat(hello))
      assert.strictEqual((yield* stateOf("east")).state, "open")
      two.services["east"]!.clear()
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
      assert.isAtLeast(completions(two).filter(({ resource }) => resource === "east").length, 1)
      assert.deepInclude(yield* stateOf("east"), { inFlight: 0, waiting: 0 })
    })
  })

  it.effect("checks of one token teach nothing about ordinary answers", () => {
    const one = monitored([service("east", { reply: () => "x".repeat(800) })], {
      kind: "completion",
      interval: "5 seconds"
    })
    return run(one, function*(lb) {
      for (let i = 0; i < 5; i++) yield* answer(lb.chat(hello))
      const reserved = Effect.gen(function*() {
        const before = (yield* stateOf("east")).tokens.used
        const fiber = yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
        const { used } = (yield* stateOf("east")).tokens
        yield* answer(Fiber.join(fiber))
        return used - before
      })
      const usual = yield* reserved
      assert.isAbove(usual, 200)
      yield* TestClock.adjust("20 minutes")
      assert.isAbove(completions(one).length, 100)
      // an answer without a limit still reserves what answers are like
      assert.closeTo(yield* reserved, usual, 5)
    })
  })

  it.effect("a check of one token never takes the last of a quota from callers", () => {
    const one = fleet([service("east", { rpm: 2 })], {
      health: { check: { kind: "completion", interval: "30 seconds" } }
    }, { healthMonitor: HealthMonitor.layer })
    return run(one, function*(lb) {
      yield* TestClock.adjust("2 minutes")
      for (let i = 0; i < 10; i++) {
        yield* answer(lb.chat(hello))
        yield* TestClock.adjust("70 seconds")
      }
      assert.strictEqual((yield* stateOf("east")).totals.throttled, 0)
    })
  })

  it.effect("checks nothing where that was switched off", () =>
    run(monitored([service("east")], { kind: "none" }), function*(_, one) {
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(one.sends.length, 0)
    }))

  it.effect("checks at once when it is told to, and only what is idle or down", () => {
    const two = fleet([service("east"), service("west")])
    return Effect.gen(function*() {
      const monitor = yield* HealthMonitor
      yield* answer(monitor.check)
      assert.deepStrictEqual(two.sends.map(({ resource }) => resource).toSorted(), ["east", "west"])
      yield* answer(monitor.check)
      assert.strictEqual(two.sends.length, 2)
    }).pipe(Effect.provide(monitor(two)))
  })

  it.effect("a check that was cut frees its probe slot", () => {
    const one = fleet([service("east")])
    return Effect.gen(function*() {
      const { check } = yield* HealthMonitor
      const { breaker } = (yield* Deployments).resource("east")!
      one.services["east"]!.fault("*", { kind: "refused", times: 5 })
      for (let i = 0; i < 5; i++) yield* answer(check)
      assert.strictEqual(breaker.state, "open")
      yield* TestClock.adjust("5 seconds")
      one.services["east"]!.fault("*", { kind: "hang", times: 1 })
      const cut = yield* Effect.forkChild(check, { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.strictEqual(breaker.state, "half-open")
      yield* answer(check)
      assert.strictEqual(one.sends.length, 6)
      yield* Fiber.interrupt(cut)
      yield* answer(check)
      assert.strictEqual(one.sends.length, 7)
      assert.strictEqual(breaker.state, "closed")
      assert.strictEqual(one.services["east"]!.stats(0).inFlight, 0)
    }).pipe(Effect.provide(monitor(one)))
  })

  it.effect("ends with its scope: no check is sent after it, and none is left under way", () => {
    const one = monitored([service("east")], { interval: "5 seconds", timeout: "4 seconds" })
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      yield* Random.withSeed(Layer.buildWithScope(one.layer, scope), 1)
      one.services["east"]!.fault("*", { kind: "hang" })
      while (one.services["east"]!.stats(0).inFlight === 0) yield* TestClock.adjust("500 millis")
      yield* Scope.close(scope, yield* Effect.exit(Effect.void))
      assert.strictEqual(one.services["east"]!.stats(0).inFlight, 0)
      const sends = one.sends.length
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(one.sends.length, sends)
    })
  })
})
