import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { answer, failure, hello, overHttp, post, reasonOf, routeOf, run } from "../../support/Balanced.ts"
import { azure, type Canned, completion, scripted } from "../../support/Scripted.ts"

const throttled = (millis: number): Canned => ({
  status: 429,
  headers: { "retry-after-ms": String(millis) },
  body: { error: { message: "Too many requests.", type: "too_many_requests", code: "429" } }
})

describe("a request whose every attempt is throttled", () => {
  for (const millis of [250, 500, 1000, 2000, 4000, 60_000]) {
    for (const count of [1, 2, 3]) {
      it.effect(`is throttled, and told to wait a while: ${count} deployments, ${millis} ms`, () => {
        const names = ["a", "b", "c"].slice(0, count)
        const lbs = scripted(names.map((name) => azure(name)), () => throttled(millis))
        return run(lbs, function*(lb) {
          for (let i = 0; i < 4; i++) {
            const error = yield* failure(lb.chat(hello))
            const { retryAfter } = reasonOf(error, "Throttled")
            assert.isAtLeast(retryAfter, millis === 60_000 ? 30_000 : 1000)
            assert.isTrue(Number.isInteger(retryAfter))
            assert.isTrue(routeOf(error).every((step) => step.endsWith(" throttled")), routeOf(error).join())
          }
        })
      })
    }
  }

  it.effect("is throttled among many, though they spend the retry budget", () =>
    run(scripted([azure("a"), azure("b")], () => throttled(2000)), function*(lb) {
      const asking = Array.from({ length: 20 }, () => Effect.flip(lb.chat(hello)))
      const errors = yield* answer(Effect.all(asking, { concurrency: "unbounded" }))
      assert.lengthOf(errors, 20)
      for (const error of errors) assert.isAtLeast(reasonOf(error, "Throttled").retryAfter, 1000)
    }))

  it.effect("is a 429 with a wait for a program that speaks HTTP", () =>
    run(overHttp(scripted([azure("a"), azure("b")], () => throttled(500))), function*() {
      const { headers, status } = yield* answer(post(hello))
      assert.strictEqual(status, 429)
      assert.isAtLeast(Number(headers["retry-after"]), 1)
      assert.isAtLeast(Number(headers["retry-after-ms"]), 1000)
    }))

  it.effect("is throttled where another was tried that failed before", () => {
    const lbs = scripted(
      [azure("a"), azure("b", { tier: 2 })],
      ({ resource }) => resource === "a" ? { status: 500 } : throttled(500)
    )
    return run(lbs, function*(lb) {
      const error = yield* failure(lb.chat(hello, { attempts: 2 }))
      assert.deepStrictEqual(routeOf(error), ["a failed", "b throttled"])
      assert.isAtLeast(reasonOf(error, "Throttled").retryAfter, 1000)
    })
  })

  it.effect("is answered once the throttling is over", () => {
    let sends = 0
    const lbs = scripted([azure("a"), azure("b")], () => ++sends > 2 ? completion : throttled(500))
    return run(lbs, function*(lb) {
      const { choices } = yield* answer(lb.chat(hello))
      assert.strictEqual(choices[0]!.message.content, "Hello.")
      assert.lengthOf(lbs.sends, 3)
    })
  })
})

/** Twenty a second, for so many seconds: how many were answered. */
const ask = (seconds: number) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    const fibers: Array<Fiber.Fiber<Exit.Exit<unknown, unknown>>> = []
    for (let i = 0; i < seconds * 20; i++) {
      fibers.push(yield* Effect.forkChild(Effect.exit(lb.chat(hello)), { startImmediately: true }))
      yield* TestClock.adjust(50)
    }
    yield* TestClock.adjust("15 seconds")
    return (yield* Effect.forEach(fibers, Fiber.join)).filter(Exit.isSuccess).length
  })

/** Three deployments that refuse while they are full. */
const refusing = (refused: Canned) => {
  const service = { isFull: true }
  const lbs = scripted([azure("a"), azure("b"), azure("c")], () => service.isFull ? refused : completion)
  return { lbs, service }
}

describe("requests to deployments that refuse everything", () => {
  it.effect("without a time are sent no more than half of what is asked, and wait for less than a cooldown after", () => {
    const { lbs, service } = refusing({ status: 429 })
    return run(lbs, function*() {
      yield* ask(60)
      assert.isBelow(lbs.sends.length, 600)
      service.isFull = false
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* ask(10), 200)
    })
  })

  it.effect("with times that are too short are answered within seconds of there being room", () => {
    const { lbs, service } = refusing(throttled(50))
    return run(lbs, function*() {
      yield* ask(60)
      service.isFull = false
      yield* ask(5)
      assert.strictEqual(yield* ask(10), 200)
    })
  })
})
