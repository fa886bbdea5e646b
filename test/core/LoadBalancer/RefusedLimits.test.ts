import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Exit } from "effect"
import { TestClock } from "effect/testing"
import { hello, run } from "../../support/Balanced.ts"
import { asked, azure, type Canned, completion, scripted } from "../../support/Scripted.ts"

/** 60 requests a minute, one of which comes back each second. Only a refusal names the limit. */
const bucket = () => {
  let left = 60
  let at = 0
  return (now: number, told: Readonly<Record<string, string>>): Canned => {
    left = Math.min(60, left + (now - at) / 1000)
    at = now
    if (left < 1) return refusal({ "retry-after-ms": String(Math.ceil((1 - left) * 1000)), ...told })
    left--
    return completion
  }
}

const refusal = (headers: Readonly<Record<string, string>>): Canned => ({
  status: 429,
  headers,
  body: { error: { message: "Too many requests.", type: "too_many_requests", code: "429" } }
})

const exhausted = { "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0" }

/** How many are answered within each so many seconds, where so many are asked each tenth of a second. */
const answeredIn = Effect.fnUntraced(function*(seconds: number, times: number, perTenth: number) {
  const lb = yield* LoadBalancer
  const counts = Array.from({ length: times }, () => 0)
  let i = 0
  for (; i < times; i++) {
    for (let tenth = 0; tenth < seconds * 10; tenth++) {
      for (let j = 0; j < perTenth; j++) {
        yield* Effect.forkChild(
          Effect.tap(Effect.exit(lb.chat(hello)), (exit) => Effect.sync(() => Exit.isSuccess(exit) && counts[i]!++)),
          { startImmediately: true }
        )
      }
      yield* TestClock.adjust(100)
    }
  }
  return counts
})

describe("a service that names its limits only when it refuses", () => {
  for (
    const [what, told] of [
      ["requests", exhausted],
      ["requests and tokens", {
        ...exhausted,
        "x-ratelimit-limit-tokens": "10000",
        "x-ratelimit-remaining-tokens": "9000"
      }],
      ["nothing", {}]
    ] as const
  ) {
    it.effect(`and refills all the time, is used as it refills: ${what} told`, () => {
      const buckets = new Map(["a", "b", "c"].map((name) => [name, bucket()]))
      const lbs = scripted(
        [...buckets.keys()].map((name) => azure(name)),
        ({ resource }, now) => buckets.get(resource)!(now, told),
        { failover: { maxWait: 0 } }
      )
      return run(lbs, function*() {
        const [first, ...later] = yield* answeredIn(10, 9, 2)
        // three times sixty at first, and three a second from then on
        assert.isAtLeast(first!, 185)
        for (const count of later) assert.isAtLeast(count, 27)
      })
    })
  }

  it.effect("and refills all the time, is used as it refills by those who wait, and where answers name limits too", () => {
    const buckets = new Map(["a", "b", "c"].map((name) => [name, bucket()]))
    const lbs = scripted([...buckets.keys()].map((name) => azure(name)), ({ resource }, now) => {
      const reply = buckets.get(resource)!(now, exhausted)
      return { ...reply, headers: { ...exhausted, ...reply.headers }, after: 50 }
    })
    return run(lbs, function*(lb) {
      // a burst before anything is known of limits, the rest of which is answered in the first ten seconds
      for (let i = 0; i < 200; i++) yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
      const [, ...later] = yield* answeredIn(10, 6, 1)
      for (const count of later) assert.isAtLeast(count, 27)
    })
  })

  it.effect("is not believed once its next answer shows otherwise, beside what is configured", () => {
    let sends = 0
    const lbs = scripted(
      [azure("a", { rpm: 100_000 })],
      () => ++sends % 10 === 0 ? refusal({ "retry-after-ms": "100", ...exhausted }) : completion
    )
    return run(lbs, function*() {
      const [count] = yield* answeredIn(15, 1, 1)
      assert.strictEqual(count, 150)
    })
  })

  it.effect("keeps others from it by a word that is true for no longer than it says itself", () => {
    let hasRefused = false
    const lbs = scripted([azure("a", { rpm: 600 }), azure("b", { rpm: 600 })], ({ resource }, now) => {
      if (resource === "b" || hasRefused || now < 20_000) return completion
      hasRefused = true
      return refusal({
        "retry-after-ms": "1000",
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "0"
      })
    })
    return run(lbs, function*() {
      yield* answeredIn(25, 1, 1)
      const before = asked(lbs).length
      yield* answeredIn(15, 1, 1)
      const to = asked(lbs).slice(before)
      assert.isAtLeast(to.filter((name) => name === "a").length, to.length / 3)
    })
  })
})

describe("a service that names no limits", () => {
  it.effect("is not left for long after one early refusal of each", () => {
    const sends = { a: 0, b: 0 }
    const lbs = scripted([azure("a"), azure("b")], ({ resource }) => {
      const count = ++sends[resource as "a" | "b"]
      return count === (resource === "a" ? 12 : 60) ? refusal({ "retry-after-ms": "500" }) : completion
    })
    return run(lbs, function*() {
      yield* answeredIn(10, 1, 1)
      const before = { ...sends }
      yield* answeredIn(60, 1, 1)
      const [a, b] = [sends.a - before.a, sends.b - before.b]
      assert.isAtLeast(Math.min(a, b), Math.max(a, b) * 0.7)
    })
  })
})
