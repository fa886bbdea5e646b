import { assert, describe, it } from "@effect/vitest"
import { getEventListeners } from "node:events"
import type OpenAI from "openai"
import { APIUserAbortError } from "openai"
import { ChatCompletionStream } from "openai/lib/ChatCompletionStream"
import { Stream } from "openai/streaming"
import { alike, bareClient } from "../support/Bare.ts"
import {
  collect,
  eventually,
  failureAs,
  hello,
  inFlight,
  messages,
  resource,
  serve,
  type Served,
  slow
} from "../support/Served.ts"

type Chunk = OpenAI.ChatCompletionChunk

const textOf = (chunks: ReadonlyArray<Chunk>): string =>
  chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")

const open = ({ lb }: Served, options?: OpenAI.RequestOptions) =>
  lb.openai.chat.completions.create({ ...hello, stream: true }, options)

const serveOne = () => serve([resource("east")])

/** Talks for 20 seconds, unless it is stopped. */
const serveSlow = () => serve([resource("east", { latency: slow, reply: () => "x".repeat(4_000) })])

/** The balancer and the service agree that nothing is under way, and that one answer was not heard to its end. */
const isLeft = ({ lb, stats }: Served): boolean => inFlight(lb) === 0 && stats("east").abandoned === 1

describe("a streamed answer through lb.openai", () => {
  it("is the answer that the bare client gives, chunk by chunk", async () => {
    const tools = [{ type: "function" as const, function: { name: "f", parameters: { type: "object" } } }]
    await using served = await serveOne()
    const bare = bareClient(served.simulator, "east")
    for (const more of [{}, { n: 2 }, { tools, tool_choice: "required" as const }]) {
      const given = { messages, stream: true as const, ...more }
      const [ours, theirs] = await Promise.all([
        served.lb.openai.chat.completions.create({ ...given, model: "gpt-4o" }).then(collect),
        bare.chat.completions.create({ ...given, model: "gpt" }).then(collect)
      ])
      assert.deepStrictEqual(alike(ours), alike(theirs))
    }
  })

  it("shows the usage chunk to those who ask for it, and to nobody else", async () => {
    await using served = await serveOne()
    const chunks = await collect(await open(served))
    assert.isFalse(chunks.some(({ choices, usage }) => choices.length === 0 && usage !== undefined && usage !== null))
    const asked = await collect(
      await served.lb.openai.chat.completions.create({
        ...hello,
        stream: true,
        stream_options: { include_usage: true }
      })
    )
    assert.isAbove(asked.at(-1)!.usage!.completion_tokens, 0)
    // settled by what was billed, whoever asked
    assert.isAbove(served.lb.snapshot().deployments[0]!.totals.completionTokens, asked.at(-1)!.usage!.completion_tokens)
  })

  it("tells its helper's events, and the whole of it", async () => {
    await using served = await serveOne()
    const told: Array<string> = []
    const stream = served.lb.openai.chat.completions.stream({ ...hello, stream_options: { include_usage: true } })
    stream.on("connect", () => told.push("connect"))
    stream.on("content", (delta) => told.push(delta))
    stream.on("end", () => told.push("end"))
    const whole = await stream.finalChatCompletion()
    assert.strictEqual(whole.choices[0]!.message.content, "Hello from here.")
    assert.strictEqual(whole.choices[0]!.finish_reason, "stop")
    assert.isAbove((await stream.totalUsage()).completion_tokens, 0)
    assert.deepStrictEqual([told[0], told.slice(1, -1).join(""), told.at(-1)], ["connect", "Hello from here.", "end"])
  })

  it("parses what its helper streams", async () => {
    await using served = await serve([resource("east", { reply: () => "{\"n\":7}" })])
    const json_schema = { name: "x", strict: true, schema: { type: "object", properties: { n: { type: "integer" } } } }
    const stream = served.lb.openai.chat.completions.stream({
      ...hello,
      response_format: { type: "json_schema", json_schema }
    })
    assert.deepStrictEqual((await stream.finalChatCompletion()).choices[0]!.message.parsed as unknown, { n: 7 })
  })

  it("comes with its response", async () => {
    await using served = await serveOne()
    const { data, request_id, response } = await open(served).withResponse()
    assert.instanceOf(data, Stream)
    assert.instanceOf(response, Response)
    assert.match(response.headers.get("content-type")!, /^text\/event-stream/)
    assert.strictEqual(request_id, response.headers.get("x-request-id"))
    assert.strictEqual(textOf(await collect(data)), "Hello from here.")
  })

  it("is text as it was sent, and can be cloned, as a response", async () => {
    await using served = await serveOne()
    const text = await (await open(served).asResponse()).text()
    assert.isTrue(text.startsWith("data: {") && text.endsWith("data: [DONE]\n\n"))
    const response = await open(served).asResponse()
    const copy = response.clone()
    assert.strictEqual(await response.text(), await copy.text())
  })

  it("can be passed on as the body of another response", async () => {
    await using served = await serveOne()
    const response = await open(served).asResponse()
    const passed = new Response(response.body, { headers: response.headers })
    assert.isTrue((await passed.text()).endsWith("data: [DONE]\n\n"))
    await eventually(() => inFlight(served.lb) === 0)
  })

  it("can be split, and read at two speeds", async () => {
    await using served = await serveOne()
    const [left, right] = (await open(served)).tee()
    const all = await collect(left)
    assert.deepStrictEqual(await collect(right), all)
    assert.strictEqual(textOf(all), "Hello from here.")
  })

  it("can be carried as a readable stream", async () => {
    await using served = await serveOne()
    const readable = (await open(served)).toReadableStream()
    assert.strictEqual(
      textOf(await collect(Stream.fromReadableStream<Chunk>(readable, new AbortController()))),
      "Hello from here."
    )
    const helper = served.lb.openai.chat.completions.stream(hello).toReadableStream()
    assert.strictEqual(await ChatCompletionStream.fromReadableStream(helper).finalContent(), "Hello from here.")
  })
})

