import { Gateway } from "#node/gateway/Gateway"
import { layerDecoded } from "#node/LoadBalancerLive"
import { assert, describe, it } from "@effect/vitest"
import { decodeConfig, Selector } from "@evenkeel/core"
import { Context, Effect, Exit, Layer, Logger, Result, Scope } from "effect"
import {
  ask,
  atRest,
  chat,
  counters,
  edge,
  errorOf,
  goesOn,
  keyed,
  open,
  parsed,
  sends,
  until,
  written
} from "../../support/Edge.ts"
import { raw } from "../../support/Gated.ts"
import * as PlainServer from "../../support/PlainServer.ts"
import { pause, slow } from "../../support/Served.ts"

const json = { "content-type": "application/json" }
const messages = [{ role: "user" as const, content: "Hello" }]
const keys = [keyed("a"), keyed("b", { models: ["gpt-4o"] }), keyed("op", { operator: true })]
const operator = "secret-of-op"

describe("a key", () => {
  const wrong: Record<string, ReadonlyArray<string>> = {
    "none": [],
    "another": ["authorization: Bearer secret-of-z"],
    "half of one": ["authorization: Bearer secret-of-"],
    "one and something more": ["authorization: Bearer secret-of-a x"],
    "two": ["authorization: Bearer secret-of-a", "authorization: Bearer secret-of-a"],
    "two that differ": ["authorization: Bearer secret-of-z", "authorization: Bearer secret-of-a"],
    "two as api-key": ["api-key: secret-of-a", "api-key: secret-of-a"],
    "as Basic": [`authorization: Basic ${Buffer.from("a:secret-of-a").toString("base64")}`],
    "as a cookie": ["cookie: api-key=secret-of-a"],
    "empty": ["authorization: Bearer ", "api-key: "],
    "of 15 kB": [`authorization: Bearer ${"x".repeat(15_000)}`],
    "that is its hash": [`authorization: Bearer ${keys[0]!.sha256}`]
  }
  for (const [what, headers] of Object.entries(wrong)) {
    it(`that is wrong opens nothing, and is not repeated: ${what}`, async () => {
      await using gateway = await edge({ keys })
      const text = written(chat(), { headers: [...headers, "connection: close"] })
      const answer = parsed(await raw(gateway.port, text, 15_000))
      assert.deepStrictEqual([answer.status, errorOf(answer.body).code], [401, "invalid_api_key"])
      assert.notInclude(answer.body, "secret-of")
      assert.strictEqual(sends(gateway), 0)
      await atRest(gateway, operator)
    })
  }

  it("in a URL opens nothing, and is sent nowhere", async () => {
    await using service = await PlainServer.listen((_request, response) => PlainServer.json(response, { data: [] }))
    const resources = [{
      name: "plain",
      provider: "compatible" as const,
      endpoint: `${service.url}/v1`,
      deployments: [{ name: "gpt-4o" }]
    }]
    await using gateway = await edge({ keys }, {}, { resources })
    for (const name of ["api-key", "api_key", "key", "Api-Key", "access_token", "subscription-key"]) {
      const path = `/v1/files?limit=1&${name}=secret-of-a`
      assert.strictEqual((await ask(gateway, { path })).status, 401, name)
      await ask(gateway, { path, headers: { "api-key": "secret-of-a" } })
    }
    for (const { url } of service.received) assert.notInclude(url, "secret-of-a")
  })

  it("and whatever else a client says of itself stays at the gateway", async () => {
    await using service = await PlainServer.listen((_request, response) => PlainServer.json(response, { data: [] }))
    const resources = [{
      name: "plain",
      provider: "compatible" as const,
      apiKey: "key-of-plain",
      endpoint: `${service.url}/v1`,
      deployments: [{ name: "gpt-4o" }]
    }]
    await using gateway = await edge({ keys }, {}, { resources, failover: { attempts: 1 } })
    const theirs = {
      authorization: "Bearer secret-of-a",
      "api-key": "secret-of-b",
      cookie: "a=b",
      host: "example.com",
      "x-forwarded-for": "1.2.3.4",
      forwarded: "for=1.2.3.4",
      "proxy-authorization": "Basic x",
      "x-stainless-lang": "js",
      "x-session-id": "s",
      "x-custom": "c",
      "accept-encoding": "gzip",
      te: "trailers",
      "user-agent": "curl",
      "openai-beta": "assistants=v2"
    }
    await ask(gateway, { body: chat(), headers: { ...json, ...theirs } })
    const [{ headers }] = service.received as [PlainServer.Received]
    assert.strictEqual(headers.authorization, "Bearer key-of-plain")
    assert.strictEqual(headers["openai-beta"], "assistants=v2")
    assert.strictEqual(headers["user-agent"], "evenkeel")
    assert.strictEqual(headers.host, new URL(service.url).host)
    assert.strictEqual(headers["accept-encoding"], "identity")
    for (
      const name of [
        "api-key",
        "cookie",
        "x-forwarded-for",
        "forwarded",
        "proxy-authorization",
        "x-stainless-lang",
        "x-session-id",
        "x-custom",
        "te"
      ]
    ) {
      assert.isUndefined(headers[name], name)
    }
  })

  it("is guessed by nobody, and guessing holds up nobody", async () => {
    await using gateway = await edge({ keys })
    using line = await open(gateway.port)
    for (let i = 0; i < 500; i++) {
      line.socket.write(`GET /v1/models HTTP/1.1\r\nhost: localhost\r\napi-key: guess-${i}\r\n\r\n`)
    }
    await goesOn(gateway, "secret-of-a")
    const count = () => line.text().match(/HTTP\/1\.1 401/g)?.length ?? 0
    await until(() => count() === 500)
    line.socket.destroy()
    await atRest(gateway, operator)
  })

  it("is in no page and no error", async () => {
    const shown: Array<unknown> = []
    await using gateway = await edge({ keys })
    gateway.simulator.service("east").fault("*", { kind: "status", status: 401, times: 3 })
    for (const key of ["secret-of-a", "secret-of-b", operator, "secret-of-z"]) {
      const answer = await ask(gateway, { body: chat(), headers: { ...json, authorization: `Bearer ${key}` } })
      shown.push(answer.headers, answer.body.toString())
    }
    for (const path of ["/status", "/metrics", "/decisions", "/explain?model=gpt-4o", "/readyz", "/v1/models"]) {
      const answer = await ask(gateway, { path, headers: { "api-key": operator } })
      assert.strictEqual(answer.status, 200, path)
      shown.push(answer.headers, answer.body.toString())
    }
    const text = JSON.stringify(shown)
    assert.notInclude(text, "secret-of-")
    assert.notInclude(text, "key-of-east")
    for (const { sha256 } of keys) assert.notInclude(text, sha256)
  })
})

