import * as SimulatorServer from "#node/simulator/SimulatorServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import * as Net from "node:net"
import OpenAI, {
  APIConnectionError,
  AuthenticationError,
  AzureOpenAI,
  InternalServerError,
  NotFoundError,
  RateLimitError
} from "openai"

const fast = { baseMs: 5, perPromptTokenMs: 0, perOutputTokenMs: 0.1, jitter: 0, errorMs: 1 }
const slow = { baseMs: 20, perPromptTokenMs: 0, perOutputTokenMs: 20, jitter: 0 }
const messages = [{ role: "user" as const, content: "Hello" }]

const start = () =>
  SimulatorServer.startSimulator({
    resources: [
      {
        name: "east",
        deployments: [
          { name: "gpt", model: "gpt-4o", tpm: 100_000, rpm: 6_000, latency: fast },
          { name: "slow", model: "gpt-4o", latency: slow, reply: () => "x".repeat(4_000) },
          { name: "emb", model: "text-embedding-3-small", latency: fast }
        ]
      },
      { name: "oai", provider: "openai", deployments: [{ name: "gpt-4o", latency: fast }] }
    ]
  })

type Simulator = SimulatorServer.Simulator
const urlOf = (simulator: Simulator, name = "east"): string =>
  simulator.resources.find((resource) => resource.name === name)!.url
const clientOf = (simulator: Simulator) =>
  new OpenAI({ apiKey: "east-key", baseURL: `${urlOf(simulator)}/openai/v1`, maxRetries: 0, logLevel: "off" })
const stats = (simulator: Simulator) => simulator.service("east").stats(Date.now())

/** Waits for something that a socket brings about, but not for long. */
const eventually = async (holds: () => boolean, atMostMs = 3_000): Promise<void> => {
  const end = performance.now() + atMostMs
  while (!holds() && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.isTrue(holds())
}

const failureOf = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    await promise
  } catch (error) {
    return error
  }
  return assert.fail("It did not fail")
}

