import { assert, describe, it } from "@effect/vitest"
import * as Http from "node:http"
import { runEvenkeel } from "../../support/Child.ts"
import { ask, chat, edge, keyed, open, parsed, sends, until, written } from "../../support/Edge.ts"
import { gated } from "../../support/Gated.ts"
import * as PlainServer from "../../support/PlainServer.ts"
import { serve } from "../../support/Process.ts"
import { pause, slow } from "../../support/Served.ts"

const json = { "content-type": "application/json" }

/** Some 40 tokens, 20 ms each. */
const words = { latency: slow, reply: () => "word ".repeat(40) }

const isRefused = async (port: number): Promise<boolean> => {
  const error = await ask({ port }, { path: "/healthz" }).then(() => undefined, (cause: NodeJS.ErrnoException) => cause)
  return error?.code === "ECONNREFUSED"
}

/** The configuration of a gateway before nothing. */
const config = (gateway: object) =>
  JSON.stringify({
    resources: [{
      name: "plain",
      provider: "compatible",
      endpoint: "http://127.0.0.1:1/v1",
      deployments: [{ name: "gpt-4o" }]
    }],
    gateway
  })

// one after the other: each costs a second of a processor to begin
describe("the process", { concurrent: false, timeout: 90_000 }, () => {
  it("is told to stop, and ends with 0 once its streams have", async () => {
    const hashed = keyed("a")
    await using gateway = await serve({ keys: [hashed, { name: "b", key: "secret-of-b" }] }, words)
    const headers = ["api-key: secret-of-a"]
    using idle = await open(gateway.port)
    idle.socket.write(written(chat({ max_tokens: 1 }), { headers }))
    await idle.has("HTTP/1.1 200")
    using silent = await open(gateway.port)
    using stream = await open(gateway.port)
    stream.socket.write(written(chat({ stream: true }), { headers }))
    const whole = ask(gateway, { body: chat(), headers: { ...json, "api-key": "secret-of-b" } })
    await stream.has("data: ")
    await until(() => sends(gateway) === 3)
    gateway.child.kill("SIGTERM")
    await until(() => isRefused(gateway.port))
    assert.strictEqual((await whole).status, 200)
    assert.include(await stream.ended(), "data: [DONE]\n\n")
    const { code, stderr, stdout } = await gateway.ended
    assert.strictEqual(code, 0)
    assert.strictEqual(idle.text().match(/HTTP\/1\.1 /g)?.length, 1)
    assert.strictEqual(silent.text(), "")
    assert.strictEqual(gateway.simulator.service("east").stats(Date.now()).abandoned, 0)
    for (const secret of ["secret-of", "key-of-east", hashed.sha256]) assert.notInclude(stdout + stderr, secret)
  })

  it("is told to stop twice, and ends at once", async () => {
    await using gateway = await serve({ grace: "1 hour" }, {
      latency: { baseMs: 20, perOutputTokenMs: 5000, jitter: 0 }
    })
    using stream = await open(gateway.port)
    stream.socket.write(written(chat({ stream: true })))
    await stream.has("data: ")
    gateway.child.kill("SIGINT")
    await until(() => isRefused(gateway.port))
    await pause(1200)
    assert.isNull(gateway.child.exitCode, "It waits")
    gateway.child.kill("SIGTERM")
    assert.strictEqual((await gateway.ended).code, 130)
  })

  it("says what to do where its port is in use, or that of its operators", async () => {
    await using other = await PlainServer.listen((_request, response) => response.end())
    const port = Number(new URL(other.url).port)
    for (const given of [{ port }, { port: 0, operator: { port } }]) {
      const { code, stderr, stdout } = await runEvenkeel(["serve"], { EVENKEEL_CONFIG: config(given) })
      assert.strictEqual(code, 1)
      const said = stdout + stderr
      assert.include(said, `127.0.0.1:${port} (EADDRINUSE): something else listens there; give another port`)
      assert.notInclude(said, "    at ")
    }
  })

  it("does not begin where it has no such address, or nobody could be kept out", async () => {
    const keys = { port: 0, keys: [keyed("a")] }
    const nowhere = await runEvenkeel(["serve", "--host", "192.0.2.1"], { EVENKEEL_CONFIG: config(keys) })
    assert.strictEqual(nowhere.code, 1)
    assert.include(nowhere.stderr, "this machine has no such address")
    const open = await runEvenkeel(["serve", "--host", "0.0.0.0"], { EVENKEEL_CONFIG: config({ port: 0 }) })
    assert.isAbove(open.code ?? 0, 0)
    assert.include(open.stderr, "give keys, or listen on 127.0.0.1")
  })
})