describe("a caller that leaves a stream", () => {
  it("stops it by breaking out of the loop", async () => {
    await using served = await serveSlow()
    let chunks = 0
    for await (const _ of await open(served)) {
      if (++chunks === 5) break
    }
    await eventually(() => isLeft(served))
    assert.isBelow(served.stats("east").deployments["gpt"]!.completionTokens, 100)
  })

  it("stops it with its signal before the headers, and is told so", async () => {
    await using served = await serve([resource("east")])
    served.service("east").fault("gpt", { kind: "hang" })
    for (const stream of [true, false]) {
      const controller = new AbortController()
      const asked = served.lb.openai.chat.completions.create({ ...hello, stream }, { signal: controller.signal })
      const failed = failureAs(asked, APIUserAbortError)
      const before = served.stats("east").abandoned
      // oxlint-disable no-await-in-loop -- one after the other
      await eventually(() => inFlight(served.lb) === 1 && served.stats("east").inFlight === 1)
      controller.abort(new Error("enough"))
      await failed
      await eventually(() => inFlight(served.lb) === 0 && served.stats("east").abandoned === before + 1)
      // oxlint-enable no-await-in-loop
    }
    assert.strictEqual(served.sends(), 2)
  })

  it("sends nothing when its signal is aborted already", async () => {
    await using served = await serveOne()
    await failureAs(open(served, { signal: AbortSignal.abort() }), APIUserAbortError)
    assert.strictEqual(served.sends(), 0)
  })

  it("stops it with its signal on the way: the loop ends, as with the bare client", async () => {
    await using served = await serveSlow()
    const controller = new AbortController()
    const chunks: Array<Chunk> = []
    for await (const chunk of await open(served, { signal: controller.signal })) {
      chunks.push(chunk)
      if (chunks.length === 5) controller.abort()
    }
    assert.isAtLeast(chunks.length, 5)
    await eventually(() => isLeft(served))
  })

  it("stops it with its signal while it waits for the next chunk", async () => {
    await using served = await serve([resource("east")])
    served.service("east").fault("gpt", { kind: "hang", afterEvents: 4 })
    const controller = new AbortController()
    const chunks: Array<Chunk> = []
    const read = open(served, { signal: controller.signal }).then(async (stream) => {
      for await (const chunk of stream) chunks.push(chunk)
    })
    await eventually(() => chunks.length >= 3)
    controller.abort()
    await read
    await eventually(() => isLeft(served))
  })

  it("stops it with the stream's controller, or through its helper", async () => {
    await using served = await serveSlow()
    const stream = await open(served)
    for await (const _ of stream) stream.controller.abort()
    await eventually(() => isLeft(served))
    const helper = served.lb.openai.chat.completions.stream(hello)
    helper.on("content", () => helper.abort())
    await failureAs(helper.done(), APIUserAbortError)
    await eventually(() => inFlight(served.lb) === 0 && served.stats("east").abandoned === 2)
  })

  it("leaves no listener on a signal that it uses again and again", async () => {
    await using served = await serveOne()
    const { signal } = new AbortController()
    for (let i = 0; i < 5; i++) {
      // oxlint-disable no-await-in-loop -- one after the other
      await served.lb.openai.chat.completions.create(hello, { signal })
      await collect(await open(served, { signal }))
      for await (const _ of await open(served, { signal })) break
      const init = { method: "POST", headers: { "content-type": "application/json" }, signal }
      const body = JSON.stringify({ ...hello, stream: i % 2 === 0 })
      await (await served.lb.fetch("https://api.openai.com/v1/chat/completions", { ...init, body })).text()
      // oxlint-enable no-await-in-loop
    }
    await eventually(() => getEventListeners(signal, "abort").length === 0)
  })

  it("stops it by cancelling the body", async () => {
    await using served = await serveSlow()
    const response = await open(served).asResponse()
    const reader = response.body!.getReader()
    await reader.read()
    await reader.cancel()
    await eventually(() => isLeft(served))
    const again = await open(served).asResponse()
    await again.body!.cancel()
    await eventually(() => inFlight(served.lb) === 0 && served.stats("east").abandoned === 2)
  })
})
