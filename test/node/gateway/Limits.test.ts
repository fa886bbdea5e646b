import { assert, describe, it } from "@effect/vitest"
import { randomBytes } from "node:crypto"
import type { Socket } from "node:net"
import OpenAI, { APIError } from "openai"
import {
  ask,
  atRest,
  chat,
  counters,
  edge,
  errorOf,
  goesOn,
  keyed,
  type Line,
  open,
  parsed,
  sends,
  until,
  written
} from "../../support/Edge.ts"
import { failureAs, pause, slow } from "../../support/Served.ts"

const json = { "content-type": "application/json" }
const messages = [{ role: "user" as const, content: "Hello" }]

describe("bodies", () => {
  it("that are too large are refused, whether they say so or not, and the client reads why", async () => {
    await using gateway = await edge({ maxBody: 1_000_000 })
    const body = chat({ messages: [{ role: "user", content: "x".repeat(8_000_000) }] })
    const client = new OpenAI({ apiKey: "any", baseURL: `${gateway.url}/v1`, maxRetries: 0 })
    const error = await failureAs(client.post("/chat/completions", { body: JSON.parse(body) }), APIError)
    assert.strictEqual(error.status, 413)
    assert.strictEqual(error.code, "body_too_large")
    const chunked = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      headers: json,
      body: new Blob([body]).stream(),
      duplex: "half"
    } as RequestInit)
    assert.strictEqual(chunked.status, 413)
    await chunked.text()
    assert.strictEqual(sends(gateway), 0)
    await goesOn(gateway)
    await client.chat.completions.create({ model: "gpt-4o", messages })
  })

  it("without end are dropped as they come", async () => {
    await using gateway = await edge({ maxBody: 100_000, receive: 1500 })
    using line = await open(gateway.port)
    line.socket.write("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
    const chunk = `10000\r\n${"x".repeat(65_536)}\r\n`
    const write = () => {
      while (!line.socket.destroyed && line.socket.write(chunk));
    }
    line.socket.on("drain", write)
    write()
    const answer = await line.ended()
    assert.strictEqual(parsed(answer).status, 413)
    assert.strictEqual(answer.match(/HTTP\/1\.1 \d\d\d/g)?.length, 1)
    assert.strictEqual(sends(gateway), 0)
    await goesOn(gateway)
    await atRest(gateway)
  })

  it("of a byte in each chunk are read like any other", async () => {
    await using gateway = await edge()
    const body = chat({ messages: [{ role: "user", content: "x".repeat(50_000) }] })
    using line = await open(gateway.port)
    line.socket.write(
      "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        + Array.from(body, (byte) => `1\r\n${byte}\r\n`).join("") + "0\r\n\r\n"
    )
    assert.strictEqual(parsed(await line.ended()).status, 200)
  })

  it("that are too large together are refused for now", async () => {
    await using gateway = await edge({ maxBodies: 250_000 })
    const half = written("x".repeat(100_000)).slice(0, -10)
    using one = await open(gateway.port)
    using two = await open(gateway.port)
    one.socket.write(half)
    two.socket.write(half)
    const large = chat({ messages: [{ role: "user", content: "x".repeat(100_000) }] })
    await until(async () => (await counters(gateway)).connections === 2)
    await pause(50)
    const answer = await ask(gateway, { body: large, headers: json })
    assert.deepStrictEqual([answer.status, errorOf(answer.body.toString()).code], [503, "gateway_busy"])
    assert.strictEqual(answer.headers["retry-after"], "1")
    await goesOn(gateway)
    one.socket.destroy()
    two.socket.destroy()
    await atRest(gateway)
    assert.strictEqual((await ask(gateway, { body: large, headers: json })).status, 200)
  })

  it("of refused clients leave their connection usable", async () => {
    await using gateway = await edge({ keys: [keyed("a"), keyed("op", { operator: true })] })
    using line = await open(gateway.port)
    const body = chat({ messages: [{ role: "user", content: "x".repeat(100_000) }] })
    line.socket.write(written(body))
    await line.has("invalid_api_key")
    line.socket.write(written(chat(), { headers: ["api-key: secret-of-a"] }))
    await line.has("HTTP/1.1 200 OK")
    assert.strictEqual(sends(gateway), 1)
  })
})

