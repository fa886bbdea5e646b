import { readUsage } from "#core/attempt/AnswerFacts"
import * as Outcome from "#core/attempt/Outcome"
import * as ServiceError from "#core/attempt/ServiceError"
import { TransportError } from "#core/transport/Transport"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"

const of = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Outcome.Outcome =>
  ServiceError.fromStatus(status, headers, body, 0)

const error = (fields: object) => ({ error: fields })

const classic429 = error({
  code: "429",
  message: "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded "
    + "token rate limit of your current OpenAI S0 pricing tier. Please retry after 24 seconds."
})

const v1429 = error({
  type: "too_many_requests",
  code: "rate_limit_exceeded",
  message: "Your requests to the deployment have exceeded rate limit.",
  param: null,
  headers: { "x-ms-fe-error": "true" }
})

const highDemand = error({
  code: "429",
  message: "The system is currently experiencing high demand and cannot process your request. Your request exceeds the "
    + "maximum usage size allowed during peak load. Please retry after 20 seconds."
})

describe("a 429", () => {
  it.each([
    ["Azure's classic API", classic429, 24_000],
    ["Azure's v1 API", v1429, undefined],
    ["high demand", highDemand, 20_000],
    ["a day", error({ code: "429", message: "Please retry after 86400 seconds." }), 86_400_000],
    ["slow_down", error({ code: "slow_down", type: "rate_limit_error", message: "" }), undefined],
    ["OpenAI", error({ code: "rate_limit_exceeded", type: "tokens", message: "Please try again in 120ms." }), 120],
    ["a gateway", { statusCode: 429, message: "Rate limit is exceeded. Try again in 6 seconds." }, 6000],
    ["a text", "Too many requests", undefined],
    ["nothing", "", undefined]
  ])("throttles for as long as the body says: %s", (_, body, wait) => {
    assert.deepInclude(of(429, body), { _tag: "Throttled", status: 429, wait, body })
  })

  it("throttles for as long as the headers say, rather", () => {
    assert.deepInclude(of(429, classic429, { "retry-after-ms": "1500", "retry-after": "2" }), { wait: 1500 })
  })

  it.each([
    { code: "insufficient_quota", type: "insufficient_quota" },
    { code: "credit_balance_exhausted", type: "insufficient_quota" },
    { code: "organization_spend_limit_exceeded" },
    { code: "project_spend_limit_exceeded" },
    { code: "organization_usage_limit_exceeded" },
    { code: "billing_hard_limit_reached" },
    { code: "billing_not_active" },
    { code: null, type: "insufficient_quota" }
  ])("of an empty account opens the whole resource: %j", (fields) => {
    assert.deepInclude(of(429, error(fields)), { _tag: "Failed", scope: "resource", effect: "open", unprocessed: true })
  })
})

const filtered = error({
  message: "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
  type: null,
  param: "prompt",
  code: "content_filter",
  status: 400,
  innererror: { code: "ResponsibleAIPolicyViolation", content_filter_result: { jailbreak: { filtered: true } } }
})

const tooLong = error({
  message: "This model's maximum context length is 128000 tokens. However, your messages resulted in 200000 tokens.",
  type: "invalid_request_error",
  param: "messages",
  code: "context_length_exceeded"
})

const tooLarge = error({
  message:
    "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 50000. The input or output tokens "
    + "must be reduced in order to run successfully.",
  type: "tokens",
  code: "rate_limit_exceeded"
})

const encrypted = "The encrypted content gAAAA... could not be verified."

describe("an error event of a stream", () => {
  it.each([
    { type: "invalid_request_error", code: "invalid_value", param: "messages" },
    { type: "invalid_request_error", code: "string_above_max_length", param: null },
    { type: "invalid_request_error", code: null },
    { type: "invalid_request_error" }
  ])("refuses by its type, whatever its code: %j", (fields) => {
    for (const event of [error(fields), { type: "error", ...error(fields) }]) {
      assert.deepInclude(ServiceError.fromErrorEvent({}, event, 0), {
        _tag: "Refused",
        status: 400,
        elsewhere: "worded"
      })
    }
  })

  it.each([
    [{ type: "server_error", code: "invalid_value" }, "Failed"],
    [{ type: "invalid_request_error", code: "rate_limit_exceeded" }, "Throttled"],
    [{ type: "invalid_request_error", code: "insufficient_quota" }, "Failed"],
    [{ type: "invalid_request_error", code: "model_not_found" }, "Failed"]
  ])("is what its code says, where that is known: %j", (fields, tag) => {
    assert.strictEqual(ServiceError.fromErrorEvent({}, error(fields), 0)._tag, tag)
  })
})

