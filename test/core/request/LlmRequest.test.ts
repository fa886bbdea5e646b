import * as LlmRequest from "#core/request/LlmRequest"
import { encryptedKey } from "#core/request/StoredIds"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check } from "../../support/Check.ts"

const { jsonBody, readFacts, sentParameters } = LlmRequest

const messages = [{ role: "user", content: "Say hello." }]

const pinOf = (parameters: object) => readFacts("responses", { model: "m", ...parameters }).pin?.ids

describe("the facts of a request", () => {
  it("are read of a chat", () => {
    const facts = readFacts("chat", {
      model: "gpt-4o",
      messages,
      stream: true,
      n: 2,
      max_completion_tokens: 100,
      prompt_cache_key: "user-42"
    })
    assert.deepInclude(facts, {
      model: "gpt-4o",
      stream: true,
      openStreamOptions: {},
      outputLimit: 200,
      session: "user-42",
      pin: undefined,
      hasSideEffects: false
    })
    assert.isAbove(facts.characters, 10)
  })

  it.each([
    [{ max_completion_tokens: 5, max_tokens: 9 }, 5],
    [{ max_tokens: 9 }, 9],
    [{ max_output_tokens: 7 }, 7],
    [{}, undefined],
    [{ max_tokens: null }, undefined],
    [{ max_tokens: 0 }, undefined],
    [{ max_tokens: -5 }, undefined],
    [{ max_tokens: "9" }, undefined],
    [{ max_tokens: 9, n: 3 }, 27],
    [{ max_tokens: 9, n: null }, 9]
  ])("have the output that was allowed: %j", (parameters, limit) => {
    assert.strictEqual(readFacts("chat", { model: "m", messages, ...parameters }).outputLimit, limit)
  })

  it("have no output for embeddings", () => {
    assert.strictEqual(readFacts("embeddings", { model: "m", input: "x" }).outputLimit, 0)
  })

  it.each([
    [{ stream: true, stream_options: { include_usage: true } }, undefined],
    [{ stream: true, stream_options: { include_usage: false } }, undefined],
    [{ stream: true, stream_options: "none" }, undefined],
    [{ stream: true, data_sources: [] }, undefined],
    [{ stream: true, stream_options: { include_obfuscation: false } }, { include_obfuscation: false }],
    [{ stream: true, stream_options: { include_usage: null } }, { include_usage: null }],
    [{ stream: true, stream_options: null }, {}],
    [{ stream: true }, {}],
    [{ stream: false }, undefined]
  ])("say whether it is left to us to ask for the usage of a stream: %j", (parameters, open) => {
    assert.deepStrictEqual(readFacts("chat", { model: "m", messages, ...parameters }).openStreamOptions, open)
  })

  it("leave no usage of responses to be asked for, which always tell it", () => {
    assert.isUndefined(readFacts("responses", { model: "m", input: "x", stream: true }).openStreamOptions)
  })

  it.each([
    ["instructions", { instructions: "be brief, and kind to everyone" }],
    ["tools", { tools: [{ type: "function", name: "f", description: "thirty characters or more of it" }] }],
    ["messages", {
      input: [{ role: "user", content: [{ type: "input_text", text: "thirty characters or more of it" }] }]
    }]
  ])("count what a response is made of: %s", (_, parameters) => {
    assert.isAtLeast(readFacts("responses", { model: "m", ...parameters }).characters, 30)
  })

  it("know what is tied to a resource", () => {
    assert.deepStrictEqual(pinOf({ previous_response_id: "resp_1" }), ["resp_1"])
    assert.deepStrictEqual(pinOf({ conversation: "conv_1" }), ["conv_1"])
    assert.deepStrictEqual(pinOf({ conversation: { id: "conv_2" } }), ["conv_2"])
    assert.deepStrictEqual(pinOf({ input: [{ type: "item_reference", id: "msg_1" }] }), ["msg_1"])
    assert.deepStrictEqual(pinOf({ input: [{ type: "reasoning", id: "rs_1", encrypted_content: "gAAAA" }] }), ["rs_1"])
    assert.lengthOf(pinOf({ input: [{ type: "reasoning", encrypted_content: "gAAAA" }] })!, 1)
    assert.isUndefined(pinOf({ input: "hello", previous_response_id: null }))
  })

  it("give encrypted content without an id the same name each time, and another one another name", () => {
    assert.strictEqual(encryptedKey("gAAAA1"), encryptedKey("gAAAA1"))
    assert.notStrictEqual(encryptedKey("gAAAA1"), encryptedKey("gAAAA2"))
  })

  it.each([[{ background: true }, true], [{ store: true }, true], [{ store: false }, false], [{}, false]])(
    "know side effects beyond cost: %j",
    (parameters, expected) => {
      assert.strictEqual(readFacts("responses", { model: "m", input: "x", ...parameters }).hasSideEffects, expected)
    }
  )

  const odd = Schema.Union([Schema.Json, Schema.Json, Schema.Undefined, Schema.Symbol, Schema.BigInt])

  it.prop("are read whatever the parameters are, and are of their own kinds", {
    operation: Schema.Literals(["chat", "responses", "embeddings", "other"]),
    known: Schema.Struct({
      model: odd,
      messages: odd,
      input: odd,
      instructions: odd,
      tools: odd,
      text: odd,
      n: odd,
      max_tokens: odd,
      max_completion_tokens: odd,
      max_output_tokens: odd,
      stream: odd,
      stream_options: odd,
      prompt_cache_key: odd,
      previous_response_id: odd,
      conversation: odd,
      background: odd,
      store: odd
    }),
    others: Schema.Record(Schema.String, Schema.Json)
  }, ({ known, operation, others }) => {
    const facts = readFacts(operation, { ...others, ...known })
    assert.isTrue(facts.model === undefined || (typeof facts.model === "string" && facts.model !== ""))
    assert.isTrue(facts.session === undefined || typeof facts.session === "string")
    assert.isTrue(Number.isFinite(facts.characters) && facts.characters >= 0)
    assert.isTrue(facts.outputLimit === undefined || facts.outputLimit >= 0)
    assert.isTrue(facts.pin === undefined || facts.pin.ids.every((id) => typeof id === "string" && id !== ""))
    for (const flag of [facts.stream, facts.hasSideEffects]) assert.isBoolean(flag)
  }, check())
})

