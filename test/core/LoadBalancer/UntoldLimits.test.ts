import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { fleet, run, service } from "../../support/Balanced.ts"

const question = (words: number) => ({
  model: "gpt-4o",
  messages: [{ role: "user" as const, content: "word ".repeat(words) }],
  max_completion_tokens: 20
})

/** Two resources, of which the second takes what the first cannot. The balancer is told of no limit. */
const unlimited = (first: Parameters<typeof service>[1] = {}) =>
  fleet([service("first", first), service("second")], { unlimited: true, tiers: { first: 1, second: 2 } })

const firstOf = Effect.map(Effect.flatMap(LoadBalancer, (lb) => lb.snapshot), ({ deployments }) => deployments[0]!)

const ask = (words: number) =>
  Effect.flatMap(LoadBalancer, (lb) => Effect.forkChild(Effect.ignore(lb.chat(question(words)))))

/** Asks once a second, and returns how many of the answers came from the first. */
const askEverySecond = Effect.fnUntraced(function*(seconds: number) {
  const before = (yield* firstOf).totals.succeeded
  for (let second = 0; second < seconds; second++) {
    yield* ask(100)
    yield* TestClock.adjust("1 second")
  }
  return (yield* firstOf).totals.succeeded - before
})

describe("a deployment whose limit nobody told", () => {
  it.effect("serves again as soon as its bucket has drained, where it is provisioned", () =>
    run(unlimited({ provisioned: true, tpm: 60_000 }), function*() {
      // fills its bucket of 10,000 tokens within a second, so that the last is told to wait
      for (let i = 0; i < 12; i++) yield* ask(900)
      yield* TestClock.adjust("1 second")
      yield* ask(900)
      yield* TestClock.adjust("10 seconds")
      const { state, totals } = yield* firstOf
      assert.isAtLeast(totals.throttled, 1)
      assert.strictEqual(state, "healthy")
      // an eighth of what it drains
      assert.strictEqual(yield* askEverySecond(30), 30)
    }, "provisioned"))

  it.effect("goes on after the wait that it asked for, however much was sent in the moment before", () =>
    run(unlimited(), function*(_, two) {
      const { fault } = two.services["first"]!
      fault("gpt-4o", { kind: "unknownLimits" })
      for (let i = 0; i < 20; i++) yield* ask(100)
      yield* TestClock.adjust("1 second")
      fault("gpt-4o", { kind: "throttle", retryAfterMs: 2000, times: 1 })
      yield* ask(100)
      yield* TestClock.adjust("2 seconds")
      // one a second, which is all that is asked for
      assert.isAtLeast(yield* askEverySecond(20), 19)
    }, "burst"))

  it.effect("is found to have none, after one passing refusal in a quiet minute", () =>
    run(unlimited(), function*(_, two) {
      const { fault } = two.services["first"]!
      fault("gpt-4o", { kind: "unknownLimits" })
      for (let i = 0; i < 12; i++) {
        yield* ask(20)
        yield* TestClock.adjust("4 seconds")
      }
      fault("gpt-4o", { kind: "throttle", retryAfterMs: 100, times: 1 })
      yield* ask(20)
      yield* TestClock.adjust("1 second")
      const before = (yield* firstOf).totals.succeeded
      const shares: Array<number> = []
      for (let minute = 1; minute <= 3; minute++) {
        for (let i = 0; i < 600; i++) {
          yield* ask(20)
          yield* TestClock.adjust(100)
        }
        shares.push(((yield* firstOf).totals.succeeded - before) / (600 * minute))
      }
      assert.isAtLeast(shares[2]!, 0.9)
    }, "quiet"))

  it.effect("is not starved for long after other clients, who had used its quota up, stop", () =>
    run(unlimited({ tpm: 300_000 }), function*(_, two) {
      const { consume, fault } = two.services["first"]!
      fault("gpt-4o", { kind: "unknownLimits" })
      consume("gpt-4o", 300_000, 0, 0)
      yield* ask(100)
      yield* TestClock.adjust("7 minutes")
      assert.strictEqual((yield* firstOf).totals.throttled, 1)
      // a thirtieth of its quota
      assert.isAtLeast(yield* askEverySecond(60), 50)
    }, "standard"))
})