describe("a refusal", () => {
  it.each<[string, number, unknown, Outcome.Refused["elsewhere"]]>([
    ["a filtered prompt", 400, filtered, "no"],
    ["a prompt that is too long", 400, tooLong, "context-length"],
    [
      "a prompt that is too long, without a code",
      400,
      error({ message: "... maximum context length is 8192 ..." }),
      "context-length"
    ],
    ["a text that is too long for its parameter", 400, error({ code: "string_above_max_length" }), "worded"],
    [
      "encrypted content of elsewhere",
      400,
      error({ code: "invalid_encrypted_content", message: encrypted }),
      "not-here"
    ],
    ["encrypted content of elsewhere, without a code", 400, error({ code: null, message: encrypted }), "not-here"],
    [
      "a response of elsewhere",
      404,
      error({ code: null, message: "Response with id 'resp_1' not found." }),
      "not-here"
    ],
    ["a previous response of elsewhere", 400, error({ code: "previous_response_not_found" }), "not-here"],
    ["a conversation of elsewhere", 404, error({ message: "Conversation with id 'conv_1' not found." }), "not-here"],
    ["an item of elsewhere", 404, error({ message: "Item with id 'rs_1' not found." }), "not-here"],
    ["a wrong parameter", 400, error({ code: "unsupported_parameter", type: "invalid_request_error" }), "worded"],
    ["a wrong path", 404, error({ code: "404", message: "Resource not found" }), "perhaps"],
    ["a method that is not allowed", 405, "", "perhaps"],
    [
      "an api-version that is not known",
      400,
      error({ code: "BadRequest", message: "API version not supported" }),
      "perhaps"
    ],
    ["a request that is larger than the whole quota", 429, tooLarge, "larger"],
    ["a rule that holds everywhere", 403, error({ code: "misalignment" }), "no"],
    [
      "a wrong key",
      401,
      error({ code: "401", message: "Access denied due to invalid subscription key or wrong API endpoint." }),
      "denied"
    ],
    ["a wrong audience", 401, { statusCode: 401, message: "Unauthorized. Access token is missing." }, "denied"],
    [
      "a firewall",
      403,
      error({ code: "403", message: "Access denied due to Virtual Network/Firewall rules." }),
      "denied"
    ],
    ["a blocked resource", 403, "resource has been temporarily blocked", "denied"],
    ["a body that is too large", 413, "<html>Request Entity Too Large</html>", "worded"],
    ["a wrong content type", 415, error({ message: "no" }), "worded"],
    ["unprocessable", 422, error({ message: "no" }), "worded"],
    ["too many headers", 431, "", "worded"]
  ])("is the caller's matter: %s", (_, status, body, elsewhere) => {
    assert.deepInclude(of(status, body), { _tag: "Refused", status, elsewhere, body })
  })

  it("keeps what the service said", () => {
    const refused = of(400, tooLong, { "x-request-id": "r1" })
    assert(refused._tag === "Refused")
    assert.strictEqual(refused.code, "context_length_exceeded")
    assert.include(refused.message, "128000")
    assert.deepStrictEqual(refused.headers, { "x-request-id": "r1" })
  })
})

describe("a failure", () => {
  it.each([
    [408, error({ code: "Timeout", message: "The operation was timeout." })],
    [409, error({ message: "conflict" })],
    [424, error({ message: "failed dependency" })],
    [500, error({ message: "The server had an error", type: "server_error", param: null, code: null })],
    [502, "<html><h1>502 Bad Gateway</h1></html>"],
    [503, "no healthy upstream"],
    [503, error({ code: "server_is_overloaded", type: "service_unavailable_error" })],
    [504, ""],
    [529, error({ message: "overloaded" })],
    [599, null],
    [302, ""],
    [304, undefined]
  ])("counts against the deployment: %d", (status, body) => {
    assert.deepInclude(of(status, body), {
      _tag: "Failed",
      status,
      scope: "deployment",
      effect: "count",
      unprocessed: false,
      timeout: undefined
    })
  })

  it("is a deployment that does not exist", () => {
    const missing = error({
      code: "DeploymentNotFound",
      message: "The API deployment for this resource does not exist."
    })
    assert.deepInclude(of(404, missing), {
      _tag: "Failed",
      scope: "deployment",
      effect: "missing",
      unprocessed: true,
      reason: "http 404 DeploymentNotFound"
    })
  })

  it("says in a word what it was, and never the whole of a page", () => {
    const failed = of(502, `<html>${"x".repeat(10_000)}</html>`)
    assert(failed._tag === "Failed")
    assert.strictEqual(failed.reason, "http 502")
    const refused = of(413, `<html><h1>Too  large</h1>${"y ".repeat(10_000)}</html>`)
    assert(refused._tag === "Refused")
    assert.match(refused.message, /^Too large/)
    assert.isBelow(refused.message.length, 250)
  })
})

