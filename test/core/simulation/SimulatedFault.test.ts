import * as SeededRandom from "#core/simulation/SeededRandom"
import * as Errors from "#core/simulation/SimulatedErrors"
import { SimulatedFault } from "#core/simulation/SimulatedFault"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { ask, events, hello, json, makeService } from "./ask.ts"

const stream = { model: "gpt", messages: hello, stream: true }
const responses = { path: "/openai/v1/responses", body: { model: "gpt", input: "Hello", stream: true } }

/** Asks a service that says "Hello you!" and has one fault. */
const struck = (fault: SimulatedFault, asked: Parameters<typeof ask>[1] = { body: stream }, provider = "azure") => {
  const service = makeService({ provider: provider as "azure" | "openai" }, { reply: () => "Hello you!" })
  service.fault("gpt", fault)
  return ask(service, asked)
}

describe("switching", () => {
  it("strikes as often as it was told to", () => {
    const service = makeService()
    service.fault("gpt", { kind: "status", status: 500, times: 2 })
    assert.deepStrictEqual([1, 2, 3].map(() => ask(service).status), [500, 500, 200])
    assert.deepStrictEqual(service.faults(), { "*": [], gpt: [] })
  })

  it.each([
    [{ kind: "malformed" }, /how/],
    [{ kind: "trottle" }, /kind|Expected/],
    [{ kind: "slow", factr: 2, factor: 2 }, /factr/],
    [{ kind: "throttle", error: "no such error" }, /error/]
  ])("is refused where it is no fault (%#)", (fault, names) => {
    const service = makeService()
    assert.throws(() => service.fault("gpt", fault as never), names)
    assert.deepStrictEqual(service.faults(), { "*": [], gpt: [] })
  })

  it("strikes as likely as it was told to", () => {
    const service = makeService()
    service.fault("gpt", { kind: "status", status: 500, probability: 0.3 })
    const random = SeededRandom.make(1)
    const failed = Array.from({ length: 1_000 }, () => ask(service, { random }).status).filter((s) => s === 500)
    assert.closeTo(failed.length, 300, 40)
  })

  it("strikes one deployment, or the whole resource, until it is cleared", () => {
    const service = makeService({ deployments: [{ name: "a" }, { name: "b" }] })
    const statuses = () => ["a", "b"].map((model) => ask(service, { body: { model, messages: hello } }).status)
    service.fault("a", { kind: "status", status: 503 })
    assert.deepStrictEqual(statuses(), [503, 200])
    service.fault("*", { kind: "refused" })
    assert.deepStrictEqual(statuses(), ["refused", "refused"])
    assert.strictEqual(ask(service, { method: "GET", path: "/openai/v1/models", body: "" }).status, "refused")
    service.clear("*")
    assert.deepStrictEqual(statuses(), [503, 200])
    service.clear()
    assert.deepStrictEqual(statuses(), [200, 200])
    assert.throws(() => service.fault("nope", { kind: "refused" }), RangeError)
  })

  it("is checked when it comes as JSON", () => {
    const decode = Schema.decodeUnknownSync(SimulatedFault, { onExcessProperty: "error" })
    assert.deepStrictEqual(decode({ kind: "slow", factor: 3, times: 1 }), { kind: "slow", factor: 3, times: 1 })
    for (
      const bad of [{ kind: "nope" }, { kind: "slow" }, { kind: "slow", factor: 3, probability: 2 }, {
        kind: "refused",
        more: 1
      }]
    ) assert.throws(() => decode(bad))
  })
})

describe("statuses", () => {
  it.each(Object.keys(Errors.bodies) as Array<Errors.ErrorName>)("sends the documented body %s", (error) => {
    const answer = struck({ kind: "status", error }, {})
    assert.isNumber(answer.status)
    assert.isAtLeast(answer.status as number, 400)
    if (answer.headers["content-type"] === "application/json") assert.isObject(json(answer))
  })

  it("sends any status with any body", () => {
    const answer = struck({ kind: "status", status: 529, body: "busy", headers: { "retry-after": "7" } }, {})
    assert.deepInclude({ ...answer }, { status: 529, text: "busy" })
    assert.deepInclude(answer.headers, { "content-type": "text/plain", "retry-after": "7" })
  })

  it.each([[502, "text/html"], [503, "text/plain"], [504, "text/plain"], [500, "application/json"], [
    408,
    "application/json"
  ]])(
    "has a body that goes with %i",
    (status, type) => {
      const answer = struck({ kind: "status", status }, {})
      assert.strictEqual(answer.status, status)
      assert.strictEqual(answer.headers["content-type"], type)
    }
  )

  it("charges quota for what failed inside, not for what was refused at the door", () => {
    for (const [status, tokens] of [[500, 21], [503, 21], [408, 21], [404, 0], [403, 0]] as const) {
      const service = makeService({}, { tpm: 1_000 })
      service.fault("gpt", { kind: "status", status })
      ask(service)
      assert.strictEqual(service.stats(0).deployments["gpt"]?.usage.tokens, tokens, String(status))
      assert.strictEqual(service.stats(0).deployments["gpt"]?.failed, 1)
    }
  })

  it("gives back the charge of a failed request on a provisioned deployment", () => {
    const service = makeService({}, { tpm: 1_000, provisioned: true })
    service.fault("gpt", { kind: "status", status: 500 })
    ask(service)
    assert.strictEqual(service.stats(0).deployments["gpt"]?.usage.tokens, 0)
  })
})

