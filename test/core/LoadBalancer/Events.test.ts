import { assert, describe, it } from "@effect/vitest"
import { Deployments, type Event, Telemetry } from "@evenkeel/core"
import { Effect, Fiber, Layer, Logger, References, Stream } from "effect"
import { TestClock } from "effect/testing"
import { answer, failure, fleet, heard, hello, listen, run, service, settle, stateOf } from "../../support/Balanced.ts"

const tiered = { tiers: { east: 1, west: 2 } }

const pair = (replace: Parameters<typeof fleet>[2] = {}) =>
  fleet([service("east"), service("west")], { ...tiered, failover: { attempts: 2 } }, replace)

/** The end of a request, as far as it does not depend on ids. */
const endOf = (event: Event | undefined) => {
  if (event?._tag !== "RequestEnded") throw new Error(`no end of a request: ${event?._tag}`)
  const { attempts, deployment, duration, firstByte, outcome } = event
  return { attempts, deployment, duration, firstByte, outcome }
}

describe("LoadBalancer events", () => {
  it.effect("the stream tells what happens, in order", () =>
    run(pair(), function*(lb, two) {
      const reader = yield* Effect.forkChild(Stream.runCollect(Stream.take(lb.events, 5)), { startImmediately: true })
      two.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 30_000 })
      yield* answer(lb.chat(hello, { session: "user-1" }))
      const events = yield* answer(Fiber.join(reader))
      assert.deepStrictEqual(events.map(({ _tag }) => _tag), [
        "CooledDown",
        "AttemptEnded",
        "FailedOver",
        "AttemptEnded",
        "RequestEnded"
      ])
      const [cooled, first, over, second, ended] = events
      assert.deepInclude(cooled, { deployment: "east/gpt-4o", coolFor: 30_000, at: 10 })
      assert.deepInclude(over, { from: "east/gpt-4o", delay: 0, model: "gpt-4o" })
      if (first?._tag === "AttemptEnded" && second?._tag === "AttemptEnded") {
        assert.deepInclude(first.attempt, {
          deployment: "east/gpt-4o",
          outcome: "throttled",
          status: 429,
          duration: 10
        })
        assert.strictEqual(first.attempt.requestIds.length, 1)
        assert.deepInclude(second.attempt, { deployment: "west/gpt-4o", outcome: "success", status: 200 })
      }
      assert.deepInclude(ended, { session: "user-1", operation: "chat", streamed: false, model: "gpt-4o" })
      assert.deepStrictEqual(endOf(ended), {
        attempts: 2,
        deployment: "west/gpt-4o",
        duration: 112,
        firstByte: 112,
        outcome: "success"
      })
    }))

  it.effect("who begins to listen in the middle of a stream is told how its request ended", () =>
    run(pair(), function*(lb) {
      const stream = yield* Effect.forkChild(Stream.runDrain(lb.chatStream(hello)))
      yield* TestClock.adjust(101)
      const told = yield* listen
      yield* answer(Fiber.join(stream))
      assert.deepStrictEqual(told.map(({ _tag }) => _tag), ["AttemptEnded", "RequestEnded"])
      assert.deepInclude(told[1], { outcome: "success", deployment: "east/gpt-4o", streamed: true })
    }))

  it.effect("a breaker that others open and close is told of like any other", () =>
    run(pair(), function*() {
      const deployments = yield* Deployments
      const told: Array<Event> = []
      deployments.events.listen((event: Event) => told.push(event))
      yield* deployments.observe("east/gpt-4o", { health: "failing" })
      yield* deployments.observe("east/gpt-4o", { health: "healthy" })
      yield* deployments.observe("east/gpt-4o", { health: "healthy" })
      const about = { at: 0, target: "deployment", name: "east/gpt-4o" } as const
      const [opened, ...rest] = told
      assert.deepInclude(opened, { _tag: "BreakerOpened", ...about, reason: "told by another process" })
      assert.isAbove(opened?._tag === "BreakerOpened" ? opened.openFor : 0, 1000)
      assert.deepStrictEqual(rest, [{ _tag: "BreakerClosed", ...about }])
    }))

  it.effect("a reader that stops costs nothing more, and one that is slow loses the oldest", () =>
    run(fleet([service("east")]), function*(lb) {
      const { events: hub } = yield* Deployments
      assert.isFalse(hub.hasListeners)
      yield* Effect.scoped(Effect.gen(function*() {
        const pull = yield* Stream.toPull(lb.events)
        const first = yield* Effect.forkChild(pull, { startImmediately: true })
        yield* TestClock.adjust(0)
        assert.isTrue(hub.hasListeners)
        const event: Event = { _tag: "Waiting", at: 0, model: "gpt-4o", delay: 0 }
        for (let i = 0; i < 3000; i++) hub.emit<Event>({ ...event, delay: i })
        const kept: Array<number> = []
        for (let batch = yield* Fiber.join(first);; batch = yield* pull) {
          for (const next of batch) if (next._tag === "Waiting") kept.push(next.delay)
          if (kept.at(-1) === 2999) break
        }
        assert.isAtMost(kept.length, 1024)
        assert.strictEqual(kept[0], 3000 - kept.length)
      }))
      assert.isFalse(hub.hasListeners)
    }))

  it.effect("each request ends with one event, whatever way it ends", () => {
    const two = fleet([service("east"), service("west")], {
      ...tiered,
      failover: { attempts: 2 },
      health: { successRatio: 0 }
    })
    return run(two, function*(lb, _, { events }) {
      const east = two.services["east"]!
      const streamed = Stream.runDrain(lb.chatStream(hello))

      yield* answer(lb.chat(hello))
      yield* answer(streamed)
      yield* answer(Stream.runDrain(Stream.take(lb.chatStream(hello), 2)))
      yield* settle(Effect.timeout(lb.chat(hello), 30))
      yield* settle(Effect.timeout(streamed, 30))
      east.fault("gpt-4o", { kind: "cut", afterEvents: 4, ending: "reset", times: 1 })
      yield* failure(streamed)
      yield* failure(lb.chat({ ...hello, temperature: 9 }))
      for (const { fault } of Object.values(two.services)) fault("gpt-4o", { kind: "status", status: 500, times: 1 })
      yield* failure(streamed)
      east.fault("gpt-4o", { kind: "status", status: 500, times: 1 })
      yield* answer(streamed)

      const ends = heard(events, "RequestEnded").map(endOf)
      assert.deepStrictEqual(ends.map(({ attempts, deployment, outcome }) => [outcome, deployment, attempts]), [
        ["success", "east/gpt-4o", 1],
        ["success", "east/gpt-4o", 1],
        ["interrupted", "east/gpt-4o", 1],
        ["interrupted", undefined, 1],
        ["interrupted", undefined, 1],
        ["StreamInterrupted", "east/gpt-4o", 1],
        ["Rejected", undefined, 1],
        ["Unavailable", undefined, 2],
        ["success", "west/gpt-4o", 2]
      ])
      assert.deepStrictEqual(ends.map(({ firstByte }) => firstByte), [
        102,
        100,
        100,
        undefined,
        undefined,
        100,
        undefined,
        undefined,
        110
      ])
    })
  })

  it.effect("a raw answer is told when it was read", () =>
    run(fleet([service("east")]), function*(lb, _, { events }) {
      const given = yield* answer(lb.request({ path: "/models" }))
      assert.strictEqual(heard(events, "RequestEnded").length, 0)
      yield* answer(given.text)
      const [ended] = heard(events, "RequestEnded")
      assert.deepInclude(ended, { operation: "other", outcome: "success", deployment: "east/gpt-4o" })
    }))

  it.effect("usage is told with the attempt and with the request", () =>
    run(fleet([service("east")]), function*(lb, _, { events }) {
      yield* answer(lb.chat(hello))
      yield* answer(Stream.runDrain(lb.chatStream(hello)))
      const usages = [...heard(events, "AttemptEnded"), ...heard(events, "RequestEnded")].map(({ usage }) => usage)
      assert.strictEqual(usages.length, 4)
      for (const usage of usages) assert.deepInclude(usage, { promptTokens: 3, completionTokens: 3 })
    }))

  it.effect("a telemetry of your own is told everything, and ends with the balancer", () => {
    const told: Array<Event> = []
    const two = pair({ telemetry: Telemetry.layerListener((event) => told.push(event)) })
    return Effect.gen(function*() {
      const hub = yield* run(two, function*(lb) {
        yield* answer(lb.chat(hello))
        return (yield* Deployments).events
      })
      assert.deepStrictEqual(told.map(({ _tag }) => _tag), ["AttemptEnded", "RequestEnded"])
      assert.isFalse(hub.hasListeners)
    })
  })

  it.effect("a telemetry that throws harms no request", () => {
    const two = pair({
      telemetry: Telemetry.layerListener(() => {
        throw new Error("the collector is away")
      })
    })
    return run(two, function*(lb) {
      two.services["east"]!.fault("gpt-4o", { kind: "status", status: 500, times: 1 })
      yield* answer(lb.chat(hello))
      yield* answer(Stream.runDrain(lb.chatStream(hello)))
      yield* settle(Effect.timeout(lb.chat(hello), 30))
      for (const name of ["east", "west"]) assert.deepInclude(yield* stateOf(name), { inFlight: 0, waiting: 0 })
    })
  })

  it.effect("without listeners nothing is told to nobody", () =>
    run(pair({ telemetry: Telemetry.layerNoop }), function*() {
      const { events } = yield* Deployments
      assert.isFalse(events.hasListeners)
    }))

  it.effect("the logging telemetry writes changes of state, and no ordinary request", () => {
    const lines: Array<string> = []
    const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
      lines.push(`${logLevel} ${String(Array.isArray(message) ? message.join(" ") : message)}`)
    })
    const two = pair({ telemetry: Telemetry.layer({ metrics: false, spans: false }) })
    const test = run(two, function*(lb) {
      yield* answer(lb.chat(hello))
      two.services["east"]!.fault("*", { kind: "status", status: 401, times: 5 })
      for (let i = 0; i < 5; i++) yield* answer(lb.chat(hello))
      yield* TestClock.adjust("5 seconds")
      yield* answer(lb.chat(hello))
      yield* (yield* Deployments).drain("west/gpt-4o")
    })
    return Effect.gen(function*() {
      yield* test.pipe(
        Effect.provide(Logger.layer([logger])),
        Effect.provideService(References.MinimumLogLevel, "Info")
      )
      assert.strictEqual(lines.length, 3)
      assert.match(lines[0]!, /^Warn Evenkeel: resource east is failing \(http 401.*\); next try in \d(\.\d)? s$/)
      assert.strictEqual(lines[1], "Info Evenkeel: resource east is back")
      assert.strictEqual(lines[2], "Info Evenkeel: west/gpt-4o is draining")
    })
  })

  it.effect("a layer of its own may replace each concern", () => {
    const told: Array<string> = []
    const layers = Layer.succeed(Telemetry, { observe: (event: Event) => void told.push(event._tag) })
    const one = fleet([service("east")], {}, { telemetry: layers })
    return run(one, function*(lb) {
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(told, ["AttemptEnded", "RequestEnded"])
    })
  })
})
