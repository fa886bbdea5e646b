import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer } from "@evenkeel/node"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import type OpenAI from "openai"
import { type Handler, json, listen, type PlainServer } from "../support/PlainServer.ts"
import {
  collect,
  eventually,
  failureOf,
  fast,
  hello,
  inFlight,
  messages,
  pause,
  resource,
  serve
} from "../support/Served.ts"

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

const url = "https://api.openai.com/v1/chat/completions"
const jsonHeaders = { "content-type": "application/json" }
const body = JSON.stringify(hello)

/** Ways to say the same with fetch. */
const inputs: ReadonlyArray<readonly [string, () => Parameters<typeof fetch>]> = [
  ["a string", () => [url, { method: "POST", headers: jsonHeaders, body }]],
  ["a URL", () => [new URL(url), { method: "POST", headers: new Headers(jsonHeaders), body }]],
  [
    "bytes",
    () => [url, { method: "POST", headers: Object.entries(jsonHeaders), body: new TextEncoder().encode(body) }]
  ],
  ["a buffer", () => [url, { method: "post", headers: jsonHeaders, body: new TextEncoder().encode(body).buffer }]],
  ["a blob that knows its type", () => [url, { method: "POST", body: new Blob([body], { type: "application/json" }) }]],
  ["a stream", () => [
    url,
    { method: "POST", headers: jsonHeaders, body: new Blob([body]).stream(), duplex: "half" } as RequestInit
  ]],
  ["a Request", () => [new Request(url, { method: "POST", headers: jsonHeaders, body })]],
  ["a Request and what replaces its parts", () => [
    new Request(url, { method: "POST", headers: jsonHeaders, body: "{}" }),
    { body, headers: { ...jsonHeaders, "x-session-id": "s" } }
  ]]
]

describe("lb.fetch by itself", () => {
  for (const [name, input] of inputs) {
    it(`takes ${name}`, async () => {
      await using served = await serve([resource("east"), resource("west")])
      const response = await served.lb.fetch(...input())
      assert.instanceOf(response, Response)
      assert.strictEqual(response.status, 200)
      const answer = await response.json() as OpenAI.ChatCompletion
      assert.strictEqual(answer.choices[0]!.message.content, "Hello from here.")
    })
  }

  it("gives a stream as bytes while they come", async () => {
    await using served = await serve([resource("east", { latency: { ...fast, perOutputTokenMs: 80 } })])
    const streamed = JSON.stringify({ ...hello, stream: true })
    const response = await served.lb.fetch(url, { method: "POST", headers: jsonHeaders, body: streamed })
    const parts = await collect(response.body!.pipeThrough(new TextDecoderStream()))
    assert.isAbove(parts.length, 1)
    assert.isTrue(parts.join("").endsWith("data: [DONE]\n\n"))
  })

  it("answers its own failures as OpenAI does", async () => {
    await using served = await serve([resource("east")])
    const none = JSON.stringify({ model: "gpt-none", messages })
    const response = await served.lb.fetch(url, { method: "POST", headers: jsonHeaders, body: none })
    assert.strictEqual(response.status, 404)
    assert.strictEqual(response.headers.get("x-should-retry"), "false")
    const { error } = await response.json() as { error: { code: string } }
    assert.strictEqual(error.code, "model_not_found")
    assert.strictEqual(served.sends(), 0)
  })

  it("rejects for its caller's abort alone, with the caller's reason", async () => {
    await using served = await serve([resource("east")])
    served.service("east").fault("gpt", { kind: "hang" })
    const init = { method: "POST", headers: jsonHeaders, body }
    assert.propertyVal(
      await failureOf(served.lb.fetch(url, { ...init, signal: AbortSignal.abort() })),
      "name",
      "AbortError"
    )
    assert.strictEqual(served.sends(), 0)
    assert.propertyVal(
      await failureOf(served.lb.fetch(url, { ...init, signal: AbortSignal.timeout(50) })),
      "name",
      "TimeoutError"
    )
    const controller = new AbortController()
    const reason = new Error("enough")
    const asked = failureOf(served.lb.fetch(url, { ...init, signal: controller.signal }))
    await eventually(() => inFlight(served.lb) === 1)
    controller.abort(reason)
    assert.strictEqual(await asked, reason)
    await eventually(() => served.stats("east").inFlight === 0 && inFlight(served.lb) === 0)
  })

  it("hears the abort of a Request's signal, however late", async () => {
    await using served = await serve([resource("east")])
    served.service("east").fault("gpt", { kind: "hang" })
    const controller = new AbortController()
    const request = new Request(url, { method: "POST", headers: jsonHeaders, body, signal: controller.signal })
    const asked = failureOf(served.lb.fetch(request))
    await eventually(() => served.stats("east").inFlight === 1)
    // what a Request's signal hangs by must not be collected meanwhile
    for (let i = 0; i < 3; i++) {
      collectGarbage()
      await pause(1)
    }
    const reason = new Error("enough")
    controller.abort(reason)
    assert.strictEqual(await Promise.race([asked, pause(1_000)]), reason)
    assert.instanceOf(request, Request)
  })

  it("rejects a read for its caller's abort, as every fetch does", async () => {
    await using served = await serve([resource("east")])
    served.service("east").fault("gpt", { kind: "hang", afterEvents: 4 })
    const streamed = JSON.stringify({ ...hello, stream: true })
    const controller = new AbortController()
    const response = await served.lb.fetch(url, {
      method: "POST",
      headers: jsonHeaders,
      body: streamed,
      signal: controller.signal
    })
    const read = failureOf(response.text())
    await eventually(() => served.stats("east").inFlight === 1)
    controller.abort()
    assert.propertyVal(await read, "name", "AbortError")
    await eventually(() => served.stats("east").inFlight === 0 && inFlight(served.lb) === 0)
  })
})