/** A form that names these models. */
const form = (...names: ReadonlyArray<string>): string =>
  names.map((name) => `--x\r\ncontent-disposition: form-data; name="model"\r\n\r\n${name}\r\n`).join("") + "--x--\r\n"

describe("a key for some models", () => {
  it("opens no other, whatever form the request has", async () => {
    await using gateway = await edge({ keys }, {}, {})
    const headers = { "api-key": "secret-of-b" }
    const multipart = "multipart/form-data; boundary=x"
    const refused: ReadonlyArray<readonly [path: string, body: string, type?: string]> = [
      ["/v1/chat/completions", JSON.stringify({ model: "other", messages })],
      ["/v1/chat/completions", `{"model":"gpt-4o","model":"other","messages":[]}`],
      ["/openai/deployments/other/chat/completions", chat()],
      ["/v1/audio/transcriptions", form("other"), multipart],
      ["/v1/files", form(), multipart],
      ["/v1/completions", chat(), "text/plain"],
      ["/v1/batches", "{}"]
    ]
    for (const [path, body, type = "application/json"] of refused) {
      const answer = await ask(gateway, { path, body, headers: { ...headers, "content-type": type } })
      assert.strictEqual(answer.status, 403, `${path} ${body}: ${answer.body.toString()}`)
    }
    for (const names of [["other", "gpt-4o"], ["gpt-4o", "other"]]) {
      const body = form(...names)
      const answer = await ask(gateway, {
        path: "/v1/audio/transcriptions",
        body,
        headers: { ...headers, "content-type": multipart }
      })
      assert.strictEqual(answer.status, 400)
    }
    assert.strictEqual(sends(gateway), 0)
    await goesOn(gateway, "secret-of-b")
  })
})

