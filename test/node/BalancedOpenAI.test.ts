import { assert, describe, it } from "@effect/vitest"
import { Readable } from "node:stream"
import type { ReadableStream as NodeReadableStream } from "node:stream/web"
import { inspect } from "node:util"
import type OpenAI from "openai"
import { alike, bareClient } from "../support/Bare.ts"
import { failureOf, fast, hello, messages, resource, serve, type Served } from "../support/Served.ts"

/** The same question to the client below the balancer and to one without; `gpt-4o` is called `gpt` on the resource. */
const both = async <A>(
  served: Served,
  ask: (client: OpenAI, model: string) => Promise<A>
): Promise<readonly [A, A]> => [
  await ask(served.lb.openai, "gpt-4o"),
  await ask(bareClient(served.simulator, "east"), "gpt")
]

const serveOne = () => serve([resource("east")])

/** Asks for the weather, and says what it is once it was told. */
const askOnce = ({ body }: { body: Readonly<Record<string, unknown>> }) =>
  JSON.stringify(body["messages"]).includes("sunny")
    ? "It is sunny."
    : { calls: [{ name: "weather", arguments: { city: "Bern" } }] }

describe("a whole answer through lb.openai", () => {
  it("comes with its response", async () => {
    await using served = await serveOne()
    const { data, request_id, response } = await served.lb.openai.chat.completions.create(hello).withResponse()
    assert.strictEqual(data.choices[0]!.message.content, "Hello from here.")
    assert.instanceOf(response, Response)
    assert.strictEqual(request_id, response.headers.get("x-request-id"))
    assert.propertyVal(data, "_request_id", request_id)
    assert.notInclude(Object.keys(data), "_request_id")
    assert.strictEqual(response.headers.get("x-evenkeel-deployment"), "east/gpt")
  })

  it("runs tools over streams too", async () => {
    await using served = await serve([resource("east", { reply: askOnce }), resource("west", { reply: askOnce })])
    const deltas: Array<string> = []
    const runner = served.lb.session("user-1").chat.completions.runTools({
      ...hello,
      stream: true,
      tools: [{
        type: "function",
        function: {
          name: "weather",
          description: "Tells the weather.",
          parameters: { type: "object", properties: { city: { type: "string" } } },
          parse: JSON.parse,
          function: () => "sunny"
        }
      }]
    })
    runner.on("content", (delta) => deltas.push(delta))
    assert.strictEqual(await runner.finalContent(), "It is sunny.")
    assert.strictEqual(deltas.join(""), "It is sunny.")
    // both turns belong to the session
    assert.sameMembers([served.stats("east").requests, served.stats("west").requests], [0, 2])
  })
})

/** What people do with a `Response`. Each gets one of its own. */
const uses: ReadonlyArray<readonly [string, (response: Response) => unknown]> = [
  ["clone, then both", async (response) => {
    const copy = response.clone()
    return [await response.json(), await copy.json()]
  }],
  ["reader", async (response) => {
    const reader = response.body!.getReader()
    const first = await reader.read()
    const rest = await reader.read()
    await reader.closed
    return [JSON.parse(Buffer.from(first.value!).toString()), rest.done]
  }],
  ["for await", async (response) => {
    let text = ""
    for await (const bytes of response.body!) text += Buffer.from(bytes).toString()
    return JSON.parse(text)
  }],
  ["passed on", (response) => new Response(response.body, { headers: response.headers }).json()],
  ["piped", async (response) => {
    let text = ""
    for await (const part of response.body!.pipeThrough(new TextDecoderStream())) text += part
    return JSON.parse(text)
  }],
  ["a stream of Node's", async (response) => {
    let text = ""
    for await (const part of Readable.fromWeb(response.body as NodeReadableStream)) text += String(part)
    return JSON.parse(text)
  }],
  ["piped into", async (response) => {
    const parts: Array<Uint8Array> = []
    await response.body!.pipeTo(new WritableStream({ write: (part) => void parts.push(part) }))
    return JSON.parse(Buffer.concat(parts).toString())
  }],
  ["tee", async (response) => {
    const [left, right] = response.body!.tee()
    return [await new Response(left).json(), await new Response(right).json()]
  }],
  ["status", (response) => [response.status, response.ok, response.redirected, response.bodyUsed]],
  ["kind", ({ body, headers }) => [body instanceof ReadableStream, headers instanceof Headers, body!.locked]],
  ["headers", ({ headers }) => {
    const copy = new Headers(headers)
    const names = [...headers].map(([name]) => name)
    return [
      headers.get("Content-Type"),
      headers.has("X-REQUEST-ID"),
      headers.has("x-none"),
      headers.get("x-none"),
      copy.get("content-type"),
      names.filter((name) => name.startsWith("x-rate")),
      [...headers.keys()].length === names.length
    ]
  }],
  ["cancelled", async (response) => {
    await response.body!.cancel()
    return response.bodyUsed
  }]
]

describe("a response of lb.openai, as it is", () => {
  it("can be printed, and so can an error that holds its headers", async () => {
    await using served = await serveOne()
    for (const stream of [false, true]) {
      const response = await served.lb.openai.chat.completions.create({ ...hello, stream }).asResponse()
      for (const depth of [0, 2, 10]) {
        assert.include(inspect(response, { depth }), "Response")
        assert.include(inspect(response.headers, { depth }), "Headers")
        assert.include(inspect(response.body, { depth, showHidden: true }), "ReadableStream")
      }
      assert.include(inspect(response.headers), "content-type")
      await response.text()
    }
    const error = await failureOf(served.lb.openai.chat.completions.create({ ...hello, model: "gpt-none" }))
    assert.include(inspect(error, { depth: 10 }), "model_not_found")
    assert.include(JSON.stringify(error), "model_not_found")
  })

  for (const [name, use] of uses) {
    it(`serves as any other: ${name}`, async () => {
      await using served = await serve([resource("east", { tpm: 1_000_000, rpm: 10_000, latency: fast })])
      const [balanced, bare] = await both(served, async (client, model) => {
        const response = await client.chat.completions.create({ model, messages }).asResponse()
        assert.instanceOf(response, Response)
        return use(response)
      })
      assert.deepStrictEqual(alike(balanced), alike(bare))
    })
  }
})
