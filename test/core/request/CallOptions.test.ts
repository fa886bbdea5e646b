import * as CallOptions from "#core/balancer/CallOptions"
import * as LlmRequest from "#core/request/LlmRequest"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check } from "../../support/Check.ts"

const asked: LlmRequest.RequestLine = {
  operation: "chat",
  method: "POST",
  path: "/chat/completions",
  query: "",
  body: LlmRequest.noBody,
  parsesEvents: false
}

const secrets = [
  "authorization",
  "api-key",
  "cookie",
  "host",
  "openai-organization",
  "openai-project",
  "accept-encoding"
]
const stainless = ["x-stainless-lang", "x-stainless-timeout", "x-session-id", "x-custom", "content-length"]

const crossed = (headers: Readonly<Record<string, string>>) =>
  LlmRequest.make(asked, LlmRequest.noFacts, { headers }).headers

describe("the headers that cross the border", () => {
  it.each([...secrets, ...stainless])("are not %s", (name) => {
    assert.deepStrictEqual(crossed({ [name]: "x", [name.toUpperCase()]: "y" }), {})
  })

  it("are those that the service may know, in lower case", () => {
    assert.deepStrictEqual(crossed({ TraceParent: "00-1", "X-MS-Client-Request-Id": "1" }), {
      "traceparent": "00-1",
      "x-ms-client-request-id": "1"
    })
    assert.isUndefined(LlmRequest.make(asked, LlmRequest.noFacts, {}).headers)
  })

  it.prop("are always of the allow-list, whatever was given", {
    headers: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Json])),
    names: Schema.Array(Schema.Literals([...secrets, ...stainless, "Accept", "TRACEPARENT"]))
  }, ({ headers, names }) => {
    const given = { ...headers, ...Object.fromEntries(names.map((name) => [name, "x"])) } as Record<string, string>
    const request = LlmRequest.make(asked, LlmRequest.noFacts, { headers: given })
    for (const [name, value] of Object.entries(request.headers!)) {
      assert.include(["accept", "traceparent"], name)
      assert.isTrue(LlmRequest.problemOf(request) !== undefined || !/[\r\n\0]/.test(value))
    }
  }, check())
})

const sessionOf = (session: string) => LlmRequest.make(asked, LlmRequest.noFacts, { session }).session

describe("a request", () => {
  it("takes a timeout in milliseconds or as a duration", () => {
    assert.strictEqual(CallOptions.millisOf("2 seconds"), 2000)
    assert.strictEqual(CallOptions.millisOf(1500), 1500)
  })

  it.each<[object, string]>([
    [{ sesion: "x" }, "`sesion` is no option of a call; did you mean `session`?"],
    [{ max_tokens: 5 }, "`max_tokens` is no option of a call; there are `session`, `timeout`,"],
    [{ signal: new AbortController().signal }, "`signal` is no option of a call; there are"]
  ])("is refused for an option that there is not: %j", (options, words) => {
    const problem = CallOptions.problemOf(options)
    assert.strictEqual(problem?.reason._tag, "Rejected")
    assert.include(problem!.message, words)
  })

  it("has no problem where its options are right", () => {
    const options = { timeout: "30 seconds", attempts: 2, headers: { traceparent: "00-1" } } as const
    assert.isUndefined(CallOptions.problemOf(options))
  })

  it("takes an empty session for none, and a very long one for a short one of its own", () => {
    assert.isUndefined(sessionOf(""))
    const long = "x".repeat(100_000)
    assert.isBelow(sessionOf(long)!.length, 300)
    assert.strictEqual(sessionOf(long), sessionOf(long))
    assert.notStrictEqual(sessionOf(long), sessionOf(`${long}x`))
    assert.notStrictEqual(sessionOf(`${long}a`), sessionOf(`${long}b`))
  })
})