describe("where no key is asked for", () => {
  const foreign: Record<string, ReadonlyArray<string>> = {
    "a name that was made to mean this machine": ["host: evil.example"],
    "a name that begins like this machine's": ["host: localhost.evil.example"],
    "a name that begins like its address": ["host: 127.0.0.1.evil.example:4000"],
    "a name behind a user": ["host: localhost@evil.example"],
    "a page of another site": ["host: localhost", "origin: https://evil.example"],
    "a page of another port": ["host: localhost:4000", "origin: http://localhost:5000"],
    "a page without an origin": ["host: localhost", "origin: null"],
    "a file": ["host: localhost", "origin: file://"],
    "no host at all": []
  }
  for (const [what, headers] of Object.entries(foreign)) {
    it(`a browser's request is refused: ${what}`, async () => {
      const operatorPort = { operator: { port: 0 } }
      await using one = await edge()
      // the operators' own port asks for none, whatever the other does
      await using two = await edge({ keys, ...operatorPort })
      const version = headers.length === 0 ? "1.0" : "1.1"
      const all = (line: string) => [`${line} HTTP/${version}`, ...headers, "connection: close", "", ""].join("\r\n")
      for (const line of ["GET /status", "GET /v1/files", "GET /healthz", "POST /v1/chat/completions"]) {
        const answer = parsed(await raw(one.port, all(line), 15_000))
        assert.deepStrictEqual([answer.status, errorOf(answer.body).code], [403, "foreign_origin"], line)
      }
      const operatorUrl = new URL(two.gateway.operatorUrl)
      const answer = parsed(await raw(Number(operatorUrl.port), all("GET /status"), 15_000))
      assert.deepStrictEqual([answer.status, errorOf(answer.body).code], [403, "foreign_origin"])
      assert.strictEqual(sends(one), 0)
      await goesOn(one)
    })
  }

  it("the gateway's own page is served, and programs are", async () => {
    await using gateway = await edge()
    const origin = gateway.url
    assert.strictEqual((await ask(gateway, { path: "/status", headers: { origin } })).status, 200)
    assert.strictEqual((await ask(gateway, { path: "/status" })).status, 200)
  })

  it("a gateway that others reach lets in nobody, should its keys be taken away", async () => {
    await using gateway = await edge({ host: "0.0.0.0", keys })
    await goesOn(gateway, "secret-of-a")
    gateway.gateway.configure({ ...gateway.settings.gateway, host: "127.0.0.1", keys: [] })
    assert.strictEqual((await ask(gateway, { body: chat(), headers: json })).status, 401)
    assert.strictEqual((await ask(gateway, { path: "/status" })).status, 401)
    assert.strictEqual((await ask(gateway, { path: "/healthz" })).status, 200)
  })

  it("and a page of another site is refused even where it listens does not change at once", async () => {
    await using gateway = await edge()
    gateway.gateway.configure({ ...gateway.settings.gateway, host: "0.0.0.0" })
    assert.strictEqual((await ask(gateway, { path: "/status", headers: { host: "evil.example" } })).status, 403)
  })
})

const limited = (more: object) => ({ keys: [keyed("a", more), keyed("op", { operator: true })] })

