import * as Config from "#core/config/Config"
import * as SeededRandom from "#core/simulation/SeededRandom"
import * as SimulatedService from "#core/simulation/SimulatedService"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { ask, events, hello, json, makeService, open, steady, textOf } from "./ask.ts"

const classic = "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"

const decoded = (service: SimulatedService.SimulatedService, apiVersion?: string) => {
  const result = Config.decode({ resources: [service.config({ apiVersion })] })
  return Result.isSuccess(result) ? result.success.resources[0] : assert.fail(JSON.stringify(result.failure))
}

describe("protocols", () => {
  it("answers Azure v1 by api-key and by Bearer, with the model rather than the deployment", () => {
    const service = makeService()
    for (const headers of [{ "api-key": "east-key" }, { authorization: "Bearer east-key" }]) {
      const answer = ask(service, { headers })
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(json(answer).model, "gpt-4o")
      assert.deepInclude(answer.headers, { "x-ms-region": "East US", "x-ms-deployment-name": "gpt" })
      assert.isDefined(answer.headers["apim-request-id"])
    }
  })

  it("answers the classic API by api-key or a token, not by a key as a token", () => {
    const service = makeService({ bearerTokens: ["jwt"] })
    const body = { messages: hello }
    assert.strictEqual(ask(service, { path: classic, body }).status, 200)
    assert.strictEqual(ask(service, { path: classic, body, headers: { authorization: "Bearer jwt" } }).status, 200)
    assert.strictEqual(ask(service, { path: classic, body, headers: { authorization: "Bearer east-key" } }).status, 401)
  })

  it("answers OpenAI by Bearer, and finds models", () => {
    const service = makeService({ name: "oai", provider: "openai" })
    const answer = ask(service, { body: { model: "gpt-4o", messages: hello } })
    assert.strictEqual(answer.status, 200)
    assert.notProperty(json(answer), "prompt_filter_results")
    assert.isDefined(answer.headers["x-request-id"])
    assert.notProperty(answer.headers, "x-ms-region")
    assert.strictEqual(ask(service, { headers: { "api-key": "oai-key" } }).status, 401)
    const unknown = ask(service, { body: { model: "gpt-9", messages: hello } })
    assert.strictEqual(unknown.status, 404)
    assert.strictEqual(json(unknown).error.code, "model_not_found")
  })

  it.each([
    ["a wrong path", "/openai/v1/nothing"],
    ["another provider's path", "/v1/chat/completions"],
    ["a classic path without a version", "/openai/deployments/gpt/chat/completions"],
    ["a classic path with a bad version", "/openai/deployments/gpt/chat/completions?api-version=latest"],
    ["chat without a deployment", "/openai/chat/completions?api-version=2024-10-21"]
  ])("answers 404 for %s", (_, path) => {
    const answer = ask(makeService(), { path })
    assert.strictEqual(answer.status, 404)
    assert.deepStrictEqual(json(answer), { error: { code: "404", message: "Resource not found" } })
  })

  it("answers 404 DeploymentNotFound for a deployment that it does not have", () => {
    for (
      const asked of [
        { body: { model: "gpt-4o", messages: hello } },
        { path: "/openai/deployments/nope/chat/completions?api-version=2024-10-21" }
      ]
    ) {
      const answer = ask(makeService(), asked)
      assert.strictEqual(answer.status, 404)
      assert.strictEqual(json(answer).error.code, "DeploymentNotFound")
    }
  })

  it("answers 401 with the documented bodies, and takes new credentials", () => {
    const service = makeService()
    const byKey = ask(service, { headers: { "api-key": "nope" } })
    assert.strictEqual(byKey.status, 401)
    assert.match(json(byKey).error.message, /invalid subscription key/)
    assert.match(json(ask(service, { headers: { authorization: "Bearer nope" } })).error.message, /Access token/)
    assert.match(json(ask(service, { headers: {} })).error.message, /Access token/)
    service.setCredentials({ apiKey: "new" })
    assert.strictEqual(ask(service, { headers: { "api-key": "east-key" } }).status, 401)
    assert.strictEqual(ask(service, { headers: { "api-key": "new" } }).status, 200)
    assert.strictEqual(service.stats(0).unauthorized, 4)
  })

  it("records every credential that it was sent", () => {
    const service = makeService()
    ask(service)
    ask(service, { headers: { "api-key": "west-key", authorization: "Bearer other" } })
    assert.deepStrictEqual(service.stats(0).credentials, ["east-key", "west-key", "Bearer other"])
  })

  it("answers 431 to more than ten custom headers", () => {
    const headers: Record<string, string> = { "api-key": "east-key" }
    for (let i = 0; i < 10; i++) headers[`x-custom-${i}`] = ""
    assert.strictEqual(ask(makeService(), { headers }).status, 200)
    assert.strictEqual(ask(makeService(), { headers: { ...headers, "x-one-more": "" } }).status, 431)
    assert.strictEqual(ask(makeService(), { headers: { ...headers, "x-ms-more": "" } }).status, 200)
  })

  it("lists models", () => {
    const service = makeService()
    for (const path of ["/openai/v1/models", "/openai/models?api-version=2024-10-21"]) {
      const answer = ask(service, { method: "GET", path, body: "" })
      assert.deepStrictEqual(json(answer).data.map((model: any) => model.id), ["gpt-4o"])
    }
    assert.strictEqual(ask(service, { method: "GET", path: "/openai/v1/models/gpt-4o", body: "" }).status, 200)
    assert.strictEqual(ask(service, { method: "GET", path: "/openai/v1/models/nope", body: "" }).status, 404)
  })

  it("says how a client is configured for it", () => {
    const azure = decoded(makeService({}, { tpm: 5_000, provisioned: true }), "2024-10-21")
    assert.deepInclude(azure, { endpoint: "https://east.openai.azure.com", apiVersion: "2024-10-21" })
    assert.deepInclude(azure?.deployments[0], { name: "gpt", model: "gpt-4o", tpm: 5_000, provisioned: true })
    assert.strictEqual(decoded(makeService({ provider: "openai" }))?.endpoint, "https://api.openai.com/v1")
  })

  it("refuses two deployments of one name", () => {
    assert.throws(() => SimulatedService.make({ name: "a", deployments: [{ name: "x" }, { name: "x" }] }), RangeError)
  })
})

