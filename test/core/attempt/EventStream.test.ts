import { assert, describe, it } from "@effect/vitest"
import type { Outcome } from "@evenkeel/core/attempt/Outcome"
import { bytesOf, type Given, makeReader, named, read, type ReadOptions } from "../../support/Events.ts"

const chunk = (choices: ReadonlyArray<unknown>, more: object = {}): string =>
  JSON.stringify({ id: "c1", object: "chat.completion.chunk", choices, usage: null, ...more })

const delta = (value: object, finish: string | null = null): string =>
  chunk([{ index: 0, delta: value, finish_reason: finish }])

const filters = chunk([], { id: "", object: "", prompt_filter_results: [{ prompt_index: 0 }] })
const role = delta({ role: "assistant", content: "" })
const hello = delta({ content: "Hello" })
const stop = delta({}, "stop")
const usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10, prompt_tokens_details: null }
const billed = { promptTokens: 7, cachedTokens: 0, cacheWriteTokens: 0, completionTokens: 3, reasoningTokens: 0 }
const usageChunk = chunk([], { usage })

const dataOf = (events: ReadonlyArray<Given>) => events.map(({ data }) => data)

const whole = (events: ReadonlyArray<Given | string>, options: ReadOptions = {}) => read([bytesOf(events)], options)

/** Whether each of these events, one after the other, is the one that commits. */
const commits = (events: ReadonlyArray<Given | string>, options: ReadOptions = {}): ReadonlyArray<boolean> => {
  const reader = makeReader(options)
  return events.map((event) => {
    reader.feed(bytesOf([event]))
    return reader.isCommitted
  })
}

const failureOf = (events: ReadonlyArray<Given | string>, options: ReadOptions = {}): Outcome => {
  const { reader } = whole(events, options)
  assert.isFalse(reader.isComplete)
  return reader.failure!
}

describe("a chat stream", () => {
  it("is complete at its [DONE], and gives out every event", () => {
    const { events, reader } = whole([filters, role, hello, stop, "[DONE]"])
    assert.deepStrictEqual(dataOf(events), [filters, role, hello, stop, "[DONE]"])
    assert.deepInclude(reader, { isComplete: true, isCommitted: true, failure: undefined, events: 5 })
  })

  it("commits at content, not at roles, empty choices or filter results", () => {
    assert.deepStrictEqual(commits([filters, role, hello, stop]), [false, false, true, true])
  })

  it.each([
    ["text", { content: "x" }],
    ["a refusal", { refusal: "I cannot" }],
    ["a tool call", { tool_calls: [{ index: 0, id: "call_1", function: { name: "f", arguments: "" } }] }],
    ["reasoning", { reasoning_content: "hm" }],
    ["audio", { audio: { data: "AAAA" } }]
  ])("commits at %s", (_, value) => {
    assert.deepStrictEqual(commits([delta({ role: "assistant", ...value })]), [true])
  })

  it.each([{ role: "assistant" }, { role: "assistant", content: null }, { role: "assistant", content: "", refusal: null }])(
    "does not commit at a role alone: %j",
    (value) => {
      assert.deepStrictEqual(commits([delta(value)]), [false])
    }
  )

  it("commits at a finish reason, so that an answer without a word is an answer", () => {
    const { reader } = whole([role, stop, "[DONE]"])
    assert.isTrue(reader.isComplete)
    assert.deepStrictEqual(commits([role, delta({}, "content_filter")]), [false, true])
  })

  it("is complete with annotations after its finish, as of asynchronous filters", () => {
    const annotation = chunk([{ index: 0, finish_reason: null, content_filter_results: {}, content_filter_offsets: {} }])
    const { events, reader } = whole([role, hello, stop, annotation, "[DONE]"])
    assert.isTrue(reader.isComplete)
    assert.lengthOf(events, 5)
  })

  it("is complete where a finish comes beside an unfinished choice", () => {
    const two = chunk([{ index: 0, delta: {}, finish_reason: "stop" }, { index: 1, delta: {}, finish_reason: null }])
    assert.isTrue(whole([role, hello, two, "[DONE]"]).reader.isComplete)
  })

  it("commits when more than 64 KB were held", () => {
    const long = chunk([], { prompt_filter_results: "x".repeat(40_000) })
    assert.deepStrictEqual(commits([long, long]), [false, true])
  })

  it("reads nothing more after its end", () => {
    const { events, reader } = whole([hello, stop, "[DONE]", JSON.stringify({ error: { code: "late" } })])
    assert.lengthOf(events, 3)
    assert.isUndefined(reader.failure)
  })

  it("gives its last event even where the blank line is missing", () => {
    const bytes = bytesOf([hello, stop, "[DONE]"])
    const { events, reader } = read([bytes.subarray(0, bytes.length - 2)])
    assert.deepStrictEqual(dataOf(events), [hello, stop, "[DONE]"])
    assert.isTrue(reader.isComplete)
  })

  it("gives parsed events to whom wants them", () => {
    const { batches } = whole([filters, hello, stop, "[DONE]"], { parsesAll: true })
    const jsons = batches.flatMap(({ events }) => events.map(({ json }) => json))
    assert.deepStrictEqual(jsons, [JSON.parse(filters), JSON.parse(hello), JSON.parse(stop), undefined])
  })
})

