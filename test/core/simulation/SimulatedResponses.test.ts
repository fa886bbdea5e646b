import { assert, describe, it } from "@effect/vitest"
import { ask, events, json, makeService } from "./ask.ts"

const path = "/openai/v1/responses"
const input = "Hello, how are you?"
const body = { model: "gpt", input }
const east = () => makeService()
const west = () => makeService({ name: "west" })
const dated = (version: string) => ask(east(), { path: `/openai/responses?api-version=${version}`, body })
const includesReasoning = { include: ["reasoning.encrypted_content"], store: false }

describe("responses", () => {
  it("answer with a response object", () => {
    const answer = json(ask(makeService({}, { reply: () => "Fine." }), { path, body }))
    assert.deepInclude(answer, { object: "response", status: "completed", model: "gpt-4o", error: null })
    assert.match(answer.id, /^resp_/)
    assert.strictEqual(answer.output[0].content[0].text, "Fine.")
    assert.deepInclude(answer.usage, { input_tokens: 5, output_tokens: 2, total_tokens: 7 })
  })

  it("stream the true sequence of events", () => {
    const service = makeService({}, { reply: () => "Hello you!" })
    const all = events(ask(service, { path, body: { ...body, stream: true } }))
    assert.deepStrictEqual(all.map((event) => event.type), [
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.delta",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.completed"
    ])
    assert.deepStrictEqual(all.map((event) => event.sequence_number), all.map((_, index) => index))
    assert.strictEqual(all[0].response.status, "in_progress")
    assert.isNull(all[0].response.usage)
    assert.strictEqual(all.at(-1).response.output[0].content[0].text, "Hello you!")
    assert.strictEqual(all.at(-1).response.usage.output_tokens, 3)
  })

  it("are incomplete at the limit, and when the filter cuts in", () => {
    const cut = json(ask(makeService(), { path, body: { ...body, max_output_tokens: 2 } }))
    assert.strictEqual(cut.status, "incomplete")
    assert.deepStrictEqual(cut.incomplete_details, { reason: "max_output_tokens" })
    const filtered = events(
      ask(makeService(), { path, body: { model: "gpt", input: "[blocked answer]", stream: true } })
    )
    assert.strictEqual(filtered.at(-1).type, "response.incomplete")
    assert.strictEqual(filtered.at(-1).response.incomplete_details.reason, "content_filter")
  })

  it("call functions", () => {
    const tools = [{
      type: "function",
      name: "weather",
      parameters: { type: "object", properties: { a: { const: 1 } } }
    }]
    const all = events(
      ask(makeService(), { path, body: { ...body, tools, tool_choice: "required", stream: true } })
    )
    const types = [...new Set(all.map((event) => event.type))]
    assert.includeMembers(types, [
      "response.function_call_arguments.delta",
      "response.function_call_arguments.done"
    ])
    const [item] = all.at(-1).response.output
    assert.deepInclude(item, { type: "function_call", name: "weather", arguments: "{\"a\":1}" })
  })

  it("fit a schema", () => {
    const schema = { type: "object", properties: { answer: { type: "integer" } } }
    const text = { format: { type: "json_schema", name: "x", schema } }
    const answer = json(ask(makeService(), { path, body: { ...body, text } }))
    assert.isNumber(JSON.parse(answer.output[0].content[0].text).answer)
  })

  it.each([[{ model: "gpt" }], [{ model: "gpt", input: 3 }], [{ ...body, max_output_tokens: 0 }]])(
    "refuse a bad request",
    (bad) => assert.strictEqual(ask(makeService(), { path, body: bad }).status, 400)
  )

  it("need a dated API that has them", () => {
    assert.strictEqual(dated("2024-10-21").status, 400)
    assert.strictEqual(dated("2025-03-01-preview").status, 200)
  })
})

