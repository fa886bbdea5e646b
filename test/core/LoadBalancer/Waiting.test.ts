import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Clock, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { answer, hello, reasonOf, run, settle } from "../../support/Balanced.ts"
import { asked, azure, type Canned, completion, scripted } from "../../support/Scripted.ts"

const throttled = (seconds: number): Canned => ({ status: 429, headers: { "retry-after": String(seconds) } })

const throttledFor = (millis: number): Canned => ({ status: 429, headers: { "retry-after-ms": String(millis) } })

/** A question that can be told from the others. */
const ask = (name: string) => ({ ...hello, messages: [{ role: "user" as const, content: `It is ${name}.` }] })

const nameOf = (body: unknown): string => /It is (\w+)\./.exec(String(body))?.[1] ?? ""

/** A balancer over one deployment that throttles the first send for some seconds, and has room for one a slice after that. */
const narrow = (seconds: number, config: Parameters<typeof scripted>[2] = {}) => {
  let sends = 0
  return scripted([azure("east", { rpm: 6 })], () => sends++ === 0 ? throttled(seconds) : completion, config)
}

const waitingNow = Effect.gen(function*() {
  const lb = yield* LoadBalancer
  const { models } = yield* lb.snapshot
  return models.find(({ name }) => name === "gpt-4o")!.waiting
})

/** Asks one after the other, every so often; how long those waited that were served, or told no. */
const flood = (every: number, count: number) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    const asking: Array<Fiber.Fiber<readonly [boolean, number]>> = []
    for (let i = 0; i < count; i++) {
      const one = Effect.gen(function*() {
        const began = yield* Clock.currentTimeMillis
        const exit = yield* Effect.exit(lb.chat(ask("one")))
        return [Exit.isSuccess(exit), (yield* Clock.currentTimeMillis) - began] as const
      })
      asking.push(yield* Effect.forkChild(one, { startImmediately: true }))
      yield* TestClock.adjust(every)
    }
    return yield* answer(Effect.forEach(asking, Fiber.join))
  })