describe("the usage of a chat stream", () => {
  it("is read, and its chunk taken out where it was asked for us alone", () => {
    const { events, reader } = whole([filters, role, hello, stop, usageChunk, "[DONE]"], { hidesUsage: true })
    assert.deepStrictEqual(dataOf(events), [filters, role, hello, stop, "[DONE]"])
    assert.deepStrictEqual(reader.usage, billed)
  })

  it("stays where the caller asked for it", () => {
    const { events, reader } = whole([hello, stop, usageChunk, "[DONE]"])
    assert.deepStrictEqual(dataOf(events), [hello, stop, usageChunk, "[DONE]"])
    assert.deepStrictEqual(reader.usage, billed)
  })

  it("is not taken out together with content", () => {
    const both = chunk([{ index: 0, delta: { content: "x" }, finish_reason: "stop" }], { usage })
    const { events, reader } = whole([both, "[DONE]"], { hidesUsage: true })
    assert.deepStrictEqual(dataOf(events), [both, "[DONE]"])
    assert.deepStrictEqual(reader.usage, billed)
  })

  it("is the last that was told, of services that tell it with every chunk", () => {
    const early = chunk([{ index: 0, delta: { content: "x" }, finish_reason: null }], {
      usage: { prompt_tokens: 7, completion_tokens: 1 }
    })
    assert.deepStrictEqual(whole([early, stop, usageChunk, "[DONE]"]).reader.usage, billed)
    assert.strictEqual(whole([hello, early, stop, "[DONE]"]).reader.usage?.completionTokens, 1)
  })

  it("leaves no bytes that still hold it", () => {
    const { batches } = whole([hello, stop, usageChunk, "[DONE]"], { hidesUsage: true })
    for (const { bytes } of batches) assert.isUndefined(bytes)
  })
})

const created = named({ type: "response.created", response: { id: "resp_1", status: "in_progress" } })
const progress = named({ type: "response.in_progress", response: { id: "resp_1" } })
const queued = named({ type: "response.queued", response: { id: "resp_1" } })
const text = named({ type: "response.output_text.delta", delta: "Hi" })
const added = (type: string) => named({ type: "response.output_item.added", item: { type } })
const done = (type: string) => named({ type: "response.output_item.done", item: { type } })
const responseUsage = { input_tokens: 7, input_tokens_details: { cached_tokens: 4 }, output_tokens: 3 }
const completed = named({
  type: "response.completed",
  response: {
    id: "resp_1",
    usage: responseUsage,
    output: [{ id: "rs_1", type: "reasoning", encrypted_content: "gAAAA" }, { id: "msg_1", type: "message" }]
  }
})

