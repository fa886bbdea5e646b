import { assert, describe, it } from "@effect/vitest"
import { type Event, LoadBalancer } from "@evenkeel/core"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  answer,
  failure,
  fleet,
  type FleetConfig,
  heard,
  hello,
  listen,
  run,
  service,
  settle
} from "../../support/Balanced.ts"
import { bytesOf } from "../../support/Events.ts"
import { azure, type Canned, completion, scripted } from "../../support/Scripted.ts"
import { delta, role, stop } from "../attempt/answers.ts"

const tiered: FleetConfig = { tiers: { east: 1, west: 2 }, failover: { attempts: 3 } }

const pair = (config: FleetConfig = tiered) => fleet([service("east"), service("west")], config)

const lastEnd = (events: ReadonlyArray<Event>) => heard(events, "RequestEnded").at(-1)!

/** Where a request's time went. */
const timesOf = ({ duration, firstByte, overhead, waited }: ReturnType<typeof lastEnd>) => ({
  duration,
  firstByte,
  overhead,
  waited
})

describe("what a request's end tells", () => {
  it.effect("of its time: under way, waiting, and what the balancer took, which is nothing here", () =>
    run(fleet([service("east")]), function*(lb, one, { events }) {
      one.services["east"]!.fault("*", { kind: "throttle", retryAfterMs: 3000, times: 1 })
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(timesOf(lastEnd(events)), { duration: 3112, firstByte: 3112, overhead: 0, waited: 3000 })
      one.services["east"]!.fault("*", { kind: "reset", times: 1 })
      yield* answer(Stream.runDrain(lb.chatStream(hello)))
      const { overhead, waited } = lastEnd(events)
      assert.strictEqual(overhead, 0)
      // it backed off
      assert.isAbove(waited, 0)
    }))

  it.effect("of a wait that was broken off, by its caller or by its deadline: that it waited", () =>
    run(fleet([service("east")], { failover: { backoff: 8000, maxBackoff: 60_000 } }), function*(lb, one, { events }) {
      one.services["east"]!.fault("*", { kind: "throttle", retryAfterMs: 9000, times: 1 })
      yield* settle(Effect.timeout(lb.chat(hello), 2010))
      assert.deepStrictEqual(timesOf(lastEnd(events)), {
        duration: 2010,
        firstByte: undefined,
        overhead: 0,
        waited: 2000
      })
      assert.strictEqual(lastEnd(events).outcome, "interrupted")
      yield* TestClock.adjust("10 seconds")
      // likewise where it backs off from a failure
      one.services["east"]!.fault("*", { kind: "status", status: 500, times: 1 })
      yield* settle(Effect.timeout(lb.chat(hello), 20))
      assert.deepStrictEqual(timesOf(lastEnd(events)), { duration: 20, firstByte: undefined, overhead: 0, waited: 10 })
    }))

  it.effect("of one that waits in line behind others", () =>
    run(fleet([service("east", { rpm: 1 })], { failover: { maxWait: 90_000 } }), function*(lb, _, { events }) {
      const asking = yield* Effect.forEach(
        [1, 2, 3, 4],
        () => Effect.forkChild(Effect.exit(lb.chat(hello)), { startImmediately: true })
      )
      yield* TestClock.adjust("30 seconds")
      yield* Fiber.interrupt(asking[3]!)
      assert.deepInclude(lastEnd(events), { outcome: "interrupted", attempts: 0, overhead: 0, waited: 30_000 })
      yield* TestClock.adjust("10 minutes")
      for (const { duration, overhead, waited } of heard(events, "RequestEnded")) {
        assert.strictEqual(overhead, 0)
        assert.isAtMost(waited, duration)
      }
    }))

  it.effect("of a stream: interrupted by whoever stopped it, and broken by whatever else ended it", () =>
    run(fleet([service("east", { reply: () => "x".repeat(4000) })]), function*(lb, _, { events }) {
      yield* answer(Stream.runDrain(Stream.take(lb.chatStream(hello), 2)))
      assert.strictEqual(lastEnd(events).outcome, "interrupted")
      const slowly = Stream.runForEach(lb.chatStream(hello, { timeout: 1000 }), () => Effect.sleep(300))
      yield* failure(slowly)
      assert.deepInclude(lastEnd(events), { outcome: "StreamInterrupted", duration: 1000, deployment: "east/gpt-4o" })
      assert.lengthOf(heard(events, "RequestEnded"), 2)
    }))

  it.effect("comes after all else that is told of it, however fast its stream is", () => {
    const body = bytesOf([role, delta({ content: "Hello." }), stop, "[DONE]"])
    const inOnePiece: Canned = { status: 200, body: new TextDecoder().decode(body) }
    const broken = new Set<string>()
    const resources = [azure("east"), azure("west", { tier: 2 })]
    const { layer } = scripted(resources, ({ resource }) => broken.has(resource) ? { status: 500 } : inOnePiece)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const events = yield* listen
      const asking = answer(Stream.runDrain(lb.chatStream(hello, { session: "a" })))
      yield* asking
      broken.add("east")
      yield* asking
      assert.deepStrictEqual(events.map(({ _tag }) => _tag), [
        "AttemptEnded",
        "RequestEnded",
        "AttemptEnded",
        "FailedOver",
        "AttemptEnded",
        "SessionMoved",
        "RequestEnded"
      ])
      assert.strictEqual(lastEnd(events).placement, "moved")
    }).pipe(Effect.provide(layer))
  })

  it.effect("what ended the search, where something did", () =>
    run(pair({ ...tiered, failover: { attempts: 2 } }), function*(lb, two, { events }) {
      for (const { fault } of Object.values(two.services)) fault("*", { kind: "status", status: 500, times: 1 })
      yield* failure(lb.chat(hello))
      assert.deepInclude(lastEnd(events), { outcome: "Unavailable", limitedBy: "attempts", attempts: 2 })
      yield* answer(lb.chat(hello))
      assert.deepInclude(lastEnd(events), { outcome: "success", limitedBy: undefined, attempts: 1 })
      yield* failure(lb.chat({ ...hello, model: "nothing" }))
      assert.deepInclude(lastEnd(events), {
        outcome: "UnknownModel",
        model: "unknown",
        attempts: 0,
        limitedBy: undefined
      })
    }))
})

