import { assert, describe, it } from "@effect/vitest"
import { ask, events, hello, json, makeService, textOf } from "./ask.ts"

const tools = [
  { type: "function", function: { name: "other", parameters: { type: "object", properties: {} } } },
  {
    type: "function",
    function: {
      name: "weather",
      parameters: {
        type: "object",
        properties: { city: { type: "string" }, days: { type: "integer", minimum: 3 } },
        required: ["city", "days"]
      }
    }
  }
]
const demand = { type: "function", function: { name: "weather" } }

describe("a chat stream", () => {
  it("has Azure's shape", () => {
    const service = makeService({}, { reply: () => "Hello you!" })
    const played = ask(service, { body: { model: "gpt", messages: hello, stream: true } })
    assert.strictEqual(played.headers["content-type"], "text/event-stream")
    const [filter, role, ...rest] = events(played)
    assert.deepStrictEqual(filter.choices, [])
    assert.deepInclude(filter, { id: "", model: "", object: "", created: 0 })
    assert.isDefined(filter.prompt_filter_results[0].content_filter_results.hate)
    assert.deepInclude(role.choices[0].delta, { role: "assistant", content: "" })
    assert.deepStrictEqual(rest.slice(0, 3).map((event) => event.choices[0].delta.content), ["Hell", "o yo", "u!"])
    assert.deepInclude(rest[3].choices[0], { delta: {}, finish_reason: "stop" })
    assert.strictEqual(rest[4], "[DONE]")
    assert.strictEqual(rest.length, 5)
    assert.notProperty(rest[0], "usage")
    assert.strictEqual(new Set(rest.slice(0, 4).map((event) => event.id)).size, 1)
  })

  it("has OpenAI's shape", () => {
    const service = makeService({ provider: "openai" }, { reply: () => "Hello you!" })
    const [role] = events(ask(service, { body: { model: "gpt-4o", messages: hello, stream: true } }))
    assert.deepInclude(role.choices[0].delta, { role: "assistant" })
  })

  it("tells of usage only if asked to", () => {
    const body = { model: "gpt", messages: hello, stream: true, stream_options: { include_usage: true } }
    const all = events(ask(makeService({}, { reply: () => "Hello you!" }), { body }))
    const usage = all.at(-2)
    assert.deepStrictEqual(usage.choices, [])
    assert.deepInclude(usage.usage, { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 })
    assert.isTrue(all.slice(1, -2).every((event) => event.usage === null))
  })

  it("sends bursts if told to", () => {
    const service = makeService({}, { reply: () => "x".repeat(40), latency: { jitter: 0, tokensPerEvent: 4 } })
    const all = events(ask(service, { body: { model: "gpt", messages: hello, stream: true } }))
    assert.deepStrictEqual(
      all.slice(2, 5).map((event) => event.choices[0].delta.content.length),
      [16, 16, 8]
    )
  })

  it("annotates without a delta under the asynchronous filter, also after the end", () => {
    const service = makeService({}, { reply: () => "x".repeat(400), asyncFilter: true })
    const all = events(ask(service, { body: { model: "gpt", messages: hello, stream: true } }))
    const notes = all.filter((event) => event.choices?.[0]?.content_filter_offsets !== undefined)
    assert.strictEqual(notes.length, 5)
    assert.isTrue(notes.every((event) => !("delta" in event.choices[0])))
    assert.strictEqual(all.at(-1), "[DONE]")
    assert.strictEqual(all.at(-2), notes.at(-1))
    assert.strictEqual(all.at(-3).choices[0].finish_reason, "stop")
  })

  it("interleaves several choices", () => {
    const service = makeService()
    const body = { model: "gpt", messages: hello, stream: true, n: 2, stream_options: { include_usage: true } }
    const all = events(ask(service, { body }))
    const pieces = all.filter((event) => (event.choices?.[0]?.delta?.content ?? "") !== "")
    const indexes = pieces.map((event) => event.choices[0].index)
    assert.deepStrictEqual(indexes.slice(0, 4), [0, 1, 0, 1])
    assert.strictEqual(all.at(-2).usage.completion_tokens, pieces.length)
    assert.strictEqual(service.stats(0).deployments["gpt"]?.completionTokens, pieces.length)
  })

  it("says what the same answer says when it is not streamed", () => {
    const body = { model: "gpt", messages: hello }
    const whole = json(ask(makeService(), { body }))
    const streamed = ask(makeService(), { body: { ...body, stream: true } })
    assert.strictEqual(textOf(streamed), whole.choices[0].message.content)
  })
})

