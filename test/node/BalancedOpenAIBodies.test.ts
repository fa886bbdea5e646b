import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer, type LoadBalancerClient } from "@evenkeel/node"
import OpenAI from "openai"
import { makeParseableTool } from "openai/lib/parser"
import { answer, balancing, service, streaming } from "../support/PlainBalancer.ts"
import { json, listen, type Received } from "../support/PlainServer.ts"

const messages = [{ role: "user" as const, content: "Hi" }]

/** What a client sends, and what it gives, by itself and balanced. */
const both = async (
  ask: (client: OpenAI) => PromiseLike<unknown>,
  handler: (received: Received) => unknown = () => answer
): Promise<{ readonly ours: Told; readonly theirs: Told }> => {
  await using server = await listen((received, response) => {
    const value = handler(received)
    if (Array.isArray(value)) streaming(value, { every: 1 })(received, response)
    else json(response, value)
  })
  const lb: LoadBalancerClient = createLoadBalancer(balancing(service("east", server.url)))
  try {
    const tell = async (client: OpenAI): Promise<Told> => {
      const before = server.received.length
      const given = await Promise.resolve(ask(client)).catch((cause: unknown) => String(cause))
      const [received] = server.received.slice(before)
      const sent = received === undefined || received.body.length === 0 ? undefined : JSON.parse(String(received.body))
      // asked for by us, and hidden
      if (sent?.stream_options?.include_usage === true) delete sent.stream_options
      return { url: received?.url, sent, given }
    }
    const theirs = await tell(
      new OpenAI({ apiKey: "key", adminAPIKey: "admin", baseURL: `${server.url}/v1`, maxRetries: 0 })
    )
    return { ours: await tell(lb.openai), theirs }
  } finally {
    await lb.close()
  }
}

interface Told {
  readonly url: string | undefined
  readonly sent: unknown
  readonly given: unknown
}

const parameters = { type: "object", properties: { n: { type: "integer" } } }
const tool = { type: "function" as const, function: { name: "f", parameters } }

/** An event of a streamed answer that calls a tool. */
const toolChunk = (delta: object, finish_reason: string | null = null): string =>
  `data: ${
    JSON.stringify({ id: "x", object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason }] })
  }\n\n`

/** Reads nothing of itself but once. */
const once = <A extends object>(value: A): A => {
  const read = new Set<PropertyKey>()
  const clean: Record<string, unknown> = {}
  for (const [key, inner] of Object.entries(value)) {
    Object.defineProperty(clean, key, {
      enumerable: true,
      get: () => read.size === read.add(key).size ? "read twice" : inner
    })
  }
  return clean as A
}

const odd: ReadonlyArray<readonly [what: string, make: () => object]> = [
  ["a tool with a toJSON", () => ({ tools: [{ type: "function", toJSON: () => tool }] })],
  ["a schema with a toJSON", () => ({
    tools: [{ type: "function", function: { name: "f", parameters: { toJSON: () => parameters } } }]
  })],
  ["a format with a toJSON", () => ({
    response_format: { type: "text", toJSON: () => ({ type: "json_object" }) }
  })],
  ["tools that are read once", () => ({ tools: [once(tool)] })],
  ["a list of tools that is read once", () => once({ tools: [tool] })],
  ["a proxy", () => ({ tools: new Proxy([tool], {}), response_format: new Proxy({ type: "text" }, {}) })],
  ["an instance", () => ({
    tools: [
      new (class {
        type = "function"
        function = tool.function
      })()
    ]
  })],
  ["what streams in its own word", () => ({ toJSON: () => ({ model: "m", messages, temperature: 1 }) })]
]