describe("what an attempt's end tells", () => {
  it.effect("of its role: a second try where all are failing is a retry, though nothing better was found", () => {
    const one = fleet([service("east")], { health: { slowStart: 0 }, failover: { attempts: 3, backoff: 1 } })
    return run(one, function*(lb) {
      one.services["east"]!.fault("*", { kind: "status", status: 500 })
      for (let i = 0; i < 5; i++) yield* settle(lb.chat(hello))
      const events = yield* listen
      yield* settle(lb.chat(hello))
      const [first, ...others] = heard(events, "AttemptEnded").map(({ role }) => role)
      assert.strictEqual(first, "first")
      assert.isAbove(others.length, 0)
      for (const role of others) assert.strictEqual(role, "retry")
    })
  })

  it.effect("of its first content: nothing where none came, and a whole answer's at its end", () =>
    run(fleet([service("east")], { failover: { attempts: 1 } }), function*(lb, one, { events }) {
      yield* answer(lb.chat(hello))
      yield* answer(Stream.runDrain(lb.chatStream(hello)))
      yield* settle(Effect.timeout(lb.chat(hello), 70))
      one.services["east"]!.fault("*", { kind: "cut", afterEvents: 4, ending: "reset", times: 1 })
      yield* failure(Stream.runDrain(lb.chatStream(hello)))
      one.services["east"]!.fault("*", { kind: "status", status: 500, times: 1 })
      yield* failure(lb.chat(hello))
      assert.deepStrictEqual(heard(events, "AttemptEnded").map(({ firstByte }) => firstByte), [
        102,
        100,
        undefined,
        100,
        undefined
      ])
    }))

  it.effect("of a stream that was given up: no reason why it finished, since it did not", () => {
    const created = { type: "response.created", response: { object: "response", id: "resp_1", status: "in_progress" } }
    const words = { type: "response.output_text.delta", delta: "Hi" }
    const body = [created, words, words].map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
    const { layer } = scripted([azure("east")], () => ({ ...completion, body }))
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const events = yield* listen
      yield* answer(Stream.runDrain(Stream.take(lb.responsesStream({ model: "gpt-4o", input: "Hi" }), 2)))
      assert.deepInclude(lastEnd(events).answer, { id: "resp_1", finishReasons: [] })
    }).pipe(Effect.provide(layer))
  })
})

describe("what is told between attempts", () => {
  it.effect("is no failover where none followed", () =>
    run(fleet([service("east")], { failover: { maxWait: 5000 } }), function*(lb, one, { events }) {
      one.services["east"]!.fault("*", { kind: "throttle", retryAfterMs: 60_000 })
      yield* failure(lb.chat(hello))
      assert.lengthOf(heard(events, "AttemptEnded"), 1)
      assert.isEmpty(heard(events, "FailedOver"))
      assert.isEmpty(heard(events, "Waiting"))
    }))

  it.effect("is the failover, and then the wait", () =>
    run(fleet([service("east")]), function*(lb, one, { events }) {
      one.services["east"]!.fault("*", { kind: "throttle", retryAfterMs: 3000, times: 1 })
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(events.map(({ _tag }) => _tag), [
        "CooledDown",
        "AttemptEnded",
        "FailedOver",
        "Waiting",
        "AttemptEnded",
        "RequestEnded"
      ])
    }))

  it.effect("is that a hedged session moved because its deployment was slow, and where it is in the end", () =>
    run(fleet([service("east"), service("west")]), function*(lb, two, { events }) {
      const asking = answer(Stream.runDrain(lb.chatStream(hello, { session: "a", hedge: true })))
      for (let i = 0; i < 40; i++) yield* asking
      const home = lastEnd(events).deployment!
      two.services[home.split("/")[0]!]!.fault("*", { kind: "slow", factor: 4, times: 1 })
      yield* asking
      assert.deepInclude(heard(events, "SessionMoved").at(-1), { from: home, reason: "slow" })
      assert.strictEqual(lastEnd(events).placement, "moved")
      // and the other way round: the second is later still
      const moved = lastEnd(events).deployment!
      const [late, later] = moved === home ? [] : [moved, home]
      two.services[late!.split("/")[0]!]!.fault("*", { kind: "slow", factor: 3, times: 1 })
      two.services[later!.split("/")[0]!]!.fault("*", { kind: "slow", factor: 60, times: 1 })
      yield* asking
      assert.isAbove(heard(events, "Hedged").length, 1)
      assert.deepInclude(lastEnd(events), { deployment: moved, placement: "home" })
    }))
})
