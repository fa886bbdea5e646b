import { assert, describe, it } from "@effect/vitest"
import { type Explanation, Policy, Selector, Telemetry } from "@evenkeel/core"
import { Effect } from "effect"
import { answer, failure, hello, reasonOf, run, stateOf } from "../../support/Balanced.ts"
import { asked, azure, completion, scripted } from "../../support/Scripted.ts"

const busy = { status: 429, headers: { "retry-after": "30" } }
const down = { status: 503 }

describe("explain of a request that is not sent", () => {
  it.effect("names every deployment, what refused it, and the winner; and changes nothing", () => {
    const lbs = scripted(
      [azure("east"), azure("west"), azure("north"), azure("far", { tier: 2 })],
      ({ resource }) => resource === "east" ? busy : completion
    )
    return run(lbs, function*(lb, _, { members }) {
      while (!asked(lbs).includes("east")) yield* answer(lb.chat(hello))
      yield* members.drain("west/gpt-4o")
      const sends = lbs.sends.length
      const explanation = yield* lb.explain(hello)
      assert.strictEqual(explanation.winner, "north/gpt-4o")
      assert.strictEqual(explanation.because, "only-candidate")
      assert.deepStrictEqual(explanation.deployments.map(({ id, refusal }) => [id, refusal]), [
        ["east/gpt-4o", "cooling-down"],
        ["west/gpt-4o", "draining"],
        ["north/gpt-4o", undefined],
        ["far/gpt-4o", undefined]
      ])
      assert.lengthOf(lbs.sends, sends)
      assert.strictEqual((yield* stateOf("north/gpt-4o")).inFlight, 0)
      const text = String(explanation)
      assert.include(text, "north/gpt-4o of tier 1")
      assert.include(text, "Refused: east/gpt-4o (cooling-down), west/gpt-4o (draining).")
      assert.include(text, "Of a worse tier: far/gpt-4o.")
    })
  })

  it.effect("says when the first may pass, where none does", () =>
    run(scripted([azure("east")], () => busy), function*(lb) {
      yield* failure(lb.chat(hello, { attempts: 1 }))
      const explanation = yield* lb.explain({ model: "gpt-4o" })
      assert.isUndefined(explanation.winner)
      assert.isAtMost(explanation.opensIn!, 30_000)
      assert.include(String(explanation), "no deployment passes. Refused: east/gpt-4o (cooling-down).")
      assert.match(String(explanation), /The first may pass in [\d.]+ s\./)
    }))

  it.effect("fails as the request would", () =>
    run(scripted([azure("east")], () => completion), function*(lb) {
      reasonOf(yield* Effect.flip(lb.explain({ model: "no-such" })), "UnknownModel")
      reasonOf(yield* Effect.flip(lb.explain(hello, { timeout: 0 })), "Rejected")
    }))

  it.effect("tells a session's warm place from its home, and both from where it was moved to", () =>
    run(scripted([azure("a"), azure("b"), azure("c")], () => completion), function*(lb, lbs, { members }) {
      const because = Effect.map(lb.explain(hello, { session: "s" }), (explanation) => explanation.because)
      assert.strictEqual(yield* because, "home")
      yield* answer(lb.chat(hello, { session: "s" }))
      const [home] = asked(lbs)
      assert.strictEqual(yield* because, "warm")
      yield* members.drain(`${home}/gpt-4o`)
      assert.strictEqual(yield* because, "displaced")
    }))
})

describe("explain of a call", () => {
  it.effect("tells of each attempt in turn, in the words of what happened", () => {
    const lbs = scripted(
      [azure("east"), azure("west", { tier: 2 })],
      ({ resource }) => resource === "east" ? down : completion
    )
    return run(lbs, function*(lb) {
      const told: Array<Explanation> = []
      yield* answer(lb.chat(hello, { explain: (explanation) => told.push(explanation) }))
      assert.deepStrictEqual(told.map(({ attempt, winner }) => [attempt, winner]), [
        [1, "east/gpt-4o"],
        [2, "west/gpt-4o"]
      ])
      assert.include(String(told[1]), "Tried before: east/gpt-4o.")
    })
  })

  it.effect("tells of panic", () =>
    run(scripted([azure("east")], () => down), function*(lb) {
      for (let i = 0; i < 2; i++) yield* failure(lb.chat(hello))
      const told: Array<Explanation> = []
      yield* failure(lb.chat(hello, { explain: (explanation) => told.push(explanation) }))
      assert.include(told.map(({ because }) => because), "panic")
      assert.include(told.map(String).join("\n"), "all are failing")
    }))

  it.effect("may throw, which fails no request", () =>
    run(scripted([azure("east")], () => completion), function*(lb) {
      yield* answer(lb.chat(hello, {
        explain: () => {
          throw new Error("not this one")
        }
      }))
    }))

  it.effect("is heard of every call by telemetry that asks for it", () => {
    const told: Array<Explanation> = []
    const telemetry = Telemetry.layerListener(undefined, (explanation) => told.push(explanation))
    const selector = Selector.layer(Policy.leastLoaded)
    const lbs = scripted([azure("east"), azure("west")], () => completion, {}, { telemetry, selector })
    return run(lbs, function*(lb) {
      for (let i = 0; i < 3; i++) yield* answer(lb.chat(hello))
      assert.deepStrictEqual(told.map(({ winner }) => winner), asked(lbs).map((name) => `${name}/gpt-4o`))
      assert.isTrue(
        told.every(({ because, deployments }) =>
          because === "policy" && deployments.every(({ isCompared }) => isCompared)
        )
      )
    })
  })
})
