import * as UndiciTransport from "#node/UndiciTransport"
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import type { ConfigInput } from "@evenkeel/core"
import { createLoadBalancer } from "@evenkeel/node"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { ServerResponse } from "node:http"
import OpenAI, { APIUserAbortError } from "openai"
import { listen, type PlainServer } from "../support/PlainServer.ts"
import { eventually, hello, inFlight, pause } from "../support/Served.ts"

const chunk = (content: string, finish_reason: string | null = null): string =>
  `data: ${JSON.stringify({ id: "1", choices: [{ index: 0, delta: { content }, finish_reason }] })}\n\n`

/** A service that sends the first chunk of a stream and holds the rest, until it is told. */
const holding = async () => {
  const held: Array<ServerResponse> = []
  const server = await listen((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" })
    response.write(chunk("first"))
    held.push(response)
  })
  return Object.assign(server, { held, release: () => held.at(-1)!.end(`${chunk("last", "stop")}data: [DONE]\n\n`) })
}

/** A resource each, every next one only for when those before it are out. */
const config = (...servers: ReadonlyArray<PlainServer>): ConfigInput => ({
  resources: servers.map(({ url }, i) => ({
    name: `r${i}`,
    provider: "compatible",
    endpoint: `${url}/v1`,
    apiKey: "k",
    deployments: [{ name: "gpt-4o", tier: i + 1 }]
  })),
  health: { check: { kind: "none" } }
})

const contentOf = ({ choices }: OpenAI.ChatCompletionChunk): string => choices[0]!.delta.content!

describe("the first chunk of a stream", () => {
  it("comes through lb.openai while the service holds the rest", async () => {
    await using server = await holding()
    await using lb = createLoadBalancer(config(server))
    for (const client of [lb.openai, lb.session("s"), new OpenAI({ apiKey: "x", fetch: lb.fetch })]) {
      const stream = await client.chat.completions.create({ ...hello, stream: true })
      const chunks = stream[Symbol.asyncIterator]()
      assert.strictEqual(contentOf((await chunks.next()).value), "first")
      assert.isFalse(server.held.at(-1)!.writableEnded)
      const next = chunks.next()
      const winner = await Promise.race([next, pause(30).then(() => "still held" as const)])
      assert.strictEqual(winner, "still held")
      server.release()
      assert.strictEqual(contentOf((await next).value), "last")
      assert.isTrue((await chunks.next()).done)
    }
    // each answer was read to its end, and its connection used again
    assert.isAtMost(server.connections().made, 2)
  })

  it("comes through lb.fetch, byte by byte as it was sent", async () => {
    await using server = await holding()
    await using lb = createLoadBalancer(config(server))
    const body = JSON.stringify({ ...hello, stream: true })
    const response = await lb.fetch("https://api.openai.com/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body
    })
    const reader = response.body!.getReader()
    assert.strictEqual(Buffer.from((await reader.read()).value!).toString(), chunk("first"))
    server.release()
    assert.include(Buffer.from((await reader.read()).value!).toString(), chunk("last", "stop"))
    assert.isTrue((await reader.read()).done)
  })

  it.live("comes through lb.chatStream", () =>
    Effect.gen(function*() {
      const server = yield* Effect.acquireRelease(
        Effect.promise(holding),
        (server) => Effect.promise(() => server[Symbol.asyncDispose]())
      )
      const seen: Array<string> = []
      yield* Effect.gen(function*() {
        const lb = yield* LoadBalancer
        const reading = yield* Effect.forkChild(
          Stream.runForEach(lb.chatStream(hello), (chunk) => Effect.sync(() => seen.push(contentOf(chunk))))
        )
        yield* Effect.promise(() => eventually(() => seen.length === 1))
        assert.isFalse(server.held[0]!.writableEnded)
        server.release()
        yield* Fiber.join(reading)
      }).pipe(Effect.provide(LoadBalancer.layer(config(server)).pipe(Layer.provide(UndiciTransport.layer()))))
      assert.deepStrictEqual(seen, ["first", "last"])
    }))
})

describe("an abort", () => {
  for (const when of ["before the headers", "before the first content", "within the stream"] as const) {
    it(`closes the socket ${when}, sends nothing more and leaves nothing in flight`, async () => {
      await using server = await listen((_, response) => {
        if (when === "before the headers") return
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.write(when === "within the stream" ? chunk("first") : "data: {\"choices\":[]}\n\n")
      })
      await using spare = await listen(() => {})
      await using lb = createLoadBalancer(config(server, spare))
      const controller = new AbortController()
      const seen: Array<string> = []
      const reading = (async () => {
        const stream = await lb.openai.chat.completions.create({ ...hello, stream: true }, {
          signal: controller.signal
        })
        for await (const chunk of stream) seen.push(contentOf(chunk))
      })().catch((error: unknown) => error)
      await eventually(() => server.received.length === 1 && (when !== "within the stream" || seen.length === 1))
      await pause(20)
      assert.deepStrictEqual([server.connections().open, inFlight(lb)], [1, 1])
      controller.abort()
      await reading
      assert.strictEqual(inFlight(lb), 0)
      await eventually(() => server.connections().open === 0)
      await pause(50)
      assert.deepStrictEqual([server.received.length, spare.received.length], [1, 0])
    })
  }

  it("while it waits for a throttled deployment sends nothing more", async () => {
    await using server = await listen((_, response) => {
      response.writeHead(429, { "retry-after-ms": "150" })
      response.end("{}")
    })
    await using lb = createLoadBalancer(config(server))
    const controller = new AbortController()
    const asked = lb.openai.chat.completions.create(hello, { signal: controller.signal }).catch((error: unknown) =>
      error
    )
    await eventually(() => server.received.length === 1)
    await pause(30)
    controller.abort()
    assert.instanceOf(await asked, APIUserAbortError)
    await pause(250)
    assert.strictEqual(server.received.length, 1)
    assert.strictEqual(inFlight(lb), 0)
  })
})