describe("a gateway that is told to stop", () => {
  it("loses nothing of a full load", async () => {
    await using gateway = await edge({ grace: "20 seconds" }, { latency: { ...slow, perOutputTokenMs: 1 } })
    let isStopping = false
    const results = { answered: 0, refused: 0, lost: [] as Array<string> }
    const agent = new Http.Agent({ keepAlive: true, maxSockets: 30 })
    const once = (stream: boolean): Promise<boolean> =>
      new Promise((resolve) => {
        const request = Http.request({
          host: "127.0.0.1",
          port: gateway.port,
          method: "POST",
          path: "/v1/chat/completions",
          headers: json,
          agent
        }, (response) => {
          let text = ""
          response.on("data", (chunk: Buffer) => {
            text += chunk.toString()
          })
          response.on("close", () => {
            const isWhole = response.complete && (!stream || text.endsWith("data: [DONE]\n\n"))
            if (response.statusCode === 200 && isWhole) results.answered++
            else results.lost.push(`${response.statusCode}: ${text}`)
            resolve(true)
          })
        })
        request.on("error", (error: NodeJS.ErrnoException) => {
          if (isStopping && error.code === "ECONNREFUSED") results.refused++
          else results.lost.push(`${error.code} ${request.reusedSocket}`)
          resolve(false)
        })
        request.end(chat({ stream }))
      })
    const client = async (stream: boolean) => {
      while (await once(stream));
    }
    const clients = Array.from({ length: 30 }, (_, i) => client(i % 2 === 0))
    await until(() => results.answered > 100)
    isStopping = true
    const stopped = gateway.stop()
    await Promise.all(clients)
    await stopped
    assert.deepStrictEqual(results.lost, [])
    assert.strictEqual(results.refused, 30)
    assert.strictEqual(gateway.simulator.service("east").stats(Date.now()).abandoned, 0)
    agent.destroy()
  })

  it("cuts off what has not ended within the grace time", async () => {
    await using gateway = await edge({ grace: 300 }, { latency: { baseMs: 20, perOutputTokenMs: 2000, jitter: 0 } })
    using stream = await open(gateway.port)
    stream.socket.write(written(chat({ stream: true })))
    await stream.has("data: ")
    using half = await open(gateway.port)
    half.socket.write(written(chat()).slice(0, -5))
    await pause(50)
    const stopped = gateway.stop()
    await stopped
    assert.notInclude(await stream.ended(), "[DONE]")
    await until(() => gateway.simulator.service("east").stats(Date.now()).abandoned === 1)
  })

  it("is held up by nobody who says nothing, or not all", async () => {
    await using gateway = await edge({ grace: "20 seconds" })
    using silent = await open(gateway.port)
    using slowly = await open(gateway.port)
    slowly.socket.write("POST /v1/chat")
    await pause(50)
    const start = performance.now()
    const stopped = gateway.stop()
    await stopped
    assert.isBelow(performance.now() - start, 8000)
    assert.strictEqual(silent.text(), "")
  })

  it("serves what comes over a connection that it had kept, as its last", async () => {
    await using gateway = await edge()
    using line = await open(gateway.port)
    line.socket.write(written(chat()))
    await line.has("HTTP/1.1 200")
    const stopped = gateway.stop()
    await until(() => isRefused(gateway.port))
    line.socket.write(written(chat()))
    const text = await line.ended()
    assert.strictEqual(text.match(/HTTP\/1\.1 200/g)?.length, 2)
    assert.match(text.slice(text.lastIndexOf("HTTP/1.1 200")), /\r\nconnection: close\r\n/i)
    await stopped
  })

  it("is not ready, and says so to whoever still can ask", async () => {
    await using gateway = await edge({ operator: { port: 0 } }, words)
    using stream = await open(gateway.port)
    stream.socket.write(written(chat({ stream: true })))
    await stream.has("data: ")
    const port = Number(new URL(gateway.gateway.operatorUrl).port)
    const probe = await Promise.all([open(port), open(gateway.port)])
    const stopped = gateway.stop()
    for (const { socket } of probe) socket.write("GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    for (const line of probe) {
      assert.strictEqual(parsed(await line.ended()).status, 503)
    }
    assert.include(await stream.ended(), "data: [DONE]")
    await stopped
  })

  it("gives the whole of a large answer to whoever reads slowly", async () => {
    const content = "x".repeat(12_000_000)
    await using service = await PlainServer.listen((_request, response) =>
      PlainServer.json(response, { id: "c", choices: [{ message: { content }, finish_reason: "stop" }] })
    )
    await using gateway = await gated([{ name: "unused", deployments: [{ name: "gpt", model: "gpt-4o" }] }], {
      resources: [{
        name: "plain",
        provider: "compatible",
        endpoint: `${service.url}/v1`,
        deployments: [{ name: "gpt-4o" }]
      }],
      health: { check: { kind: "none" } }
    })
    using line = await open(gateway.port)
    line.socket.pause()
    line.socket.write(written(chat()))
    await until(() => service.received.length === 1)
    // as much as the system's buffers take
    await pause(500)
    const stopped = gateway.stop()
    await pause(1500)
    line.socket.resume()
    assert.isAbove((await line.ended()).length, content.length)
    await stopped
  })
})
