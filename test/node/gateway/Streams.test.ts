import { assert, describe, it } from "@effect/vitest"
import * as Http from "node:http"
import * as Net from "node:net"
import { ask, atRest, chat, edge, open, parsed } from "../../support/Edge.ts"
import { type Gated, gated } from "../../support/Gated.ts"
import * as PlainServer from "../../support/PlainServer.ts"
import { slow } from "../../support/Served.ts"

const json = { "content-type": "application/json" }

/** A gateway before one service of the test's own. */
const before = (url: string, gateway: object = {}): Promise<Gated> =>
  gated([{ name: "unused", deployments: [{ name: "gpt", model: "gpt-4o" }] }], {
    resources: [{
      name: "plain",
      provider: "compatible",
      endpoint: `${url}/v1`,
      deployments: [{ name: "gpt-4o" }, { name: "tts" }]
    }],
    health: { check: { kind: "none" } },
    failover: { attempts: 1 },
    gateway
  })

/** Answers every request with these bytes, in these pieces, a moment after each other; then ends, or breaks off. */
const speaks = (pieces: ReadonlyArray<string | Buffer>, ending: "end" | "break" = "end") =>
  PlainServer.listen((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" })
    const next = (i: number): void => {
      if (i < pieces.length) {
        response.write(pieces[i]!)
        setTimeout(next, 3, i + 1)
      } else if (ending === "end") response.end()
      else response.destroy()
    }
    next(0)
  })

/** What differs between two answers to the same. */
const withoutIds = (text: string): string =>
  text.replaceAll(/"(?:created|created_at)":\d+/g, "").replaceAll(/(?:chatcmpl|resp|msg)[-_]\w+/g, "")

const post = (url: string, body: string, headers: Http.OutgoingHttpHeaders = {}): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const request = Http.request(
      url,
      { method: "POST", headers: { ...json, ...headers }, agent: false },
      (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("error", reject)
        response.on("end", () => resolve(Buffer.concat(chunks)))
      }
    )
    request.on("error", reject)
    request.end(body)
  })

const delta = (content: string) =>
  JSON.stringify({ id: "c", choices: [{ index: 0, delta: { content }, finish_reason: null }] })
const role = JSON.stringify({ id: "c", choices: [{ index: 0, delta: { role: "assistant" }, finish_reason: null }] })
const stop = JSON.stringify({ id: "c", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })

/** Streams that a service may send, each of which is to come through as it is. */
const streams: Record<string, string> = {
  "as Azure writes it": `data: ${role}\n\ndata: ${delta("a")}\n\ndata: ${
    delta("日本 🎉")
  }\n\ndata: ${stop}\n\ndata: [DONE]\n\n`,
  "with comments, ids and retries": `: hello\n\nid: 1\nretry: 5\ndata: ${role}\n\n: ping\n\nid: 2\ndata: ${
    delta("a")
  }\n\n: ping\n\n: ping\n\ndata: ${stop}\n\n\n\ndata: [DONE]\n\n`,
  "without a space after the colon": `data:${role}\n\ndata:${delta("a")}\n\ndata:${stop}\n\ndata:[DONE]\n\n`,
  "of events in several lines": `data: ${role.replace(",", ",\ndata: ")}\n\ndata: ${
    delta("a")
  }\n\ndata: ${stop}\n\ndata: [DONE]\n\n`,
  "with a byte order mark": `\uFEFFdata: ${role}\n\ndata: ${delta("a")}\n\ndata: ${stop}\n\ndata: [DONE]\n\n`
}

const cutInto = (bytes: Buffer, size: number): ReadonlyArray<Buffer> =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))

