import { assert, describe, it } from "@effect/vitest"
import { type CallOptions, type ConfigInput, LoadBalancer } from "@evenkeel/core"
import { Clock, Effect, Result, Stream } from "effect"
import {
  answer,
  failure,
  type Fleet,
  fleet,
  hello,
  reasonOf,
  run,
  service,
  settle,
  stateOf,
  steady
} from "../../support/Balanced.ts"

const stages: ConfigInput["timeouts"] = {
  firstEvent: "2 seconds",
  firstContent: "5 seconds",
  idle: "3 seconds",
  total: "1 minute"
}

const one = (timeouts: ConfigInput["timeouts"] = stages, deployment: Parameters<typeof service>[1] = {}) =>
  fleet([service("east", { reply: () => "x".repeat(40), ...deployment })], { failover: { attempts: 1 }, timeouts })

/** How a streamed request ended, and when. */
const timed = (options: CallOptions = {}) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    const begun = yield* Clock.currentTimeMillis
    const result = yield* Effect.result(Stream.runDrain(lb.chatStream(hello, options)))
    const error = Result.isFailure(result) ? result.failure : undefined
    return { error, took: (yield* Clock.currentTimeMillis) - begun }
  })

const assertTimedOut = (
  fleet: Fleet,
  given: { readonly error: unknown; readonly took: number },
  expected: { readonly stage: string; readonly limit: number; readonly took: number }
) =>
  Effect.gen(function*() {
    const { limit, stage } = reasonOf(given.error, "TimedOut")
    assert.deepStrictEqual({ limit, stage, took: given.took }, expected)
    assert.deepInclude(yield* stateOf("east"), { inFlight: 0, waiting: 0 })
    assert.strictEqual(fleet.services["east"]!.stats(0).inFlight, 0)
  })

