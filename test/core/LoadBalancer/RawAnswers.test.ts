import { assert, describe, it } from "@effect/vitest"
import { type HttpRequest } from "@evenkeel/core"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { answer, failure, fleet, reasonOf, run, service, stateOf } from "../../support/Balanced.ts"

describe("LoadBalancer raw answers", () => {
  const list: HttpRequest = { path: "/models" }

  it.effect("nothing is in flight once a raw answer was read, in any of the three ways", () =>
    run(fleet([service("east")]), function*(lb) {
      yield* answer((yield* answer(lb.request(list))).text)
      yield* answer((yield* answer(lb.request(list))).json)
      yield* answer(Stream.runDrain((yield* answer(lb.request(list))).stream))
      assert.deepInclude(yield* stateOf("east"), { inFlight: 0, waiting: 0 })
      assert.deepInclude((yield* stateOf("east")).totals, { attempts: 3, succeeded: 3 })
    }))

  it.effect("a raw answer whose reader stops, or never begins, holds nothing for longer than its time", () =>
    run(fleet([service("east")]), function*(lb, one) {
      const begun = yield* answer(lb.request(list, { timeout: "1 minute" }))
      yield* answer(Effect.scoped(Effect.asVoid(Stream.toPull(begun.stream))))
      yield* answer(lb.request(list, { timeout: "1 minute" }))
      yield* TestClock.adjust("2 minutes")
      assert.deepInclude(yield* stateOf("east"), { inFlight: 0, waiting: 0 })
      assert.strictEqual(one.services["east"]!.stats(0).inFlight, 0)
    }))

  it.effect("a raw answer that breaks or stalls is a typed error", () =>
    run(fleet([service("east")], { timeouts: { idle: "3 seconds" } }), function*(lb, one) {
      one.services["east"]!.fault("*", { kind: "cut", afterEvents: 0, ending: "reset", times: 1 })
      const broken = yield* answer(lb.request(list))
      assert.match(reasonOf(yield* failure(broken.text), "StreamInterrupted").why, /reset/)
      one.services["east"]!.fault("*", { kind: "hang", afterEvents: 0, times: 1 })
      const stalled = yield* answer(lb.request(list))
      assert.match(reasonOf(yield* failure(stalled.text), "StreamInterrupted").why, /timeout idle/)
      assert.deepInclude(yield* stateOf("east"), { inFlight: 0, waiting: 0 })
    }))

  it.effect("interrupting the reader of a raw answer closes it", () =>
    run(fleet([service("east")]), function*(lb, one) {
      one.services["east"]!.fault("*", { kind: "hang", afterEvents: 0 })
      const given = yield* answer(lb.request(list))
      const reader = yield* Effect.forkChild(given.text, { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* stateOf("east")).inFlight, 1)
      yield* Fiber.interrupt(reader)
      assert.strictEqual((yield* stateOf("east")).inFlight, 0)
      assert.strictEqual(one.services["east"]!.stats(0).inFlight, 0)
    }))
})