describe("a stream through the gateway", () => {
  for (const [what, text] of Object.entries(streams)) {
    for (const size of [1 << 20, 100, 7]) {
      it(`is what the service sent, byte by byte: ${what}, ${size} at a time`, async () => {
        const bytes = Buffer.from(text)
        await using service = await speaks(cutInto(bytes, size))
        await using gateway = await before(service.url)
        const body = chat({ stream: true, stream_options: { include_usage: false } })
        const through = await post(`${gateway.url}/v1/chat/completions`, body)
        assert.strictEqual(through.toString(), text)
        assert.isTrue(through.equals(bytes))
        await atRest(gateway)
      })
    }
  }

  it("has the events of one with CRLF", async () => {
    const text = streams["as Azure writes it"]!
    await using service = await speaks(cutInto(Buffer.from(text.replaceAll("\n", "\r\n")), 50))
    await using gateway = await before(service.url)
    const through = await post(`${gateway.url}/v1/chat/completions`, chat({ stream: true }))
    assert.strictEqual(through.toString().replaceAll("\r\n", "\n"), text)
  })

  it("is the same as from the simulated service", async () => {
    const own = { reply: () => "one two three four 日本 five", latency: { ...slow, perOutputTokenMs: 2 } }
    await using gateway = await edge({}, own)
    const { apiKey, url } = gateway.simulator.resources[0]!
    for (
      const [path, more] of [
        ["chat/completions", { stream_options: { include_usage: true } }],
        ["responses", {}]
      ] as const
    ) {
      const { messages, model } = JSON.parse(chat())
      const asked = path === "responses" ? { model, input: "Hello" } : { model, messages }
      const body = JSON.stringify({ ...asked, ...more, stream: true })
      const direct = post(`${url}/openai/v1/${path}`, body.replace("\"gpt-4o\"", "\"gpt\""), { "api-key": apiKey })
      const expected = (await direct).toString()
      const through = (await post(`${gateway.url}/v1/${path}`, body)).toString()
      assert.strictEqual(withoutIds(through), withoutIds(expected))
      assert.isAbove(through.length, 500)
    }
    await atRest(gateway)
  })

  it("lacks the usage that only the gateway asked for, and nothing else", async () => {
    const usage = JSON.stringify({ id: "c", choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } })
    const text = `data: ${role}\n\ndata: ${delta("a")}\n\ndata: ${stop}\n\n@data: [DONE]\n\n`
    await using service = await speaks([text.replace("@", `data: ${usage}\n\n`)])
    await using gateway = await before(service.url)
    const through = await post(`${gateway.url}/v1/chat/completions`, chat({ stream: true }))
    assert.strictEqual(through.toString(), text.replace("@", ""))
    assert.include(service.received[0]!.body.toString(), "include_usage")
  })

  it("that breaks ends with an event that says so, after all that came whole", async () => {
    const text = `data: ${role}\n\ndata: ${delta("a")}\n\n`
    await using service = await speaks([text, "data: {\"half"], "break")
    await using gateway = await before(service.url)
    const through = (await post(`${gateway.url}/v1/chat/completions`, chat({ stream: true }))).toString()
    assert.strictEqual(through.slice(0, text.length), text)
    const rest = through.slice(text.length)
    assert.match(rest, /^data: \{"error":\{.*"code":"stream_interrupted".*\}\n\n$/)
    await atRest(gateway)
  })

  it("of bytes is passed on as it is, and broken off where it breaks", async () => {
    const audio = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 256))
    await using whole = await speaks(cutInto(audio, 9999))
    await using gateway = await before(whole.url)
    const body = JSON.stringify({ model: "tts", input: "Hello", voice: "alloy" })
    assert.isTrue((await post(`${gateway.url}/v1/audio/speech`, body)).equals(audio))
    await using broken = await speaks([audio], "break")
    await using other = await before(broken.url)
    const through = await post(`${other.url}/v1/audio/speech`, body).catch((cause: unknown) => cause)
    assert.instanceOf(through, Error)
    await atRest(other)
  })
})

/** A server that answers with these bytes, whatever they are. */
const listenRaw = async (answer: string): Promise<{ readonly url: string } & AsyncDisposable> => {
  const sockets = new Set<Net.Socket>()
  const server = Net.createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.once("data", () => socket.end(Buffer.from(answer, "latin1")))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as Net.AddressInfo).port}`,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      })
  }
}

describe("headers of an answer", () => {
  const body = JSON.stringify({ id: "c", choices: [{ message: { content: "a" }, finish_reason: "stop" }] })
  const answered = async (...headers: ReadonlyArray<string>) => {
    const head = ["HTTP/1.1 200 OK", "content-type: application/json", `content-length: ${body.length}`, ...headers]
    await using service = await listenRaw(`${head.join("\r\n")}\r\n\r\n${body}`)
    await using gateway = await before(service.url)
    const answer = await ask(gateway, { body: chat(), headers: json })
    await atRest(gateway)
    return answer
  }

  it("that belong to its connection, or to its own service, stay there", async () => {
    const { headers, status } = await answered(
      "connection: close, x-private",
      "x-private: 1",
      "keep-alive: timeout=5",
      "proxy-authenticate: Basic",
      "proxy-connection: close",
      "trailer: x-a",
      "upgrade: h2c",
      "te: trailers",
      "set-cookie: a=b",
      "set-cookie: c=d",
      "alt-svc: h3=\":443\"",
      "strict-transport-security: max-age=1",
      "x-ratelimit-remaining-tokens: 5",
      "x-request-id: é"
    )
    assert.strictEqual(status, 200)
    for (
      const name of [
        "x-private",
        "proxy-authenticate",
        "proxy-connection",
        "trailer",
        "upgrade",
        "te",
        "set-cookie",
        "alt-svc",
        "strict-transport-security"
      ]
    ) {
      assert.isUndefined(headers[name], name)
    }
    assert.strictEqual(headers["x-ratelimit-remaining-tokens"], "5")
  })

  for (const bad of ["x-a: b\rc", "x-a: b\0c", "x-a: b\nx-c : d", "x a: b"]) {
    it(`that are none break its attempt alone: ${JSON.stringify(bad)}`, async () => {
      const { status } = await answered(bad)
      assert.include([502, 503], status)
    })
  }
})

describe("answers without a body", () => {
  it("have none", async () => {
    await using service = await PlainServer.listen((_request, response) => {
      response.writeHead(204, { "x-a": "b" })
      response.end()
    })
    await using gateway = await before(service.url)
    const answer = parsed(
      await (async () => {
        using line = await open(gateway.port)
        line.socket.write("DELETE /v1/files/file-1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        return await line.ended()
      })()
    )
    assert.deepStrictEqual([answer.status, answer.body], [204, ""])
    assert.isUndefined(answer.headers["transfer-encoding"])
    await atRest(gateway)
  })

  it("of HEAD have none, whoever answers", async () => {
    await using service = await PlainServer.listen((_request, response) => PlainServer.json(response, { a: 1 }))
    await using gateway = await before(service.url)
    const answers = ["/v1/models", "/v1/files", "/v1/nothing/../x", "/status", "/healthz"].map(async (path) => {
      using line = await open(gateway.port)
      line.socket.write(`HEAD ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`)
      return parsed(await line.ended()).body
    })
    assert.deepStrictEqual(await Promise.all(answers), ["", "", "", "", ""])
    await atRest(gateway)
  })
})