describe("the official client", () => {
  it("talks to Azure v1, classic Azure and OpenAI", async () => {
    await using simulator = await start()
    const clients = [
      [clientOf(simulator), "gpt"],
      [
        new AzureOpenAI({ apiKey: "east-key", endpoint: urlOf(simulator), apiVersion: "2024-10-21", maxRetries: 0 }),
        "gpt"
      ],
      [new OpenAI({ apiKey: "oai-key", baseURL: `${urlOf(simulator, "oai")}/v1`, maxRetries: 0 }), "gpt-4o"]
    ] as const
    for (const [client, model] of clients) {
      const { data, response } = await client.chat.completions.create({ model, messages }).withResponse()
      assert.strictEqual(data.model, "gpt-4o")
      assert.isAbove(data.usage!.completion_tokens, 0)
      assert.isDefined(response.headers.get("x-request-id"))
      const stream = await client.chat.completions.create({
        model,
        messages,
        stream: true,
        stream_options: { include_usage: true }
      })
      let text = ""
      let usage: OpenAI.CompletionUsage | null | undefined
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? ""
        usage = chunk.usage ?? usage
      }
      assert.isNotEmpty(text)
      assert.strictEqual(usage?.prompt_tokens, 2)
    }
    assert.strictEqual(simulator.resources[1]!.config().endpoint, `${urlOf(simulator, "oai")}/v1`)
    assert.sameMembers([...stats(simulator).credentials], ["Bearer east-key", "east-key"])
    assert.deepStrictEqual(simulator.service("oai").stats(0).credentials, ["Bearer oai-key"])
  })

  it("uses its helpers: parse, stream, tools, embeddings, responses, models", async () => {
    await using simulator = await start()
    const client = clientOf(simulator)
    const json_schema = { name: "x", strict: true, schema: { type: "object", properties: { n: { type: "integer" } } } }
    const parsed = await client.chat.completions.parse({
      model: "gpt",
      messages,
      response_format: { type: "json_schema", json_schema }
    })
    assert.isNumber((parsed.choices[0]!.message.parsed as any).n)

    const final = await client.chat.completions.stream({ model: "gpt", messages }).finalChatCompletion()
    assert.strictEqual(final.choices[0]!.finish_reason, "stop")

    const tool = { name: "now", parameters: { type: "object", properties: {} } }
    const called = await client.chat.completions.stream({
      model: "gpt",
      messages,
      tools: [{ type: "function", function: tool }],
      tool_choice: "required"
    }).finalChatCompletion()
    assert.deepNestedInclude(called.choices[0]!.message.tool_calls![0], {
      type: "function",
      "function.name": "now",
      "function.arguments": "{}"
    })

    const { data } = await client.embeddings.create({ model: "emb", input: ["a", "b"] })
    assert.deepStrictEqual(data.map(({ embedding }) => embedding.length), [1_536, 1_536])

    const response = await client.responses.stream({ model: "gpt", input: "Hello" }).finalResponse()
    assert.strictEqual(response.status, "completed")
    assert.strictEqual((await client.responses.retrieve(response.id)).id, response.id)
    const next = await client.responses.create({ model: "gpt", input: "And?", previous_response_id: response.id })
    assert.isNotEmpty(next.output_text)
    await client.responses.delete(response.id)
    assert.instanceOf(await failureOf(client.responses.retrieve(response.id)), NotFoundError)

    assert.deepStrictEqual((await client.models.list()).data.map(({ id }) => id), ["gpt-4o", "text-embedding-3-small"])
  })

  it("raises its own errors", async () => {
    await using simulator = await start()
    const client = clientOf(simulator)
    const create = (options = client) => failureOf(options.chat.completions.create({ model: "gpt", messages }))
    assert.instanceOf(await create(client.withOptions({ apiKey: "nope" })), AuthenticationError)
    simulator.service("east").fault("gpt", { kind: "throttle", retryAfterMs: 1_000, times: 1 })
    const throttled = await create()
    assert.instanceOf(throttled, RateLimitError)
    assert.strictEqual(throttled.headers.get("retry-after-ms"), "1000")
    simulator.service("east").fault("gpt", { kind: "reset", times: 1 })
    assert.instanceOf(await create(), APIConnectionError)
    simulator.service("east").fault("gpt", { kind: "truncated", times: 1 })
    assert.instanceOf(await create(), SyntaxError)
    simulator.service("east").fault("gpt", { kind: "errorInStream", afterEvents: 4, times: 1 })
    const stream = await client.chat.completions.create({ model: "gpt", messages, stream: true })
    assert.strictEqual(((await failureOf(drain(stream))) as any).code, "rate_limit_exceeded")
  })

  it("meets broken streams", async () => {
    await using simulator = await start()
    const open = () => clientOf(simulator).chat.completions.create({ model: "gpt", messages, stream: true })
    const service = simulator.service("east")
    service.fault("gpt", { kind: "cut", afterEvents: 5, ending: "end", times: 1 })
    assert.strictEqual(await drain(await open()), 5)
    service.fault("gpt", { kind: "cut", afterEvents: 5, ending: "reset", times: 1 })
    assert.match(String(await failureOf(drain(await open()))), /terminated/)
    service.fault("gpt", { kind: "malformed", how: "json", afterEvents: 3, times: 1 })
    assert.instanceOf(await failureOf(drain(await open())), SyntaxError)
    service.fault("gpt", { kind: "empty", times: 1 })
    assert.strictEqual(await drain(await open()), 0)
    await eventually(() => stats(simulator).inFlight === 0)
  })
})

const drain = async (stream: AsyncIterable<unknown>): Promise<number> => {
  let count = 0
  for await (const _ of stream) count++
  return count
}

