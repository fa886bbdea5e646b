import { assert, describe, it } from "@effect/vitest"
import { type ChatParams, LoadBalancer } from "@evenkeel/core"
import { Clock, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  answer,
  failure,
  fleet,
  hello,
  reasonOf,
  run,
  service,
  settle,
  stateOf,
  statsNow,
  statsOf
} from "../../support/Balanced.ts"

const tiered = { tiers: { east: 1, west: 2 } }
const long = { reply: () => "x".repeat(400) }
const limited: ChatParams = { ...hello, max_completion_tokens: 200 }

const texts = (params: ChatParams) =>
  Effect.map(LoadBalancer, (lb) =>
    lb.chatStream(params).pipe(
      Stream.map(({ choices }) => choices[0]?.delta.content ?? ""),
      Stream.filter((text) => text !== "")
    )).pipe(Stream.unwrap)

/** What the ledger holds is at least what the service charged, and nothing is in flight on either side. */
const assertSettled = (one: ReturnType<typeof fleet>) =>
  Effect.gen(function*() {
    const { inFlight, tokens, waiting } = yield* stateOf("east")
    assert.deepStrictEqual([inFlight, waiting], [0, 0])
    assert.strictEqual(one.services["east"]!.stats(0).inFlight, 0)
    assert.isAtLeast(tokens.used, (yield* statsNow(one.services["east"])).usage.tokens)
  })

describe("LoadBalancer streams", () => {
  it.effect("E1: each piece reaches the caller when the service sends it, the first one not delayed", () =>
    run(fleet([service("east", { reply: () => "abcdabcdabcd" })]), function*() {
      const seen = yield* answer(
        texts(hello).pipe(
          Stream.mapEffect((text) => Effect.map(Clock.currentTimeMillis, (at) => [at, text] as const)),
          Stream.runCollect
        )
      )
      assert.deepStrictEqual(seen, [[100, "abcd"], [101, "abcd"], [102, "abcd"]])
    }))

  it.effect("E1: a slow reader holds the service back instead of filling memory", () =>
    run(fleet([service("east", long)]), function*(_, one) {
      const fiber = yield* Effect.forkChild(Stream.runForEach(texts(hello), () => Effect.sleep("1 second")))
      yield* TestClock.adjust("10 seconds")
      // one stream event for each piece that was asked for, not the whole answer
      const { completionTokens, inFlight } = statsOf(one.services["east"])
      assert.deepStrictEqual([completionTokens, inFlight], [0, 1])
      yield* Fiber.interrupt(fiber)
      assert.isBelow(statsOf(one.services["east"]).completionTokens, 20)
    }))

  it.effect("E2: usage of a stream that was read to its end is what the service billed", () =>
    run(fleet([service("east", { ...long, tpm: 100_000 })]), function*(_, one) {
      yield* answer(Stream.runDrain(texts(limited)))
      const { totals } = yield* stateOf("east")
      const { completionTokens, promptTokens } = statsOf(one.services["east"])
      assert.deepInclude(totals, { succeeded: 1, completionTokens, promptTokens })
      assert.strictEqual(completionTokens, 100)
      yield* assertSettled(one)
    }))

  it.effect("E2: a stream that the caller stops early is settled at once, and the service is told", () =>
    run(fleet([service("east", { ...long, tpm: 100_000 })]), function*(_, one) {
      const some = yield* answer(Stream.runCollect(Stream.take(texts(limited), 3)))
      assert.strictEqual(some.length, 3)
      assert.deepInclude((yield* stateOf("east")).totals, { succeeded: 0, abandoned: 1, failed: 0 })
      assert.deepInclude(statsOf(one.services["east"]), { abandoned: 1, finished: 0 })
      yield* assertSettled(one)
    }))

  it.effect("E2: a stream that breaks is settled, with what was charged for it", () =>
    run(fleet([service("east", { ...long, tpm: 100_000 })]), function*(_, one) {
      one.services["east"]!.fault("gpt-4o", { kind: "cut", afterEvents: 20, ending: "reset" })
      reasonOf(yield* failure(Stream.runDrain(texts(limited))), "StreamInterrupted")
      assert.deepInclude((yield* stateOf("east")).totals, { succeeded: 0, failed: 1 })
      yield* assertSettled(one)
    }))

  it.effect.each([10, 70, 100, 150, 199])("E2: a caller interrupted after %s ms leaves nothing in flight", (after) => {
    const one = fleet([service("east", { ...long, tpm: 100_000 })])
    return run(one, function*() {
      const fiber = yield* Effect.forkChild(Stream.runDrain(texts(limited)), { startImmediately: true })
      yield* TestClock.adjust(after)
      yield* Fiber.interrupt(fiber)
      assert.deepInclude((yield* stateOf("east")).totals, { attempts: 1, succeeded: after === 199 ? 1 : 0 })
      yield* assertSettled(one)
      yield* TestClock.adjust("20 minutes")
      assert.strictEqual(one.sends.length, 1)
    })
  })

  it.effect("E4: failures after the first content count against their deployment", () =>
    run(fleet([service("east", long), service("west")], tiered), function*(_, two) {
      two.services["east"]!.fault("gpt-4o", { kind: "cut", afterEvents: 10, ending: "reset" })
      for (let i = 0; i < 6; i++) yield* settle(Stream.runDrain(texts(hello)))
      assert.strictEqual((yield* stateOf("east")).state, "open")
      assert.strictEqual(yield* answer(Stream.mkString(texts(hello))), "I am west.")
    }))

  it.effect("E6: what is in flight is released exactly once, however often a stream is closed", () =>
    run(fleet([service("east", long)]), function*() {
      const open = yield* Effect.forkChild(Stream.runDrain(texts(hello)), { startImmediately: true })
      const scoped = Effect.scoped(Effect.gen(function*() {
        const pull = yield* Stream.toPull(texts(hello))
        yield* pull
        yield* pull
        assert.strictEqual((yield* stateOf("east")).inFlight, 2)
      }))
      yield* answer(scoped)
      const { inFlight } = yield* stateOf("east")
      // the other one is still under way, or has ended by itself; never less
      assert.isAtLeast(inFlight, 0)
      yield* answer(Fiber.join(open))
      assert.deepInclude(yield* stateOf("east"), { inFlight: 0, waiting: 0 })
      assert.deepInclude((yield* stateOf("east")).totals, { attempts: 2, succeeded: 1, abandoned: 1 })
    }))

  it.effect("E6: a stream that is never pulled again after its content began ends with its deadline", () =>
    run(fleet([service("east", long)]), function*(lb, one) {
      const pull = yield* answer(Stream.toPull(lb.chatStream(hello, { timeout: "1 minute" })))
      yield* answer(pull)
      assert.strictEqual((yield* stateOf("east")).inFlight, 1)
      yield* TestClock.adjust("2 minutes")
      yield* assertSettled(one)
      assert.deepInclude((yield* stateOf("east")).totals, { failed: 0, abandoned: 1 })
    }))
})
