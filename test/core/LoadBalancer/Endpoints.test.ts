import { assert, describe, it } from "@effect/vitest"
import { type ConfigInput } from "@evenkeel/core"
import { Effect, Stream } from "effect"
import * as HttpClient from "effect/http/HttpClient"
import {
  answer,
  failure,
  fleet,
  hello,
  overHttp,
  reasonOf,
  run,
  sent,
  service,
  stateOf,
  steady
} from "../../support/Balanced.ts"
import { azure, completion, scripted } from "../../support/Scripted.ts"

const embedder = {
  name: "east",
  deployments: [
    { name: "gpt-4o", latency: steady, reply: () => "I am east." },
    { name: "embed", model: "text-embedding-3-small", dimensions: 8, latency: steady }
  ]
}

const collect = (stream: Stream.Stream<Uint8Array, unknown>) =>
  Effect.map(Stream.runCollect(stream), (chunks) => Buffer.concat(chunks).toString())

const message = (...texts: ReadonlyArray<string>) => ({
  type: "message",
  content: texts.map((text) => ({ type: "output_text", text }))
})

describe("an endpoint that names no model", () => {
  it.effect("uses no deployment's quota, however often it is asked", () =>
    run(fleet([service("east", { rpm: 6 })]), function*(lb) {
      for (let i = 0; i < 20; i++) {
        const { text } = yield* answer(lb.request({ path: "/models" }))
        yield* answer(text)
      }
      assert.deepInclude(yield* stateOf("east"), { utilisation: 0, requests: { used: 0, limit: 6 } })
      yield* answer(lb.chat(hello))
    }))
})

describe("a cookie of a resource", () => {
  it.effect("stays here: no door of the core gives it out", () => {
    const headers = { "set-cookie": "ARRAffinity=secret" }
    const lbs = scripted([azure("east")], () => ({ ...completion, headers }))
    return run(overHttp(lbs), function*(lb) {
      const list = yield* lb.request({ path: "/models" })
      const chat = yield* lb.request({ path: "/chat/completions", body: hello })
      for (const answered of [list, chat]) assert.notProperty(answered.headers, "set-cookie")
      const client = yield* HttpClient.HttpClient
      for (const path of ["/models", "/files"]) {
        const answered = yield* client.get(`https://api.openai.com/v1${path}`)
        assert.notProperty(answered.headers, "set-cookie")
      }
    })
  })
})