/** A resource that is a server of our own. */
const overPlain = ({ url }: PlainServer) =>
  createLoadBalancer({
    resources: [{
      name: "plain",
      provider: "compatible",
      endpoint: `${url}/v1`,
      apiKey: "plain-key",
      deployments: [{ name: "gpt-4o" }]
    }],
    health: { check: { kind: "none" } }
  })

const chunkOf = (delta: unknown, finish_reason: string | null = null): string =>
  `data: ${JSON.stringify({ id: "1", choices: [{ index: 0, delta, finish_reason }] })}\n\n`

const usageChunk = `data: ${
  JSON.stringify({ id: "1", choices: [], usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 } })
}\n\n`

/** Answers that say a length, whatever they are. */
const withLength = (response: Parameters<Handler>[1], type: string, content: string | Buffer): void => {
  response.writeHead(200, { "content-type": type, "content-length": Buffer.byteLength(content) })
  response.end(content)
}

const plain: Handler = ({ body, headers, method, url }, response) => {
  switch (`${method} ${url}`) {
    case "POST /v1/chat/completions":
      return withLength(
        response,
        "text/event-stream",
        `${chunkOf({ content: "Hi" })}${chunkOf({}, "stop")}${usageChunk}data: [DONE]\n\n`
      )
    case "GET /v1/files/file-abcdef/content":
      return withLength(response, "application/octet-stream", Buffer.from([0, 255, 1]))
    case "DELETE /v1/files/file-abcdef":
      response.writeHead(204)
      return response.end()
    case "HEAD /v1/files/file-abcdef":
      response.writeHead(200, { "x-seen": "yes" })
      return response.end()
    default:
      return json(response, { method, type: headers["content-type"], body: body.toString("latin1") })
  }
}