describe("stored responses", () => {
  it("go on only on the resource that made them", () => {
    const service = east()
    const first = json(ask(service, { path, body }))
    const next = json(ask(service, { path, body: { ...body, previous_response_id: first.id } }))
    assert.strictEqual(next.previous_response_id, first.id)
    assert.isAbove(next.usage.input_tokens, first.usage.total_tokens)
    const azure = ask(west(), { path, body: { ...body, previous_response_id: first.id } })
    assert.strictEqual(azure.status, 404)
    assert.strictEqual(json(azure).error.code, "previous_response_not_found")
    const openai = ask(makeService({ name: "oai", provider: "openai" }), {
      path: "/v1/responses",
      body: { model: "gpt-4o", input, previous_response_id: first.id }
    })
    assert.strictEqual(openai.status, 400)
  })

  it("are found and deleted by id", () => {
    const service = east()
    const { id } = json(ask(service, { path, body }))
    const get = () => ask(service, { method: "GET", path: `${path}/${id}`, body: "", now: 10_000 })
    assert.strictEqual(json(get()).id, id)
    assert.strictEqual(ask(west(), { method: "GET", path: `${path}/${id}`, body: "" }).status, 404)
    assert.deepInclude(json(ask(service, { method: "DELETE", path: `${path}/${id}`, body: "" })), { deleted: true })
    assert.strictEqual(get().status, 404)
  })

  it("are not kept with store: false", () => {
    const service = east()
    const { id } = json(ask(service, { path, body: { ...body, store: false } }))
    assert.strictEqual(ask(service, { method: "GET", path: `${path}/${id}`, body: "" }).status, 404)
  })

  it("finish in the background, or are cancelled", () => {
    const service = makeService({}, { reply: () => "x".repeat(400) })
    const begin = () => json(ask(service, { path, body: { ...body, background: true } }))
    const get = (id: string, now: number) =>
      json(ask(service, { method: "GET", path: `${path}/${id}`, body: "", now })).status
    const first = begin()
    assert.strictEqual(first.status, "queued")
    assert.strictEqual(get(first.id, 500), "queued")
    assert.strictEqual(get(first.id, 2_000), "completed")
    const second = begin()
    const cancel = { method: "POST", path: `${path}/${second.id}/cancel`, body: "", now: 10 }
    assert.strictEqual(json(ask(service, cancel)).status, "cancelled")
    assert.strictEqual(get(second.id, 2_000), "cancelled")
  })

  it("belong to conversations of the resource", () => {
    const service = east()
    const { id } = json(ask(service, { path: "/openai/v1/conversations", body: {} }))
    const first = json(ask(service, { path, body: { ...body, conversation: id } }))
    assert.deepStrictEqual(first.conversation, { id })
    const next = json(ask(service, { path, body: { ...body, conversation: { id } } }))
    assert.isAbove(next.usage.input_tokens, first.usage.total_tokens)
    assert.strictEqual(ask(west(), { path, body: { ...body, conversation: id } }).status, 404)
    const conversation = { path: `/openai/v1/conversations/${id}`, body: "" }
    assert.strictEqual(json(ask(service, { ...conversation, method: "GET" })).id, id)
    assert.isTrue(json(ask(service, { ...conversation, method: "DELETE" })).deleted)
    assert.strictEqual(ask(service, { ...conversation, method: "GET" }).status, 404)
  })
})

describe("encrypted reasoning", () => {
  it("is valid only on the resource that made it", () => {
    const service = makeService()
    const first = json(ask(service, { path, body: { ...body, ...includesReasoning } }))
    const [reasoning] = first.output
    assert.strictEqual(reasoning.type, "reasoning")
    assert.match(reasoning.encrypted_content, /^gAAAA/)
    assert.isAbove(first.usage.output_tokens_details.reasoning_tokens, 0)
    const next = { ...body, ...includesReasoning, input: [{ role: "user", content: input }, reasoning] }
    assert.strictEqual(ask(service, { path, body: next }).status, 200)
    const elsewhere = ask(makeService({ name: "west" }), { path, body: next })
    assert.strictEqual(elsewhere.status, 400)
    assert.strictEqual(json(elsewhere).error.code, "invalid_encrypted_content")
  })

  it("comes before the text, and takes time", () => {
    const service = makeService({}, { reasoningTokens: 100, reply: () => "Fine." })
    const played = ask(service, { path, body: { ...body, stream: true } })
    const types = events(played).map((event) => event.type)
    assert.strictEqual(types[2], "response.output_item.added")
    assert.strictEqual(types[3], "response.output_item.done")
    const usage = events(played).at(-1).response.usage
    const reasoned = usage.output_tokens_details.reasoning_tokens
    assert.strictEqual(usage.output_tokens, reasoned + 2)
    const firstText = events(played).findIndex((event) => event.type === "response.output_text.delta")
    assert.closeTo(played.parts[firstText]!.at, 100 + 10 * reasoned, 0.001)
  })
})