describe("throttling", () => {
  it("tells the wait in both headers", () => {
    const answer = struck({ kind: "throttle", retryAfterMs: 1_500 }, {})
    assert.strictEqual(answer.status, 429)
    assert.deepInclude(answer.headers, { "retry-after-ms": "1500", "retry-after": "2" })
    assert.strictEqual(json(answer).error.code, "rate_limit_exceeded")
  })

  it("tells it in any form", () => {
    const date = "Sat, 21 Nov 2026 12:00:00 GMT"
    for (const value of [date, "86400", "soon", "-1", "1.5"]) {
      const answer = struck({ kind: "throttle", headers: { "retry-after": value } }, {})
      assert.strictEqual(answer.headers["retry-after"], value)
      assert.notProperty(answer.headers, "retry-after-ms")
    }
  })

  it("has a body of its own choice, and charges nothing", () => {
    const service = makeService({}, { tpm: 1_000 })
    service.fault("gpt", { kind: "throttle", error: "insufficient-quota" })
    assert.strictEqual(json(ask(service)).error.type, "insufficient_quota")
    assert.deepInclude(service.stats(0).deployments["gpt"], { throttled: 1, admitted: 0, chargedTokens: 0 })
  })
})

describe("time", () => {
  it("is stretched by slow, and after the first token by slowDecoding", () => {
    const usual = struck({ kind: "headers", headers: {} })
    const slow = struck({ kind: "slow", factor: 3 })
    const decoding = struck({ kind: "slowDecoding", factor: 3 })
    assert.deepStrictEqual([usual.headersAt, usual.endAt], [50, 120])
    assert.deepStrictEqual([slow.headersAt, slow.endAt], [150, 360])
    assert.deepStrictEqual([decoding.headersAt, decoding.endAt], [50, 160])
  })

  it("is stretched, and bodies are spoiled, for models too", () => {
    const models = { method: "GET", path: "/openai/v1/models", body: "" }
    const service = makeService()
    service.fault("*", { kind: "slow", factor: 500, times: 1 })
    service.fault("*", { kind: "unreadable" })
    assert.strictEqual(ask(service, models).headersAt, 5_000)
    assert.match(ask(service, models).text, /<html>/)
  })

  it("never ends when it hangs", () => {
    assert.strictEqual(struck({ kind: "hang" }).status, "hang")
    const stalled = struck({ kind: "hang", afterEvents: 3 })
    assert.strictEqual(stalled.ending, "hang")
    assert.strictEqual(stalled.parts.length, 3)
    assert.strictEqual(struck({ kind: "hang", afterEvents: 0 }, {}).ending, "hang")
  })
})

describe("connections", () => {
  it("are refused without a charge, and reset with one", () => {
    const service = makeService({}, { tpm: 1_000 })
    service.fault("gpt", { kind: "refused", times: 1 })
    service.fault("gpt", { kind: "reset" })
    assert.strictEqual(ask(service).status, "refused")
    assert.strictEqual(service.stats(0).deployments["gpt"]?.usage.tokens, 0)
    assert.strictEqual(ask(service).status, "reset")
    const stats = service.stats(0).deployments["gpt"]!
    assert.strictEqual(stats.usage.tokens, 21)
    assert.deepInclude(stats, { failed: 2, inFlight: 0, requests: 2 })
    assert.deepStrictEqual(stats.statuses, { refused: 1, reset: 1 })
  })

  it.each(["end", "reset"] as const)("are cut mid-stream by %s, and what was generated is billed", (ending) => {
    const service = makeService({}, { reply: () => "x".repeat(400) })
    service.fault("gpt", { kind: "cut", afterEvents: 12, ending })
    const played = ask(service, { body: stream })
    assert.strictEqual(played.ending, ending)
    assert.strictEqual(played.parts.length, 12)
    assert.notInclude(played.text, "[DONE]")
    assert.strictEqual(service.stats(0).deployments["gpt"]?.completionTokens, 10)
  })

  it("are cut in the middle of a body", () => {
    const played = struck({ kind: "cut", afterEvents: 0, ending: "reset" }, {})
    assert.strictEqual(played.ending, "reset")
    assert.throws(() => json(played))
  })
})