describe("LoadBalancer endpoints", () => {
  it.effect("embeddings are balanced, counted, and fail over", () =>
    run(fleet([embedder, { ...embedder, name: "west" }], { tiers: { east: 1, west: 2 } }), function*(lb, two) {
      two.services["east"]!.fault("embed", { kind: "status", status: 500, times: 1 })
      const ask = { model: "text-embedding-3-small", input: ["one", "two"] }
      const first = yield* answer(lb.embeddings(ask))
      assert.deepStrictEqual(first.data.map(({ embedding }) => embedding.length), [8, 8])
      yield* answer(lb.embeddings(ask))
      assert.deepStrictEqual(sent(two), { east: 2, west: 1 })
      assert.strictEqual((yield* stateOf("east/embed")).totals.promptTokens, first.usage.prompt_tokens)
    }))

  it.effect("a chat at the level of HTTP is a chat: balanced, with the deployment's own name", () => {
    const two = fleet([service("east", { name: "east-4o", model: "gpt-4o" }), service("west")], {
      tiers: { east: 1, west: 2 }
    })
    return run(two, function*(lb) {
      const ask = lb.request({ path: "/chat/completions", body: hello })
      const given = yield* answer(ask)
      assert.deepStrictEqual([given.status, given.deployment], [200, "east/east-4o"])
      assert.strictEqual(given.headers["content-type"], "application/json")
      const json: any = yield* given.json
      assert.strictEqual(json.choices[0].message.content, "I am east.")
      assert.deepStrictEqual(JSON.parse(yield* given.text), json)
      assert.strictEqual((yield* stateOf("east")).totals.completionTokens, json.usage.completion_tokens)
      two.services["east"]!.fault("east-4o", { kind: "status", status: 503 })
      assert.strictEqual((yield* answer(ask)).deployment, "west/gpt-4o")
    })
  })

  it.effect("a streamed chat at the level of HTTP gives out the service's bytes, without the usage nobody asked for", () =>
    run(fleet([service("east")]), function*(lb) {
      const { deployment, headers, stream } = yield* answer(
        lb.request({ path: "/chat/completions", body: { ...hello, stream: true } })
      )
      assert.strictEqual(deployment, "east/gpt-4o")
      assert.match(headers["content-type"]!, /^text\/event-stream/)
      assert.isUndefined(headers["content-length"])
      const text = yield* answer(collect(stream))
      const events = text.split("\n\n").filter((event) => event !== "")
      assert.strictEqual(events.at(-1), "data: [DONE]")
      assert.notInclude(text, "prompt_tokens")
      const words = events.slice(0, -1).map((event) => JSON.parse(event.slice(6)).choices[0]?.delta.content ?? "")
      assert.strictEqual(words.join(""), "I am east.")
      assert.deepInclude((yield* stateOf("east")).totals, { succeeded: 1, completionTokens: 3 })
    }))

  it.effect("an endpoint without a model goes to the default resource", () =>
    run(fleet([service("east"), service("west")], { defaultResource: "west" }), function*(lb, two) {
      const { json, status } = yield* answer(lb.request({ path: "/models", query: "limit=5" }))
      assert.strictEqual(status, 200)
      assert.deepInclude(yield* answer(json), { object: "list" })
      assert.deepStrictEqual(two.sends.map(({ request }) => [request.origin, request.method, request.path]), [
        ["https://west.openai.azure.com", "GET", "/openai/v1/models?limit=5"]
      ])
    }))

  it.effect("an endpoint without a model that fails is tried again there, and nowhere else", () =>
    run(fleet([service("east"), service("west")]), function*(lb, two) {
      two.services["east"]!.fault("*", { kind: "status", status: 500, times: 1 })
      yield* answer(lb.request({ path: "/models" }))
      assert.deepStrictEqual(sent(two), { east: 2, west: 0 })
    }))

  it.effect("the classic API is scoped by deployment and dated", () => {
    const config: ConfigInput = {
      resources: [{
        name: "east",
        provider: "azure",
        endpoint: "https://east.openai.azure.com/",
        apiVersion: "2025-03-01-preview",
        apiKey: "east-key",
        deployments: [{ name: "my 4o", model: "gpt-4o" }]
      }]
    }
    const one = fleet([service("east", { name: "my 4o", model: "gpt-4o" })], config)
    return run(one, function*(lb) {
      yield* answer(lb.chat(hello))
      yield* answer(lb.responses({ model: "gpt-4o", input: "Say hello." }))
      assert.deepStrictEqual(one.sends.map(({ request }) => request.path), [
        "/openai/deployments/my%204o/chat/completions?api-version=2025-03-01-preview",
        "/openai/responses?api-version=2025-03-01-preview"
      ])
    })
  })

  it.effect("has the text of a whole response in one, as its type says", () => {
    const output = [{ type: "reasoning", summary: [] }, message("Hel", "lo"), null, message("!")]
    const lbs = scripted([azure("east")], () => ({ status: 200, body: { id: "resp_1", object: "response", output } }))
    return run(lbs, function*(lb) {
      const response = yield* answer(lb.responses({ model: "gpt-4o", input: "Say hello." }))
      assert.strictEqual(response.output_text, "Hello!")
    })
  })

  it.effect.each([
    "https://elsewhere.example/chat/completions",
    "//elsewhere.example/x",
    "/../keys",
    "/a/%2e%2e/keys",
    "/a/%252e%252e/keys",
    "/a%2f..%2fkeys",
    "/a\\..\\keys",
    "/models?api-version=1",
    "/models#x",
    "models",
    "/",
    "",
    "/a//b",
    "/%zz"
  ])("a path that could leave the API's base is refused, and nothing is sent: %s", (path) => {
    const one = fleet([service("east")])
    return run(one, function*(lb) {
      const error = yield* failure(lb.request({ path }))
      assert.strictEqual(reasonOf(error, "Rejected").status, 400)
      assert.strictEqual(one.sends.length, 0)
    })
  })

  it.effect("of a caller's headers only those that may cross the border are sent", () =>
    run(fleet([service("east")]), function*(lb, one) {
      const headers = {
        "Authorization": "Bearer mine",
        "API-Key": "mine",
        "cookie": "a=b",
        "host": "elsewhere.example",
        "accept-encoding": "br",
        "x-stainless-lang": "js",
        "x-session-id": "user-1",
        "OpenAI-Organization": "org-mine",
        "x-custom": "1",
        "TraceParent": "00-1-2-01",
        "idempotency-key": "once",
        "x-ms-client-request-id": "abc"
      }
      yield* answer(lb.chat(hello, { headers }))
      assert.deepStrictEqual(one.sends[0]!.request.headers, {
        "accept": "application/json",
        "api-key": "east-key",
        "content-type": "application/json",
        "idempotency-key": "once",
        "traceparent": "00-1-2-01",
        "user-agent": "evenkeel",
        "x-ms-client-request-id": "abc"
      })
    }))

  it.effect("a header that would begin another one is refused by name, and nothing is sent", () =>
    run(fleet([service("east")]), function*(lb, one) {
      for (const value of ["once\r\nx-evil: 1", "a\u0000", "\u007f", "ключ"]) {
        const error = yield* failure(lb.chat(hello, { headers: { "Idempotency-Key": value } }))
        const { description, status } = reasonOf(error, "Rejected")
        assert.strictEqual(status, 400)
        assert.include(description, "`idempotency-key`")
        assert.notInclude(description, value)
      }
      assert.strictEqual(one.sends.length, 0)
    }))

  it.effect("a model that nobody serves is an error that says which are, and nothing is sent", () =>
    run(fleet([embedder]), function*(lb, one) {
      const error = yield* failure(lb.chat({ ...hello, model: "gpt-fake" }))
      const { known, model } = reasonOf(error, "UnknownModel")
      assert.strictEqual(model, "gpt-fake")
      assert.deepStrictEqual(known, ["gpt-4o", "text-embedding-3-small"])
      assert.include(error.message, "gpt-4o")
      assert.strictEqual(one.sends.length, 0)
    }))
})