describe("limits of a key", () => {
  it("of streams hold until one ends, however it does", async () => {
    await using gateway = await edge(limited({ streams: 2 }), {
      latency: { ...slow, perOutputTokenMs: 300 },
      reply: () => "word ".repeat(100)
    })
    const ends = [
      (client: Awaited<ReturnType<typeof open>>) => client.socket.destroy(),
      (client: Awaited<ReturnType<typeof open>>) => client.socket.resetAndDestroy()
    ]
    for (const end of ends) {
      const headers = ["api-key: secret-of-a"]
      const lines = await Promise.all([open(gateway.port), open(gateway.port)])
      for (const { socket } of lines) socket.write(written(chat({ stream: true }), { headers }))
      await Promise.all(lines.map((line) => line.has("data: ")))
      const third = ask(gateway, { body: chat({ stream: true }), headers: { ...json, "api-key": "secret-of-a" } })
      const answer = await third
      assert.deepStrictEqual([answer.status, answer.headers["retry-after"]], [429, "1"])
      assert.strictEqual((await counters(gateway, operator)).streams, 2)
      lines.forEach(end)
      await atRest(gateway, operator)
    }
  })

  it("of tokens say when to come back, and of more than there ever is that it never helps", async () => {
    await using gateway = await edge(limited({ tpm: 1000 }))
    const headers = { ...json, "api-key": "secret-of-a" }
    const large = await ask(gateway, { body: chat({ max_tokens: 2000 }), headers })
    assert.deepStrictEqual([large.status, large.headers["x-should-retry"]], [429, "false"])
    assert.isUndefined(large.headers["retry-after"])
    assert.strictEqual((await ask(gateway, { body: chat({ max_tokens: 900 }), headers })).status, 200)
    // what was reserved too much came back
    assert.strictEqual((await ask(gateway, { body: chat({ max_tokens: 900 }), headers })).status, 200)
    const { body } = await ask(gateway, { path: "/status", headers: { "api-key": operator } })
    const used = JSON.parse(body.toString()).gateway.keys[0].tokens.used
    assert.isAbove(used, 0)
    assert.isBelow(used, 200)
  })

  it("are settled once each, in every interleaving", async () => {
    const more = { latency: { ...slow, baseMs: 10, perOutputTokenMs: 3 }, reply: () => "word ".repeat(20) }
    await using gateway = await edge(limited({ tpm: 1_000_000, rpm: 10_000, streams: 1000 }), more, {
      failover: { attempts: 2, maxWait: 100 }
    })
    const service = gateway.simulator.service("east")
    service.fault("*", { kind: "status", status: 500, probability: 0.1 })
    service.fault("*", { kind: "cut", afterEvents: 5, ending: "reset", probability: 0.1 })
    service.fault("*", { kind: "errorInStream", afterEvents: 4, probability: 0.1 })
    service.fault("*", { kind: "reset", probability: 0.05 })
    service.fault("*", { kind: "throttle", retryAfterMs: 20, probability: 0.05 })
    let seed = 1
    const random = () => (seed = seed * 48_271 % 2_147_483_647) / 2_147_483_647
    const one = async (stream: boolean, wait: number | undefined) => {
      using line = await open(gateway.port)
      line.socket.write(written(chat({ stream }), { headers: ["api-key: secret-of-a", "connection: close"] }))
      if (wait === undefined) return await line.ended()
      await pause(wait)
      return random() < 0.5 ? line.socket.destroy() : line.socket.resetAndDestroy()
    }
    for (let round = 0; round < 4; round++) {
      await Promise.all(
        Array.from({ length: 40 }, () => one(random() < 0.6, random() < 0.6 ? random() * 100 : undefined))
      )
    }
    await atRest(gateway, operator)
    const { body } = await ask(gateway, { path: "/status", headers: { "api-key": operator } })
    const [{ requests, streams, tokens }] = JSON.parse(body.toString()).gateway.keys
    assert.strictEqual(streams, 0)
    assert.isAtMost(requests.used, 160)
    assert.isAbove(requests.used, 0)
    assert.isAtLeast(tokens.used, 0)
  })
})