const responses = { protocol: "responses" } as const

describe("a responses stream", () => {
  it("is complete at response.completed, with its usage and what only its resource knows", () => {
    const { events, reader } = whole([created, progress, text, completed], responses)
    assert.lengthOf(events, 4)
    assert.isTrue(reader.isComplete)
    assert.deepStrictEqual(reader.usage, { ...billed, cachedTokens: 4 })
    assert.deepStrictEqual(reader.ids, ["resp_1", "rs_1"])
  })

  it("is complete at response.incomplete", () => {
    const incomplete = named({ type: "response.incomplete", response: { id: "resp_1", usage: responseUsage } })
    assert.isTrue(whole([created, text, incomplete], responses).reader.isComplete)
  })

  it("commits at anything but its preamble", () => {
    assert.deepStrictEqual(commits([created, queued, progress, added("message")], responses), [false, false, false, true])
    assert.deepStrictEqual(commits([created, completed], responses), [false, true])
    assert.deepStrictEqual(commits([named({ type: "response.of.the.future" })], responses), [true])
  })

  it("knows its id before its content", () => {
    const reader = makeReader(responses)
    reader.feed(bytesOf([created]))
    assert.deepStrictEqual(reader.ids, ["resp_1"])
  })

  it("knows which items are open, during which it may be silent", () => {
    const reader = makeReader(responses)
    const steps = [added("reasoning"), added("message"), done("message"), added("function_call"), done("reasoning")]
    const open = steps.map((event) => {
      reader.feed(bytesOf([event]))
      return reader.openItems
    })
    assert.deepStrictEqual(open, [1, 1, 1, 2, 1])
  })

  it("passes a [DONE] of a service that sends one", () => {
    assert.isTrue(whole([created, text, completed, "[DONE]"], responses).reader.isComplete)
  })
})

const retryAfter = { headers: { "retry-after": "7" } }
const limited = { type: "too_many_requests", code: "rate_limit_exceeded", message: "slow down" }
const bare = named({ type: "response.failed", response: { id: "resp_1", error: null, usage: null } })
const failed = (error: object) => named({ type: "response.failed", response: { id: "resp_1", error } })
const flat = (error: object) => named({ ...error, type: "error", param: null, sequence_number: 3 })
const nested = (error: object) => named({ type: "error", error })