describe("parameter checks", () => {
  const service = makeService()
  it.each([
    ["bad JSON", "{", null],
    ["no object", "[]", null],
    ["no messages", { model: "gpt" }, "messages"],
    ["empty messages", { model: "gpt", messages: [] }, "messages"],
    ["a message without role", { model: "gpt", messages: [{ content: "x" }] }, "messages[0].role"],
    ["a bad content", { model: "gpt", messages: [{ role: "user", content: 3 }] }, "messages[0].content"],
    ["max_tokens 0", { model: "gpt", messages: hello, max_tokens: 0 }, "max_tokens"],
    ["a negative limit", { model: "gpt", messages: hello, max_completion_tokens: -1 }, "max_completion_tokens"],
    ["a bad n", { model: "gpt", messages: hello, n: 0 }, "n"],
    ["a bad temperature", { model: "gpt", messages: hello, temperature: 3 }, "temperature"],
    ["a long user", { model: "gpt", messages: hello, user: "u".repeat(65) }, "user"],
    ["a long cache key", { model: "gpt", messages: hello, prompt_cache_key: "k".repeat(65) }, "prompt_cache_key"],
    [
      "a long safety_identifier",
      { model: "gpt", messages: hello, safety_identifier: "s".repeat(65) },
      "safety_identifier"
    ]
  ])("answers 400 for %s", (_, body, param) => {
    const answer = ask(service, { body })
    assert.strictEqual(answer.status, 400)
    assert.strictEqual(json(answer).error.type, "invalid_request_error")
    assert.strictEqual(json(answer).error.param, param)
  })

  it("says of a string that is too long how long it may be", () => {
    const { error } = json(ask(service, { body: { model: "gpt", messages: hello, user: "u".repeat(80) } }))
    assert.strictEqual(error.code, "string_above_max_length")
    assert.match(error.message, /maximum length 64, but got a string with length 80/)
    assert.strictEqual(ask(service, { body: { model: "gpt", messages: hello, user: "u".repeat(64) } }).status, 200)
  })

  it("takes null, parts and tool calls as content", () => {
    const messages = [
      { role: "user", content: [{ type: "text", text: "abcd" }, { type: "image_url", image_url: { url: "data:" } }] },
      { role: "assistant", content: null, tool_calls: [] },
      { role: "tool", tool_call_id: "x", content: "abcd" }
    ]
    const answer = ask(makeService(), { body: { model: "gpt", messages } })
    assert.strictEqual(answer.status, 200)
    assert.isAbove(json(answer).usage.prompt_tokens, 85)
  })

  it("refuses max_tokens for a reasoning model", () => {
    const service = makeService({}, { reasoningTokens: 50 })
    assert.strictEqual(
      json(ask(service, { body: { model: "gpt", messages: hello, max_tokens: 9 } })).error.code,
      "unsupported_parameter"
    )
    const answer = json(ask(service, { body: { model: "gpt", messages: hello, max_completion_tokens: 2_000 } }))
    assert.isAbove(answer.usage.completion_tokens_details.reasoning_tokens, 0)
  })

  it("answers 400 when the context is too short", () => {
    const service = makeService({}, { contextTokens: 1_000 })
    const long = [{ role: "user", content: "x".repeat(4_004) }]
    assert.strictEqual(
      json(ask(service, { body: { model: "gpt", messages: long } })).error.code,
      "context_length_exceeded"
    )
    const asked = ask(service, { body: { model: "gpt", messages: hello, max_tokens: 1_000 } })
    assert.strictEqual(asked.status, 400)
    assert.strictEqual(service.stats(0).deployments["gpt"]?.chargedTokens, 1_001 + 16 + 5 + 1_000)
  })

  it("answers 400 for a blocked prompt, and bills it", () => {
    const service = makeService()
    const answer = ask(service, { body: { model: "gpt", messages: [{ role: "user", content: "[blocked prompt]" }] } })
    assert.strictEqual(answer.status, 400)
    assert.strictEqual(json(answer).error.code, "content_filter")
    assert.strictEqual(json(answer).error.innererror.code, "ResponsibleAIPolicyViolation")
    assert.strictEqual(service.stats(0).deployments["gpt"]?.promptTokens, 4)
  })

  it("cuts a blocked answer short with a 200", () => {
    const body = { model: "gpt", messages: [{ role: "user", content: "[blocked answer]" }] }
    assert.strictEqual(json(ask(makeService(), { body })).choices[0].finish_reason, "content_filter")
    const stream = ask(makeService(), { body: { ...body, stream: true } })
    assert.strictEqual(events(stream).at(-2).choices[0].finish_reason, "content_filter")
  })

  it("refuses chat with an embedding model, and embeddings with a chat model", () => {
    const service = makeService({ deployments: [{ name: "emb", model: "text-embedding-3-small" }, { name: "gpt" }] })
    assert.strictEqual(json(ask(service)).error.code, "OperationNotSupported")
    const answer = ask(service, { path: "/openai/v1/embeddings", body: { model: "gpt", input: "x" } })
    assert.strictEqual(json(answer).error.code, "OperationNotSupported")
  })
})