describe("the server", () => {
  it("stops and counts what clients leave, before the headers and after", async () => {
    await using simulator = await start()
    const client = clientOf(simulator)
    const leave = new AbortController()
    const left = failureOf(client.chat.completions.create({ model: "slow", messages }, { signal: leave.signal }))
    await eventually(() => stats(simulator).inFlight === 1)
    leave.abort()
    await left
    await eventually(() => stats(simulator).abandoned === 1)
    const stream = await client.chat.completions.create({ model: "slow", messages, stream: true })
    for await (const chunk of stream) {
      if ((chunk.choices[0]?.delta.content ?? "") !== "") break
    }
    await eventually(() => stats(simulator).abandoned === 2)
    const { completionTokens, inFlight } = stats(simulator).deployments["slow"]!
    assert.strictEqual(inFlight, 0)
    assert.isBelow(completionTokens, 200)
  })

  it("hangs until the client leaves", async () => {
    await using simulator = await start()
    simulator.service("east").fault("gpt", { kind: "hang" })
    const timed = clientOf(simulator).withOptions({ timeout: 50 })
    assert.instanceOf(await failureOf(timed.chat.completions.create({ model: "gpt", messages })), APIConnectionError)
    await eventually(() => stats(simulator).inFlight === 0 && stats(simulator).abandoned === 1)
  })

  it("can be looked at and changed over HTTP", async () => {
    await using simulator = await start()
    const call = async (method: string, path: string, body?: unknown) => {
      const response = await fetch(`${urlOf(simulator)}/++/${path}`, {
        method,
        ...(body === undefined ? undefined : { body: JSON.stringify(body) })
      })
      return { status: response.status, body: await response.json() as any }
    }
    const faults = [{ kind: "status", status: 503, times: 2 }]
    assert.deepStrictEqual((await call("PATCH", "faults", { gpt: faults })).body.gpt, faults)
    assert.instanceOf(
      await failureOf(clientOf(simulator).chat.completions.create({ model: "gpt", messages })),
      InternalServerError
    )
    assert.strictEqual((await call("GET", "faults")).body.gpt[0].times, 1)
    await call("PATCH", "faults", { gpt: null, "*": [{ kind: "headers", headers: { "x-ms-region": "Mars" } }] })
    assert.deepStrictEqual((await call("GET", "faults")).body.gpt, [])
    await call("PATCH", "limits", { gpt: { tpm: 500 } })
    await call("POST", "consume", { deployment: "gpt", tokens: 100 })
    const { response } = await clientOf(simulator).chat.completions.create({ model: "gpt", messages }).withResponse()
    assert.strictEqual(response.headers.get("x-ms-region"), "Mars")
    assert.strictEqual(response.headers.get("x-ratelimit-limit-tokens"), "500")
    assert.strictEqual((await call("GET", "stats")).body.deployments.gpt.usage.tokens, 136)
    for (
      const [method, path, body] of [
        ["PATCH", "faults", { gpt: [{ kind: "nope" }] }],
        ["PATCH", "faults", { nope: [] }],
        ["PATCH", "limits", { gpt: { tpm: "many" } }],
        ["POST", "consume", { deployment: "nope", tokens: 1 }]
      ] as const
    ) {
      const refused = await call(method, path, body)
      assert.strictEqual(refused.status, 400)
      assert.isNotEmpty(refused.body.error)
    }
    assert.strictEqual((await call("GET", "nothing")).status, 404)
  })

  it("goes down and comes up again on the same port", async () => {
    await using simulator = await start()
    const create = () => clientOf(simulator).chat.completions.create({ model: "gpt", messages })
    await create()
    await simulator.down("east")
    assert.instanceOf(await failureOf(create()), APIConnectionError)
    await simulator.up("east")
    assert.isDefined((await create()).id)
    assert.throws(() => simulator.service("nope"), RangeError)
  })

  it("says how long a body is, when it knows, and keeps the connection", async () => {
    await using simulator = await start()
    const agent = new Http.Agent({ keepAlive: true, maxSockets: 1 })
    const ports = new Set<number | undefined>()
    for (let i = 0; i < 3; i++) {
      const { length, port } = await post(agent, simulator, { model: "gpt", messages })
      assert.isAbove(Number(length), 0)
      ports.add(port)
    }
    assert.strictEqual(ports.size, 1)
    agent.destroy()
  })

  it("sends bytes as they are, and waits for a client that reads slowly", async () => {
    await using simulator = await SimulatorServer.startSimulator({
      resources: [{
        name: "east",
        deployments: [{ name: "gpt", latency: { ...fast, perOutputTokenMs: 0 }, reply: () => "€".repeat(200_000) }]
      }]
    })
    const agent = new Http.Agent()
    const body = { model: "gpt", messages, stream: true }
    const { text } = await post(agent, simulator, body, 50)
    assert.isTrue(text.endsWith("data: [DONE]\n\n"))
    assert.strictEqual(text.match(/€/g)?.length, 200_000)
    simulator.service("east").fault("gpt", { kind: "malformed", how: "utf8", afterEvents: 2 })
    assert.match((await post(agent, simulator, body)).text, /\uFFFD$/)
    await eventually(() => stats(simulator).inFlight === 0)
    agent.destroy()
  })

  it("trickles what it was told to, and nothing else", async () => {
    await using simulator = await start()
    simulator.service("east").fault("gpt", { kind: "trickle", bytesPerSecond: 4_000, when: { text: "trickle" } })
    const timed = async (content: string, stream: boolean) => {
      const began = performance.now()
      const chat = clientOf(simulator).chat.completions
      const asked = { model: "gpt", messages: [{ role: "user" as const, content }], max_completion_tokens: 2 }
      if (stream) { for await (const _ of await chat.create({ ...asked, stream })) continue }
      else assert.isNotEmpty((await chat.create(asked)).choices)
      return performance.now() - began
    }
    for (const stream of [false, true]) assert.isAtLeast(await timed("trickle", stream), 150)
    // a busy machine is no trickle
    assert.isBelow(Math.min(await timed("Hello", false), await timed("Hello", false)), 150)
  })

  it("counts the connections to a resource and to all, until they are closed", async () => {
    await using simulator = await start()
    assert.strictEqual(simulator.connections(), 0)
    const connect = (name: string) => Net.connect(Number(new URL(urlOf(simulator, name)).port), "127.0.0.1")
    const sockets = [connect("east"), connect("east"), connect("oai")]
    await eventually(() => simulator.connections("east") === 2 && simulator.connections("oai") === 1)
    assert.strictEqual(simulator.connections(), 3)
    for (const socket of sockets) socket.destroy()
    await eventually(() => simulator.connections() === 0)
  })

  it("closes every socket, and can be closed twice", async () => {
    const simulator = await start()
    const { port } = new URL(urlOf(simulator))
    const socket = Net.connect(Number(port), "127.0.0.1")
    await new Promise((resolve) => socket.once("connect", resolve))
    const closed = new Promise((resolve) => socket.once("close", resolve))
    await simulator.close()
    await closed
    await simulator.close()
  })

  it("refuses two resources of one name, and a port that is taken", async () => {
    const resource = { name: "a", deployments: [] }
    assert.instanceOf(
      await failureOf(SimulatorServer.startSimulator({ resources: [resource, resource] })),
      RangeError
    )
    await using first = await SimulatorServer.startSimulator({ resources: [resource] })
    const port = Number(new URL(urlOf(first, "a")).port)
    const taken = SimulatorServer.startSimulator({ resources: [{ name: "b", deployments: [] }, { ...resource, port }] })
    assert.match(String(await failureOf(taken)), /EADDRINUSE/)
  })

  it("bears 1,000 streams at once, and their loss", async () => {
    await using simulator = await start()
    const service = simulator.service("east")
    const body = { model: "gpt", messages, stream: true, max_tokens: 10 }
    service.setLimits("gpt", { tpm: 10_000_000, rpm: 1_000_000 })
    service.fault("gpt", { kind: "hang", afterEvents: 4 })
    const stalled = new Http.Agent()
    const left = Promise.allSettled(Array.from({ length: 1_000 }, () => post(stalled, simulator, body)))
    await eventually(() => stats(simulator).inFlight === 1_000, 15_000)
    stalled.destroy()
    await eventually(() => stats(simulator).inFlight === 0, 15_000)
    assert.strictEqual(stats(simulator).abandoned, 1_000)
    await left

    service.clear()
    const agent = new Http.Agent({ keepAlive: true })
    const all = await Promise.all(Array.from({ length: 1_000 }, () => post(agent, simulator, body)))
    assert.isTrue(all.every(({ text }) => text.endsWith("data: [DONE]\n\n")))
    assert.deepInclude(stats(simulator), { finished: 1_000, inFlight: 0 })
    agent.destroy()
  }, 40_000)

  it.live("is a scoped resource", () =>
    Effect.gen(function*() {
      const url = yield* Effect.scoped(Effect.gen(function*() {
        const simulator = yield* Effect.acquireDisposable(
          Effect.promise(() => SimulatorServer.startSimulator({ resources: [{ name: "a", deployments: [] }] }))
        )
        const response = yield* Effect.promise(() => fetch(`${simulator.resources[0]!.url}/++/stats`))
        assert.strictEqual(response.status, 200)
        return simulator.resources[0]!.url
      }))
      yield* Effect.flip(Effect.tryPromise(() => fetch(url)))
    }))
})

const post = (
  agent: Http.Agent,
  simulator: Simulator,
  body: unknown,
  pauseMs = 0
): Promise<{ text: string; length: string | undefined; port: number | undefined }> =>
  new Promise((resolve, reject) => {
    const request = Http.request(`${urlOf(simulator)}/openai/v1/chat/completions`, {
      agent,
      method: "POST",
      headers: { "api-key": "east-key" }
    }, (response) => {
      let text = ""
      response.setEncoding("utf8")
      response.on("data", (chunk) => text += chunk)
      if (pauseMs > 0) {
        response.pause()
        setTimeout(() => response.resume(), pauseMs)
      }
      response.on("error", reject)
      response.on("end", () =>
        resolve({
          text,
          length: response.headers["content-length"],
          port: response.socket?.localPort ?? request.socket?.localPort
        }))
    })
    request.on("error", reject)
    request.end(JSON.stringify(body))
  })
