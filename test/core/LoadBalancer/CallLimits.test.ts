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

  const wrong: ReadonlyArray<readonly [string, NonNullable<CallOptions["timeouts"]>]> = [
    ["no number", { total: NaN }],
    ["zero", { firstEvent: 0 }],
    ["zero, of a later stage", { idle: 0 }],
    ["negative", { firstContent: -1 }],
    ["without an end", { total: Infinity }],
    ["no duration", { connect: "soon" as never }],
    ["of a stage that there is not", { first_event: 3 } as never],
    ["of what every object has", { constructor: 3 } as never]
  ]
  for (const [name, timeouts] of wrong) {
    it.effect(`are refused at every door where they are ${name}, with nothing sent and nobody blamed`, () =>
      run(fleet(both.map((name) => service(name))), function*(lb, two) {
        const options = { timeouts }
        const errors = [
          yield* failure(lb.chat(hello, options)),
          yield* failure(lb.responses({ model: "gpt-4o", input: "Hello." }, options)),
          yield* failure(Stream.runDrain(lb.chatStream(hello, options))),
          yield* failure(lb.request({ path: "/models" }, options))
        ]
        for (const error of errors) {
          const { code, description, status } = reasonOf(error, "Rejected")
          assert.deepStrictEqual([status, code], [400, "invalid_request"])
          assert.include(description, `timeouts.${Object.keys(timeouts)[0]}`)
        }
        assert.lengthOf(two.sends, 0)
        assert.deepStrictEqual(yield* states, ["healthy", "healthy"])
      }))
  }

  for (const timeouts of [null, 5]) {
    it.effect(`are refused where they are no object: ${JSON.stringify(timeouts)}`, () =>
      run(fleet([service("a")]), function*(lb, one) {
        const options = { timeouts } as unknown as CallOptions
        for (
          const ask of [Effect.asVoid(lb.chat(hello, options)), Effect.asVoid(lb.request({ path: "/models" }, options))]
        ) {
          const { description, status } = reasonOf(yield* failure(ask), "Rejected")
          assert.strictEqual(status, 400)
          assert.include(description, "timeouts")
        }
        assert.lengthOf(one.sends, 0)
      }))
  }
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