describe("admission", () => {
  it("charges the prompt and the output limit, else 16", () => {
    const service = makeService({}, { tpm: 1_000, rpm: 600 })
    const content = "x".repeat(400)
    const answer = ask(service, { body: { model: "gpt", messages: [{ role: "user", content }], max_tokens: 50 } })
    assert.deepInclude(answer.headers, {
      "x-ratelimit-limit-tokens": "1000",
      "x-ratelimit-remaining-tokens": "850",
      "x-ratelimit-reset-tokens": "60",
      "x-ratelimit-limit-requests": "600",
      "x-ratelimit-remaining-requests": "599"
    })
    ask(service, { body: { model: "gpt", messages: [{ role: "user", content }] } })
    assert.strictEqual(service.stats(0).deployments["gpt"]?.usage.tokens, 266)
    ask(service, { body: { model: "gpt", messages: [{ role: "user", content }], max_completion_tokens: 50, n: 3 } })
    assert.strictEqual(service.stats(0).deployments["gpt"]?.usage.tokens, 516)
  })

  it("answers 429 with every header, and recovers", () => {
    const service = makeService({}, { tpm: 1_000, rpm: 600 })
    const body = { model: "gpt", messages: hello, max_tokens: 900 }
    assert.strictEqual(ask(service, { body }).status, 200)
    const refused = ask(service, { body, now: 12_500 })
    assert.strictEqual(refused.status, 429)
    assert.deepInclude(refused.headers, {
      "retry-after-ms": "47500",
      "retry-after": "48",
      "x-ratelimit-limit-tokens": "1000",
      "x-ratelimit-remaining-tokens": "95",
      "x-ratelimit-reset-tokens": "48"
    })
    assert.strictEqual(ask(service, { body, now: 60_000 }).status, 200)
    const stats = service.stats(60_000).deployments["gpt"]!
    assert.deepInclude(stats, { requests: 3, admitted: 2, throttled: 1, chargedTokens: 1_810 })
    assert.deepStrictEqual(stats.statuses, { 200: 2, 429: 1 })
  })

  it("words its 429 as its protocol does", () => {
    const body = { model: "gpt", messages: hello, max_tokens: 99 }
    const refusedOf = (options: Parameters<typeof makeService>[0], asked: object, deployment = {}) => {
      const service = makeService(options, { tpm: 200, ...deployment })
      ask(service, { body, ...asked })
      return json(ask(service, { body, ...asked, now: 500 })).error
    }
    assert.strictEqual(refusedOf({}, { path: classic }).code, "429")
    assert.match(refusedOf({}, { path: classic }).message, /API version 2024-10-21 .* Please retry after 60 seconds/)
    assert.strictEqual(refusedOf({}, {}).code, "rate_limit_exceeded")
    assert.strictEqual(refusedOf({ provider: "openai" }, {}).type, "tokens")
    assert.strictEqual(
      refusedOf({ provider: "openai" }, { body: { ...body, max_tokens: 1 } }, { rpm: 1 }).type,
      "requests"
    )
    assert.match(refusedOf({}, {}, { throttleBody: "azure-newer-429" }).message, /for gpt-4o in East US/)
  })

  it("writes OpenAI's resets as Go durations", () => {
    const service = makeService({ provider: "openai" }, { tpm: 10_000, rpm: 60 })
    const answer = ask(service, { body: { model: "gpt", messages: hello, max_tokens: 995 } })
    assert.strictEqual(answer.headers["x-ratelimit-reset-tokens"], "6s")
    assert.strictEqual(answer.headers["x-ratelimit-reset-requests"], "1s")
  })

  it("counts other clients, and takes new limits", () => {
    const service = makeService({}, { tpm: 1_000 })
    service.consume("gpt", 500, 1, 0)
    service.setLimits("gpt", { tpm: 600 })
    const answer = ask(service, { body: { model: "gpt", messages: hello, max_tokens: 20 } })
    assert.strictEqual(answer.headers["x-ratelimit-limit-tokens"], "600")
    assert.strictEqual(answer.headers["x-ratelimit-remaining-tokens"], "75")
    assert.throws(() => service.consume("nope", 1, 1, 0), RangeError)
  })

  it("runs a provisioned deployment as a leaky bucket", () => {
    const service = makeService({}, { tpm: 6_000, provisioned: true, reply: () => "x".repeat(400) })
    const body = { model: "gpt", messages: hello, max_tokens: 1_200 }
    const first = open(service, { body })
    assert.strictEqual(first._tag === "Http" && first.headers["azure-openai-deployment-utilization"], "120.5%")
    const refused = ask(service, { body })
    assert.strictEqual(refused.status, 429)
    assert.strictEqual(refused.headers["retry-after-ms"], "2050")
    assert.strictEqual(refused.headers["retry-after"], "3")
    // It ends after 1.09 s: 5 tokens of prompt and 100 of output were used, less the 109 that drained.
    if (first._tag === "Http") first.parts.next()
    first.finished(1_090)
    assert.closeTo(service.stats(1_090).deployments["gpt"]!.usage.tokens, 0, 1)
    assert.strictEqual(ask(service, { body, now: 1_090 }).status, 200)
  })
})