describe("what lb.fetch passes on", () => {
  it("has no length when a chunk was taken out of it", async () => {
    await using server = await listen(plain)
    await using lb = overPlain(server)
    const send = async (more: object) => {
      const streamed = JSON.stringify({ ...hello, stream: true, ...more })
      const response = await lb.fetch(url, { method: "POST", headers: jsonHeaders, body: streamed })
      return { text: await response.text(), length: response.headers.get("content-length") }
    }
    const hidden = await send({})
    assert.notInclude(hidden.text, "prompt_tokens")
    assert.isNull(hidden.length)
    const shown = await send({ stream_options: { include_usage: true } })
    assert.include(shown.text, usageChunk)
    assert.isTrue([hidden, shown].every(({ text }) => text.endsWith("data: [DONE]\n\n")))
  })

  it("may be nothing: 204, HEAD", async () => {
    await using server = await listen(plain)
    await using lb = overPlain(server)
    const base = "https://api.openai.com/v1"
    const deleted = await lb.fetch(`${base}/files/file-abcdef`, { method: "DELETE" })
    assert.deepStrictEqual([deleted.status, await deleted.text()], [204, ""])
    // the pool takes a connection back a turn later
    await pause(10)
    const content = await lb.fetch(`${base}/files/file-abcdef/content`)
    assert.deepStrictEqual([...await content.bytes()], [0, 255, 1])
    // the first answer was let go of, so that one connection was enough
    assert.strictEqual(server.connections().made, 1)
    const head = await lb.fetch(`${base}/files/file-abcdef`, { method: "HEAD" })
    assert.deepStrictEqual([head.status, head.headers.get("x-seen"), await head.text()], [200, "yes", ""])
    assert.isNull(await lb.openai.delete("/files/file-abcdef"))
    assert.strictEqual(inFlight(lb), 0)
  })

  it("is any body, byte by byte, with its type", async () => {
    await using server = await listen(plain)
    await using lb = overPlain(server)
    const send = async (init: RequestInit) => {
      const response = await lb.fetch("https://api.openai.com/v1/uploads", { method: "POST", ...init })
      return await response.json() as { method: string; type: string; body: string }
    }
    const bytes = new Uint8Array([0, 255, 10, 13])
    const octets = { "content-type": "application/octet-stream" }
    assert.deepInclude(await send({ body: bytes, headers: octets }), {
      type: "application/octet-stream",
      body: "\u0000\u00ff\n\r"
    })
    assert.deepInclude(await send({ body: "a=1&b=2", headers: { "content-type": "text/plain" } }), {
      type: "text/plain",
      body: "a=1&b=2"
    })
    assert.deepInclude(await send({ body: new URLSearchParams({ a: "1" }) }), { body: "a=1" })
    assert.deepInclude(await send({ body: "{\"a\": [1,  2]}", headers: jsonHeaders }), { type: "application/json" })
    assert.deepInclude(await send({ body: "[1]", headers: jsonHeaders }), { type: "application/json", body: "[1]" })
    assert.deepInclude(await send({}), { method: "POST", body: "" })
    const form = new FormData()
    form.set("purpose", "batch")
    form.set("file", new Blob([bytes]), "x.bin")
    const sent = await send({ body: form })
    const parsed = await new Response(Buffer.from(sent.body, "latin1"), { headers: { "content-type": sent.type } })
      .formData()
    assert.strictEqual(parsed.get("purpose"), "batch")
    assert.deepStrictEqual(await (parsed.get("file") as File).bytes(), bytes)
    const patched = await send({ method: "PATCH", body: "{}", headers: jsonHeaders })
    assert.deepInclude(patched, { method: "PATCH", body: "{}" })
  })

  it("is not sent when chat is no JSON", async () => {
    await using server = await listen(plain)
    await using lb = overPlain(server)
    for (
      const init of [
        { body: "hello", headers: jsonHeaders },
        { body: "[]", headers: jsonHeaders },
        { body: "{\"model\":\"gpt-4o\"", headers: jsonHeaders },
        { body: new Uint8Array([1]), headers: { "content-type": "application/octet-stream" } }
      ]
    ) {
      const response = await lb.fetch(url, { method: "POST", ...init })
      assert.strictEqual(response.status, 400)
    }
    assert.strictEqual(server.received.length, 0)
  })
})
