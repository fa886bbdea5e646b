import * as Refusals from "#node/gateway/Refusals"
import { assert, describe, it } from "@effect/vitest"
import { readFile } from "node:fs/promises"
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
import { gated, raw } from "../../support/Gated.ts"
import * as PlainServer from "../../support/PlainServer.ts"
import { pause } from "../../support/Served.ts"

const body = chat()
const length = Buffer.byteLength(body)
const post = "POST /v1/chat/completions HTTP/1.1"
const chunked = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n0\r\n\r\n`
const lines = (...all: ReadonlyArray<string>) => all.join("\r\n")
const json = "content-type: application/json"

/** A chat with these headers, however it says how long it is. */
const framed = (headers: ReadonlyArray<string>, text: string) =>
  lines(post, "host: localhost", json, ...headers, "", text)

/** A request of a line and what it must have. */
const plain = (line: string) => lines(`${line} HTTP/1.1`, "host: localhost", "connection: close", "", "")

/** What is sent, and the status and code that it is answered with where these are not 400 and `malformed_request`. */
const unreadable: Record<string, readonly [text: string, status?: number, code?: string]> = {
  "a length and a transfer encoding": [
    framed([`content-length: ${length}`, "transfer-encoding: chunked"], chunked(body))
  ],
  "a transfer encoding and a length": [
    framed(["transfer-encoding: chunked", `content-length: ${length}`], chunked(body))
  ],
  "two lengths": [framed([`content-length: ${length}`, "content-length: 5"], body)],
  "two equal lengths": [framed([`content-length: ${length}`, `content-length: ${length}`], body)],
  "a list of lengths": [framed([`content-length: ${length}, ${length}`], body)],
  "a length with a sign": [framed([`content-length: +${length}`], body)],
  "a length below zero": [framed(["content-length: -1"], body)],
  "a length beyond all numbers": [framed(["content-length: 99999999999999999999999"], body)],
  "a coding besides chunked": [framed(["transfer-encoding: gzip, chunked"], chunked(body)), 501, "transfer_encoding"],
  "chunked twice": [framed(["transfer-encoding: chunked, chunked"], chunked(body))],
  "chunked in two headers": [framed(["transfer-encoding: chunked", "transfer-encoding: chunked"], chunked(body))],
  "chunked before another coding": [framed(["transfer-encoding: chunked, gzip"], chunked(body))],
  "a coding that is none": [framed(["transfer-encoding: xchunked"], chunked(body)), 501, "transfer_encoding"],
  "chunked behind a vertical tab": [framed(["transfer-encoding: \vchunked"], chunked(body))],
  "a folded header": [framed(["x-a: b", "\tc", `content-length: ${length}`], body)],
  "a folded transfer encoding": [framed(["transfer-encoding:", " chunked"], chunked(body))],
  "a space before the colon": [framed([`content-length : ${length}`], body)],
  "a header without a name": [framed([": x", `content-length: ${length}`], body)],
  "lines that end with LF alone": [[post, "host: localhost", json, `content-length: ${length}`, "", body].join("\n")],
  "a CR within a header": [framed(["x-a: b\rx-c: d", `content-length: ${length}`], body)],
  "a NUL within a header": [framed(["x-a: b\0c", `content-length: ${length}`], body)],
  "a chunk without a size": [framed(["transfer-encoding: chunked"], `zz\r\n${body}\r\n0\r\n\r\n`)],
  "a chunk of endless size": [framed(["transfer-encoding: chunked"], `fffffffffffffffff\r\n${body}\r\n0\r\n\r\n`)],
  "a chunk that is longer than it says": [framed(["transfer-encoding: chunked"], `5\r\n${body}\r\n0\r\n\r\n`)],
  "a chunk size with LF alone": [
    framed(["transfer-encoding: chunked"], `${length.toString(16)}\n${body}\r\n0\r\n\r\n`)
  ],
  "a chunk extension without end": [
    framed(["transfer-encoding: chunked"], `1;${"a".repeat(20_000)}`),
    413,
    "chunk_extensions"
  ],
  "trailers without end": [
    framed(["transfer-encoding: chunked"], `${length.toString(16)}\r\n${body}\r\n0\r\nx-a: ${"a".repeat(20_000)}`),
    431,
    "headers_too_large"
  ],
  "headers that are too large": [
    lines(post, "host: localhost", `x-a: ${"a".repeat(20_000)}`, "", ""),
    431,
    "headers_too_large"
  ],
  "a line that is too long": [
    `GET /v1/${"a".repeat(20_000)} HTTP/1.1\r\nhost: localhost\r\n\r\n`,
    431,
    "headers_too_large"
  ],
  "no method at all": ["\0\0\0\0\0\0\0\0\r\n\r\n"],
  "a method that is none": ["BREW /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"],
  "a method in small letters": ["get /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"],
  "a version that is none": ["GET /v1/models HTTP/3.7\r\nhost: localhost\r\n\r\n"],
  "the preface of HTTP/2": ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  "a handshake of TLS": ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
  "a space within the target": ["GET /v1/models /x HTTP/1.1\r\nhost: localhost\r\n\r\n"],
  "no host": [`${post}\r\n${json}\r\ncontent-length: ${length}\r\n\r\n${body}`],
  "two hosts": [lines(post, "host: localhost", "host: example.com", json, `content-length: ${length}`, "", body)],
  "CONNECT": ["CONNECT example.com:443 HTTP/1.1\r\nhost: localhost\r\n\r\n", 405, "method_not_allowed"],
  "TRACE": [plain("TRACE /v1/models"), 405, "method_not_allowed"],
  "OPTIONS of everything": [plain("OPTIONS *"), 405, "method_not_allowed"],
  "OPTIONS": [plain("OPTIONS /v1/chat/completions"), 405, "method_not_allowed"],
  "PROPFIND": [plain("PROPFIND /v1/files"), 405, "method_not_allowed"],
  "a target in absolute form": [plain("GET http://localhost/v1/files"), 404, "unknown_path"],
  "a target of another host": [plain("GET http://example.com/v1/files"), 404, "unknown_path"],
  "an expectation that is none": [
    framed([`content-length: ${length}`, "expect: the unexpected"], body),
    417,
    "unknown_expectation"
  ],
  "a web socket": [
    lines(
      "GET /v1/realtime?model=gpt-4o HTTP/1.1",
      "host: localhost",
      "connection: upgrade",
      "upgrade: websocket",
      "sec-websocket-version: 13",
      "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
      "",
      ""
    ),
    501,
    "upgrade_not_supported"
  ]
}

describe("what cannot be read in one way only", () => {
  for (const [what, [text, status = 400, code = "malformed_request"]] of Object.entries(unreadable)) {
    it(`is refused: ${what}`, async () => {
      await using gateway = await edge()
      const answer = parsed(await raw(gateway.port, text, 15_000))
      assert.deepStrictEqual([answer.status, errorOf(answer.body).code], [status, code], answer.body)
      assert.strictEqual(sends(gateway), 0, "Nothing reaches a deployment")
      await goesOn(gateway)
      await atRest(gateway)
    })
  }

  it("is never the beginning of another request", async () => {
    await using gateway = await edge()
    const second = written(chat(), { headers: ["x-second: 1"] })
    for (const [what, [text, status = 400]] of Object.entries(unreadable)) {
      if (status !== 400) continue
      const answer = await raw(gateway.port, `${text}${second}`, 15_000)
      assert.strictEqual(answer.match(/HTTP\/1\.1 \d\d\d/g)?.length, 1, `${what}: ${answer}`)
    }
    assert.strictEqual(sends(gateway), 0)
    await atRest(gateway)
  })

  it("is answered 400 in its body as well, and the connection ends", async () => {
    await using gateway = await edge()
    using line = await open(gateway.port)
    line.socket.write(framed(["transfer-encoding: chunked"], "5\r\n{\"a\":\r\n"))
    await until(async () => (await counters(gateway)).connections === 1)
    await pause(50)
    line.socket.write("nonsense")
    const answer = parsed(await line.ended())
    assert.strictEqual(answer.status, 400)
    assert.strictEqual(sends(gateway), 0)
    await atRest(gateway)
  })
})

describe("what is read as it is meant", () => {
  const readable: Record<string, string> = {
    "chunks": framed(["transfer-encoding: chunked"], chunked(body)),
    "chunks with extensions": framed(
      ["transfer-encoding: CHUNKED"],
      `${length.toString(16)};a=b;c="d"\r\n${body}\r\n0\r\n\r\n`
    ),
    "chunks with trailers": framed(
      ["transfer-encoding: chunked", "trailer: x-a"],
      `${length.toString(16)}\r\n${body}\r\n0\r\nx-a: b\r\nauthorization: Bearer x\r\n\r\n`
    ),
    "HTTP/1.0": framed([`content-length: ${length}`], body).replace("HTTP/1.1", "HTTP/1.0"),
    "the offer of h2c, as Java's client makes it": written(body, {
      headers: ["connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAEAAEAAAAIAAAABAAMAAABk"]
    }),
    "the name that is a number": written(body, { line: post }).replace("localhost", "127.0.0.1"),
    "the name with a port": written(body).replace("localhost", "localhost:4000")
  }
  for (const [what, text] of Object.entries(readable)) {
    it(what, async () => {
      await using gateway = await edge()
      const answer = parsed(await raw(gateway.port, text.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"), 15_000))
      assert.strictEqual(answer.status, 200, answer.body)
      assert.strictEqual(sends(gateway), 1)
      await atRest(gateway)
    })
  }

  it("a body that waits to be asked for", async () => {
    await using gateway = await edge()
    using line = await open(gateway.port)
    line.socket.write(written("", { headers: ["expect: 100-continue"] }).replace("length: 0", `length: ${length}`))
    await line.has("HTTP/1.1 100 Continue")
    line.socket.write(body)
    await line.has("HTTP/1.1 200 OK")
  })

  it("a stream over HTTP/1.0, which has no chunks", async () => {
    await using gateway = await edge()
    const text = written(chat({ stream: true }), { line: "POST /v1/chat/completions HTTP/1.0" })
    const answer = parsed(await raw(gateway.port, text, 15_000))
    assert.strictEqual(answer.status, 200)
    assert.isUndefined(answer.headers["transfer-encoding"])
    assert.match(answer.body, /^data: \{.*data: \[DONE\]\n\n$/s)
  })
})

describe("paths", () => {
  for (
    const path of [
      "//v1/models",
      "/v1//models",
      "/v1/./models",
      "/v1/../v1/files",
      "/v1/files/..%2f..%2fsecrets",
      "/v1/files/%2e%2e/secrets",
      "/v1/files/%252e%252e/secrets",
      "/v1/files/a%00b",
      "/v1/files/a%0d%0ab",
      "/v1/files/a%5cb",
      "/v1/files\\a",
      "/v1/files/%zz",
      "/v1/files/%c0%ae",
      "/v1/files/",
      "/v1",
      "/v1/chat/completions/",
      "/v1/chat/completions;x=y/..",
      "/etc/passwd",
      "/openai/deployments/../../x",
      "/openai/deployments/gpt%2f..%2f..%2fx/chat/completions"
    ]
  ) {
    it(`${path} is none`, async () => {
      await using gateway = await edge()
      const answer = parsed(await raw(gateway.port, plain(`GET ${path}`)))
      assert.strictEqual(answer.status, 404, answer.body)
      assert.strictEqual(errorOf(answer.body).code, "unknown_path")
      assert.strictEqual(sends(gateway), 0)
    })
  }

  it("with raw bytes are none", async () => {
    await using gateway = await edge()
    for (const bytes of ["é", "\u0001", "\u007f"]) {
      const text = Buffer.from(plain(`GET /v1/files/${bytes}`), "latin1")
      assert.include([400, 404], parsed(await raw(gateway.port, text, 15_000)).status)
    }
    assert.strictEqual(sends(gateway), 0)
  })
})

describe("bodies", () => {
  const bad: Record<string, readonly [body: string | Buffer, status: number, type?: string, path?: string]> = {
    "nothing": ["", 400],
    "no JSON": ["{\"model\":", 400],
    "no JSON, of an endpoint that is passed on": ["{\"model\":", 400, "application/json", "/v1/completions"],
    "no JSON, said to be something else": ["model=gpt-4o", 400, "application/x-www-form-urlencoded"],
    "no object": ["[]", 400],
    "null": ["null", 400],
    "a text": ["\"gpt-4o\"", 400],
    "no model": ["{\"messages\":[]}", 400],
    "a model that is no text": ["{\"model\":{\"a\":1},\"messages\":[]}", 400],
    "a model of a megabyte": [JSON.stringify({ model: "m".repeat(1_000_000), messages: [] }), 400],
    "an unknown model": [JSON.stringify({ model: "gpt-9", messages: [] }), 404],
    "__proto__": ["{\"__proto__\":{\"model\":\"gpt-4o\"},\"messages\":[]}", 400],
    "UTF-16": [Buffer.from(body, "utf16le"), 400],
    "a nest of lists": ["{\"model\":\"gpt-4o\",\"messages\":" + "[".repeat(100_000) + "]".repeat(100_000) + "}", 400],
    "a nest of lists that does not end": ["[".repeat(5_000_000), 413],
    "more values than anybody means": [`{"model":"gpt-4o","messages":[${"{},".repeat(2_000_000)}{}]}`, 413],
    "more parts than any form has": [
      "--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n1\r\n".repeat(20_000) + "--x--\r\n",
      413,
      "multipart/form-data; boundary=x",
      "/v1/images/edits"
    ]
  }
  for (const [what, [body, status, type = "application/json", path = "/v1/chat/completions"]] of Object.entries(bad)) {
    it(`of ${what} are refused`, async () => {
      await using gateway = await edge()
      const answer = await ask(gateway, { body, path, headers: { "content-type": type } })
      assert.strictEqual(answer.status, status, answer.body.toString().slice(0, 300))
      assert.isBelow(answer.body.length, 2000)
      errorOf(answer.body.toString())
      assert.strictEqual(answer.headers["x-should-retry"], "false")
      assert.strictEqual(sends(gateway), 0)
      await goesOn(gateway)
      await atRest(gateway)
    })
  }

  it("that are missing are refused", async () => {
    await using gateway = await edge()
    const text = framed(["connection: close"], "")
    assert.strictEqual(parsed(await raw(gateway.port, text, 15_000)).status, 400)
    assert.strictEqual(sends(gateway), 0)
  })

  it("may have long texts with brackets and commas in them", async () => {
    await using gateway = await edge()
    const content = "[{,\\\"".repeat(500_000)
    const answer = await ask(gateway, {
      body: chat({ messages: [{ role: "user", content }] }),
      headers: { "content-type": "application/json" }
    })
    assert.strictEqual(errorOf(answer.body.toString()).code, "context_length_exceeded")
    assert.strictEqual(sends(gateway), 1)
  })

  it("that are compressed are refused, bombs among them", async () => {
    await using gateway = await edge()
    for (const encoding of ["gzip", "br", "zstd", "deflate", "identity, gzip", "x"]) {
      const answer = await ask(gateway, { body: Buffer.alloc(100_000), headers: { "content-encoding": encoding } })
      assert.deepStrictEqual([answer.status, errorOf(answer.body.toString()).code], [415, "content_encoding"])
    }
    assert.strictEqual(sends(gateway), 0)
    await goesOn(gateway)
    await atRest(gateway)
  })

  it("with __proto__ change nothing", async () => {
    await using gateway = await edge()
    const text = `{"__proto__":{"stream":true,"polluted":1},"constructor":{"prototype":{"polluted":1}},${body.slice(1)}`
    const answer = await ask(gateway, { body: text, headers: { "content-type": "application/json" } })
    assert.strictEqual(answer.status, 200)
    assert.isUndefined(({} as { readonly polluted?: unknown }).polluted)
  })
})

describe("headers of a client", () => {
  it("hidden behind 2,000 others are seen", async () => {
    await using gateway = await edge()
    const many = Array.from({ length: 2500 }, () => "a:").join("\r\n")
    const text = framed([many, "connection: close", "content-encoding: gzip", `content-length: ${length}`], body)
    assert.strictEqual(parsed(await raw(gateway.port, text, 15_000)).status, 415)
    assert.strictEqual(sends(gateway), 0)
  })

  it("that cannot be sent on are refused", async () => {
    await using gateway = await edge()
    const text = Buffer.from(written(body, { headers: ["traceparent: a\u0001b", "connection: close"] }), "latin1")
    const answer = parsed(await raw(gateway.port, text, 15_000))
    assert.strictEqual(answer.status, 400)
    assert.strictEqual(sends(gateway), 0)
  })
})

describe("names that a client makes up", () => {
  it("get into no header and no path as anything else", async () => {
    await using service = await PlainServer.listen((_request, response) =>
      PlainServer.json(response, { id: "c", choices: [{ message: { content: "a" }, finish_reason: "stop" }] })
    )
    await using gateway = await gated([{ name: "unused", deployments: [{ name: "gpt", model: "gpt-4o" }] }], {
      resources: [{
        name: "plain",
        provider: "compatible",
        endpoint: `${service.url}/v1`,
        deployments: [{ name: "*" }]
      }],
      health: { check: { kind: "none" } }
    })
    for (const model of ["a\r\nx-injected: 1", "a\nERROR all is lost", "a\0b", "a\u001b[2J"]) {
      const answer = await ask(gateway, { body: chat({ model }), headers: { "content-type": "application/json" } })
      assert.strictEqual(answer.status, 400, model)
    }
    const models = ["../../etc", "a b", "a?b#c", "日本", "\ud800", "__proto__"]
    for (const model of models) {
      const answer = await ask(gateway, { body: chat({ model }), headers: { "content-type": "application/json" } })
      assert.strictEqual(answer.status, 200, model)
    }
    assert.deepStrictEqual(service.received.map(({ url }) => url), models.map(() => "/v1/chat/completions"))
    await atRest(gateway)
  })
})

describe("the operator's pages", () => {
  it("take no other method", async () => {
    await using gateway = await edge()
    for (const path of ["/status", "/metrics", "/decisions", "/healthz", "/readyz", "/explain"]) {
      const answer = await ask(gateway, { path, method: "DELETE" })
      assert.strictEqual(answer.status, 405, path)
      assert.include(answer.headers.allow, "GET")
    }
  })

  const parameters: Record<string, string> = {
    "nothing": "",
    "null": "null",
    "a number": "1",
    "a list": "[]",
    "no JSON": "{",
    "a nest": `{"model":"gpt-4o","input":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    "no model": "{\"messages\":[]}",
    "a model that is none": "{\"model\":{}}",
    "a model of half a megabyte": JSON.stringify({ model: "m".repeat(500_000) })
  }
  for (const [what, body] of Object.entries(parameters)) {
    it(`explain no request of ${what}`, async () => {
      await using gateway = await edge()
      const answer = await ask(gateway, { path: "/explain", body, headers: { "content-type": "application/json" } })
      assert.include([400, 404], answer.status)
      assert.isBelow(answer.body.length, 2000)
      await goesOn(gateway)
    })
  }

  it("explain no request that is too large", async () => {
    await using gateway = await edge()
    const answer = await ask(gateway, { path: "/explain", body: " ".repeat(2_000_000), method: "POST" })
    assert.strictEqual(answer.status, 413)
    await goesOn(gateway)
  })
})

describe("docs/gateway.md", () => {
  it("lists every refusal of the gateway's own", async () => {
    const page = await readFile(new URL("../../../docs/gateway.md", import.meta.url), "utf8")
    const rows = [...page.matchAll(/^\| (\d{3}) +\| `(\w+)`/gm)].map(([, status, code]) => `${status} ${code}`)
    const all = [
      ...Object.values(Refusals).filter((value) => typeof value === "object"),
      ...["HPE_HEADER_OVERFLOW", "HPE_CHUNK_EXTENSIONS_OVERFLOW", "ERR_HTTP_REQUEST_TIMEOUT", ""].map(
        Refusals.unreadable
      ),
      Refusals.wrongModel("m"),
      Refusals.tooLarge(1),
      Refusals.throttled("tokens", 1)
    ].map(({ code, status }) => `${status} ${code}`)
    // what the balancer says of what it cannot read
    assert.deepStrictEqual(rows.toSorted(), [...new Set(all), "400 invalid_request"].toSorted())
  })
})
