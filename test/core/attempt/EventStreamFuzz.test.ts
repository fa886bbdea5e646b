import { merge } from "#core/attempt/SseReader"
import { bytesOf as rebuilt } from "#core/http/HttpAnswer"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"
import { bytesOf, concat, cut, type Given, named, parse, read, type ReadOptions } from "../../support/Events.ts"

const places = Schema.Array(integer(0, 100_000)).check(Schema.isMaxLength(12))
const newline = Schema.Literals(["\n", "\r\n", "\r"])
const words = Schema.Literals([
  "Hello",
  " wörld",
  "日本語",
  "👩‍🚀",
  "\\n\\n",
  "\"usage\":{",
  "\"finish_reason\":null",
  "data: x"
])

/** What chat services send, in an order that they might. */
const chatStep = Schema.Union([
  Schema.Struct({ kind: Schema.Literals(["filters", "role", "annotation", "stop", "usage", "error", "done", "junk"]) }),
  Schema.Struct({ kind: Schema.Literal("text"), words: Schema.Array(words) }),
  Schema.Struct({ kind: Schema.Literal("comment"), words: Schema.Array(words) }),
  Schema.Struct({ kind: Schema.Literal("text"), words: Schema.Array(words) })
])

const chunkOf = (choices: ReadonlyArray<unknown>, usage: unknown = null): string => JSON.stringify({ choices, usage })

const dataOf = (step: typeof chatStep.Type): string => {
  switch (step.kind) {
    case "filters":
      return JSON.stringify({ choices: [], prompt_filter_results: [] })
    case "role":
      return chunkOf([{ delta: { role: "assistant", content: "" }, finish_reason: null }])
    case "annotation":
      return chunkOf([{ content_filter_results: {}, finish_reason: null }])
    case "stop":
      return chunkOf([{ delta: {}, finish_reason: "stop" }])
    case "usage":
      return chunkOf([], { prompt_tokens: 7, completion_tokens: 3 })
    case "error":
      return JSON.stringify({ error: { code: "server_error", message: "日本" } })
    case "done":
      return "[DONE]"
    case "junk":
      return "{\"choices\":"
    case "text":
    case "comment":
      return chunkOf([{ delta: { content: step.words.join("") }, finish_reason: null }])
  }
}

const encoder = new TextEncoder()

const chatBytes = (steps: ReadonlyArray<typeof chatStep.Type>, newline: string): Uint8Array =>
  concat(steps.map((step) =>
    step.kind === "comment"
      ? encoder.encode(`: ${step.words.join("").replaceAll("\\n", "")}${newline}${newline}`)
      : bytesOf([dataOf(step)], newline)
  ))

const options = Schema.Struct({ hidesUsage: Schema.Boolean, parsesAll: Schema.Boolean })

/** Every batch's bytes say what its events say, and so do all of them together. */
const assertBytesAreEvents = (pieces: ReadonlyArray<Uint8Array>, given: ReadOptions): void => {
  const { batches, events } = read(pieces, given)
  for (const batch of batches) {
    if (batch.bytes === undefined) continue
    assert.deepStrictEqual(parse(batch.bytes), batch.events.map(({ data, name }) => ({ name, data })))
  }
  assert.deepStrictEqual(parse(concat(batches.map(rebuilt))), events)
}

describe("a chat stream, cut anywhere", () => {
  it.prop("is the same as whole", { steps: Schema.Array(chatStep), newline, places, options }, ({
    newline,
    options,
    places,
    steps
  }) => {
    const bytes = chatBytes(steps, newline)
    const whole = read([bytes], options)
    assert.deepStrictEqual(read(cut(bytes, places), options).state, whole.state)
    assert.deepStrictEqual(read(Array.from(bytes, (_, i) => bytes.subarray(i, i + 1)), options).state, whole.state)
  }, check({ size: 20 }))

  it.prop("gives out bytes that are exactly its events", { steps: Schema.Array(chatStep), newline, places, options }, ({
    newline,
    options,
    places,
    steps
  }) => {
    assertBytesAreEvents(cut(chatBytes(steps, newline), places), options)
  }, check({ size: 20 }))

  it.prop("gives out the bytes that came, where lines end with LF", { steps: Schema.Array(chatStep), places }, ({
    places,
    steps
  }) => {
    const good = steps.filter(({ kind }) => kind === "text" || kind === "comment" || kind === "usage")
    const end = bytesOf([chunkOf([{ delta: {}, finish_reason: "stop" }]), "[DONE]"])
    const bytes = concat([chatBytes(good, "\n"), end])
    const { batches } = read(cut(bytes, places))
    assert.deepStrictEqual(concat(batches.map(rebuilt)), bytes)
    assert.deepStrictEqual(merge(batches).bytes, bytes)
  }, check({ size: 20 }))

  it.prop("loses the hidden usage chunk and nothing else", { steps: Schema.Array(chatStep), places }, ({
    places,
    steps
  }) => {
    const pieces = cut(chatBytes(steps, "\n"), places)
    const shown = read(pieces, { hidesUsage: false })
    const hidden = read(pieces, { hidesUsage: true })
    const usage = chunkOf([], { prompt_tokens: 7, completion_tokens: 3 })
    assert.deepStrictEqual(hidden.events, shown.events.filter(({ data }) => data !== usage))
    assert.deepStrictEqual(hidden.reader.usage, shown.reader.usage)
  }, check({ size: 20 }))

  it.prop("is understood in the same way by a reader that parses no more than it must", {
    steps: Schema.Array(chatStep),
    hidesUsage: Schema.Boolean
  }, ({ hidesUsage, steps }) => {
    // what is no JSON is the one thing that only a reader of everything notices
    const bytes = chatBytes(steps.filter(({ kind }) => kind !== "junk"), "\n")
    const lean = read([bytes], { hidesUsage, parsesAll: false })
    const full = read([bytes], { hidesUsage, parsesAll: true })
    assert.deepStrictEqual(lean.state, full.state)
  }, check({ size: 20 }))
})