describe("a failure of the network", () => {
  it.each(
    [
      ["connect-timeout", { scope: "resource", unprocessed: true, timeout: "connect" }],
      ["connect", { scope: "resource", unprocessed: true, timeout: undefined }],
      ["dns", { scope: "resource", unprocessed: true, timeout: undefined }],
      ["tls", { scope: "resource", unprocessed: true, timeout: undefined }],
      ["reset", { scope: "deployment", unprocessed: false, timeout: undefined }],
      ["protocol", { scope: "deployment", unprocessed: false, timeout: undefined }]
    ] as const
  )("counts where it belongs: %s", (kind, expected) => {
    const outcome = Outcome.fromTransport(new TransportError({ kind, code: "BOOM" }))
    assert.deepInclude(outcome, { _tag: "Failed", effect: "count", reason: `${kind} (BOOM)`, ...expected })
  })

  it.each(
    [
      ["local", { unprocessed: true }],
      ["stale", { unprocessed: false }]
    ] as const
  )("counts against nobody where nobody is to blame: %s", (kind, expected) => {
    const outcome = Outcome.fromTransport(new TransportError({ kind, code: "BOOM" }))
    assert.deepInclude(outcome, { _tag: "Failed", effect: "none", reason: `${kind} (BOOM)`, ...expected })
    assert.strictEqual(Outcome.errorTypeOf(outcome), kind)
  })

  it("is a time limit that says which", () => {
    assert.deepInclude(Outcome.fromTimeout("first-event"), { timeout: "first-event", unprocessed: false })
  })

  it("is a credential that could not be had, before anything was sent", () => {
    assert.deepInclude(Outcome.noCredential("down"), { scope: "resource", unprocessed: true })
  })

  it("is a key that may only be out of date, which counts against nobody yet", () => {
    assert.deepInclude(Outcome.staleCredential, { effect: "renew", unprocessed: true })
  })
})

const fields = Schema.Struct({
  code: Schema.Json,
  type: Schema.Json,
  message: Schema.Json,
  param: Schema.Json
})

const anyBody = Schema.Union([
  Schema.Json,
  Schema.Undefined,
  Schema.Struct({ error: fields }),
  fields,
  Schema.Struct({ error: Schema.Json }),
  Schema.Struct({ type: Schema.Json, response: Schema.Struct({ error: Schema.Json }), error: Schema.Json })
])

const scopeOf = (outcome: Outcome.Outcome) => outcome._tag === "Failed" ? outcome.scope : undefined

describe("any answer", () => {
  it.prop("is exactly one outcome, whatever its status and body", {
    status: Schema.Union([integer(100, 999), Schema.Literals([400, 401, 404, 429, 500])]),
    body: anyBody,
    headers: Schema.Record(Schema.Literals(["retry-after", "retry-after-ms", "x-request-id"]), Schema.String)
  }, ({ body, headers, status }) => {
    const outcome = of(status, body, headers)
    assert.include(["Throttled", "Failed", "Refused"], outcome._tag)
    assert.strictEqual("body" in outcome ? outcome.body : undefined, body)
    if (outcome._tag === "Throttled") assert.isTrue(outcome.wait === undefined || outcome.wait >= 0)
    if (outcome._tag === "Refused") assert.isTrue(status >= 400 && status < 500 && typeof outcome.message === "string")
    if (status >= 500) assert.strictEqual(outcome._tag, "Failed")
    if (status === 401 || status === 403) {
      const isDenied = outcome._tag === "Refused" && ["denied", "no"].includes(outcome.elsewhere)
      assert.isTrue(isDenied || scopeOf(outcome) === "resource")
    }
  }, check())

  it.prop("inside a stream is one too", { event: anyBody, wait: Schema.String }, ({ event, wait }) => {
    const outcome = ServiceError.fromErrorEvent({ "retry-after": wait }, event, 0)
    assert.include(["Throttled", "Failed", "Refused"], outcome._tag)
  }, check())

  it.prop("has a usage with numbers of at least 0, or none", { usage: anyBody }, ({ usage }) => {
    const read = readUsage(usage)
    if (read === undefined) return
    for (const value of Object.values(read)) assert.isTrue(Number.isFinite(value) && value >= 0)
  }, check())

  it("has the usage of chat, responses and embeddings", () => {
    const none = { cachedTokens: 0, cacheWriteTokens: 0, completionTokens: 0, reasoningTokens: 0 }
    assert.deepStrictEqual(readUsage({ prompt_tokens: 5, total_tokens: 5 }), { ...none, promptTokens: 5 })
    assert.deepStrictEqual(
      readUsage({
        prompt_tokens: 5,
        completion_tokens: 9,
        prompt_tokens_details: null,
        completion_tokens_details: { reasoning_tokens: 4 }
      }),
      { ...none, promptTokens: 5, completionTokens: 9, reasoningTokens: 4 }
    )
    assert.deepStrictEqual(
      readUsage({
        input_tokens: 5,
        input_tokens_details: { cached_tokens: 3, cache_write_tokens: 1 },
        output_tokens: 2,
        output_tokens_details: { reasoning_tokens: 1 }
      }),
      { promptTokens: 5, cachedTokens: 3, cacheWriteTokens: 1, completionTokens: 2, reasoningTokens: 1 }
    )
    for (const odd of [undefined, null, 5, "x", {}, { prompt_tokens: -1 }, { prompt_tokens: "5" }]) {
      assert.isUndefined(readUsage(odd))
    }
  })
})

describe("a body", () => {
  it("is JSON where it can be, else the text that it is", () => {
    assert.deepStrictEqual(ServiceError.parseBody("{\"a\":1}"), { a: 1 })
    assert.strictEqual(ServiceError.parseBody("no healthy upstream"), "no healthy upstream")
    assert.strictEqual(ServiceError.parseBody(""), "")
  })
})