describe("time", () => {
  it("sends the headers of an answer that is not streamed when all of it is there", () => {
    const service = makeService({}, { reply: () => "x".repeat(40) })
    const answer = ask(service)
    assert.strictEqual(answer.headersAt, 190)
    assert.strictEqual(answer.endAt, 190)
    const stream = ask(service, { body: { model: "gpt", messages: hello, stream: true } })
    assert.strictEqual(stream.headersAt, 50)
    assert.strictEqual(stream.endAt, 190)
    assert.deepStrictEqual(
      stream.parts.slice(2, 12).map(({ at }) => at),
      [100, 110, 120, 130, 140, 150, 160, 170, 180, 190]
    )
  })

  it("takes longer for a longer prompt, less for a cached one", () => {
    const service = makeService({}, { latency: { ...steady, perPromptTokenMs: 0.1 }, reply: () => "ok" })
    const messages = [{ role: "system", content: "abcd".repeat(2_000) }]
    assert.strictEqual(ask(service, { body: { model: "gpt", messages } }).endAt, 300)
    const again = ask(service, { body: { model: "gpt", messages }, now: 1_000 })
    assert.strictEqual(json(again).usage.prompt_tokens_details.cached_tokens, 1_920)
    assert.closeTo(again.endAt, 108, 0.001)
    assert.strictEqual(service.stats(0).deployments["gpt"]?.cachedTokens, 1_920)
  })

  it("shares the cache of a resource only if told to", () => {
    const messages = [{ role: "system", content: "abcd".repeat(2_000) }]
    for (const [cacheScope, cached] of [["deployment", 0], ["resource", 1_920]] as const) {
      const deployments = [{ name: "a", model: "m" }, { name: "b", model: "m" }]
      const service = SimulatedService.make({ name: "east", cacheScope, deployments })
      ask(service, { body: { model: "a", messages } })
      const other = ask(service, { body: { model: "b", messages }, now: 10_000 })
      assert.strictEqual(json(other).usage.prompt_tokens_details.cached_tokens, cached)
    }
  })

  it("slows down under load", () => {
    const service = makeService({}, { latency: { ...steady, capacity: 10 }, reply: () => "ok" })
    const busy = Array.from({ length: 10 }, () => open(service))
    assert.strictEqual(ask(service).endAt, 200)
    for (const answer of busy) answer.abandoned(0)
    assert.strictEqual(ask(service).endAt, 100)
  })

  it("jitters around the mean", () => {
    const service = makeService({}, { latency: { ...steady, jitter: 0.5 }, reply: () => "ok" })
    const random = SeededRandom.make(3)
    const times = Array.from({ length: 2_000 }, () => ask(service, { random }).endAt)
    assert.closeTo(times.reduce((sum, time) => sum + time, 0) / times.length, 100, 3)
    assert.isAbove(Math.max(...times), 250)
    assert.isBelow(Math.min(...times), 40)
  })
})

