import { assert, describe, it } from "@effect/vitest"
import { answer, failure, hello, reasonOf, run } from "../../support/Balanced.ts"
import { asked, azure, completion, scripted } from "../../support/Scripted.ts"

const open = { name: "open", provider: "openai", apiKey: "k", deployments: [{ name: "*" }] } as const

describe("a model that is asked for by a deployment's name", () => {
  const prod = azure("east", { name: "chat-prod", model: "gpt-4o" })

  it.effect("is that deployment's model, wherever that is served", () => {
    const lbs = scripted(
      [prod, azure("west", { tier: 2 })],
      ({ resource }) => resource === "east" ? { status: 500 } : completion
    )
    return run(lbs, function*(lb) {
      yield* answer(lb.chat({ ...hello, model: "chat-prod" }))
      assert.deepStrictEqual(asked(lbs), ["east", "west"])
      const models = lbs.sends.map(({ body }) => (JSON.parse(String(body)) as { readonly model: string }).model)
      assert.deepStrictEqual(models, ["chat-prod", "gpt-4o"])
      const { model } = yield* lb.explain({ model: "chat-prod" })
      assert.strictEqual(model, "gpt-4o")
    })
  })

  it.effect("is so where several have that name, and serve one model", () =>
    run(scripted([prod, azure("west", { name: "chat-prod", model: "gpt-4o" })], () => completion), function*(lb, lbs) {
      for (let i = 0; i < 10; i++) yield* answer(lb.chat({ ...hello, model: "chat-prod" }))
      assert.strictEqual(new Set(asked(lbs)).size, 2)
    }))

  it.effect("is the model of that name where there is one", () => {
    const lbs = scripted(
      [azure("east", { name: "mini", model: "gpt-4o" }), azure("west", { name: "mini" })],
      () => completion
    )
    return run(lbs, function*(lb) {
      for (let i = 0; i < 5; i++) yield* answer(lb.chat({ ...hello, model: "mini" }))
      assert.deepStrictEqual(new Set(asked(lbs)), new Set(["west"]))
    })
  })

  it.effect("is asked of a resource that serves any model under the model's own name", () =>
    run(scripted([open, prod], () => completion), function*(lb, lbs) {
      for (let i = 0; i < 10; i++) yield* answer(lb.chat({ ...hello, model: "chat-prod" }))
      for (const { body, resource } of lbs.sends) {
        const { model } = JSON.parse(String(body)) as { readonly model: string }
        assert.strictEqual(model, resource === "open" ? "gpt-4o" : "chat-prod")
      }
    }))

  it.effect("is unknown where it may be one of several, and the error says what to ask for", () =>
    run(scripted([prod, azure("west", { name: "chat-prod", model: "gpt-5" })], () => completion), function*(lb, lbs) {
      const error = yield* failure(lb.chat({ ...hello, model: "chat-prod" }))
      assert.deepStrictEqual(reasonOf(error, "UnknownModel").meant, ["gpt-4o", "gpt-5"])
      assert.include(error.message, "ask for \"gpt-4o\" or \"gpt-5\"")
      assert.lengthOf(lbs.sends, 0)
    }))
})
