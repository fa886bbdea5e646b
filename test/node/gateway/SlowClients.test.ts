import { assert, describe, it } from "@effect/vitest"
import { connect, type Socket } from "node:net"
import {
  ask,
  atRest,
  chat,
  counters,
  edge,
  errorOf,
  goesOn,
  open,
  parsed,
  sends,
  until,
  written
} from "../../support/Edge.ts"
import { gated } from "../../support/Gated.ts"
import * as PlainServer from "../../support/PlainServer.ts"
import { pause } from "../../support/Served.ts"

const MB = 1024 * 1024

describe("a client that sends slowly", () => {
  const late: Record<string, string> = {
    "nothing at all": "",
    "half a line": "POST /v1/cha",
    "headers without end": "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-a: b\r\n",
    "half of its body": written(chat()).slice(0, -10),
    "chunks without end":
      "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n"
  }
  for (const [what, text] of Object.entries(late)) {
    it(`is told that its time is over: ${what}`, async () => {
      await using gateway = await edge({ receive: 500 })
      using line = await open(gateway.port)
      line.socket.write(text)
      await goesOn(gateway)
      const answer = parsed(await line.ended())
      assert.deepStrictEqual([answer.status, errorOf(answer.body).code], [408, "request_timeout"])
      assert.strictEqual(sends(gateway), 1)
      await goesOn(gateway)
      await atRest(gateway)
    })
  }

  it("a byte at a time is no less late", async () => {
    await using gateway = await edge({ receive: 500 })
    using line = await open(gateway.port)
    const text = written(chat())
    const drip = setInterval(() => line.socket.write(text[line.socket.bytesWritten]!), 20)
    try {
      assert.strictEqual(parsed(await line.ended()).status, 408)
    } finally {
      clearInterval(drip)
    }
    await atRest(gateway)
  })

  it("after a refusal is cut off, and answered once", async () => {
    await using gateway = await edge({ receive: 500, maxBody: 1000 })
    using line = await open(gateway.port)
    line.socket.write(written("", {}).replace("length: 0", "length: 5000"))
    const answer = await line.ended()
    assert.strictEqual(answer.match(/HTTP\/1\.1 \d\d\d/g)?.length, 1, answer)
    assert.strictEqual(parsed(answer).status, 413)
    await atRest(gateway)
  })

  it("between two requests is let go without a word", async () => {
    await using gateway = await edge({ keepAlive: 100 })
    using line = await open(gateway.port)
    line.socket.write(written(chat()))
    const answer = await line.ended()
    assert.strictEqual(answer.match(/HTTP\/1\.1 \d\d\d/g)?.length, 1, answer)
    await atRest(gateway)
  })
})

/** A gateway before a server of the test's own. */
const before = (upstream: PlainServer.PlainServer, gateway: object = {}) =>
  gated([{ name: "unused", deployments: [{ name: "gpt", model: "gpt-4o" }] }], {
    resources: [{
      name: "plain",
      provider: "compatible",
      endpoint: `${upstream.url}/v1`,
      deployments: [{ name: "gpt-4o" }]
    }],
    health: { check: { kind: "none" } },
    gateway
  })

/** More than the system's own buffers take of what nobody reads. */
const large = "x".repeat(12 * MB)

const completion = {
  id: "chatcmpl-1",
  object: "chat.completion",
  model: "gpt-4o",
  choices: [{ index: 0, message: { role: "assistant", content: large }, finish_reason: "stop" }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
}

/** Opens a connection that reads nothing until it is told to. */
const deaf = (port: number, text: string): Promise<Socket> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" }, () => {
      socket.write(text)
      resolve(socket)
    })
    socket.on("error", () => {})
    socket.pause()
  })

describe("a client that reads slowly", () => {
  it("of a stream holds back its own deployment, and the gateway holds little", async () => {
    let sent = 0
    let isOver = false
    await using upstream = await PlainServer.listen((_request, response) => {
      response.on("close", () => {
        isOver = true
      })
      response.writeHead(200, { "content-type": "text/event-stream" })
      const event = `data: ${JSON.stringify({ id: "c", choices: [{ delta: { content: "x".repeat(16_000) } }] })}\n\n`
      const write = () => {
        while (!response.destroyed) {
          sent += event.length
          if (!response.write(event)) return void response.once("drain", write)
        }
      }
      write()
    })
    await using gateway = await before(upstream, { stall: 500 })
    const socket = await deaf(gateway.port, written(chat({ stream: true })))
    await until(() => sent > 0)
    assert.strictEqual((await counters(gateway)).requests, 1)
    // one that reads nothing is cut off, and with it what is under way for it
    await until(() => isOver, "The deployment is not let go")
    // what the system's buffers of four sockets take, and some of ours
    assert.isBelow(sent, 24 * MB)
    await atRest(gateway)
    socket.destroy()
  })

  it("of a large answer is waited for as long as it reads", async () => {
    await using upstream = await PlainServer.listen((_request, response) => PlainServer.json(response, completion))
    await using gateway = await before(upstream, { stall: 2000 })
    const socket = await deaf(gateway.port, written(chat(), { headers: ["connection: close"] }))
    let received = 0
    let isOver = false
    socket.on("close", () => {
      isOver = true
    })
    socket.on("data", (chunk) => {
      received += chunk.length
    })
    // half a MB each 200 ms
    const start = performance.now()
    let allowed = 0
    await until(async () => {
      allowed += MB / 2
      socket.resume()
      await until(() => isOver || received >= allowed)
      if (received < large.length) socket.pause()
      await pause(200)
      return isOver
    })
    assert.isAbove(performance.now() - start, 3000, "It took longer than a client may read nothing")
    assert.isAbove(received, large.length, "All of it came")
    await atRest(gateway)
  })

  it("of a large answer is cut off once it reads nothing", async () => {
    await using upstream = await PlainServer.listen((_request, response) => PlainServer.json(response, completion))
    await using gateway = await before(upstream, { stall: 200 })
    const socket = await deaf(gateway.port, written(chat()))
    await until(() => upstream.received.length === 1)
    await atRest(gateway)
    socket.destroy()
  })

  it("of a large refusal is cut off as well", async () => {
    await using upstream = await PlainServer.listen((_request, response) =>
      PlainServer.json(response, { error: { message: large, code: "c", type: "t", param: null } }, 400)
    )
    await using gateway = await before(upstream, { stall: 200 })
    const socket = await deaf(gateway.port, written(chat()))
    await until(() => upstream.received.length === 1)
    await atRest(gateway)
    socket.destroy()
  })

  it("of nothing, because its answer takes its time, is no slow client", async () => {
    await using gateway = await edge({ stall: 50 }, { latency: { baseMs: 400, jitter: 0 } })
    const answer = await ask(gateway, { body: chat(), headers: { "content-type": "application/json" } })
    assert.strictEqual(answer.status, 200)
    await atRest(gateway)
  })

  it("of a thousand answers that it asked for at once holds up nobody", async () => {
    await using gateway = await edge({ stall: 500, maxRequests: 50 }, { reply: () => "word ".repeat(2000) })
    const socket = await deaf(gateway.port, "")
    const request = written(chat())
    socket.write(request.repeat(1000))
    await pause(300)
    const { requests } = await counters(gateway)
    assert.isAtMost(requests, 50)
    socket.destroy()
    await atRest(gateway)
    await goesOn(gateway)
  })
})
