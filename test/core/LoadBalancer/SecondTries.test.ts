import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer, type LoadBalancerError, Selector } from "@evenkeel/core"
import { Cause, Clock, Effect, Exit, Fiber, Schedule, Stream } from "effect"
import { TestClock } from "effect/testing"
import { answer, failure, hello, reasonOf, run, settle, stateOf } from "../../support/Balanced.ts"
import { azure, completion, scripted } from "../../support/Scripted.ts"
import { timed, type TimedReply } from "../../support/Timed.ts"

const usual: TimedReply = { after: 100 }

const asUsual = (): TimedReply => usual

/** A script that can be changed once it is known what is usual. */
const changing = () => {
  let current = asUsual
  return { reply: () => current(), become: (reply: () => TimedReply) => void (current = reply) }
}

const streamed = Effect.gen(function*() {
  const lb = yield* LoadBalancer
  return yield* answer(Stream.runDrain(lb.chatStream(hello, { hedge: true })))
})

const whole = Effect.gen(function*() {
  const lb = yield* LoadBalancer
  return yield* answer(lb.chat(hello))
})

describe("a hedged stream", () => {
  it.effect("leaves no attempt under way when it is interrupted, however long its caller takes to end", () => {
    const script = changing()
    const lbs = timed(["east", "west"], script.reply)
    return run(lbs, function*(lb) {
      yield* Effect.replicateEffect(streamed, 40)
      script.become(() => ({ after: 5000 }))
      const caller = Effect.ensuring(Stream.runDrain(lb.chatStream(hello, { hedge: true })), Effect.sleep("1 minute"))
      const fiber = yield* Effect.forkChild(caller, { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.lengthOf(lbs.sends, 42)
      yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      yield* TestClock.adjust("100 millis")
      for (const name of ["east", "west"]) assert.strictEqual((yield* stateOf(name)).inFlight, 0)
      yield* TestClock.adjust("2 minutes")
    })
  })

  it.effect("that timed out on both sides is not sent again", () => {
    const script = changing()
    const lbs = timed(["east", "west", "north"], script.reply, { timeouts: { firstEvent: "1 minute" } })
    return run(lbs, function*() {
      yield* Effect.replicateEffect(streamed, 40)
      script.become(() => ({ after: "never" }))
      reasonOf(yield* Effect.flip(streamed), "TimedOut")
      assert.lengthOf(lbs.sends, 42)
    })
  })

  it.effect("that one side refuses is not sent again, whatever becomes of the other", () => {
    const script = changing()
    const lbs = timed(["east", "west", "north"], script.reply)
    return run(lbs, function*() {
      yield* Effect.replicateEffect(streamed, 40)
      const replies: Array<TimedReply> = [
        { after: 1000, status: 400, body: { error: { message: "No.", code: "unsupported_value" } } },
        { after: 2000, status: 503 }
      ]
      script.become(() => replies.shift() ?? usual)
      reasonOf(yield* Effect.flip(streamed), "Rejected")
      assert.lengthOf(lbs.sends, 42)
    })
  })
})

describe("a whole answer that takes long", () => {
  for (
    const [what, options] of [
      ["the budget has nothing for another try", {}],
      ["the caller's schedule allows none", { schedule: Schedule.recurs(0) }]
    ] as const
  ) {
    it.effect(`is waited for where ${what}`, () => {
      const script = changing()
      const names = ["a", "b", "c", "d", "e"]
      const lbs = timed(names, script.reply, { failover: { budgetRatio: 0, budgetPerSecond: 0 } })
      return run(lbs, function*(lb, _, { members }) {
        yield* Effect.replicateEffect(whole, 30)
        script.become(() => ({ after: 90_000 }))
        const fiber = yield* Effect.forkChild(lb.chat(hello, options), { startImmediately: true })
        for (let i = 0; i < 10; i++) {
          for (const name of ["c", "d", "e"]) yield* members.observe(`${name}/gpt-4o`, { health: "failing" })
          yield* TestClock.adjust("10 seconds")
        }
        yield* Fiber.join(fiber)
        assert.lengthOf(lbs.sends, 31)
      })
    })
  }

  it.effect("asks a selector for no more than a choice, and ends with what that throws; others keep their deadline", () => {
    const script = changing()
    let isBroken = false
    let asked = 0
    const selector = Selector.layer((candidates) => {
      asked++
      if (isBroken) throw new Error("mine")
      return candidates[0]!
    })
    const lbs = timed(["east", "west"], script.reply, {}, { selector })
    return run(lbs, function*(lb) {
      yield* Effect.replicateEffect(whole, 30)
      script.become(() => ({ after: "never" }))
      const asking = [lb.chat(hello), lb.chat(hello, { timeout: "70 seconds", attempts: 1 })]
      const fibers = []
      for (const ask of asking) fibers.push(yield* Effect.forkChild(Effect.exit(ask), { startImmediately: true }))
      isBroken = true
      asked = 0
      yield* TestClock.adjust("2 minutes")
      const [first, second] = [yield* Fiber.join(fibers[0]!), yield* Fiber.join(fibers[1]!)]
      assert.isTrue(Exit.isFailure(first) && Cause.pretty(first.cause).includes("mine"))
      reasonOf(yield* Effect.flip(second), "TimedOut")
      assert.strictEqual(asked, 1)
    })
  })

  it.effect("fails over with one question to the selector for each attempt", () => {
    let asked = 0
    const selector = Selector.layer((candidates) => {
      asked++
      return candidates[0]!
    })
    const lbs = scripted(["east", "west", "north"].map((name) => azure(name)), () => ({ status: 500 }), {}, {
      selector
    })
    return run(lbs, function*(lb) {
      const error = yield* failure(lb.chat(hello))
      assert.strictEqual(asked, (error as LoadBalancerError).attempts.length)
    })
  })
})

describe("waiting", () => {
  it.effect("is as long as the caller's own schedule says, where that is longer than the service's word", () => {
    let sends = 0
    const lbs = scripted(
      [azure("east")],
      () => sends++ === 0 ? { status: 429, headers: { "retry-after": "1" } } : completion,
      { failover: { maxWait: "1 minute" } }
    )
    return run(lbs, function*(lb) {
      const began = yield* Clock.currentTimeMillis
      yield* answer(lb.chat(hello, { schedule: Schedule.spaced("8 seconds") }))
      assert.isAtLeast((yield* Clock.currentTimeMillis) - began, 8000)
    })
  })

  it.effect("that is not allowed ends in what is wrong, which may be no throttling", () => {
    const missing = { status: 404, body: { error: { code: "DeploymentNotFound", message: "no" } } }
    const lbs = scripted([azure("east")], () => missing, { failover: { maxWait: "40 seconds", maxWaiting: 0 } })
    return run(lbs, function*(lb) {
      assert.strictEqual(reasonOf(yield* failure(lb.chat(hello)), "Unavailable").limitedBy, "missing")
    })
  })
})

describe("a list of models", () => {
  it.effect("says nothing of a deployment: neither that it hangs no more, nor that it is well", () =>
    run(scripted([azure("east")], () => completion), function*(lb, _, { members }) {
      const [deployment] = members.all()
      for (let i = 0; i < 5; i++) yield* answer(lb.chat(hello))
      const permit = deployment!.enter(yield* Clock.currentTimeMillis, 1, 100)
      yield* TestClock.adjust("20 seconds")
      yield* lb.request({ path: "/models" })
      assert.isAbove(deployment!.slowness(yield* Clock.currentTimeMillis), 10)
      deployment!.leave(permit)
      yield* members.observe(deployment!.id, { health: "failing" })
      yield* TestClock.adjust("20 seconds")
      yield* lb.request({ path: "/models" })
      assert.notStrictEqual(deployment!.breaker.state, "closed")
      assert.isTrue(Exit.isSuccess(yield* settle(lb.chat(hello))))
      assert.strictEqual(deployment!.breaker.state, "closed")
    }))
})