describe("failures inside a 200", () => {
  it("are an error event in chat, at once or later", () => {
    const first = struck({ kind: "errorInStream" })
    assert.strictEqual(first.status, 200)
    assert.strictEqual(events(first)[0].error.code, "rate_limit_exceeded")
    const later = struck({
      kind: "errorInStream",
      afterEvents: 3,
      type: "server_error",
      code: "server_error",
      message: "Broken"
    })
    assert.deepInclude(events(later)[3].error, { code: "server_error", message: "Broken" })
    assert.isDefined(events(later)[2].choices[0].delta.content)
  })

  it("are a bare response.failed and a nested error on Azure", () => {
    const played = struck({ kind: "errorInStream", headers: { "retry-after": "9" } }, responses)
    assert.strictEqual(played.headers["retry-after"], "9")
    const [failed, error] = events(played)
    assert.strictEqual(failed.type, "response.failed")
    assert.deepInclude(failed.response, { status: "failed", error: null, usage: null })
    assert.strictEqual(error.type, "error")
    assert.deepInclude(error.error, { type: "too_many_requests", code: "rate_limit_exceeded" })
  })

  it("are a flat error on OpenAI", () => {
    const played = struck({ kind: "errorInStream" }, { ...responses, path: "/v1/responses" }, "openai")
    const [error, ...rest] = events(played)
    assert.deepInclude(error, { type: "error", code: "rate_limit_exceeded", param: null, sequence_number: 0 })
    assert.strictEqual(rest.length, 0)
    const flat = struck({ kind: "errorInStream", shape: "flat", code: "server_error" }, responses)
    assert.strictEqual(events(flat)[0].code, "server_error")
  })

  it("are a body with an error where nothing is streamed", () => {
    assert.isDefined(json(struck({ kind: "errorInStream" }, {})).error)
  })

  it("are an empty stream, or nothing but its end", () => {
    assert.strictEqual(struck({ kind: "empty" }).text, "")
    assert.strictEqual(struck({ kind: "empty", done: true }).text, "data: [DONE]\n\n")
    assert.strictEqual(struck({ kind: "empty" }, {}).text, "")
  })
})

describe("spoiled bytes", () => {
  it("are an event that is no JSON", () => {
    const played = struck({ kind: "malformed", how: "json", afterEvents: 2 })
    assert.throws(() => events(played))
    const [, , bad] = played.text.split("\n\n")
    assert.throws(() => JSON.parse(bad!.slice("data: ".length)))
    assert.include(played.text, "[DONE]")
  })

  it("are half of a character, at the end of everything", () => {
    const played = struck({ kind: "malformed", how: "utf8", afterEvents: 2 })
    const last = played.parts.at(-1)!.data
    assert.instanceOf(last, Uint8Array)
    assert.throws(() => new TextDecoder("utf-8", { fatal: true }).decode(last as Uint8Array))
  })

  it("are an event without its blank line", () => {
    const played = struck({ kind: "malformed", how: "blankLine", afterEvents: 2 })
    assert.match(played.parts[2]!.data as string, /[^\n]\n$/)
    assert.match(played.parts[3]!.data as string, /\n\n$/)
  })

  it("are half of a body", () => {
    const played = struck({ kind: "truncated" }, {})
    assert.strictEqual(played.status, 200)
    assert.strictEqual(played.ending, "end")
    assert.throws(() => json(played))
  })

  it("are something else entirely", () => {
    for (const body of [stream, undefined]) {
      const played = struck({ kind: "unreadable" }, { body })
      assert.strictEqual(played.status, 200)
      assert.strictEqual(played.headers["content-type"], "text/html")
      assert.match(played.text, /<html>/)
    }
  })
})

describe("headers", () => {
  it("tell of spillover", () => {
    assert.deepInclude(struck({ kind: "spillover", to: "gpt-standard" }).headers, {
      "x-ms-spillover-from-deployment": "gpt",
      "x-ms-spillover-error": "429",
      "x-ms-deployment-name": "gpt-standard"
    })
  })

  it("tell of limits that nobody knows", () => {
    assert.deepInclude(struck({ kind: "unknownLimits" }).headers, {
      "x-ratelimit-limit-tokens": "-1",
      "x-ratelimit-remaining-tokens": "-1",
      "x-ratelimit-reset-tokens": "0"
    })
  })

  it("tell of anything", () => {
    assert.strictEqual(
      struck({ kind: "headers", headers: { "x-ratelimit-remaining-tokens": "-7" } })
        .headers["x-ratelimit-remaining-tokens"],
      "-7"
    )
  })
})
