import { assert, describe, it } from "@effect/vitest"
import { ask, events, hello, json, makeService, textOf } from "./ask.ts"

const stream = { model: "gpt", messages: hello, stream: true }

describe("a fault that strikes some requests only", () => {
  it("meets what has a text in its body, wherever it goes, and nothing else", () => {
    const service = makeService()
    service.fault("*", { kind: "status", error: "firewall-html-403", when: { text: "DROP TABLE" } })
    const attack = { model: "gpt", messages: [{ role: "user", content: "DROP TABLE users" }] }
    const refused = ask(service, { body: attack })
    assert.strictEqual(refused.status, 403)
    assert.match(refused.text, /<html>/)
    assert.strictEqual(ask(service, { path: "/openai/v1/responses", body: { input: "DROP TABLE" } }).status, 403)
    assert.strictEqual(ask(service).status, 200)
  })

  it("meets a service tier: flex has no capacity, the others have", () => {
    const service = makeService()
    service.fault("gpt", { kind: "throttle", error: "flex-unavailable-429", when: { serviceTier: "flex" } })
    const statusOf = (tier: string) =>
      ask(service, { body: { model: "gpt", messages: hello, service_tier: tier } }).status
    assert.deepStrictEqual(["flex", "default", "priority"].map(statusOf), [429, 200, 200])
    const { error } = json(ask(service, { body: { model: "gpt", messages: hello, service_tier: "flex" } }))
    assert.deepInclude(error, { code: "resource_unavailable", param: "service_tier" })
  })

  it("meets an endpoint, also one that the service does not know: its limits are its own", () => {
    const service = makeService()
    const headers = { "x-ratelimit-limit-requests": "2", "x-ratelimit-remaining-requests": "0" }
    service.fault("*", { kind: "throttle", retryAfterMs: 30_000, headers, when: { path: "/batches" } })
    const batches = ask(service, { path: "/openai/v1/batches", body: { input_file_id: "file-1" } })
    assert.strictEqual(batches.status, 429)
    assert.deepInclude(batches.headers, { ...headers, "retry-after": "30" })
    const chat = ask(service)
    assert.strictEqual(chat.status, 200)
    assert.notProperty(chat.headers, "x-ratelimit-limit-requests")
    assert.strictEqual(ask(service, { path: "/openai/v1/files", method: "GET", body: "" }).status, 200)
  })

  it("breaks the connection of an endpoint that the service does not know", () => {
    const service = makeService()
    service.fault("*", { kind: "reset", when: { path: "/files" } })
    assert.strictEqual(ask(service, { path: "/openai/v1/files", method: "GET", body: "" }).status, "reset")
  })

  it("must meet all that is named, and counts only what it meets", () => {
    const service = makeService()
    service.fault("*", { kind: "status", status: 500, times: 1, when: { text: "Hello", path: "/responses" } })
    assert.strictEqual(ask(service).status, 200)
    assert.strictEqual(
      ask(service, { path: "/openai/v1/responses", body: { model: "gpt", input: "Hello" } }).status,
      500
    )
    assert.strictEqual(
      ask(service, { path: "/openai/v1/responses", body: { model: "gpt", input: "Hello" } }).status,
      200
    )
  })

  it("is refused where it names what there is not", () => {
    const service = makeService()
    assert.throws(() => service.fault("*", { kind: "reset", when: { prompt: "x" } } as never), /prompt/)
  })
})

describe("a deployment that is wrong for everything", () => {
  it.each(
    [
      [{ error: "not-found" }, 404, /Resource not found/],
      [{ error: "unsupported-api-version" }, 400, /API version not supported/],
      [{ status: 405 }, 405, /Method Not Allowed/],
      [{ status: 200, body: "<html>junk</html>", contentType: "text/html" }, 200, /junk/]
    ] as const
  )("%o", (fault, status, words) => {
    const service = makeService()
    service.fault("gpt", { kind: "status", ...fault })
    const answer = ask(service)
    assert.strictEqual(answer.status, status)
    assert.match(answer.text, words)
  })
})

describe("a trickle", () => {
  it("gives so many bytes in a second, of a stream and of a whole answer, and all of them", () => {
    for (const body of [stream, { model: "gpt", messages: hello }]) {
      const well = ask(makeService({}, { reply: () => "Hello you!" }), { body })
      const service = makeService({}, { reply: () => "Hello you!" })
      service.fault("gpt", { kind: "trickle", bytesPerSecond: 1_000 })
      const slow = ask(service, { body })
      assert.strictEqual(slow.text, well.text)
      assert.strictEqual(slow.headersAt, well.headersAt)
      const bytes = well.text.length
      assert.isAtLeast(slow.endAt, well.headersAt + bytes)
      assert.isAtMost(slow.endAt, well.endAt + bytes)
      for (const { data } of slow.parts) assert.isAtMost(data.length, 250)
    }
  })
})

describe("silence", () => {
  it("gives headers, and no event of a stream before its time", () => {
    const service = makeService({}, { reply: () => "Hello you!" })
    service.fault("gpt", { kind: "silence", forMs: 79_000 })
    const silent = ask(service, { body: stream })
    assert.strictEqual(silent.headersAt, 50)
    assert.strictEqual(silent.parts[0]!.at, 79_000)
    assert.strictEqual(textOf(silent), "Hello you!")
    assert.strictEqual(events(silent).at(-1), "[DONE]")
  })
})

describe("limits", () => {
  it("are told on all answers, on 429s only, or never", () => {
    for (
      const [tellsLimits, on200, on429] of [["all", true, true], ["refusals", false, true], [
        "none",
        false,
        false
      ]] as const
    ) {
      const service = makeService({}, { rpm: 6, tellsLimits })
      const told = [ask(service), ask(service)].map(({ headers }) => "x-ratelimit-limit-requests" in headers)
      assert.deepStrictEqual(told, [on200, on429], tellsLimits)
    }
  })

  it("of a bucket let a client go on that waits as it was told", () => {
    const service = makeService({}, { rpm: 60, window: "bucket", tellsLimits: "refusals" })
    let answered = 0
    for (let now = 0; now < 60_000;) {
      const { headers, status } = ask(service, { now })
      if (status === 200) answered++
      else now += Number(headers["retry-after-ms"])
    }
    assert.strictEqual(answered, 60 + 60 - 1)
  })

  it("refuse a request that is larger than they are, in OpenAI's words and without a time, where they are told to", () => {
    const service = makeService({ provider: "openai" }, { tpm: 30_000, refusesTooLarge: true })
    const large = { model: "gpt", messages: hello, max_completion_tokens: 49_995 }
    const answer = ask(service, { body: large })
    assert.strictEqual(answer.status, 429)
    assert.strictEqual(
      json(answer).error.message,
      "Request too large for gpt-4o in organization org-simulated on tokens per min (TPM): Limit 30000, " +
        "Requested 50000. The input or output tokens must be reduced in order to run successfully."
    )
    assert.notProperty(answer.headers, "retry-after")
    assert.strictEqual(ask(service).status, 200)
  })
})