describe("requests that wait because everything is throttled", () => {
  it.effect("are served in the order in which they came, and nobody overtakes them", () =>
    run(narrow(3, { failover: { maxWait: "2 minutes" } }), function*(lb, lbs) {
      const asking: Array<Fiber.Fiber<unknown, unknown>> = []
      for (const name of ["a", "b", "c", "d", "e"]) {
        asking.push(yield* Effect.forkChild(lb.chat(ask(name)), { startImmediately: true }))
        yield* TestClock.adjust("800 millis")
      }
      // the last of them come when the deployment is back, and others still wait
      yield* answer(Effect.all(asking.map(Fiber.join)))
      const served = lbs.sends.map(({ body }) => nameOf(body))
      assert.deepStrictEqual(served, ["a", "a", "b", "c", "d", "e"])
      assert.strictEqual(yield* waitingNow, 0)
    }))

  it.effect("are not overtaken by a smaller one that would fit now", () => {
    const lbs = scripted([azure("east", { tpm: 1000 })], () => completion, { failover: { maxWait: "2 minutes" } })
    return run(lbs, function*(lb) {
      yield* answer(lb.chat({ ...ask("first"), max_tokens: 600 }))
      const asking = []
      for (const [name, size] of [["large", 600], ["small", 100]] as const) {
        asking.push(yield* Effect.forkChild(lb.chat({ ...ask(name), max_tokens: size }), { startImmediately: true }))
        yield* TestClock.adjust("1 second")
      }
      yield* answer(Effect.all(asking.map(Fiber.join)))
      assert.deepStrictEqual(lbs.sends.map(({ body }) => nameOf(body)), ["first", "large", "small"])
    })
  })

  it.effect("are not starved by those that may only go to one resource", () => {
    const stored = {
      status: 200,
      body: { id: "resp_1", object: "response", output: [], usage: { input_tokens: 1, output_tokens: 1 } }
    }
    const lbs = scripted(
      [azure("east", { tpm: 1000 })],
      ({ path }) => path.includes("responses") ? stored : completion,
      { failover: { maxWait: "2 minutes" } }
    )
    return run(lbs, function*(lb) {
      const first = { model: "gpt-4o", input: "It is first.", max_output_tokens: 600 }
      yield* answer(lb.responses(first))
      const large = yield* Effect.forkChild(lb.chat({ ...ask("large"), max_tokens: 600 }), { startImmediately: true })
      const pinned = { model: "gpt-4o", input: "It is pinned.", previous_response_id: "resp_1", max_output_tokens: 90 }
      const asking = []
      for (let i = 0; i < 70; i++) {
        asking.push(yield* Effect.forkChild(Effect.exit(lb.responses(pinned)), { startImmediately: true }))
        yield* TestClock.adjust("1 second")
      }
      yield* Fiber.join(large)
      assert.deepStrictEqual(lbs.sends.slice(0, 2).map(({ body }) => nameOf(body)), ["first", "large"])
      yield* Effect.forEach(asking, Fiber.interrupt)
      assert.strictEqual(yield* waitingNow, 0)
    })
  })

  it.effect("are not held up by one that was told to wait for its own sake, and has its turn", () => {
    const lbs = scripted(
      [azure("east", { rpm: 6 })],
      ({ body }) => String(body).includes("flex") ? throttled(40) : completion,
      { failover: { maxWait: "2 minutes", attempts: 1 } }
    )
    return run(lbs, function*(lb) {
      const flex = { ...ask("flex"), service_tier: "flex" as const }
      yield* settle(lb.chat(flex))
      const asking: Array<Fiber.Fiber<unknown, unknown>> = []
      for (const body of [ask("a"), ask("b"), flex, ask("c"), ask("d")]) {
        asking.push(yield* Effect.forkChild(Effect.exit(lb.chat(body)), { startImmediately: true }))
      }
      yield* TestClock.adjust("36 seconds")
      assert.deepStrictEqual(lbs.sends.map(({ body }) => nameOf(body)), ["flex", "a", "b", "c", "d"])
      yield* Effect.forEach(asking, Fiber.interrupt)
      assert.strictEqual(yield* waitingNow, 0)
    })
  })

  it.effect("leave the line when they are interrupted, and hold nobody up", () =>
    run(narrow(5), function*(lb, lbs) {
      const first = yield* Effect.forkChild(lb.chat(ask("first")), { startImmediately: true })
      const second = yield* Effect.forkChild(lb.chat(ask("second")), { startImmediately: true })
      const third = yield* Effect.forkChild(lb.chat(ask("third")), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* waitingNow, 3)
      yield* Fiber.interrupt(first)
      yield* Fiber.interrupt(second)
      assert.strictEqual(yield* waitingNow, 1)
      yield* answer(Fiber.join(third))
      assert.deepStrictEqual(lbs.sends.map(({ body }) => nameOf(body)), ["first", "third"])
      assert.strictEqual(yield* waitingNow, 0)
    }))

  it.effect("are at most so many; those beyond are told at once, and when to come back", () =>
    run(narrow(8, { failover: { maxWaiting: 2 } }), function*(lb) {
      const asking = []
      for (const name of ["a", "b", "c"]) {
        asking.push(yield* Effect.forkChild(Effect.exit(lb.chat(ask(name))), { startImmediately: true }))
      }
      const exit = yield* Fiber.join(asking[2]!)
      const { retryAfter } = reasonOf(yield* Effect.flip(exit), "Throttled")
      assert.isAtLeast(retryAfter, 7000)
      assert.isAtMost(retryAfter, 8000)
      assert.strictEqual(yield* waitingNow, 2)
      assert.isTrue(Exit.isSuccess(yield* answer(Fiber.join(asking[0]!))))
    }))

  it.effect("do so no longer than maxWait, wherever they stand in line", () => {
    const lbs = scripted([azure("east")], () => throttled(9), { failover: { maxWait: "10 seconds", attempts: 1 } })
    return run(lbs, function*(lb) {
      yield* settle(lb.chat(ask("taught")))
      const began = yield* Clock.currentTimeMillis
      const asking = []
      for (const name of ["a", "b", "c"]) {
        asking.push(yield* Effect.forkChild(Effect.exit(lb.chat(ask(name))), { startImmediately: true }))
      }
      for (const fiber of asking) {
        const exit = yield* answer(Fiber.join(fiber))
        reasonOf(yield* Effect.flip(exit), "Throttled")
      }
      assert.isAtMost((yield* Clock.currentTimeMillis) - began, 11_000)
      assert.strictEqual(yield* waitingNow, 0)
    })
  })

  it.effect("do so for a short time only where others always wait, and for long again after that", () =>
    run(scripted([azure("east", { rpm: 60 })], () => completion, { failover: { maxWait: "20 seconds" } }), function*() {
      // twice what there is: a request a second
      const ended = yield* flood(500, 240)
      const late = ended.slice(120)
      const served = ended.filter(([isServed]) => isServed).length
      // slots come ten at a time; whoever waits for the next ten would wait ten seconds
      assert.isAtLeast(served, 108)
      const waits = late.map(([, waited]) => waited)
      assert.isAtMost(waits.reduce((sum, wait) => sum + wait, 0) / waits.length, 4000)
      assert.isTrue(late.some(([isServed]) => !isServed))
      // a peak that passes is sat out
      yield* TestClock.adjust("2 minutes")
      const peak = yield* flood(0, 18)
      assert.isTrue(peak.every(([isServed]) => isServed))
      assert.isTrue(peak.some(([, waited]) => waited > 5000))
    }))

  it.effect("wait on where they were sent, and were told to wait for a moment, also where others always wait", () => {
    let refusals = 0
    const lbs = scripted(
      [azure("east", { tpm: 6000 })],
      ({ body }) => nameOf(body) === "target" && refusals++ === 0 ? throttledFor(100) : completion
    )
    return run(lbs, function*(lb) {
      const one = (name: string) => Effect.exit(lb.chat({ ...ask(name), max_tokens: 92 }))
      const come = (name: string) => Effect.forkChild(one(name), { startImmediately: true })
      // as much as there is, and then a fifth more, until others have waited for long
      for (let i = 0; i < 60; i++) {
        yield* come("early")
        yield* TestClock.adjust("1 second")
      }
      for (let i = 0; i < 36; i++) {
        yield* come("early")
        yield* TestClock.adjust("800 millis")
      }
      let served = 0
      for (let round = 0; round < 8; round++) {
        refusals = 0
        const target = yield* come("target")
        for (let i = 0; i < 20; i++) {
          yield* TestClock.adjust("800 millis")
          yield* come("later")
        }
        const exit = yield* answer(Fiber.join(target))
        if (refusals > 0) served += Exit.isSuccess(exit) ? 1 : 0
        else served++
      }
      assert.isAtLeast(served, 6)
    })
  })

  it.effect("go on soon where a deployment is added meanwhile", () => {
    const lbs = scripted([azure("east")], ({ resource }) => resource === "east" ? throttled(9) : completion)
    return run(lbs, function*(lb, _, { members }) {
      const fiber = yield* Effect.forkChild(lb.chat(ask("a")), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* members.add(azure("west"))
      yield* TestClock.adjust("300 millis")
      assert.deepStrictEqual(asked(lbs), ["east", "west"])
      yield* Fiber.join(fiber)
    })
  })
})