describe("connections", () => {
  it("that do nothing make room for others", async () => {
    await using gateway = await edge({ maxConnections: 50 })
    const idle = await Promise.all(Array.from({ length: 300 }, () => open(gateway.port)))
    const texts = ["", "POST /v1/cha", written(chat()).slice(0, -5)]
    idle.forEach(({ socket }, i) => socket.write(texts[i % 3]!))
    await pause(50)
    for (let i = 0; i < 20; i++) {
      await goesOn(gateway)
    }
    assert.isAtMost((await counters(gateway)).connections, 50)
    for (const line of idle) line[Symbol.dispose]()
    await atRest(gateway)
  })

  it("that are all in use are the most, and one more is told when to come back", async () => {
    await using gateway = await edge({ maxConnections: 4 }, { latency: slow, reply: () => "word ".repeat(150) })
    const lines: Array<Line> = []
    for (let i = 0; i < 4; i++) {
      const line = await open(gateway.port)
      line.socket.write(written(chat({ stream: true }), { headers: ["connection: close"] }))
      lines.push(line)
      await line.has("data: ")
    }
    const client = new OpenAI({ apiKey: "any", baseURL: `${gateway.url}/v1`, maxRetries: 0 })
    const error = await failureAs(client.chat.completions.create({ model: "gpt-4o", messages }), APIError)
    assert.deepStrictEqual([error.status, error.code], [503, "gateway_busy"])
    assert.strictEqual((error.headers as Headers).get("retry-after-ms"), "1000")
    assert.strictEqual(sends(gateway), 4)
    // the client's own second try finds room
    const again = new OpenAI({ apiKey: "any", baseURL: `${gateway.url}/v1`, maxRetries: 5 })
    const later = again.chat.completions.create({ model: "gpt-4o", messages, max_tokens: 1 })
    for (const line of lines) {
      assert.include(await line.ended(), "data: [DONE]")
    }
    await later
  })

  it("by the thousand are let go again", async () => {
    await using gateway = await edge({ maxConnections: 5000 })
    const lines = await Promise.all(Array.from({ length: 1000 }, () => open(gateway.port)))
    for (const [i, { socket }] of lines.entries()) socket.write(i % 2 === 0 ? written(chat()) : "POST /v1")
    await goesOn(gateway)
    await until(async () => (await counters(gateway)).connections >= 1000)
    for (const { socket } of lines) socket.resetAndDestroy()
    await atRest(gateway)
  })

  it("of noise do no harm", async () => {
    await using gateway = await edge({ receive: 500 })
    const lines = await Promise.all(Array.from({ length: 100 }, () => open(gateway.port)))
    for (const { socket } of lines) socket.write(randomBytes(2000))
    await Promise.all(lines.map((line) => line.ended()))
    assert.strictEqual(sends(gateway), 0)
    await goesOn(gateway)
    await atRest(gateway)
  })

  it("that are reset at any moment do no harm", async () => {
    await using gateway = await edge({}, { latency: slow })
    const texts = [
      "",
      "POST /v1/chat",
      written(chat()).slice(0, -5),
      written(chat()),
      written(chat({ stream: true })),
      "GET /v1/realtime HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
      "GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
      "CONNECT example.com:443 HTTP/1.1\r\nhost: localhost\r\n\r\n",
      "nonsense\r\n\r\n"
    ]
    const one = async (text: string, wait: number) => {
      using line = await open(gateway.port)
      line.socket.write(text)
      if (wait > 0) await pause(wait)
      line.socket.resetAndDestroy()
    }
    await Promise.all(texts.flatMap((text) => [0, 1, 5, 40].map((wait) => one(text, wait))))
    await goesOn(gateway)
    await atRest(gateway)
  })
})

describe("requests", () => {
  it("that are under way have a number, and one more is told when to come back", async () => {
    await using gateway = await edge({ maxRequests: 2 }, { latency: slow, reply: () => "word ".repeat(30) })
    const first = [0, 1].map(() => ask(gateway, { body: chat({ stream: true }), headers: json }))
    await until(() => sends(gateway) === 2)
    const answer = await ask(gateway, { body: chat(), headers: json })
    assert.deepStrictEqual([answer.status, errorOf(answer.body.toString()).code], [503, "gateway_busy"])
    assert.deepStrictEqual([answer.headers["retry-after"], answer.headers["retry-after-ms"]], ["1", "1000"])
    assert.strictEqual(sends(gateway), 2)
    assert.strictEqual((await ask(gateway, { path: "/healthz" })).status, 200)
    for (const { body } of await Promise.all(first)) assert.include(body.toString(), "data: [DONE]")
    await goesOn(gateway)
    await atRest(gateway)
  })

  it("that are not there whole yet take nobody's place", async () => {
    await using gateway = await edge({ maxRequests: 2 })
    const lines = await Promise.all(Array.from({ length: 10 }, () => open(gateway.port)))
    for (const { socket } of lines) socket.write(written(chat()).slice(0, -5))
    await pause(50)
    await goesOn(gateway)
    for (const line of lines) line[Symbol.dispose]()
    await atRest(gateway)
  })

  it("that one connection asks for all at once count each, and end with it", async () => {
    await using gateway = await edge({ maxRequests: 300 }, { latency: { baseMs: 20_000, jitter: 0 } })
    using line = await open(gateway.port)
    line.socket.write(written(chat()).repeat(200))
    await until(() => sends(gateway) === 200)
    assert.strictEqual((await counters(gateway)).requests, 200)
    line.socket.destroy()
    await atRest(gateway)
  })

  it("of one connection are answered in their order", async () => {
    await using gateway = await edge({}, { reply: ({ text }: { readonly text: string }) => text } as object)
    using line = await open(gateway.port)
    line.socket.write(
      Array.from({ length: 20 }, (_, i) =>
        written(chat({ messages: [{ role: "user", content: `number ${i}.` }] }), {
          headers: i === 19 ? ["connection: close"] : []
        })).join("")
    )
    const text = await line.ended()
    assert.strictEqual(text.match(/HTTP\/1\.1 200/g)?.length, 20)
    await atRest(gateway)
  })
})

describe("the operators' own port", () => {
  it("answers however many connections the other one has", async () => {
    await using gateway = await edge({ maxConnections: 2, operator: { port: 0 } }, { latency: { baseMs: 20_000 } })
    const sockets: Array<Socket> = []
    for (let i = 0; i < 2; i++) {
      const { socket } = await open(gateway.port)
      socket.write(written(chat()))
      sockets.push(socket)
    }
    await until(() => sends(gateway) === 2)
    const { operatorUrl } = gateway.gateway
    assert.strictEqual((await fetch(`${operatorUrl}/readyz`)).status, 200)
    assert.strictEqual((await fetch(`${operatorUrl}/status`)).status, 200)
    for (const socket of sockets) socket.destroy()
  })
})
