import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import { answer, failure, heard, hello, overHttp, post, reasonOf, run, stateOf } from "../../support/Balanced.ts"
import { asked, azure, type Canned, completion, scripted } from "../../support/Scripted.ts"

const notFound = (status: number): Canned => ({
  status,
  body: {
    error: {
      message: "The model `gpt-4o` does not exist or you do not have access to it.",
      type: "invalid_request_error",
      param: null,
      code: "model_not_found"
    }
  }
})

const project = (name: string) => ({
  name,
  provider: "openai" as const,
  endpoint: `https://${name}.example.com/v1`,
  apiKey: `${name}-key`
})

const two = { deployments: [{ name: "gpt-4o" }, { name: "mini" }] }

for (const status of [404, 403]) {
  describe(`a model that a project may not use, told with ${status}`, () => {
    const says = notFound(status)

    it.effect("is asked for elsewhere, and that one deployment cools down", () => {
      const lbs = scripted(
        [azure("east", {}, two), azure("west", { tier: 2 })],
        ({ body, resource }) => resource === "east" && String(body).includes("gpt-4o") ? says : completion
      )
      return run(lbs, function*(lb, _, { events }) {
        for (let i = 0; i < 10; i++) yield* answer(lb.chat(hello))
        assert.deepStrictEqual(asked(lbs), ["east", ...Array.from({ length: 10 }, () => "west")])
        assert.deepStrictEqual(heard(events, "DeploymentMissing").map(({ deployment }) => deployment), ["east/gpt-4o"])
        assert.strictEqual((yield* stateOf("east/gpt-4o")).state, "cooling-down")
        assert.strictEqual((yield* stateOf("east/mini")).state, "healthy")
        assert.deepStrictEqual((yield* lb.snapshot).resources.map(({ state }) => state), ["healthy", "healthy"])
        yield* answer(lb.chat({ ...hello, model: "mini" }))
        assert.strictEqual(asked(lbs).at(-1), "east")
      })
    })

    it.effect("is missing where all say so, and is not asked for again for a while", () =>
      run(scripted([azure("east"), azure("west")], () => says), function*(lb, lbs) {
        for (let i = 0; i < 2; i++) {
          assert.strictEqual(reasonOf(yield* failure(lb.chat(hello)), "Unavailable").limitedBy, "missing")
          yield* TestClock.adjust("5 seconds")
        }
        assert.lengthOf(lbs.sends, 2)
      }))

    it.effect("is a 404 with the service's code for a program that speaks HTTP", () =>
      run(overHttp(scripted([azure("east"), azure("west")], () => says)), function*() {
        const response = yield* answer(post(hello))
        const { error } = (yield* response.json) as { readonly error: { readonly code: string } }
        assert.deepStrictEqual([response.status, error.code], [404, "model_not_found"])
      }))

    it.effect("leaves the other models of a wildcard alone", () => {
      const every = { deployments: [{ name: "*" }] }
      const lbs = scripted(
        [{ ...project("first"), ...every }, { ...project("second"), deployments: [{ name: "*", tier: 2 }] }],
        ({ body, resource }) => resource === "first" && String(body).includes("gpt-4o") ? says : completion
      )
      return run(lbs, function*(lb) {
        for (let i = 0; i < 3; i++) yield* answer(lb.chat(hello))
        yield* answer(lb.chat({ ...hello, model: "gpt-5" }))
        assert.deepStrictEqual(asked(lbs), ["first", "second", "second", "second", "first"])
      })
    })
  })
}

describe("an endpoint that names no model", () => {
  it.effect("has the service's own word for a model that is not found, and blames no deployment", () => {
    const { body } = notFound(404)
    const lbs = scripted(
      [azure("east"), azure("west")],
      ({ path }) => path.includes("models") ? notFound(404) : completion
    )
    return run(lbs, function*(lb, _, { events }) {
      const reason = reasonOf(yield* failure(lb.request({ path: "/models/nope" })), "Rejected")
      assert.deepStrictEqual([reason.status, reason.code, reason.body], [404, "model_not_found", body])
      assert.lengthOf(lbs.sends, 1)
      assert.lengthOf(heard(events, "DeploymentMissing"), 0)
      for (const id of ["east/gpt-4o", "west/gpt-4o"]) assert.strictEqual((yield* stateOf(id)).state, "healthy")
    })
  })
})

describe("a status of the same number without that code", () => {
  it.effect("is a refusal, as 404, and cools nothing", () => {
    const body = { error: { message: "There is none.", type: "invalid_request_error", code: "not_found" } }
    const lbs = scripted([azure("east"), azure("west", { tier: 2 })], () => ({ status: 404, body }))
    return run(lbs, function*(lb) {
      assert.strictEqual(reasonOf(yield* failure(lb.chat(hello)), "Rejected").status, 404)
      // a peer is asked whether it is the request's own fault
      assert.lengthOf(lbs.sends, 2)
      assert.strictEqual((yield* stateOf("east/gpt-4o")).state, "healthy")
    })
  })
})
