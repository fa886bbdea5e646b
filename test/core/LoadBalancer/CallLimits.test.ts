import { assert, describe, it } from "@effect/vitest"
import { type CallOptions } from "@evenkeel/core"
import { Effect, Stream } from "effect"
import { answer, failure, fleet, hello, reasonOf, run, service, settle, stateOf } from "../../support/Balanced.ts"

const both = ["a", "b"] as const

const states = Effect.forEach(both, (name) => Effect.map(stateOf(name), ({ state }) => state))

describe("time limits of one call", () => {
  for (const stage of ["total", "firstEvent", "firstContent", "idle"] as const) {
    it.effect(`leave the configured ones where they are undefined: ${stage}`, () => {
      const one = fleet([service("a")], { timeouts: { total: "3 seconds" } })
      one.services["a"]!.fault("*", { kind: "hang" })
      return run(one, function*(lb) {
        const error = yield* failure(lb.chat(hello, { timeouts: { [stage]: undefined } }))
        assert.deepInclude(reasonOf(error, "TimedOut"), { stage: "total", limit: 3000 })
      })
    })
  }

  it.effect("are taken as texts and as numbers", () => {
    const one = fleet([service("a")])
    one.services["a"]!.fault("*", { kind: "hang" })
    return run(one, function*(lb) {
      for (const total of ["2 seconds", 2000] as const) {
        const error = yield* failure(lb.chat(hello, { timeouts: { total } }))
        assert.deepInclude(reasonOf(error, "TimedOut"), { stage: "total", limit: 2000 })
      }
      const options = { timeouts: { firstEvent: "500 millis" }, attempts: 1 } as const
      const error = yield* failure(Stream.runDrain(lb.chatStream(hello, options)))
      assert.deepInclude(reasonOf(error, "TimedOut"), { stage: "first-event", limit: 500 })
    })
  })
})

/** What is wrong, and where the error says that it is. */
const wrong: ReadonlyArray<readonly [what: string, options: object, named: string]> = [
  ["a stage's time that is no number", { timeouts: { total: NaN } }, "timeouts.total"],
  ["a stage's time of zero", { timeouts: { firstEvent: 0 } }, "timeouts.firstEvent"],
  ["a later stage's time of zero", { timeouts: { idle: 0 } }, "timeouts.idle"],
  ["a stage's time that is negative", { timeouts: { firstContent: -1 } }, "timeouts.firstContent"],
  ["a stage's time without an end", { timeouts: { total: Infinity } }, "timeouts.total"],
  ["a stage's time that is no duration", { timeouts: { connect: "soon" } }, "timeouts.connect"],
  ["a stage that there is not", { timeouts: { first_event: 3 } }, "timeouts.first_event"],
  ["a stage that every object has", { timeouts: { constructor: 3 } }, "timeouts.constructor"],
  ["stages that are null", { timeouts: null }, "timeouts"],
  ["stages that are no object", { timeouts: 5 }, "timeouts"],
  ["a timeout of zero", { timeout: 0 }, "`timeout`"],
  ["a negative timeout", { timeout: -5 }, "`timeout`"],
  ["a timeout that is no number", { timeout: NaN }, "`timeout`"],
  ["a timeout without an end", { timeout: Infinity }, "`timeout`"],
  ["a timeout that is no duration", { timeout: "abc" }, "`timeout`"],
  ["no attempt", { attempts: 0 }, "`attempts`"],
  ["half an attempt", { attempts: 1.5 }, "`attempts`"],
  ["attempts that are no number", { attempts: NaN }, "`attempts`"],
  ["a header value beyond Latin-1", { headers: { "idempotency-key": "order → 1" } }, "`idempotency-key`"],
  ["a header value with a control character", { headers: { traceparent: "a\u0001b" } }, "`traceparent`"],
  ["a header value with a line break", { headers: { traceparent: "a\r\nb: c" } }, "`traceparent`"],
  ["a header value with a zero", { headers: { traceparent: "a\0" } }, "`traceparent`"],
  ["a header value with a deletion", { headers: { traceparent: "\u007f" } }, "`traceparent`"]
]

describe("options of one call that are wrong", () => {
  it.effect.each(wrong)(
    "are refused at every door, with nothing sent and nobody blamed: %s",
    ([, given, named]) =>
      run(fleet(both.map((name) => service(name))), function*(lb, two) {
        const options = given as CallOptions
        const errors = [
          yield* failure(lb.chat(hello, options)),
          yield* failure(lb.responses({ model: "gpt-4o", input: "Hello." }, options)),
          yield* failure(Stream.runDrain(lb.chatStream(hello, options))),
          yield* failure(lb.request({ path: "/models" }, options))
        ]
        for (const error of errors) {
          const { code, description, status } = reasonOf(error, "Rejected")
          assert.deepStrictEqual([status, code], [400, "invalid_request"])
          assert.include(description, named)
          assert.lengthOf(error.attempts, 0)
        }
        assert.lengthOf(two.sends, 0)
        assert.deepStrictEqual(yield* states, ["healthy", "healthy"])
        assert.deepStrictEqual((yield* lb.snapshot).resources.map(({ state }) => state), ["healthy", "healthy"])
      })
  )
})

describe("an impatient caller", () => {
  const limits: ReadonlyArray<readonly [string, NonNullable<CallOptions["timeouts"]>]> = [
    ["the first event", { firstEvent: 1 }],
    ["the first content", { firstContent: 1, firstEvent: 1000 }],
    ["the next event", { idle: 0.001 }]
  ]
  for (const [name, timeouts] of limits) {
    it.effect(`opens nobody's breaker with a short limit for ${name}`, () =>
      run(fleet(both.map((name) => service(name))), function*(lb) {
        for (let i = 0; i < 6; i++) yield* answer(lb.chat(hello))
        let failed = 0
        for (let i = 0; i < 12; i++) {
          const exit = yield* settle(Stream.runDrain(lb.chatStream(hello, { timeouts })))
          if (exit._tag === "Failure") failed++
        }
        assert.strictEqual(failed, 12)
        assert.deepStrictEqual(yield* states, ["healthy", "healthy"])
      }))
  }

  const patient: ReadonlyArray<readonly [string, CallOptions]> = [
    ["the configured limit", {}],
    ["a limit that is no shorter", { timeouts: { firstEvent: "1 second" } }],
    ["a longer limit", { timeouts: { firstEvent: "2 seconds" } }]
  ]
  for (const [name, options] of patient) {
    it.effect(`is not one who waits for ${name}: a deployment that passes it is taken out`, () => {
      const two = fleet(both.map((name) => service(name)), {
        tiers: { b: 2 },
        timeouts: { firstEvent: "1 second" }
      })
      return run(two, function*(lb) {
        for (let i = 0; i < 6; i++) yield* answer(lb.chat(hello))
        two.services["a"]!.fault("*", { kind: "hang" })
        for (let i = 0; i < 12; i++) yield* settle(Stream.runDrain(lb.chatStream(hello, options)))
        assert.deepStrictEqual(yield* states, ["open", "healthy"])
      })
    })
  }
})