const jsonObject = Schema.Record(Schema.String, Schema.Json)

/** V8 reads a key of one escaped character, such as "\u0000", as a backslash now and then: none of those here. */
const plain = (value: object): Record<string, unknown> =>
  JSON.parse(JSON.stringify(value).replaceAll(/\\u[\da-f]{4}/g, "?"))

describe("a body", () => {
  it.prop("is the parameters with the model replaced, for any of them", {
    parameters: jsonObject,
    name: Schema.String
  }, ({ name, parameters }) => {
    const rest = plain(parameters)
    delete rest["model"]
    const body = jsonBody(JSON.stringify(rest))
    const sent = body.withModel(name) as string
    assert.deepStrictEqual(JSON.parse(sent), { ...rest, model: name })
    assert.deepStrictEqual(JSON.parse(body.withModel(undefined) as string), rest)
    assert.strictEqual(body.withModel(name), sent, "it can be sent again")
  }, check())

  it.prop("changes nothing but the model and what streaming takes", {
    parameters: jsonObject,
    model: Schema.UndefinedOr(Schema.String),
    operation: Schema.Literals(["chat", "responses", "embeddings"]),
    stream: Schema.Boolean
  }, ({ model, operation, parameters, stream }) => {
    const given = { ...plain(parameters), ...(model === undefined ? {} : { model }) }
    const sent = JSON.parse(
      jsonBody(JSON.stringify(sentParameters(operation, given, stream))).withModel("gpt") as string
    )
    const expected: Record<string, unknown> = { ...given, model: "gpt" }
    for (const one of [sent, expected]) {
      delete one["stream"]
      delete one["stream_options"]
    }
    assert.deepStrictEqual(sent, expected)
  }, check())

  it("asks a chat stream for its usage where it is told to, and keeps its other options", () => {
    for (const stream_options of [undefined, null, {}, { include_obfuscation: false }]) {
      const given = { model: "m", messages, stream: true, stream_options }
      const written = JSON.stringify(sentParameters("chat", given, true))
      const { withModel } = jsonBody(written, readFacts("chat", given).openStreamOptions)
      const options = stream_options?.include_obfuscation === false ? { include_obfuscation: false } : undefined
      const rest = { messages, stream: true }
      const asking = { stream_options: { ...options, include_usage: true } }
      const not = options === undefined ? {} : { stream_options: options }
      assert.deepStrictEqual(JSON.parse(withModel("gpt", true) as string), { ...rest, model: "gpt", ...asking })
      assert.deepStrictEqual(JSON.parse(withModel("gpt") as string), { ...rest, model: "gpt", ...not })
      assert.deepStrictEqual(JSON.parse(withModel(undefined, true) as string), { ...rest, ...asking })
      assert.deepStrictEqual(JSON.parse(withModel(undefined) as string), { ...rest, ...not })
    }
  })

  it("keeps what a caller says of the usage of a stream", () => {
    for (const include_usage of [true, false]) {
      const given = { model: "m", messages, stream: true, stream_options: { include_usage } }
      assert.deepInclude(sentParameters("chat", given, true), { stream_options: { include_usage } })
    }
  })

  it("is not streamed where the method does not stream", () => {
    const sent = JSON.parse(JSON.stringify(sentParameters("chat", { model: "m", messages, stream: true }, false)))
    assert.deepStrictEqual(sent, { messages })
  })

  it("asks responses and embeddings for no usage", () => {
    assert.notProperty(sentParameters("responses", { model: "m", input: "x" }, true), "stream_options")
    assert.deepStrictEqual(
      JSON.parse(JSON.stringify(sentParameters("embeddings", { model: "m", input: "x" }, false))),
      {
        input: "x"
      }
    )
  })

  it("changes nothing of what the caller gave", () => {
    const given = Object.freeze({ model: "m", messages, stream: true, stream_options: Object.freeze({}) })
    sentParameters("chat", given, true)
    assert.deepStrictEqual(given, { model: "m", messages, stream: true, stream_options: {} })
  })

  it("is the same bytes each time where it is raw", () => {
    const bytes = new Uint8Array([1, 2, 3])
    const body = LlmRequest.rawBody(bytes, "audio/wav")
    assert.strictEqual(body.withModel("a"), bytes)
    assert.strictEqual(body.withModel("b"), bytes)
    assert.isUndefined(LlmRequest.noBody.withModel("a"))
  })
})