const responsesStep = Schema.Literals([
  "created",
  "in_progress",
  "text",
  "open",
  "close",
  "bare",
  "failed",
  "error",
  "completed",
  "done",
  "unknown"
])

const responsesEvent = (step: typeof responsesStep.Type): Given => {
  switch (step) {
    case "created":
    case "in_progress":
      return named({ type: `response.${step}`, response: { id: "resp_ü" } })
    case "text":
      return named({ type: "response.output_text.delta", delta: "日本 response.completed" })
    case "open":
      return named({ type: "response.output_item.added", item: { type: "reasoning" } })
    case "close":
      return named({ type: "response.output_item.done", item: { type: "reasoning" } })
    case "bare":
      return named({ type: "response.failed", response: { error: null } })
    case "failed":
      return named({ type: "response.failed", response: { error: { code: "server_error" } } })
    case "error":
      return named({ type: "error", code: "rate_limit_exceeded", message: "slow", param: null })
    case "completed":
      return named({ type: "response.completed", response: { usage: { input_tokens: 1, output_tokens: 2 } } })
    case "done":
      return { name: "message", data: "[DONE]" }
    case "unknown":
      return named({ type: "response.of.the.future" })
  }
}

describe("a responses stream, cut anywhere", () => {
  it.prop("is the same as whole, in events and in bytes", {
    steps: Schema.Array(responsesStep),
    newline,
    places,
    parsesAll: Schema.Boolean
  }, ({ newline, parsesAll, places, steps }) => {
    const bytes = bytesOf(["created" as const, ...steps].map(responsesEvent), newline)
    const given = { protocol: "responses", parsesAll } as const
    const pieces = cut(bytes, places)
    assert.deepStrictEqual(read(pieces, given).state, read([bytes], given).state)
    assert.deepStrictEqual(read(pieces, given).state, read(pieces, { ...given, parsesAll: !parsesAll }).state)
    assertBytesAreEvents(pieces, given)
  }, check({ size: 20 }))
})

const token = Schema.Union([
  Schema.Literals([
    "data: ",
    "data:",
    "data",
    "event: error",
    "event: response.failed",
    "id: 1",
    "retry: 5",
    ": comment",
    "[DONE]",
    "{\"choices\":[]}",
    "{\"choices\":[{\"delta\":{\"content\":\"é\"},\"finish_reason\":null}]}",
    "{\"choices\":[{\"finish_reason\":\"stop\"}]}",
    "{\"error\":{}}",
    "{\"type\":\"response.completed\"}",
    "\uFEFF",
    "é日👩",
    " "
  ]),
  Schema.Literals(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n"]),
  Schema.Array(integer(0, 255))
])

describe("garbage, cut anywhere", () => {
  it.prop("never throws, says why it is none, and is the same as whole", {
    tokens: Schema.Array(token),
    places,
    protocol: Schema.Literals(["chat", "responses"]),
    options
  }, ({ options, places, protocol, tokens }) => {
    const bytes = concat(tokens.map((one) => typeof one === "string" ? encoder.encode(one) : Uint8Array.from(one)))
    const given = { ...options, protocol }
    const whole = read([bytes], given)
    assert.isTrue(whole.reader.isComplete || whole.reader.failure !== undefined)
    assert.deepStrictEqual(read(cut(bytes, places), given).state, whole.state)
    assertBytesAreEvents(cut(bytes, places), given)
  }, check({ size: 30 }))

  it("may begin a line with half a character, and loses no event by it", () => {
    const [first, second] = [
      "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}",
      "{\"choices\":[{\"finish_reason\":\"stop\"}]}"
    ]
    const bytes = concat([bytesOf([first!]), encoder.encode("é: no field\n"), bytesOf([second!])])
    const at = bytesOf([first!]).length + 1
    // the last piece ends within an event, so that it is written anew
    assertBytesAreEvents([
      bytes.subarray(0, at),
      bytes.subarray(at),
      encoder.encode("data: [DO"),
      encoder.encode("NE]\n\n")
    ], {})
    assertBytesAreEvents([bytes.subarray(0, at), concat([bytes.subarray(at), encoder.encode("data: [DO")])], {})
  })
})
