import { assert, describe, it } from "@effect/vitest"
import { ask, json, makeService } from "./ask.ts"

const base = "/openai/v1"

const random = () => 0.5

/** A service and another one, which knows nothing of what the first one stores. */
const pair = () => {
  const [east, west] = ["east", "west"].map((name) => makeService({ name }))
  const of = (service: typeof east) => (method: string, path: string, body: unknown = {}) =>
    ask(service!, { method, path: `${base}${path}`, body, random })
  return { east: of(east), west: of(west) }
}

describe("what a simulated resource stores", () => {
  const kinds = ["files", "vector_stores", "videos", "assistants", "threads", "batches", "containers", "conversations"]
  for (const kind of kinds) {
    it(`is read, listed and deleted there, and is nowhere else: ${kind}`, () => {
      const { east, west } = pair()
      const { id, object } = json(east("POST", `/${kind}`))
      assert.strictEqual(json(east("GET", `/${kind}/${id}`)).object, object)
      assert.deepStrictEqual(json(east("GET", `/${kind}`)).data.map((one: { id: string }) => one.id), [id])
      for (const method of ["GET", "DELETE"]) {
        const { status, text } = west(method, `/${kind}/${id}`)
        assert.strictEqual(status, 404)
        assert.include(JSON.parse(text).error.message, id)
      }
      assert.deepInclude(json(east("DELETE", `/${kind}/${id}`)), { id, deleted: true })
      assert.strictEqual(east("GET", `/${kind}/${id}`).status, 404)
    })
  }

  it("of a file is its name, its size and its purpose, which clients insist on", () => {
    const { east } = pair()
    const form = [
      "--edge",
      "Content-Disposition: form-data; name=\"purpose\"",
      "",
      "batch",
      "--edge",
      "Content-Disposition: form-data; name=\"file\"; filename=\"lines.jsonl\"",
      "Content-Type: application/octet-stream",
      "",
      "{\"a\":\r\n\"ä\"}",
      "--edge--",
      ""
    ].join("\r\n")
    const made = json(east("POST", "/files", form))
    const told = { object: "file", filename: "lines.jsonl", bytes: 12, purpose: "batch", status: "processed" }
    assert.deepInclude(made, told)
    assert.deepInclude(json(east("GET", `/files/${made.id}`)), told)
  })

  it("must be here where a request refers to it", () => {
    const { east, west } = pair()
    const file = json(east("POST", "/files")).id
    const store = json(east("POST", "/vector_stores", { file_ids: [file] })).id
    const input = [{ role: "user", content: [{ type: "input_file", file_id: file }] }]
    const tools = [{ type: "file_search", vector_store_ids: [store] }]
    for (const body of [{ input }, { input: "Hello", tools }]) {
      assert.strictEqual(east("POST", "/responses", { model: "gpt", ...body }).status, 200)
      assert.strictEqual(west("POST", "/responses", { model: "gpt", ...body }).status, 404)
    }
    assert.strictEqual(west("POST", "/vector_stores", { file_ids: [file] }).status, 404)
  })

  it("has parts, which are found below it", () => {
    const { east, west } = pair()
    const thread = json(east("POST", "/threads")).id
    const message = json(east("POST", `/threads/${thread}/messages`, { role: "user", content: "Hi" })).id
    assert.strictEqual(json(east("GET", `/threads/${thread}/messages/${message}`)).id, message)
    assert.strictEqual(west("POST", `/threads/${thread}/messages`).status, 404)
    const assistant = json(east("POST", "/assistants", { model: "gpt" })).id
    assert.strictEqual(json(east("POST", `/threads/${thread}/runs`, { assistant_id: assistant })).object, "thread.run")
    assert.strictEqual(west("POST", "/threads/runs", { assistant_id: assistant }).status, 404)
  })

  it("is each item of a stored response, which a later input may refer to", () => {
    const { east, west } = pair()
    const made = json(east("POST", "/responses", { model: "gpt", input: "Say one." }))
    const input = [{ type: "item_reference", id: made.output[0].id }, { role: "user", content: "And?" }]
    assert.strictEqual(east("POST", "/responses", { model: "gpt", input }).status, 200)
    const refused = west("POST", "/responses", { model: "gpt", input })
    assert.strictEqual(refused.status, 404)
    assert.match(json(refused).error.message, /^Item with id 'msg_\w+' not found\.$/)
    const forgotten = json(east("POST", "/responses", { model: "gpt", input: "Say two.", store: false }))
    const gone = [{ type: "item_reference", id: forgotten.output[0].id }]
    assert.strictEqual(east("POST", "/responses", { model: "gpt", input: gone }).status, 404)
  })

  it("is compacted, and counted, only where it is", () => {
    const { east, west } = pair()
    const { id } = json(east("POST", "/responses", { model: "gpt", input: "Say one." }))
    const body = { model: "gpt", previous_response_id: id }
    const compacted = json(east("POST", "/responses/compact", body))
    assert.strictEqual(compacted.object, "response.compaction")
    assert.isAbove(json(east("POST", "/responses/input_tokens", body)).input_tokens, 0)
    for (const path of ["compact", "input_tokens"]) {
      assert.strictEqual(json(west("POST", `/responses/${path}`, body)).error.code, "previous_response_not_found")
    }
    assert.strictEqual(east("POST", "/responses", { model: "gpt", input: compacted.output }).status, 200)
    assert.strictEqual(west("POST", "/responses", { model: "gpt", input: compacted.output }).status, 400)
  })
})