describe("tools", () => {
  it("are called when the request demands it", () => {
    const [choice] = json(ask(makeService(), { body: { model: "gpt", messages: hello, tools, tool_choice: demand } }))
      .choices
    assert.strictEqual(choice.finish_reason, "tool_calls")
    assert.isNull(choice.message.content)
    assert.strictEqual(choice.message.tool_calls[0].function.name, "weather")
    const given = JSON.parse(choice.message.tool_calls[0].function.arguments)
    assert.isString(given.city)
    assert.isAtLeast(given.days, 3)
  })

  it("are called in pieces when streamed", () => {
    const body = { model: "gpt", messages: hello, tools, tool_choice: "required", stream: true }
    const service = makeService({}, {
      reply: () => ({ calls: [{ name: "weather", arguments: { city: "Oslo" } }, { name: "other", arguments: {} }] })
    })
    const all = events(ask(service, { body }))
    const calls: Array<{ name: string; id: string; text: string }> = []
    for (const event of all) {
      for (const delta of event.choices?.[0]?.delta?.tool_calls ?? []) {
        if (delta.id !== undefined) calls[delta.index] = { name: delta.function.name, id: delta.id, text: "" }
        calls[delta.index]!.text += delta.function.arguments
      }
    }
    assert.deepStrictEqual(calls.map(({ name, text }) => [name, JSON.parse(text)]), [["weather", { city: "Oslo" }], [
      "other",
      {}
    ]])
    assert.notStrictEqual(calls[0]!.id, calls[1]!.id)
    assert.strictEqual(all.at(-2).choices[0].finish_reason, "tool_calls")
  })

  it("are not called unless the model likes to, and not again after their result", () => {
    const body = { model: "gpt", messages: hello, tools }
    assert.strictEqual(json(ask(makeService(), { body })).choices[0].finish_reason, "stop")
    const eager = makeService({}, { callsTools: true })
    assert.strictEqual(json(ask(eager, { body })).choices[0].message.tool_calls[0].function.name, "other")
    assert.strictEqual(json(ask(eager, { body: { ...body, tool_choice: "none" } })).choices[0].finish_reason, "stop")
    const after = { ...body, messages: [...hello, { role: "tool", tool_call_id: "x", content: "{}" }] }
    assert.strictEqual(json(ask(eager, { body: after })).choices[0].finish_reason, "stop")
  })
})

describe("structured output", () => {
  it("fits the schema", () => {
    const schema = {
      type: "object",
      properties: {
        name: { type: "string" },
        kind: { enum: ["a", "b"] },
        tags: { type: "array", items: { type: "string" }, minItems: 2 },
        inner: { $ref: "#/$defs/inner" },
        maybe: { anyOf: [{ type: "number" }, { type: "null" }] },
        fixed: { const: 7 },
        on: { type: "boolean" }
      },
      $defs: {
        inner: { type: "object", properties: { next: { anyOf: [{ $ref: "#/$defs/inner" }, { type: "null" }] } } }
      }
    }
    const body = {
      model: "gpt",
      messages: hello,
      response_format: { type: "json_schema", json_schema: { name: "x", strict: true, schema } }
    }
    const value = JSON.parse(json(ask(makeService(), { body })).choices[0].message.content)
    assert.isString(value.name)
    assert.include(["a", "b"], value.kind)
    assert.strictEqual(value.tags.length, 2)
    assert.isObject(value.inner)
    assert.isNumber(value.maybe)
    assert.strictEqual(value.fixed, 7)
    assert.isBoolean(value.on)
  })

  it("is JSON for json_object", () => {
    const body = { model: "gpt", messages: hello, response_format: { type: "json_object" } }
    assert.isObject(JSON.parse(json(ask(makeService(), { body })).choices[0].message.content))
  })
})

const embedding = () => makeService({ deployments: [{ name: "emb", model: "text-embedding-3-small", tpm: 1_000 }] })

describe("embeddings", () => {
  const path = "/openai/v1/embeddings"

  it("are the same numbers in both encodings, of length 1", () => {
    const input = ["one", "two"]
    const floats = json(ask(embedding(), { path, body: { model: "emb", input, dimensions: 64 } }))
    const packed = json(
      ask(embedding(), { path, body: { model: "emb", input, dimensions: 64, encoding_format: "base64" } })
    )
    for (const index of [0, 1]) {
      const bytes = Uint8Array.from(atob(packed.data[index].embedding), (character) => character.charCodeAt(0))
      const vector = Array.from(new Float32Array(bytes.buffer))
      assert.deepStrictEqual(vector, floats.data[index].embedding)
      assert.closeTo(vector.reduce((sum, value) => sum + value * value, 0), 1, 1e-5)
    }
    assert.notDeepEqual(floats.data[0].embedding, floats.data[1].embedding)
    assert.deepStrictEqual(floats.usage, { prompt_tokens: 2, total_tokens: 2 })
  })

  it("take tokens too, charge no output, and answer on the classic path", () => {
    const emb = embedding()
    const classic = "/openai/deployments/emb/embeddings?api-version=2024-10-21"
    const answer = ask(emb, { path: classic, body: { input: [[1, 2, 3], [4]] } })
    assert.strictEqual(json(answer).usage.prompt_tokens, 4)
    assert.strictEqual(json(answer).data[0].embedding.length, 1_536)
    assert.strictEqual(answer.headers["x-ratelimit-remaining-tokens"], "996")
  })

  it.each([[undefined], [""], [[]], [[""]], [{ a: 1 }], [Array(2_049).fill("x")]])("refuse a bad input", (input) => {
    assert.strictEqual(ask(embedding(), { path, body: { model: "emb", input } }).status, 400)
  })
})
