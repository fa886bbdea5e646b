import { assert, describe, it } from "@effect/vitest"
import { Stream } from "effect"
import { answer, failure, fleet, hello, reasonOf, run, service, stateOf } from "../../support/Balanced.ts"

const circular = (): object => {
  const messages: Array<unknown> = []
  messages.push({ role: "user", content: messages })
  return { model: "gpt-4o", messages }
}

const nested = (depth: number): object => {
  let content: unknown = "x"
  for (let i = 0; i < depth; i++) content = [content]
  return { model: "gpt-4o", messages: [{ role: "user", content }] }
}

const throwing = (field: string): object =>
  Object.defineProperty({ ...hello }, field, {
    enumerable: true,
    get: () => {
      throw new Error("no, not this one")
    }
  })

const wrong: ReadonlyArray<{ readonly what: string; readonly params: unknown }> = [
  { what: "a circle", params: circular() },
  { what: "a BigInt", params: { ...hello, seed: 10n } },
  { what: "no model", params: { messages: hello.messages } },
  { what: "an empty model", params: { ...hello, model: "" } },
  { what: "a model that is no text", params: { ...hello, model: 4 } },
  { what: "nothing", params: undefined },
  { what: "null", params: null },
  { what: "a text", params: "hello" },
  { what: "a list", params: [hello] },
  { what: "nesting without measure", params: nested(100_000) },
  { what: "messages that throw when they are read", params: throwing("messages") },
  { what: "a model that throws when it is read", params: throwing("model") },
  {
    what: "something that will not be written",
    params: {
      ...hello,
      metadata: {
        toJSON: () => {
          throw new Error("no")
        }
      }
    }
  }
]

describe("LoadBalancer parameters", () => {
  it.effect.each(wrong)("$what is refused in the service's shape, and nothing is sent", ({ params }) => {
    const one = fleet([service("east")])
    return run(one, function*(lb) {
      const given = params as any
      for (
        const ask of [
          lb.chat(given),
          lb.responses(given),
          lb.embeddings(given),
          Stream.runDrain(lb.chatStream(given)),
          Stream.runDrain(lb.responsesStream(given))
        ]
      ) {
        const error = yield* failure<unknown, unknown, never>(ask)
        const { body, description, status } = reasonOf(error, "Rejected")
        assert.strictEqual(status, 400)
        assert.include(description, "nothing was sent")
        assert.deepInclude((body as { readonly error: object }).error, { type: "invalid_request_error" })
      }
      assert.strictEqual(one.sends.length, 0)
      assert.deepInclude(yield* stateOf("east"), { inFlight: 0 })
      assert.strictEqual((yield* stateOf("east")).totals.attempts, 0)
    })
  })

  it.effect.each(wrong.filter(({ params }) => typeof params === "object" && params !== null && !Array.isArray(params)))(
    "$what is refused at the level of HTTP too",
    ({ params }) =>
      run(fleet([service("east")]), function*(lb, one) {
        const error = yield* failure(lb.request({ path: "/chat/completions", body: params as any }))
        assert.strictEqual(reasonOf(error, "Rejected").status, 400)
        assert.strictEqual(one.sends.length, 0)
      })
  )

  it.effect("what the service would refuse is left to the service", () =>
    run(fleet([service("east")]), function*(lb, one) {
      const error = yield* failure(lb.chat({ model: "gpt-4o" } as any))
      assert.include(reasonOf(error, "Rejected").description, "'messages'")
      assert.strictEqual(one.sends.length, 1)
    }))

  it.effect("`stream` is what the method says, whatever the parameters say", () =>
    run(fleet([service("east")]), function*(lb) {
      const whole = yield* answer(lb.chat({ ...hello, stream: true } as any))
      assert.strictEqual(whole.object, "chat.completion")
      const [chunk] = yield* answer(Stream.runCollect(lb.chatStream({ ...hello, stream: false } as any)))
      assert.isDefined(chunk!.choices)
    }))

  it.effect("parameters are left as they were, and nothing but their model is changed on the way", () =>
    run(fleet([service("east", { name: "other", model: "gpt-4o" })]), function*(lb, one) {
      const params = Object.freeze(
        { ...hello, metadata: { a: "1" }, temperature: 0.5, unknown_field: [1, null] } as any
      )
      yield* answer(lb.chat(params))
      assert.deepStrictEqual(JSON.parse(String(one.sends[0]!.request.body)), { ...params, model: "other" })
    }))
})
