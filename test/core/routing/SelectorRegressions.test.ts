import { assert, describe, it } from "@effect/vitest"
import { Policy, Selector } from "@evenkeel/core"
import { Cause, Exit, Stream } from "effect"
import { answer, fleet, hello, overHttp, post, run, service, settle, stateOf } from "../../support/Balanced.ts"

const both = () => [service("a"), service("b")]

/** Selectors that give none of the candidates, as plain JavaScript may. */
const wrong: ReadonlyArray<readonly [string, (candidates: ReadonlyArray<Policy.Candidate>) => unknown]> = [
  ["nothing", () => undefined],
  ["an id", ([first]) => first!.id],
  ["a promise", async ([first]) => first],
  ["a deployment", ([first]) => first!.deployment],
  ["what a factory of a policy gives", Policy.roundRobin as () => unknown]
]

/** What an effect died with. */
const defectOf = <A, E>(exit: Exit.Exit<A, E>): unknown => {
  assert(Exit.isFailure(exit), "it did not fail")
  assert.isTrue(Cause.hasDies(exit.cause), Cause.pretty(exit.cause))
  return Cause.squash(exit.cause)
}

describe("a selector that throws", () => {
  it.effect("ends the request with what it threw, at every door, and sends nothing", () => {
    const boom = new Error("boom")
    const selector = Selector.layer(() => {
      throw boom
    })
    const two = fleet(both(), {}, { selector })
    return run(two, function*(lb) {
      const exits: ReadonlyArray<Exit.Exit<unknown, unknown>> = [
        yield* settle(lb.chat(hello)),
        yield* settle(Stream.runDrain(lb.chatStream(hello))),
        yield* settle(lb.responses({ model: "gpt-4o", input: "Hello." })),
        yield* settle(lb.embeddings({ model: "gpt-4o", input: "Hello." }))
      ]
      for (const exit of exits) assert.strictEqual(defectOf(exit), boom)
      assert.lengthOf(two.sends, 0)
      for (const name of ["a", "b"]) assert.deepInclude(yield* stateOf(name), { inFlight: 0, state: "healthy" })
    })
  })

  it.effect("ends a request of the balanced HttpClient with what it threw", () => {
    const boom = new Error("boom")
    const selector = Selector.layer(() => {
      throw boom
    })
    const two = fleet(both(), {}, { selector })
    return run(overHttp(two), function*() {
      assert.strictEqual(defectOf(yield* settle(post(hello))), boom)
    })
  })

  it.effect("leaves the balancer open for the next request", () => {
    let isBroken = true
    const selector = Selector.layer((candidates) => {
      if (isBroken) throw new Error("boom")
      return candidates[0]!
    })
    const two = fleet(both(), {}, { selector })
    return run(two, function*(lb) {
      defectOf(yield* settle(lb.chat(hello)))
      isBroken = false
      yield* answer(lb.chat(hello))
    })
  })
})

describe("a selector that gives no candidate", () => {
  for (const [name, choose] of wrong) {
    it.effect(`is said to be wrong: it gives ${name}`, () =>
      run(fleet(both(), {}, { selector: Selector.layer(choose as Policy.Policy) }), function*(lb, two) {
        const defect = defectOf(yield* settle(lb.chat(hello)))
        assert.instanceOf(defect, TypeError)
        assert.match((defect as Error).message, /selector/)
        assert.lengthOf(two.sends, 0)
        for (const name of ["a", "b"]) assert.deepInclude(yield* stateOf(name), { inFlight: 0, state: "healthy" })
      }))
  }
})