describe("what a client may name without end", () => {
  it("models of a wildcard leave no more behind than a hundred", async () => {
    await using service = await PlainServer.listen((_request, response) =>
      PlainServer.json(response, { error: { message: "No such model", code: "model_not_found", type: "t" } }, 404)
    )
    const resources = [{
      name: "plain",
      provider: "compatible" as const,
      endpoint: `${service.url}/v1`,
      deployments: [{ name: "*" }]
    }]
    await using gateway = await edge({ keys: [keyed("a", { tpm: 1e9 }), keyed("op", { operator: true })] }, {}, {
      resources
    })
    using line = await open(gateway.port)
    const models = Array.from({ length: 150 }, (_, i) => `${"m".repeat(200)}-${i}`)
    for (const model of models) line.socket.write(written(chat({ model }), { headers: ["api-key: secret-of-a"] }))
    await until(() => (line.text().match(/HTTP\/1\.1 404/g)?.length ?? 0) === models.length)
    line.socket.destroy()
    await atRest(gateway, operator)
    await ask(gateway, { body: chat({ model: "another" }), headers: { ...json, "api-key": "secret-of-a" } })
    const { body } = await ask(gateway, { path: "/status", headers: { "api-key": operator } })
    const { deployments, models: known } = JSON.parse(body.toString())
    assert.isAtMost(deployments.length, 101)
    assert.isAtMost(known.length, 101)
  })

  it("sessions of any length are served", async () => {
    await using gateway = await edge()
    const headers = { ...json, "x-session-id": "s".repeat(15_000) }
    assert.strictEqual((await ask(gateway, { body: chat(), headers })).status, 200)
    const body = chat({ prompt_cache_key: "k".repeat(1_000_000) })
    await ask(gateway, { body, headers: json })
    assert.strictEqual(sends(gateway), 2)
    await atRest(gateway)
  })
})

describe("a policy that throws", () => {
  it("fails its own request, is told of, and ends nothing else", async () => {
    const logged: Array<string> = []
    const logger = Logger.make(({ message }) => {
      logged.push(JSON.stringify(message))
    })
    let throws = true
    const selector = Selector.layer((candidates) => {
      if (throws) throw new Error("out of its mind")
      return candidates[0]!
    })
    await using service = await PlainServer.listen((_request, response) =>
      PlainServer.json(response, { id: "c", choices: [{ message: { content: "a" }, finish_reason: "stop" }] })
    )
    const settings = Result.getOrThrow(decodeConfig({
      resources: [{
        name: "plain",
        provider: "compatible",
        endpoint: `${service.url}/v1`,
        deployments: [{ name: "gpt-4o" }]
      }],
      health: { check: { kind: "none" } },
      gateway: { port: 0 }
    }))
    const scope = Effect.runSync(Scope.make())
    const layer = Gateway.layer(settings.gateway).pipe(
      Layer.provideMerge(layerDecoded(settings, { selector })),
      Layer.provideMerge(Logger.layer([logger]))
    )
    const { url } = Context.get(await Effect.runPromise(Layer.buildWithScope(layer, scope)), Gateway)
    const gateway = { port: Number(new URL(url).port) }
    try {
      for (const stream of [true, false]) {
        const answer = await ask(gateway, { body: chat({ stream }), headers: json })
        assert.deepStrictEqual([answer.status, errorOf(answer.body.toString()).code], [500, "gateway_error"])
      }
      assert.strictEqual((await ask(gateway, { path: "/explain?model=gpt-4o" })).status, 500)
      assert.lengthOf(service.received, 0)
      assert.isAtLeast(logged.filter((line) => line.includes("The gateway failed")).length, 2)
      throws = false
      assert.strictEqual((await ask(gateway, { body: chat(), headers: json })).status, 200)
      const { body } = await ask(gateway, { path: "/status" })
      assert.strictEqual(JSON.parse(body.toString()).gateway.requests, 0)
    } finally {
      await Effect.runPromise(Scope.close(scope, Exit.void))
    }
  })
})