describe("LoadBalancer timeouts", () => {
  /** What hangs after so many events, and what ends it. */
  const hanging: ReadonlyArray<
    readonly [what: string, afterEvents: number | undefined, options: CallOptions, stage: string, limit: number]
  > = [
    ["a stream without a first event", undefined, {}, "first-event", 2000],
    ["a stream of which there are headers alone, which are no event", 0, {}, "first-event", 2000],
    ["a preamble without content, counted from the send", 1, {}, "first-content", 5000],
    ["a call with a stage's time of its own", undefined, { timeouts: { firstEvent: 900 } }, "first-event", 900],
    ["a call with a total of its own", undefined, { timeout: "1500 millis" }, "total", 1500],
    ["a call with a total of its own among the stages", undefined, { timeouts: { total: 1500 } }, "total", 1500]
  ]
  it.effect.each(hanging)("%s ends after its time", ([, afterEvents, options, stage, limit]) => {
    const fleet = one()
    fleet.services["east"]!.fault("gpt-4o", { kind: "hang", afterEvents })
    return run(fleet, function*() {
      yield* assertTimedOut(fleet, yield* answer(timed(options)), { stage, limit, took: limit })
    })
  })

  it.effect("content that comes late, but in time, is in time", () => {
    const fleet = one()
    // the first event after 1.95 s, content after 3.9 s
    fleet.services["east"]!.fault("gpt-4o", { kind: "slow", factor: 39 })
    return run(fleet, function*() {
      const { error, took } = yield* answer(timed())
      assert.isUndefined(error)
      assert.isAbove(took, 3900)
    })
  })

  it.effect("silence between two events ends a stream after the idle time", () =>
    run(one(stages, { latency: { ...steady, perOutputTokenMs: 3001 } }), function*(_, fleet) {
      const { error, took } = yield* answer(timed())
      assert.match(reasonOf(error, "StreamInterrupted").why, /timeout idle/)
      assert.strictEqual(took, 100 + 3000)
      assert.strictEqual(fleet.services["east"]!.stats(0).inFlight, 0)
    }))

  it.effect("steady drops never are idle, however long they take together", () =>
    run(one({ ...stages, idle: "2 seconds" }, { latency: { ...steady, perOutputTokenMs: 1900 } }), function*() {
      const { error, took } = yield* answer(timed())
      assert.isUndefined(error)
      assert.isAbove(took, 9 * 1900)
    }))

  it.effect("silence counts only while someone listens: a reader may take its time", () =>
    run(one({ ...stages, total: "10 minutes" }), function*(lb) {
      const slowly = Stream.runForEach(lb.chatStream(hello), () => Effect.sleep("20 seconds"))
      yield* answer(slowly)
      assert.deepInclude((yield* stateOf("east")).totals, { succeeded: 1 })
    }))

  it.effect("while a reasoning item is open, silence counts only against the total", () => {
    const thinking = { reasoningTokens: 200, latency: { ...steady, perOutputTokenMs: 100 } }
    const fleet = one({ ...stages, firstContent: "1 second", idle: "2 seconds" }, thinking)
    return run(fleet, function*(lb) {
      const ask = { model: "gpt-4o", input: "Think." }
      const begun = yield* Clock.currentTimeMillis
      yield* answer(Stream.runDrain(lb.responsesStream(ask)))
      assert.isAbove((yield* Clock.currentTimeMillis) - begun, 8000)
      const exit = yield* settle(Effect.flip(Stream.runDrain(lb.responsesStream(ask, { timeout: "3 seconds" }))))
      const error = yield* exit
      // the total ran out in the middle of the stream
      assert.match(reasonOf(error, "StreamInterrupted").why, /deadline|total/)
    })
  })

  it.effect("a request that is not streamed has only its total", () =>
    run(one({ ...stages, total: "20 seconds" }), function*(lb, fleet) {
      fleet.services["east"]!.fault("gpt-4o", { kind: "slow", factor: 150, times: 1 })
      yield* answer(lb.chat(hello))
      fleet.services["east"]!.fault("gpt-4o", { kind: "hang" })
      const error = yield* failure(lb.chat(hello))
      assert.deepInclude(reasonOf(error, "TimedOut"), { stage: "total", limit: 20_000 })
    }))

  it.effect("the total ends a stream too, also in its middle", () =>
    run(one({ ...stages, total: "4 seconds" }, { latency: { ...steady, perOutputTokenMs: 1000 } }), function*() {
      const { error, took } = yield* answer(timed())
      assert.match(reasonOf(error, "StreamInterrupted").why, /deadline|total/)
      assert.strictEqual(took, 4000)
      assert.deepInclude((yield* stateOf("east")).totals, { failed: 0, abandoned: 1 })
    }))

  it.effect("a connection that is not made in time counts for its resource", () => {
    const fleet = one()
    fleet.services["east"]!.fault("*", { kind: "refused", because: "connect-timeout", afterMs: 10_000 })
    return run(fleet, function*(lb) {
      for (let i = 0; i < 5; i++) {
        const error = yield* failure(lb.chat(hello))
        assert.deepInclude(reasonOf(error, "TimedOut"), { stage: "connect", limit: 10_000 })
      }
      const { resources } = yield* lb.snapshot
      assert.strictEqual(resources[0]!.state, "open")
      assert.strictEqual((yield* stateOf("east")).totals.failed, 5)
    })
  })

  it.effect("a model may have times of its own", () => {
    const timeouts = { ...stages, models: { "gpt-4o": { firstEvent: "7 seconds" } } } as const
    const fleet = one({ ...timeouts, firstContent: "30 seconds" })
    fleet.services["east"]!.fault("gpt-4o", { kind: "hang" })
    return run(fleet, function*() {
      const given = yield* answer(timed())
      yield* assertTimedOut(fleet, given, { stage: "first-event", limit: 7000, took: 7000 })
    })
  })

  it.effect("concurrent requests keep their own times", () => {
    const fleet = one({ ...stages, firstEvent: "9 seconds" })
    fleet.services["east"]!.fault("gpt-4o", { kind: "hang" })
    return run(fleet, function*() {
      const limits = [3000, 1000, 8000, 2000, 5000, 1500]
      const all = Effect.forEach(limits, (timeout) => timed({ timeout }), { concurrency: "unbounded" })
      const ends = yield* answer(all)
      assert.deepStrictEqual(ends.map(({ took }) => took), limits)
    })
  })
})
