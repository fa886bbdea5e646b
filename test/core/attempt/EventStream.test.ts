import { assert, describe, it } from "@effect/vitest"
import { amount } from "../../support/Check.ts"
import { bytesOf, makeReader, named, read } from "../../support/Events.ts"
import {
  added,
  billed,
  chunk,
  commits,
  completed,
  created,
  dataOf,
  delta,
  done,
  filters,
  hello,
  progress,
  queued,
  responses,
  responseUsage,
  role,
  stop,
  text,
  usage,
  usageChunk,
  whole
} from "./answers.ts"

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

  it.each([{ role: "assistant" }, { role: "assistant", content: null }, {
    role: "assistant",
    content: "",
    refusal: null
  }])(
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
    const annotation = chunk([{
      index: 0,
      finish_reason: null,
      content_filter_results: {},
      content_filter_offsets: {}
    }])
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

describe("a responses stream", () => {
  it("is complete at response.completed, with its usage and what only its resource knows", () => {
    const { events, reader } = whole([created, progress, text, completed], responses)
    assert.lengthOf(events, 4)
    assert.isTrue(reader.isComplete)
    assert.deepStrictEqual(reader.usage, { ...billed, cachedTokens: 4 })
    assert.deepStrictEqual(reader.ids, ["resp_1", "rs_1", "msg_1"])
  })

  it("is complete at response.incomplete", () => {
    const incomplete = named({ type: "response.incomplete", response: { id: "resp_1", usage: responseUsage } })
    assert.isTrue(whole([created, text, incomplete], responses).reader.isComplete)
  })

  it("commits at anything but its preamble", () => {
    assert.deepStrictEqual(commits([created, queued, progress, added("message")], responses), [
      false,
      false,
      false,
      true
    ])
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

describe("an event with a picture", () => {
  const picture = named({
    type: "response.image_generation_call.partial_image",
    partial_image_b64: "A".repeat(amount(11_000_000, 2_000_000))
  })
  const finished = named({
    type: "response.completed",
    response: {
      id: "resp_1",
      output: [{ type: "image_generation_call", result: "B".repeat(amount(12_000_000, 3_000_000)) }]
    }
  })

  it.each([["\n", 65_536], ["\r\n", 65_536], ["\n", 30_000_000]])(
    "is read whole, whatever its size: lines that end with %j, in pieces of %d bytes",
    (newline, size) => {
      const bytes = bytesOf([created, picture, finished], newline)
      const pieces: Array<Uint8Array> = []
      for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size))
      const { events, reader } = read(pieces, responses)
      assert.isUndefined(reader.failure)
      assert.isTrue(reader.isComplete)
      assert.deepStrictEqual(
        events.map(({ data }) => data.length),
        [created, picture, finished].map(({ data }) => data.length)
      )
    }
  )

  it("is none where it has no end", () => {
    const reader = makeReader(responses)
    reader.feed(bytesOf([created]))
    const endless = new TextEncoder().encode(`data: ${"A".repeat(8 * 1024 * 1024)}`)
    for (let i = 0; i < 17 && reader.failure === undefined; i++) reader.feed(endless)
    assert.deepInclude(reader.failure, { _tag: "Failed", reason: "an event that is too large" })
  })
})
