import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  answer,
  failure,
  fleet,
  heard,
  hello,
  reasonOf,
  routeOf,
  run,
  sent,
  service,
  settle,
  stateOf
} from "../../support/Balanced.ts"

/** East is asked first, then west, then north. */
const tiered = { tiers: { east: 1, west: 2, north: 3 } }

const trio = () => [service("east"), service("west"), service("north")]

const textOf = (completion: { readonly choices: ReadonlyArray<{ readonly message: { readonly content: unknown } }> }) =>
  completion.choices[0]!.message.content

describe("LoadBalancer failover", () => {
  it.effect("D2: when all answer 429, each is tried once and the error carries the soonest wait", () =>
    run(fleet(trio()), function*(lb, three) {
      three.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 30_000 })
      three.services["west"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 20_000 })
      three.services["north"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 40_000 })
      const error = yield* failure(lb.chat(hello))
      assert.closeTo(reasonOf(error, "Throttled").retryAfter, 20_000, 50)
      assert.deepStrictEqual(sent(three), { east: 1, west: 1, north: 1 })
      // while all of them cool down nothing is sent, and the error still says until when
      const next = yield* failure(lb.chat(hello))
      assert.closeTo(reasonOf(next, "Throttled").retryAfter, 20_000, 100)
      assert.strictEqual(three.sends.length, 3)
    }))

  it.effect("D3: a request that is wrong is sent once", () =>
    run(fleet(trio()), function*(lb, three) {
      const error = yield* failure(lb.chat({ ...hello, temperature: 9 }))
      assert.strictEqual(reasonOf(error, "Rejected").status, 400)
      assert.strictEqual(three.sends.length, 1)
    }))

  it.effect("D4: no deployment is tried twice while another is left, then the same ones again", () =>
    run(fleet(trio(), { failover: { attempts: 5 } }), function*(lb, three) {
      for (const { fault } of Object.values(three.services)) fault("gpt-4o", { kind: "status", status: 500 })
      const error = yield* failure(lb.chat(hello))
      assert.strictEqual(reasonOf(error, "Unavailable").limitedBy, "attempts")
      const order = three.sends.map(({ resource }) => resource)
      assert.strictEqual(order.length, 5)
      assert.strictEqual(new Set(order.slice(0, 3)).size, 3)
      assert.strictEqual(routeOf(error).length, 5)
    }))

  it.effect("D5: a session moves when its home is silent", () =>
    run(fleet(trio(), { timeouts: { firstEvent: 2000 } }), function*(lb, three) {
      const ask = Stream.runDrain(lb.chatStream(hello, { session: "user-1" }))
      yield* answer(ask)
      const home = three.sends[0]!.resource
      three.services[home]!.fault("gpt-4o", { kind: "hang" })
      yield* answer(ask)
      assert.strictEqual(three.sends.length, 3)
      assert.strictEqual(three.sends[1]!.resource, home)
      assert.notStrictEqual(three.sends[2]!.resource, home)
    }))

  it.effect.each(
    [
      { when: "while an attempt is under way", fault: { kind: "hang" }, after: 500, sends: 1 },
      { when: "while it waits for a cooldown", fault: { kind: "throttle", retryAfterMs: 8000 }, after: 500, sends: 1 },
      { when: "between two attempts", fault: { kind: "status", status: 500 }, after: 10, sends: 1 }
    ] as const
  )("D6: interrupting a request stops it at once and sends nothing more: $when", ({ after, fault, sends }) => {
    const one = fleet([service("east")], { failover: { backoff: "20 seconds", maxBackoff: "20 seconds" } })
    return run(one, function*(lb) {
      one.services["east"]!.fault("gpt-4o", fault)
      const fiber = yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
      yield* TestClock.adjust(after)
      const before = yield* Clock.currentTimeMillis
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* Clock.currentTimeMillis, before)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(one.sends.length, sends)
      assert.deepInclude(yield* stateOf("east"), { inFlight: 0, waiting: 0 })
      assert.strictEqual(one.services["east"]!.stats(0).inFlight, 0)
    })
  })

  it.effect("D7: concurrent requests that fail over do not mix their state: each gets its own answer", () => {
    const own = { reply: ({ body }: { readonly body: { readonly [key: string]: unknown } }) => String(body["user"]) }
    const two = fleet([service("east", own), service("west", own)], tiered)
    return run(two, function*(lb) {
      two.services["east"]!.fault("gpt-4o", { kind: "status", status: 500, times: 20 })
      const users = Array.from({ length: 20 }, (_, i) => `caller-${i}`)
      const ask = (user: string) => lb.chat({ ...hello, user })
      const answers = yield* answer(Effect.forEach(users, ask, { concurrency: "unbounded" }))
      assert.deepStrictEqual(answers.map(textOf), users)
      assert.deepStrictEqual(sent(two), { east: 20, west: 20 })
    })
  })

  it.effect("D8: when all are throttled, a request waits for the first that comes back", () =>
    run(fleet([service("east"), service("west")]), function*(lb, two, { events }) {
      two.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 9000, times: 1 })
      two.services["west"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 6000, times: 1 })
      assert.strictEqual(textOf(yield* answer(lb.chat(hello))), "I am west.")
      assert.strictEqual(two.sends.length, 3)
      const back = two.sends[2]!
      assert.strictEqual(back.at, two.sends.find(({ resource }) => resource === "west")!.at + 6010)
      assert.strictEqual(heard(events, "Waiting").length, 1)
    }))

  it.effect("D8: when all are failing, the best bet is tried all the same", () =>
    run(fleet([service("east"), service("west")], { failover: { attempts: 2 } }), function*(lb, two, { events }) {
      for (const { fault } of Object.values(two.services)) fault("gpt-4o", { kind: "status", status: 500, times: 5 })
      for (let i = 0; i < 5; i++) yield* settle(lb.chat(hello))
      assert.strictEqual((yield* stateOf("east")).state, "open")
      assert.strictEqual((yield* stateOf("west")).state, "open")
      yield* answer(lb.chat(hello))
      assert.strictEqual(heard(events, "Panicked").length, 1)
    }))

  it.effect.each([{ attempts: undefined, sends: 3 }, { attempts: 1, sends: 1 }, { attempts: 4, sends: 4 }])(
    "D9: a request is sent at most as often as it has attempts: $attempts",
    ({ attempts, sends }) =>
      run(fleet([...trio(), service("south"), service("centre")]), function*(lb, five) {
        for (const { fault } of Object.values(five.services)) fault("gpt-4o", { kind: "status", status: 500 })
        const error = yield* failure(lb.chat(hello, { attempts }))
        assert.strictEqual(reasonOf(error, "Unavailable").limitedBy, "attempts")
        assert.strictEqual(five.sends.length, sends)
      })
  )

  it.effect("D10: key and path of one resource never reach another", () => {
    const mixed = fleet([
      { name: "east", deployments: [{ name: "east-4o", model: "gpt-4o" }] },
      { name: "project", provider: "openai", apiKey: "project-key", deployments: [{ name: "gpt-4o" }] },
      { name: "other", provider: "openai", apiKey: "other-key", deployments: [{ name: "gpt-4o" }] }
    ])
    return run(mixed, function*(lb) {
      for (const { deployments, fault } of Object.values(mixed.services)) {
        fault(deployments[0]!, { kind: "status", status: 500, probability: 0.7 })
      }
      for (let i = 0; i < 30; i++) yield* settle(lb.chat(hello), { step: 1000 })
      const seen = Object.values(mixed.services).map((service) => service.stats(0).credentials)
      assert.deepStrictEqual(seen, [["east-key"], ["Bearer project-key"], ["Bearer other-key"]])
      for (const { request, resource } of mixed.sends) {
        const azure = resource === "east"
        assert.strictEqual(request.path, azure ? "/openai/v1/chat/completions" : "/v1/chat/completions")
        assert.strictEqual(request.origin, mixed.services[resource]!.origin)
        assert.strictEqual(JSON.parse(String(request.body)).model, azure ? "east-4o" : "gpt-4o")
      }
    })
  })

  it.effect("D11: the total deadline ends a request exactly then, whatever it is doing", () =>
    run(fleet([service("east"), service("west")]), function*(lb, two) {
      for (const { fault } of Object.values(two.services)) fault("gpt-4o", { kind: "hang" })
      const timed = Effect.gen(function*() {
        const result = yield* Effect.result(lb.chat(hello, { timeout: "5 seconds" }))
        return { at: yield* Clock.currentTimeMillis, result }
      })
      const { at, result } = yield* answer(timed)
      assert.strictEqual(at, 5000)
      assert.isTrue(Result.isFailure(result))
      const error = Result.isFailure(result) ? result.failure : undefined
      assert.deepInclude(reasonOf(error, "TimedOut"), { stage: "total", limit: 5000 })
      assert.deepStrictEqual(routeOf(error), [`${two.sends[0]!.resource} abandoned`])
      const states = [yield* stateOf("east"), yield* stateOf("west")]
      assert.deepStrictEqual(states.map(({ inFlight, totals }) => [inFlight, totals.failed]), [[0, 0], [0, 0]])
    }))

  it.effect("D11: a wait that does not fit the deadline is not begun: the error says when to come back", () =>
    run(fleet([service("east")]), function*(lb, one) {
      one.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 8000 })
      const exit = yield* settle(Effect.flip(lb.chat(hello, { timeout: "4 seconds" })), { limit: 1000 })
      assert.isTrue(Exit.isSuccess(exit))
      const error = yield* exit
      assert.closeTo(reasonOf(error, "Throttled").retryAfter, 8000, 50)
    }))
})