/** A minute of mixed traffic on a deployment that fails and throttles. */
const run = () => {
  const service = makeService({}, { tpm: 5_000, rpm: 200, latency: { jitter: 0.3 } })
  service.fault("gpt", { kind: "status", status: 500, probability: 0.2 })
  const random = SeededRandom.make(11)
  return Array.from(
    { length: 60 },
    (_, i) =>
      ask(service, {
        random,
        now: i * 250,
        body: { model: "gpt", messages: hello, stream: i % 2 === 0, max_tokens: 200 }
      })
  )
}

describe("bookkeeping", () => {
  it("bills what was generated until a stream was left", () => {
    const service = makeService({}, { reply: () => "x".repeat(400) })
    const answer = open(service, { body: { model: "gpt", messages: hello, stream: true } })
    assert.strictEqual(service.stats(0).deployments["gpt"]?.inFlight, 1)
    if (answer._tag === "Http") { for (let i = 0; i < 20; i++) answer.parts.next() }
    answer.abandoned(145)
    answer.abandoned(500)
    answer.finished(500)
    assert.deepInclude(service.stats(0).deployments["gpt"], {
      inFlight: 0,
      abandoned: 1,
      finished: 0,
      promptTokens: 5,
      completionTokens: 5
    })
  })

  it("bills nothing of an answer that was left before its first token", () => {
    const service = makeService()
    open(service).abandoned(99)
    assert.deepInclude(service.stats(0).deployments["gpt"], { completionTokens: 0, promptTokens: 5, abandoned: 1 })
  })

  it("bills what the answers said", () => {
    const service = makeService({}, { charactersPerToken: 3 })
    let prompt = 0
    let completion = 0
    const random = SeededRandom.make(5)
    for (let i = 0; i < 50; i++) {
      const { usage } = json(ask(service, { random, now: i * 1_000, body: { model: "gpt", messages: hello, n: 2 } }))
      prompt += usage.prompt_tokens
      completion += usage.completion_tokens
    }
    assert.deepInclude(service.stats(0).deployments["gpt"], {
      promptTokens: prompt,
      completionTokens: completion,
      finished: 50
    })
    assert.strictEqual(prompt, 350)
  })

  it("gives the same answers for the same calls", () => {
    const first = run()
    assert.deepStrictEqual(first, run())
    assert.sameMembers([...new Set(first.map(({ status }) => status))], [200, 429, 500])
  })
})

describe("what it says", () => {
  it("is clamped to the limit", () => {
    const answer = json(ask(makeService(), { body: { model: "gpt", messages: hello, max_tokens: 3 } }))
    assert.strictEqual(answer.choices[0].finish_reason, "length")
    assert.strictEqual(answer.usage.completion_tokens, 3)
  })

  it("is around the mean length", () => {
    const service = makeService({}, { outputTokens: 200 })
    const random = SeededRandom.make(3)
    const lengths = Array.from({ length: 500 }, () => json(ask(service, { random })).usage.completion_tokens)
    assert.closeTo(lengths.reduce((sum, length) => sum + length, 0) / lengths.length, 200, 15)
  })

  it("may be given", () => {
    const service = makeService({}, { reply: ({ body }) => `You said: ${(body["messages"] as any)[0].content} 👋` })
    assert.strictEqual(json(ask(service)).choices[0].message.content, "You said: Hello, how are you? 👋")
    const stream = ask(service, { body: { model: "gpt", messages: hello, stream: true } })
    assert.strictEqual(textOf(stream), "You said: Hello, how are you? 👋")
  })
})
