import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { CapturedOutput, inputOf } from "#core/telemetry/Content"
import { assert, describe, it } from "@effect/vitest"
import { type Event, LoadBalancer, Telemetry } from "@evenkeel/core"
import { Effect, type Exit, Logger, Metric, References, Stream } from "effect"
import { inspect } from "node:util"
import { answer, fleet, listen, run, service, settle } from "../../support/Balanced.ts"
import { bytesOf, type Given, named } from "../../support/Events.ts"
import { azure, type Canned, completion, scripted } from "../../support/Scripted.ts"
import { endOf, makeRecorder, printedSpan, type Recorder, traced } from "../../support/Spans.ts"
import { tour } from "../../support/Tour.ts"
import { chunk, delta, role, stop, usageChunk } from "../attempt/answers.ts"

/** Everything that anybody could read: spans, metrics, log lines, events. */
interface Read {
  readonly text: string
  readonly recorder: Recorder
}

const withoutSession = (event: Event): unknown => {
  const { session: _, ...rest } = event as Event & { readonly session?: string }
  return rest
}

const readAll = <A, E, R>(
  make: (events: Array<Event>, metrics: Array<unknown>) => Effect.Effect<A, E, R>
): Effect.Effect<Read, E, R> =>
  Effect.gen(function*() {
    const recorder = makeRecorder()
    const lines: Array<unknown> = []
    const logger = Logger.make<unknown, void>((options) => void lines.push(Logger.formatJson.log(options)))
    const events: Array<Event> = []
    const metrics: Array<unknown> = []
    yield* traced(
      recorder,
      Effect.andThen(make(events, metrics), Effect.map(Metric.snapshot, (all) => void metrics.push(...all)))
    ).pipe(
      Effect.provide(Logger.layer([logger])),
      Effect.provideService(References.MinimumLogLevel, "All"),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
    assert.isAbove(metrics.length, 0)
    assert.isAbove(lines.length, 0)
    assert.isAbove(events.length, 0)
    assert.isAbove(recorder.spans.length, 0)
    const told = events.map(withoutSession)
    const text = [
      ...recorder.spans.map(printedSpan),
      inspect(metrics, { depth: 20 }),
      ...lines.map(String),
      inspect(told, { depth: 20, showHidden: true }),
      JSON.stringify(told)
    ].join("\n")
    return { text, recorder }
  })

const prompt = "the canary sings of the sea"
const reply = "a canary answers from the mast"
const key = "sk-canary-0123456789abcdefghijklmnop"
const token = "eyJcanary.0123456789abcdefghijklmnop.q-r_s"

/** The prompt is wherever a service could repeat it. */
const quoting = JSON.stringify({
  error: { message: `This is wrong: ${prompt}`, type: prompt, code: `code: ${prompt}`, param: prompt, prompt }
})

const faults: ReadonlyArray<SimulatedFault> = [
  { kind: "status", status: 400, body: quoting },
  { kind: "status", status: 429, body: quoting },
  { kind: "status", status: 500, body: quoting },
  { kind: "status", status: 401, body: quoting },
  { kind: "status", status: 404, body: quoting },
  { kind: "status", status: 503, body: `<html>${prompt}</html>`, contentType: "text/html" },
  { kind: "status", error: "content-filter" },
  { kind: "unreadable", body: prompt },
  { kind: "unreadable", body: quoting },
  { kind: "truncated" },
  { kind: "reset" },
  { kind: "cut", afterEvents: 4, ending: "reset" },
  { kind: "cut", afterEvents: 4, ending: "end" },
  { kind: "errorInStream", message: prompt, code: prompt, type: prompt },
  { kind: "errorInStream", afterEvents: 4, message: prompt, code: prompt, type: prompt, shape: "flat" },
  { kind: "malformed", how: "json", afterEvents: 4 },
  { kind: "hang", afterEvents: 4 },
  { kind: "hang" }
]

const params = {
  model: "gpt-4o",
  messages: [{ role: "user" as const, content: prompt }],
  stop: [prompt],
  user: prompt,
  metadata: { prompt },
  tools: [{ type: "function" as const, function: { name: "find", description: prompt, parameters: {} } }]
}

describe("without capture, nothing of what was said is in a span, a metric, a line or an event", () => {
  it.effect.each([{ what: "words", says: reply }, {
    what: "tool calls",
    says: { calls: [{ name: "find", arguments: { q: reply } }] }
  }])("whichever way a request ends: $what", ({ says }) =>
    Effect.gen(function*() {
      const { text } = yield* readAll((events) =>
        Effect.gen(function*() {
          for (const fault of faults) {
            const two = fleet(
              ["east", "west"].map((name) => service(name, { reply: () => says }, { apiKey: `${key}-${name}` })),
              { failover: { attempts: 2 }, timeouts: { idle: 1000, firstEvent: 2000 } },
              { telemetry: Telemetry.layer({ propagate: true }) }
            )
            yield* Effect.scoped(run(two, function*(lb, _, { events: heard }) {
              for (
                const ask of [
                  lb.chat(params, { timeout: "9 seconds" }),
                  Stream.runDrain(lb.chatStream(params, { timeout: "9 seconds" })),
                  lb.responses({ model: "gpt-4o", input: prompt, instructions: prompt }, { timeout: "9 seconds" }),
                  Stream.runDrain(lb.responsesStream({ model: "gpt-4o", input: prompt }, { timeout: "9 seconds" })),
                  Stream.runDrain(Stream.take(lb.chatStream(params, { timeout: "9 seconds" }), 3)),
                  Effect.timeout(lb.chat(params), 60)
                ]
              ) {
                yield* settle(ask)
                for (const { fault: strike } of Object.values(two.services)) strike("*", fault)
              }
              events.push(...heard)
            }))
          }
        })
      )
      for (const canary of ["canary", "sk-"]) assert.notInclude(text, canary)
    }), { timeout: 60_000 })

  it.effect("nor of a credential that fails with its token in its words", () =>
    Effect.gen(function*() {
      const failing = azure("east", {}, {
        apiKey: undefined,
        auth: () => Promise.reject(new Error(`cannot refresh ${token}: see ${key}`))
      } as never)
      const { text } = yield* readAll((events) => {
        const { layer } = scripted([failing], () => completion, {}, { telemetry: Telemetry.layer() })
        const asking = Effect.gen(function*() {
          const heard = yield* listen
          const lb = yield* LoadBalancer
          for (let i = 0; i < 4; i++) yield* settle(lb.chat(params))
          events.push(...heard)
        })
        return Effect.scoped(Effect.provide(asking, layer))
      })
      assert.include(text, "no credential")
      for (const canary of ["canary", "sk-", "eyJ"]) assert.notInclude(text, canary)
    }).pipe(Effect.provideService(References.MinimumLogLevel, "All")))

  it.effect("nor anywhere on a tour through every state", () =>
    Effect.gen(function*() {
      const { recorder, text } = yield* readAll((events, metrics) =>
        tour((toured) =>
          Effect.map(Metric.snapshot, (all) => {
            metrics.push(...all)
            events.push(...toured.events)
          }), { logs: true })
      )
      assert.isAbove(recorder.spans.length, 200)
      for (const canary of ["sea", "Say hello", "I am ", "Think.", "words"]) assert.notInclude(text, canary)
      for (const { ends, late, name } of recorder.spans) assert.deepStrictEqual([ends.length, late], [1, []], name)
    }))
})

const captured = (resources = [azure("east")]) => (reply: (() => Canned) | Canned, ask: Ask) => {
  const recorder = makeRecorder()
  const telemetry = Telemetry.layer({ metrics: false, logs: false, captureContent: true })
  const { layer } = scripted(resources, typeof reply === "function" ? reply : () => reply, {}, { telemetry })
  const asking = Effect.flatMap(LoadBalancer, (lb) => settle(ask(lb)))
  const test: Effect.Effect<Exit.Exit<unknown, unknown>, unknown> = Effect.scoped(Effect.provide(asking, layer))
  return Effect.map(traced(recorder, test), (): Captured => {
    const [request] = recorder.requests()
    const read = (name: string): unknown => {
      const value = request?.attributes.get(name)
      return typeof value === "string" ? JSON.parse(value) : value
    }
    // it is the request's, and no attempt repeats it
    for (const { attributes } of recorder.spans.slice(1)) {
      assert.notInclude([...attributes.keys()].join(), "messages")
    }
    return {
      end: endOf(request!),
      input: read("gen_ai.input.messages"),
      output: read("gen_ai.output.messages"),
      system: read("gen_ai.system_instructions"),
      tools: read("gen_ai.tool.definitions"),
      stops: read("gen_ai.request.stop_sequences")
    }
  })
}

type Ask = (lb: LoadBalancer["Service"]) => Effect.Effect<unknown, unknown>

interface Captured {
  readonly end: string
  readonly input: unknown
  readonly output: unknown
  readonly system: unknown
  readonly tools: unknown
  readonly stops: unknown
}

const capture = captured()

/** A streamed answer whose events come in so many pieces. */
const streamed = (events: ReadonlyArray<Given | string>, pieces = events.length): Canned => {
  const size = Math.ceil(events.length / pieces)
  const body: Array<string> = []
  for (let i = 0; i < events.length; i += size) {
    body.push(new TextDecoder().decode(bytesOf(events.slice(i, i + size))))
  }
  return { status: 200, headers: { "content-type": "text/event-stream" }, body }
}

const chatStream: Ask = (lb) => Stream.runDrain(lb.chatStream(params))
const responsesStream: Ask = (lb) => Stream.runDrain(lb.responsesStream({ model: "gpt-4o", input: "Hi" }))

describe("with capture, what was asked", () => {
  it.effect("of a chat is its messages: text, images, sounds, files, tool calls and what came of them", () =>
    Effect.gen(function*() {
      const messages = [
        { role: "system", content: "Be short." },
        {
          role: "user",
          content: [
            { type: "text", text: "What is this?" },
            { type: "image_url", image_url: { url: "https://example.org/a.png", detail: "low" } },
            { type: "image_url", image_url: { url: `data:image/png;base64,${"A".repeat(5000)}` } },
            { type: "input_audio", input_audio: { data: "A".repeat(5000), format: "mp3" } },
            { type: "file", file: { file_id: "file-1" } },
            { type: "file", file: { filename: "a.pdf", file_data: "A".repeat(5000) } }
          ]
        },
        {
          role: "assistant",
          content: null,
          tool_calls: [{ id: "call_1", type: "function", function: { name: "find", arguments: "{\"q\":1}" } }]
        },
        { role: "tool", tool_call_id: "call_1", content: "nothing" },
        { role: "assistant", content: [{ type: "refusal", refusal: "No." }] }
      ]
      const { input, stops, tools } = yield* capture(
        completion,
        (lb) => lb.chat({ ...params, messages: messages as never, stop: "END" })
      )
      assert.deepStrictEqual(input, [
        { role: "system", parts: [{ type: "text", content: "Be short." }] },
        {
          role: "user",
          parts: [
            { type: "text", content: "What is this?" },
            { type: "uri", modality: "image", uri: "https://example.org/a.png" },
            { type: "blob", modality: "image", mime_type: "image/png" },
            { type: "blob", modality: "audio", mime_type: "audio/mp3" },
            { type: "file", modality: "file", file_id: "file-1" },
            { type: "blob", modality: "file", name: "a.pdf" }
          ]
        },
        {
          role: "assistant",
          parts: [{ type: "tool_call", id: "call_1", name: "find", arguments: "{\"q\":1}" }]
        },
        { role: "tool", parts: [{ type: "tool_call_response", id: "call_1", response: "nothing" }] },
        { role: "assistant", parts: [{ type: "refusal", content: "No." }] }
      ])
      assert.deepStrictEqual(stops, ["END"])
      assert.deepStrictEqual(tools, params.tools)
    }))

  it.effect("of a response is its items, and its instructions by themselves", () =>
    Effect.gen(function*() {
      const input = [
        { role: "user", content: [{ type: "input_text", text: "Hi" }, { type: "input_image", file_id: "file-1" }] },
        {
          type: "reasoning",
          id: "rs_1",
          summary: [{ type: "summary_text", text: "Hm." }],
          encrypted_content: "A".repeat(9)
        },
        { type: "function_call", call_id: "call_1", name: "find", arguments: "{}" },
        { type: "function_call_output", call_id: "call_1", output: "nothing" },
        { type: "item_reference", id: "msg_1" }
      ]
      const { input: told, system } = yield* capture(
        { status: 200, body: { object: "response", status: "completed", output: [] } },
        (lb) => lb.responses({ model: "gpt-4o", input, instructions: "Be short." } as never)
      )
      assert.deepStrictEqual(told, [
        {
          role: "user",
          parts: [{ type: "text", content: "Hi" }, { type: "file", modality: "image", file_id: "file-1" }]
        },
        { role: "assistant", parts: [{ type: "reasoning", content: "Hm." }] },
        { role: "assistant", parts: [{ type: "tool_call", id: "call_1", name: "find", arguments: "{}" }] },
        { role: "tool", parts: [{ type: "tool_call_response", id: "call_1", response: "nothing" }] },
        { role: "assistant", parts: [{ type: "item_reference", id: "msg_1" }] }
      ])
      assert.deepStrictEqual(system, [{ type: "text", content: "Be short." }])
      const text = yield* capture(completion, (lb) => lb.responses({ model: "gpt-4o", input: "Hi" }))
      assert.deepStrictEqual(text.input, [{ role: "user", parts: [{ type: "text", content: "Hi" }] }])
    }))

  it.effect("of embeddings, or of what is only passed on, is nothing", () =>
    Effect.gen(function*() {
      const body = { data: [{ embedding: [0.1, 0.2], index: 0 }], usage: { prompt_tokens: 1 } }
      const { input, output } = yield* capture(
        { status: 200, body },
        (lb) => lb.embeddings({ model: "gpt-4o", input: prompt })
      )
      assert.deepStrictEqual([input, output], [undefined, undefined])
      const other = yield* capture({ status: 200, body }, (lb) =>
        lb.request(
          { method: "POST", path: "/completions", body: JSON.stringify({ model: "gpt-4o", prompt }) } as never
        ))
      assert.deepStrictEqual([other.input, other.output], [undefined, undefined])
    }))
})

describe("with capture, what was answered", () => {
  it.effect("is each choice: its words, its tool calls, why it ended", () =>
    Effect.gen(function*() {
      const choices = [
        { index: 0, message: { role: "assistant", content: "Hello." }, finish_reason: "stop" },
        { index: 1, message: { role: "assistant", content: null, refusal: "No." }, finish_reason: "stop" },
        {
          index: 2,
          message: {
            role: "assistant",
            content: null,
            tool_calls: [
              { id: "call_1", type: "function", function: { name: "find", arguments: "{}" } },
              { id: "call_2", type: "custom", custom: { name: "run", input: "ls" } }
            ]
          },
          finish_reason: "tool_calls"
        }
      ]
      const { output } = yield* capture({ status: 200, body: { choices } }, (lb) => lb.chat(params))
      assert.deepStrictEqual(output, [
        { role: "assistant", parts: [{ type: "text", content: "Hello." }], finish_reason: "stop" },
        { role: "assistant", parts: [{ type: "refusal", content: "No." }], finish_reason: "stop" },
        {
          role: "assistant",
          parts: [
            { type: "tool_call", id: "call_1", name: "find", arguments: "{}" },
            { type: "tool_call", id: "call_2", name: "run", arguments: "ls" }
          ],
          finish_reason: "tool_calls"
        }
      ])
    }))

  const events = [
    role,
    chunk([{ index: 1, delta: { content: "Good " }, finish_reason: null }]),
    delta({ content: "Hel" }),
    delta({ content: "lo." }),
    chunk([{ index: 1, delta: { content: "day." }, finish_reason: "stop" }]),
    chunk([{
      index: 2,
      delta: { tool_calls: [{ index: 0, id: "call_1", function: { name: "find", arguments: "" } }] },
      finish_reason: null
    }]),
    chunk([{
      index: 2,
      delta: { tool_calls: [{ index: 0, function: { arguments: "{\"q\"" } }] },
      finish_reason: null
    }]),
    chunk([{
      index: 2,
      delta: { tool_calls: [{ index: 1, id: "call_2", function: { name: "run", arguments: "{}" } }] },
      finish_reason: null
    }]),
    chunk([{
      index: 2,
      delta: { tool_calls: [{ index: 0, function: { arguments: ":1}" } }] },
      finish_reason: "tool_calls"
    }]),
    stop,
    usageChunk,
    "[DONE]"
  ]

  it.effect.each([1, 2, 3, events.length])(
    "is put together of a stream's pieces, in however many they come: %s",
    (pieces) =>
      Effect.gen(function*() {
        const { output } = yield* capture(streamed(events, pieces), chatStream)
        assert.deepStrictEqual(output, [
          { role: "assistant", parts: [{ type: "text", content: "Hello." }], finish_reason: "stop" },
          { role: "assistant", parts: [{ type: "text", content: "Good day." }], finish_reason: "stop" },
          {
            role: "assistant",
            parts: [
              { type: "tool_call", id: "call_1", name: "find", arguments: "{\"q\":1}" },
              { type: "tool_call", id: "call_2", name: "run", arguments: "{}" }
            ],
            finish_reason: "tool_calls"
          }
        ])
      })
  )

  it.effect("is as far as it came, where a stream broke, or was stopped", () =>
    Effect.gen(function*() {
      const begun = [role, delta({ content: "Hel" }), delta({ content: "lo" })]
      const broken = yield* capture(streamed(begun), chatStream)
      assert.strictEqual(broken.end, "error")
      assert.deepStrictEqual(broken.output, [{ role: "assistant", parts: [{ type: "text", content: "Hello" }] }])
      const stopped = yield* capture(streamed([...begun, stop, "[DONE]"]), (lb) =>
        Stream.runDrain(Stream.take(lb.chatStream(params), 2)))
      assert.strictEqual(stopped.end, "interrupted")
      assert.deepStrictEqual(stopped.output, [{ role: "assistant", parts: [{ type: "text", content: "Hel" }] }])
    }))

  it.effect("is of the attempt that answered, and of no other", () =>
    Effect.gen(function*() {
      const lost = streamed([role, "no JSON"])
      const replies = [lost, streamed([role, delta({ content: "Hello." }), stop, "[DONE]"])]
      const { output } = yield* captured([azure("east"), azure("west")])(() => replies.shift()!, chatStream)
      assert.deepStrictEqual(output, [
        { role: "assistant", parts: [{ type: "text", content: "Hello." }], finish_reason: "stop" }
      ])
    }))

  const items = [
    { type: "reasoning", summary: [{ type: "summary_text", text: "Hm." }], encrypted_content: "A".repeat(999) },
    { type: "message", role: "assistant", content: [{ type: "output_text", text: "Hello." }] },
    { type: "function_call", call_id: "call_1", name: "find", arguments: "{}" },
    { type: "image_generation_call", id: "ig_1", status: "completed", result: "A".repeat(999) }
  ]
  const parts = [
    { type: "reasoning", content: "Hm." },
    { type: "text", content: "Hello." },
    { type: "tool_call", id: "call_1", name: "find", arguments: "{}" },
    { type: "image_generation_call", id: "ig_1", status: "completed" }
  ]

  it.effect("is one message of a response's items, without what only machines read", () =>
    Effect.gen(function*() {
      const response = { object: "response", id: "resp_1", status: "completed", output: items }
      const expected = [{ role: "assistant", parts, finish_reason: "completed" }]
      const whole = yield* capture({ status: 200, body: response }, (lb) =>
        lb.responses({ model: "gpt-4o", input: "Hi" }))
      assert.deepStrictEqual(whole.output, expected)
      const events = [
        named({ type: "response.created", response: { id: "resp_1", object: "response", status: "in_progress" } }),
        named({ type: "response.output_text.delta", delta: "Hel" }),
        named({ type: "response.output_text.delta", delta: "lo." }),
        named({ type: "response.completed", response })
      ]
      for (const pieces of [1, 2, 4]) {
        assert.deepStrictEqual((yield* capture(streamed(events, pieces), responsesStream)).output, expected)
      }
    }))

  it.effect("of a response that broke is the items that were finished, and the words of the next", () =>
    Effect.gen(function*() {
      const events = [
        named({ type: "response.created", response: { id: "resp_1", object: "response", status: "in_progress" } }),
        named({ type: "response.output_text.delta", delta: "Hello." }),
        named({ type: "response.output_item.done", item: items[1] }),
        named({ type: "response.output_text.delta", delta: "And" })
      ]
      const { end, output } = yield* capture(streamed(events), responsesStream)
      assert.strictEqual(end, "error")
      assert.deepStrictEqual(output, [{
        role: "assistant",
        parts: [{ type: "text", content: "Hello." }, { type: "text", content: "And" }]
      }])
    }))
})

describe("with capture, what is odd", () => {
  const hostile = JSON.parse("{\"__proto__\":{\"a\":1},\"constructor\":1,\"toString\":2,\"type\":\"hasOwnProperty\"}")
  const values: ReadonlyArray<unknown> = [
    null,
    undefined,
    0,
    "text",
    [],
    {},
    [null, 1, "x", [], {}],
    hostile,
    [hostile],
    { role: hostile, content: hostile, tool_calls: hostile, tool_call_id: 7 },
    [{ role: { toString: 1 }, content: [null, { type: { toString: 1 } }, { image_url: { url: 7 } }, { file: 1 }] }],
    [{ content: null, tool_calls: [null, { function: null }, { function: hostile }, { custom: 1 }] }],
    [{ type: { toString: 1 }, content: 1 }, { type: "reasoning", summary: 7 }, { type: "x_output" }],
    [{ index: -1, delta: { content: 1 } }, { index: 1e9, delta: { content: "x" } }, { index: 0.5, message: null }],
    [{ index: NaN, delta: { tool_calls: [{ index: 1e9, function: { arguments: 1 } }, { index: -1 }, { index: 0.5 }] } }]
  ]

  it.effect("never throws, and is JSON", () =>
    Effect.sync(() => {
      for (const value of values) {
        for (const operation of ["chat", "responses", "embeddings", "other"] as const) {
          for (const field of ["messages", "input", "instructions", "tools", "stop"]) {
            const body = { contentType: undefined, withModel: () => JSON.stringify({ [field]: value }) }
            for (const [, told] of inputOf({ operation, body } as never)) {
              if (typeof told === "string") JSON.parse(told)
            }
          }
        }
        const fields = ["choices", "output", "response", "item", "delta", "status", "type"]
        for (const field of fields) {
          for (const type of ["response.completed", "response.output_item.done", "response.output_text.delta", "x"]) {
            const output = new CapturedOutput()
            output.take({ type, [field]: value })
            output.take({ events: [{ name: "x", data: "", json: { type, [field]: value } }], bytes: undefined })
            output.take({ events: [{ name: "x", data: "no JSON", json: undefined }], bytes: undefined })
            for (const [, told] of output.attributes()) JSON.parse(told as string)
          }
        }
      }
      for (const body of ["", "no JSON", "[]", "null", new Uint8Array(3), undefined]) {
        const request = { operation: "chat", body: { contentType: undefined, withModel: () => body } }
        assert.deepStrictEqual(inputOf(request as never), [])
      }
    }))

  it.effect("may be nested as deep as it likes: the request is answered, and its span ends", () =>
    Effect.gen(function*() {
      const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`
      const { end } = yield* capture(
        { status: 200, body: `{"choices":[{"message":{"content":"x"}}],"output":${deep}}` },
        (lb) => lb.chat(params)
      )
      assert.strictEqual(end, "ok")
    }))

  it.effect("holds no more than so much of a service that never stops counting", () =>
    Effect.sync(() => {
      const output = new CapturedOutput()
      for (let index = 0; index < 20_000; index++) {
        output.take({ choices: [{ index, delta: { content: "x", tool_calls: [{ index, function: { name: "y" } }] } }] })
        output.take({ choices: [{ index: 0, delta: { tool_calls: [{ index, function: { name: "y" } }] } }] })
        output.take({ type: "response.output_text.delta", delta: "x" })
      }
      const [[, told]] = output.attributes() as [[string, string]]
      assert.isAtMost((JSON.parse(told) as ReadonlyArray<unknown>).length, 1000)
      assert.isAtMost(told.length, 200_000)
    }))

  it.effect("is not told of what is not asked for: no other span has it", () =>
    Effect.gen(function*() {
      const recorder = makeRecorder()
      const telemetry = Telemetry.layer({ metrics: false, logs: false })
      const { layer } = scripted([azure("east")], () => completion, {}, { telemetry })
      const asking = Effect.flatMap(LoadBalancer, (lb) => answer(lb.chat(params)))
      yield* traced(recorder, Effect.scoped(Effect.provide(asking, layer)))
      for (const { attributes } of recorder.spans) {
        assert.notInclude([...attributes.keys()].join(), "messages")
        assert.notInclude([...attributes.keys()].join(), "stop_sequences")
      }
    }))
})