describe("a body that is no plain data", () => {
  for (const [what, make] of odd) {
    it(`is sent as the client alone sends it: ${what}`, async () => {
      const { ours, theirs } = await both((client) =>
        client.chat.completions.create({ model: "m", messages, ...make() })
      )
      assert.deepStrictEqual(ours, theirs)
      assert.isObject(ours.sent)
    })
  }

  it("says whether it is streamed as it is written", async () => {
    const chunk = { id: "x", object: "chat.completion.chunk", choices: [{ index: 0, delta: { content: "Hi" } }] }
    const last = { ...chunk, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }
    const events = [...[chunk, last].map((value) => `data: ${JSON.stringify(value)}\n\n`), "data: [DONE]\n\n"]
    const { ours, theirs } = await both(async (client) => {
      const body = { model: "m", messages, stream: { toJSON: () => true } as never }
      const stream = await client.chat.completions.create(body)
      const chunks: Array<unknown> = []
      for await (const part of stream as unknown as AsyncIterable<unknown>) chunks.push(part)
      return chunks
    }, () => events)
    assert.deepStrictEqual(ours, theirs)
    assert.lengthOf(ours.given as Array<unknown>, 2)
  })

  it("is parsed by the client's helpers as they were told to", async () => {
    const call = { index: 0, id: "call_1", type: "function", function: { name: "f", arguments: `{"n":21}` } }
    const events = [
      toolChunk({ role: "assistant", tool_calls: [call] }),
      toolChunk({}, "tool_calls"),
      "data: [DONE]\n\n"
    ]
    const strict = { ...tool, function: { ...tool.function, strict: true } }
    for (
      const make of [
        () => strict,
        () => ({ ...strict, function: { ...strict.function, toJSON: () => ({ ...strict.function, strict: false }) } }),
        () =>
          makeParseableTool(strict, { parser: (text: string) => JSON.parse(text).n * 2, callback: undefined } as never)
      ]
    ) {
      const { ours, theirs } = await both(async (client) => {
        const stream = client.chat.completions.stream({ model: "m", messages, tools: [make() as never] })
        const { choices } = await stream.finalChatCompletion()
        return JSON.parse(JSON.stringify(choices))
      }, () => events)
      assert.deepStrictEqual(ours, theirs)
      assert.isArray(ours.given)
    }
  })

  it("is refused by the client itself where it has no end", async () => {
    const round: Record<string, unknown> = {}
    round["again"] = round
    const { ours, theirs } = await both((client) =>
      client.chat.completions.create({ model: "m", messages, metadata: round as never })
    )
    assert.deepStrictEqual(ours, theirs)
    assert.include(ours.given, "circular")
  })
})

describe("a response without a model", () => {
  const stored = { id: "resp_1", object: "response", status: "completed", output: [] }

  it("is asked for where its prompt is stored, as by the client alone", async () => {
    for (const more of [{}, { input: "Hi" }, { stream: false as const }, { previous_response_id: "resp_1234567" }]) {
      const { ours, theirs } = await both(
        (client) => client.responses.create({ prompt: { id: "pmpt_1", version: "2" }, ...more }),
        () => stored
      )
      assert.deepStrictEqual(ours, theirs)
      assert.deepStrictEqual(ours.sent, { prompt: { id: "pmpt_1", version: "2" }, ...more })
    }
  })

  it("is the service's to judge where it has none", async () => {
    const { ours, theirs } = await both((client) => client.responses.create({}), () => stored)
    assert.deepStrictEqual(ours, theirs)
    assert.deepStrictEqual(ours.sent, {})
  })
})

describe("an endpoint for administrators", () => {
  it("is asked for with the resource's own key", async () => {
    const page = { object: "list", data: [], has_more: false }
    for (
      const ask of [
        (client: OpenAI) => client.admin.organization.adminAPIKeys.list(),
        (client: OpenAI) => client.fineTuning.checkpoints.permissions.retrieve("ft:gpt:x")
      ]
    ) {
      const { ours, theirs } = await both(
        async (client) => JSON.parse(JSON.stringify(await ask(client))).data,
        () => page
      )
      assert.deepStrictEqual(ours, theirs)
      assert.isString(ours.url)
    }
  })
})