describe("a failure inside a 200", () => {
  it.each<[string, ReadonlyArray<Given | string>, ReadOptions]>([
    ["a chat chunk", [JSON.stringify({ error: limited }), "[DONE]"], retryAfter],
    ["a chat chunk after a role", [role, JSON.stringify({ error: limited })], retryAfter],
    ["an error event of a chat", [{ name: "error", data: JSON.stringify({ error: limited }) }], retryAfter],
    ["Azure's nested error event", [created, nested(limited)], { ...responses, ...retryAfter }],
    ["OpenAI's flat error event", [created, flat({ code: "rate_limit_exceeded", message: "slow" })], {
      ...responses,
      ...retryAfter
    }],
    ["response.failed with its error", [created, failed({ code: "rate_limit_exceeded" })], { ...responses, ...retryAfter }],
    ["a bare response.failed, then an error", [created, bare, nested(limited)], { ...responses, ...retryAfter }],
    ["a bare response.failed after content, then an error", [created, text, bare, nested(limited)], {
      ...responses,
      ...retryAfter
    }]
  ])("is a throttle, with the wait of the headers: %s", (_, events, options) => {
    assert.deepInclude(failureOf(events, options), { _tag: "Throttled", status: 200, wait: 7000 })
  })

  it.each<[string, ReadonlyArray<Given | string>, ReadOptions]>([
    ["server_error in response.failed", [created, failed({ code: "server_error", message: "oops" })], responses],
    ["a flat server_error", [flat({ code: "server_error" })], responses],
    ["a flat error without a code", [flat({ code: null, message: "oops" })], responses],
    ["a bare response.failed, then the end", [created, bare], responses],
    ["a server_error of a chat", [JSON.stringify({ error: { type: "server_error", code: null } })], {}],
    ["an error that is only a text", [{ name: "error", data: JSON.stringify({ error: "boom" }) }], {}]
  ])("counts against the deployment: %s", (_, events, options) => {
    assert.deepInclude(failureOf(events, options), { _tag: "Failed", scope: "deployment", effect: "count", status: 200 })
  })

  it("is a throttle where the service tells of high demand, whatever its code", () => {
    const message = "The system is currently experiencing high demand and cannot process your request."
    assert.strictEqual(failureOf([nested({ code: "server_error", message })], responses)._tag, "Throttled")
  })

  it.each(["invalid_prompt", "context_length_exceeded", "data_residency_mismatch", "content_filter"])(
    "is the caller's fault: %s",
    (code) => {
      assert.deepInclude(failureOf([created, failed({ code, message: "no" })], responses), { _tag: "Refused", code })
    }
  )

  it("is an empty account of the whole resource", () => {
    assert.deepInclude(failureOf([JSON.stringify({ error: { code: "insufficient_quota" } })]), {
      _tag: "Failed",
      scope: "resource",
      effect: "open"
    })
  })

  it("is known after one more event than a bare response.failed, not only at the end", () => {
    const reader = makeReader(responses)
    reader.feed(bytesOf([created, bare]))
    assert.isUndefined(reader.failure)
    assert.isFalse(reader.isCommitted)
    reader.feed(bytesOf(["[DONE]"]))
    assert.isDefined(reader.failure)
  })

  it("gives out nothing of itself, before the commit or after it", () => {
    const error = JSON.stringify({ error: limited })
    assert.deepStrictEqual(whole([error]).events, [])
    assert.deepStrictEqual(dataOf(whole([hello, error, "[DONE]"]).events), [hello])
    assert.deepStrictEqual(dataOf(whole([created, text, nested(limited)], responses).events), [created.data, text.data])
  })

  it("tells the service's own last word of a response that had begun", () => {
    const word = failed({ code: "server_error", message: "oops" })
    const { events, reader } = whole([created, text, word], responses)
    assert.deepStrictEqual(events.at(-1), word)
    assert.isTrue(reader.isFailureTold)
  })
})

describe("a stream that ends as none does", () => {
  it.each<[string, ReadonlyArray<Given | string>, ReadOptions, string]>([
    ["nothing at all", [], {}, "empty stream"],
    ["nothing at all", [], responses, "empty stream"],
    ["only a [DONE]", ["[DONE]"], {}, "empty stream"],
    ["a role, then [DONE]", [role, "[DONE]"], {}, "empty stream"],
    ["content, then the end", [role, hello], {}, "stream cut short"],
    ["content and a finish, then the end", [role, hello, stop], {}, "stream cut short"],
    ["content, then [DONE] without a finish", [role, hello, "[DONE]"], {}, "stream cut short"],
    ["content without response.completed", [created, text], responses, "stream cut short"]
  ])("has failed: %s", (_, events, options, reason) => {
    assert.deepInclude(failureOf(events, options), { _tag: "Failed", scope: "deployment", effect: "count", reason })
  })

  it.each(["{", "nonsense", "[1]", "null", "\"text\""])("has failed before its content: data that is %j", (data) => {
    assert.strictEqual(failureOf([data])._tag, "Failed")
    assert.strictEqual(failureOf([data], responses)._tag, "Failed")
  })

  it("has failed after its content where every event is parsed", () => {
    const { events, reader } = whole([hello, "{\"choices\":", stop, "[DONE]"], { parsesAll: true })
    assert.deepStrictEqual(dataOf(events), [hello])
    assert.strictEqual(reader.failure?._tag, "Failed")
  })
})
