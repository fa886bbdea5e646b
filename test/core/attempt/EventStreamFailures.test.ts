import type { Outcome } from "#core/attempt/Outcome"
import { assert, describe, it } from "@effect/vitest"
import { bytesOf, type Given, makeReader, named, type ReadOptions } from "../../support/Events.ts"
import { created, dataOf, hello, responses, role, stop, text, whole } from "./answers.ts"

const failureOf = (events: ReadonlyArray<Given | string>, options: ReadOptions = {}): Outcome => {
  const { reader } = whole(events, options)
  assert.isFalse(reader.isComplete)
  return reader.failure!
}

const retryAfter = { headers: { "retry-after": "7" } }
const limited = { type: "too_many_requests", code: "rate_limit_exceeded", message: "slow down" }
const bare = named({ type: "response.failed", response: { id: "resp_1", error: null, usage: null } })
const failed = (error: object) => named({ type: "response.failed", response: { id: "resp_1", error } })
const flat = (error: object) => named({ ...error, type: "error", param: null, sequence_number: 3 })
const nested = (error: object) => named({ type: "error", error })

describe("a failure inside a 200", () => {
  it.each<[string, ReadonlyArray<Given | string>, ReadOptions]>([
    ["a chat chunk", [JSON.stringify({ error: limited }), "[DONE]"], retryAfter],
    ["a chat chunk after a role", [role, JSON.stringify({ error: limited })], retryAfter],
    ["an error event of a chat", [{ name: "error", data: JSON.stringify({ error: limited }) }], retryAfter],
    ["Azure's nested error event", [created, nested(limited)], { ...responses, ...retryAfter }],
    ["OpenAI's flat error event", [created, flat({ code: "rate_limit_exceeded", message: "slow" })], {
      ...responses,
      ...retryAfter
    }],
    ["response.failed with its error", [created, failed({ code: "rate_limit_exceeded" })], {
      ...responses,
      ...retryAfter
    }],
    ["a bare response.failed, then an error", [created, bare, nested(limited)], { ...responses, ...retryAfter }],
    ["a bare response.failed after content, then an error", [created, text, bare, nested(limited)], {
      ...responses,
      ...retryAfter
    }]
  ])("is a throttle, with the wait of the headers: %s", (_, events, options) => {
    assert.deepInclude(failureOf(events, options), { _tag: "Throttled", status: 200, wait: 7000 })
  })

  it.each<[string, ReadonlyArray<Given | string>, ReadOptions]>([
    ["server_error in response.failed", [created, failed({ code: "server_error", message: "oops" })], responses],
    ["a flat server_error", [flat({ code: "server_error" })], responses],
    ["a flat error without a code", [flat({ code: null, message: "oops" })], responses],
    ["a bare response.failed, then the end", [created, bare], responses],
    ["a server_error of a chat", [JSON.stringify({ error: { type: "server_error", code: null } })], {}],
    ["an error that is only a text", [{ name: "error", data: JSON.stringify({ error: "boom" }) }], {}]
  ])("counts against the deployment: %s", (_, events, options) => {
    assert.deepInclude(failureOf(events, options), {
      _tag: "Failed",
      scope: "deployment",
      effect: "count",
      status: 200
    })
  })

  it("is a throttle where the service tells of high demand, whatever its code", () => {
    const message = "The system is currently experiencing high demand and cannot process your request."
    assert.strictEqual(failureOf([nested({ code: "server_error", message })], responses)._tag, "Throttled")
  })

  it.each(["invalid_prompt", "context_length_exceeded", "data_residency_mismatch", "content_filter"])(
    "is the caller's fault: %s",
    (code) => {
      assert.deepInclude(failureOf([created, failed({ code, message: "no" })], responses), { _tag: "Refused", code })
    }
  )

  it("is an empty account of the whole resource", () => {
    assert.deepInclude(failureOf([JSON.stringify({ error: { code: "insufficient_quota" } })]), {
      _tag: "Failed",
      scope: "resource",
      effect: "open"
    })
  })

  it("is known after one more event than a bare response.failed, not only at the end", () => {
    const reader = makeReader(responses)
    reader.feed(bytesOf([created, bare]))
    assert.isUndefined(reader.failure)
    assert.isFalse(reader.isCommitted)
    reader.feed(bytesOf(["[DONE]"]))
    assert.isDefined(reader.failure)
  })

  it("gives out nothing of itself, before the commit or after it", () => {
    const error = JSON.stringify({ error: limited })
    assert.deepStrictEqual(whole([error]).events, [])
    assert.deepStrictEqual(dataOf(whole([hello, error, "[DONE]"]).events), [hello])
    assert.deepStrictEqual(dataOf(whole([created, text, nested(limited)], responses).events), [created.data, text.data])
  })

  it("tells the service's own last word of a response that had begun", () => {
    const word = failed({ code: "server_error", message: "oops" })
    const { events, reader } = whole([created, text, word], responses)
    assert.deepStrictEqual(events.at(-1), word)
    assert.isTrue(reader.isFailureDelivered)
  })
})

describe("a stream that ends as none does", () => {
  it.each<[string, ReadonlyArray<Given | string>, ReadOptions, string]>([
    ["nothing at all", [], {}, "empty stream"],
    ["nothing at all", [], responses, "empty stream"],
    ["only a [DONE]", ["[DONE]"], {}, "empty stream"],
    ["a role, then [DONE]", [role, "[DONE]"], {}, "empty stream"],
    ["content, then the end", [role, hello], {}, "stream cut short"],
    ["content and a finish, then the end", [role, hello, stop], {}, "stream cut short"],
    ["content, then [DONE] without a finish", [role, hello, "[DONE]"], {}, "stream cut short"],
    ["content without response.completed", [created, text], responses, "stream cut short"]
  ])("has failed: %s", (_, events, options, reason) => {
    assert.deepInclude(failureOf(events, options), { _tag: "Failed", scope: "deployment", effect: "count", reason })
  })

  it.each(["{", "nonsense", "[1]", "null", "\"text\""])("has failed before its content: data that is %j", (data) => {
    assert.strictEqual(failureOf([data])._tag, "Failed")
    assert.strictEqual(failureOf([data], responses)._tag, "Failed")
  })

  it("has failed after its content where every event is parsed", () => {
    const { events, reader } = whole([hello, "{\"choices\":", stop, "[DONE]"], { parsesAll: true })
    assert.deepStrictEqual(dataOf(events), [hello])
    assert.strictEqual(reader.failure?._tag, "Failed")
  })
})
