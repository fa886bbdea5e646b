import { assert, describe, it } from "@effect/vitest"
import { type CallOptions, LoadBalancer, type LoadBalancerError } from "@evenkeel/core"
import { Clock, Effect, Exit, Fiber, Option } from "effect"
import { TestClock } from "effect/testing"
import { answer, heard, hello, listen, reasonOf } from "../../support/Balanced.ts"
import { azure, type Canned, completion, scripted } from "../../support/Scripted.ts"

/** Refuses, and asks for a wait that is no use. */
const refused: Canned = { status: 429, headers: { "retry-after-ms": "50" } }

interface Ending {
  readonly error: LoadBalancerError | undefined
  readonly isAnswered: boolean
  readonly took: number
}

/** Twenty requests a second, for so many seconds; how each ended, and whether further ones were refused then. */
const ask = (seconds: number, options: CallOptions = {}) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    const asking: Array<Fiber.Fiber<Ending>> = []
    for (let i = 0; i < seconds * 20; i++) {
      const one = Effect.gen(function*() {
        const began = yield* Clock.currentTimeMillis
        const exit = yield* Effect.exit(lb.chat(hello, options))
        const took = (yield* Clock.currentTimeMillis) - began
        const error = Option.getOrUndefined(Exit.findErrorOption(exit))
        return { error, isAnswered: Exit.isSuccess(exit), took }
      })
      asking.push(yield* Effect.forkChild(one, { startImmediately: true }))
      yield* TestClock.adjust(50)
    }
    const isRefusing = (yield* lb.snapshot).models[0]!.refusing
    yield* TestClock.adjust("15 seconds")
    return { ended: yield* Effect.forEach(asking, Fiber.join), isRefusing }
  })

/** Three deployments that refuse while they are told to. */
const make = () => {
  const service = { isFull: true }
  const lbs = scripted(
    [azure("a", { rpm: undefined }), azure("b", { rpm: undefined }), azure("c", { rpm: undefined })],
    () => service.isFull ? refused : completion
  )
  return { lbs, service }
}

const isHeldBack = ({ error }: Ending): boolean =>
  error?.reason._tag === "Throttled" && error.reason.limitedBy === "overload"

describe("where every deployment refuses, whatever it is sent and whenever", () => {
  it.effect("few requests are sent, and the others are told at once, and when to come back", () => {
    const { lbs } = make()
    return Effect.gen(function*() {
      yield* ask(30)
      const events = yield* listen
      const before = lbs.sends.length
      const lb = yield* LoadBalancer
      assert.isFalse((yield* lb.snapshot).models[0]!.refusing)
      const { ended, isRefusing } = yield* ask(60)
      assert.isTrue(isRefusing)
      // a request a second, three attempts each
      assert.isAtMost(lbs.sends.length - before, 3 * 75)
      assert.isAtLeast(lbs.sends.length - before, 40)
      const held = ended.filter(isHeldBack)
      assert.isAtLeast(held.length, 1000)
      assert.lengthOf(heard(events, "RequestEnded"), ended.length)
      for (const { error, took } of held) {
        assert.strictEqual(took, 0)
        assert.isAtLeast(reasonOf(error, "Throttled").retryAfter, 1000)
        assert.match(
          error!.message,
          /^LoadBalancerError: Most|^Most requests to "gpt-4o" were refused of late, so this one was not sent; ask for less, or try again in 1 s/
        )
      }
    }).pipe(Effect.provide(lbs.layer))
  })

  it.effect("so it is of callers who say how long they wait, as an official client always does", () => {
    const { lbs } = make()
    return Effect.gen(function*() {
      yield* ask(30, { timeout: "10 minutes" })
      const before = lbs.sends.length
      yield* ask(60, { timeout: "10 minutes" })
      assert.isAtMost(lbs.sends.length - before, 3 * 75)
    }).pipe(Effect.provide(lbs.layer))
  })

  it.effect("all are answered again within seconds of there being room", () => {
    const { lbs, service } = make()
    return Effect.gen(function*() {
      yield* ask(60)
      service.isFull = false
      const { ended } = yield* ask(30)
      for (const { isAnswered } of ended.slice(20 * 5)) assert.isTrue(isAnswered)
    }).pipe(Effect.provide(lbs.layer))
  })

  it.effect("a burst that met two seconds of that holds nobody back for long", () => {
    const { lbs, service } = make()
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const burst: Array<Fiber.Fiber<unknown>> = []
      for (let i = 0; i < 12; i++) {
        burst.push(yield* Effect.forkChild(Effect.exit(lb.chat(hello)), { startImmediately: true }))
      }
      yield* TestClock.adjust("2 seconds")
      service.isFull = false
      yield* TestClock.adjust("1 second")
      yield* Effect.forEach(burst, Fiber.await)
      for (let second = 0; second < 10; second++) {
        yield* answer(lb.chat(hello))
        yield* TestClock.adjust("1 second")
      }
    }).pipe(Effect.provide(lbs.layer))
  })

  it.effect("nobody is held back because of callers in a hurry", () => {
    const { lbs, service } = make()
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const burst: Array<Fiber.Fiber<unknown>> = []
      for (let i = 0; i < 30; i++) {
        const one = Effect.exit(lb.chat(hello, { timeout: "500 millis" }))
        burst.push(yield* Effect.forkChild(one, { startImmediately: true }))
      }
      yield* TestClock.adjust("1 second")
      yield* Effect.forEach(burst, Fiber.await)
      service.isFull = false
      for (let i = 0; i < 10; i++) yield* answer(lb.chat(hello))
    }).pipe(Effect.provide(lbs.layer))
  })

  it.effect("nobody is held back because of callers who let few be asked", () => {
    // a first tier that refuses, and a second that has room
    const lbs = scripted(
      [azure("a"), azure("b", { tier: 2 })],
      ({ resource }) => resource === "a" ? refused : completion
    )
    return Effect.gen(function*() {
      const { ended } = yield* ask(30, { attempts: 1 })
      assert.isAtLeast(ended.filter(({ isAnswered }) => !isAnswered).length, 100)
      assert.isEmpty(ended.filter(isHeldBack))
    }).pipe(Effect.provide(lbs.layer))
  })

  it.effect("requests are not held back as long as half of them are answered", () => {
    const { lbs, service } = make()
    return Effect.gen(function*() {
      yield* ask(5)
      service.isFull = false
      yield* ask(30)
      // one in three is refused by one of three: the others take it
      let sends = 0
      const flaky = scripted([azure("a"), azure("b"), azure("c")], () => ++sends % 2 === 0 ? refused : completion)
      const { ended } = yield* Effect.provide(ask(60), flaky.layer)
      assert.isEmpty(ended.filter(isHeldBack))
    }).pipe(Effect.provide(lbs.layer))
  })
})
