import { readFacts } from "#core/request/LlmRequest"
import { idsOfAnswer, idsOfPath } from "#core/request/StoredIds"
import { assert, describe, it } from "@effect/vitest"

const idsIn = (operation: "chat" | "responses" | "other", parameters: object) =>
  readFacts(operation, { model: "m", ...parameters }).pin?.ids

describe("ids in a path", () => {
  it.each([
    ["/responses/resp_68b0c1", ["resp_68b0c1"]],
    ["/responses/resp_68b0c1/cancel", ["resp_68b0c1"]],
    ["/files/file-4bC1de/content", ["file-4bC1de"]],
    ["/files/assistant-9f3c2a1b", ["assistant-9f3c2a1b"]],
    ["/threads/thread_1aB2cD/runs/run_7xY8zZ/steps", ["thread_1aB2cD", "run_7xY8zZ"]],
    ["/batches/batch_68b0c1d2-1234-4c5d-8e9f-0a1b2c3d4e5f", ["batch_68b0c1d2-1234-4c5d-8e9f-0a1b2c3d4e5f"]],
    ["/evals/68b0c1d2-1234-4c5d-8e9f-0a1b2c3d4e5f", ["68b0c1d2-1234-4c5d-8e9f-0a1b2c3d4e5f"]],
    ["/fine_tuning/jobs/ftjob-abc123", ["ftjob-abc123"]]
  ])("are recognised: %s", (path, ids) => {
    assert.deepStrictEqual(idsOfPath(path), ids)
  })

  it.each([
    "/chat/completions",
    "/responses/input_tokens",
    "/vector_stores",
    "/fine_tuning/jobs",
    "/fine_tuning/alpha/graders/run",
    "/realtime/client_secrets",
    "/realtime/transcription_sessions",
    "/organization/audit_logs",
    "/organization/usage/code_interpreter_sessions",
    "/models/text-embedding-3-small",
    "/models/gpt-35-turbo-16k",
    "/deployments/text-embedding-3-small"
  ])("are none of its words, nor names of models: %s", (path) => {
    assert.deepStrictEqual(idsOfPath(path), [])
  })
})

describe("ids in parameters", () => {
  it.each<[string, "chat" | "responses" | "other", object, ReadonlyArray<string>]>([
    ["a response before, above all", "responses", {
      input: [{ type: "item_reference", id: "msg_1" }],
      previous_response_id: "resp_1"
    }, ["resp_1", "msg_1"]],
    ["a file in a message", "responses", { input: [{ content: [{ type: "input_file", file_id: "file-1" }] }] }, [
      "file-1"
    ]],
    ["a picture in an output of a tool", "responses", {
      input: [{ type: "function_call_output", output: [{ type: "input_image", file_id: "file-1" }] }]
    }, ["file-1"]],
    ["stores to be searched", "responses", { tools: [{ type: "file_search", vector_store_ids: ["vs_1", "vs_2"] }] }, [
      "vs_1",
      "vs_2"
    ]],
    ["a container", "responses", { tools: [{ type: "code_interpreter", container: "cntr_1" }] }, ["cntr_1"]],
    ["files for a container that is made", "responses", {
      tools: [{ type: "code_interpreter", container: { type: "auto", file_ids: ["file-1"] } }]
    }, ["file-1"]],
    ["a stored prompt", "responses", { prompt: { id: "pmpt_1", variables: { file_id: "mine" } } }, ["pmpt_1"]],
    ["a file in a chat", "chat", { messages: [{ content: [{ type: "file", file: { file_id: "file-1" } }] }] }, [
      "file-1"
    ]],
    ["files of an assistant", "other", { tool_resources: { code_interpreter: { file_ids: ["file-1"] } } }, ["file-1"]],
    ["a batch's input", "other", { input_file_id: "file-1" }, ["file-1"]],
    ["what a model is tuned on", "other", { training_file: "file-1", validation_file: "file-2" }, ["file-1", "file-2"]],
    ["an attachment", "other", { messages: [{ attachments: [{ file_id: "file-1", tools: [] }] }] }, ["file-1"]]
  ])("are those of %s", (_, operation, parameters, ids) => {
    assert.deepStrictEqual(idsIn(operation, parameters), ids)
  })

  it.each([
    { metadata: { file_id: "file-1" } },
    { tools: [{ type: "function", name: "f", parameters: { default: { file_id: "file-1" } } }] },
    { text: { format: { type: "json_schema", schema: { const: { file_id: "file-1" } } } } },
    { input: [{ type: "function_call", id: "fc_1", call_id: "call_1", arguments: "{\"file_id\":\"file-1\"}" }] },
    { input: [{ type: "message", id: "msg_1", role: "assistant", content: "Hello." }] },
    { user: "user-1", safety_identifier: "user_123456" }
  ])("are not what the caller writes for itself: %j", (parameters) => {
    assert.isUndefined(idsIn("responses", parameters))
  })
})

describe("ids in an answer", () => {
  it("are its own, those of its items, and those of what was made with it", () => {
    const ids = idsOfAnswer({
      id: "resp_1",
      conversation: { id: "conv_1" },
      output: [
        { type: "message", id: "msg_1" },
        { type: "code_interpreter_call", id: "ci_1", container_id: "cntr_1" },
        { type: "reasoning", id: "rs_1", encrypted_content: "gAAAA" },
        null
      ],
      output_file_id: "file-1"
    })
    assert.deepStrictEqual(ids, ["resp_1", "conv_1", "msg_1", "ci_1", "cntr_1", "rs_1", "file-1"])
  })

  it("are those of a list, but for names", () => {
    assert.deepStrictEqual(idsOfAnswer({ object: "list", data: [{ id: "file-0a1b2c" }, { id: "gpt-4o" }] }), [
      "file-0a1b2c"
    ])
  })
})
