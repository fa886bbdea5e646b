import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { createLoadBalancer } from "@evenkeel/node"
import { Effect } from "effect"
import OpenAI, { APIError } from "openai"
import { failure, hello as asked, reasonOf } from "../support/Balanced.ts"
import { balancing, chatUrl, hello, post, service } from "../support/PlainBalancer.ts"
import { listen } from "../support/PlainServer.ts"
import { azure, scripted } from "../support/Scripted.ts"
import { failureAs } from "../support/Served.ts"

const json = "application/json"

/** What compatible services and gateways refuse with: content type, body, and the words that tell people why. */
const bodies: ReadonlyArray<readonly [type: string, body: string, words: string]> = [
  [json, `{"detail": "messages must not be empty"}`, "messages must not be empty"],
  [
    json,
    `{"detail":[{"type":"missing","loc":["body","messages",0,"role"],"msg":"Field required","input":"secret prompt"}]}`,
    "body.messages.0.role: Field required"
  ],
  [json, `{"object":"error","message":"top_k is unknown","code":40001}`, "top_k is unknown"],
  [json, `{"errors":[{"message":"first"},{"message":"second"}]}`, "first; second"],
  [json, `{"error":"no such option"}`, "no such option"],
  [json, `{"title":"Bad Request","reasons":{"id":9007199254740993}}`, `{"title":"Bad Request","reasons":`],
  [json, `["nope",1]`, `["nope",1]`],
  [json, `"nope"`, "nope"],
  [json, `{"error":{"message":"upstream`, "upstream"],
  ["text/plain; charset=utf-8", "the model is overworked: ü", "the model is overworked: ü"],
  ["text/html", "<html><body><h1>Blocked</h1>by  policy</body></html>", "Blocked by policy"]
]

describe("a refusal, whatever its body is", () => {
  for (const [type, body, words] of bodies) {
    it.effect(`is told in the body's own words: ${body}`, () => {
      const lbs = scripted([azure("east")], () => ({ status: 422, body, headers: { "content-type": type } }))
      return Effect.gen(function*() {
        const lb = yield* LoadBalancer
        const error = yield* failure(lb.chat(asked))
        const reason = reasonOf(error, "Rejected")
        assert.include(reason.description, words)
        assert.include(error.message, words)
        assert.notInclude(error.message, "secret prompt")
        assert.strictEqual(reason.text, body)
        let parsed: unknown = body
        try {
          parsed = JSON.parse(body)
        } catch { /* no JSON */ }
        assert.deepStrictEqual(reason.body, parsed)
      }).pipe(Effect.provide(lbs.layer))
    })

    it(`reaches clients of HTTP as it came: ${body}`, async () => {
      await using server = await listen((_, response) => {
        response.writeHead(422, { "content-type": type, "x-request-id": "req-1" })
        response.end(body)
      })
      const lb = createLoadBalancer(balancing(service("east", server.url)))
      try {
        const response = await lb.fetch(chatUrl, post(hello))
        assert.strictEqual(response.status, 422)
        assert.strictEqual(response.headers.get("content-type"), type)
        assert.strictEqual(await response.text(), body)
        const ours: APIError = await failureAs(lb.openai.chat.completions.create(hello), APIError)
        const bare = new OpenAI({ apiKey: "key", baseURL: `${server.url}/v1`, maxRetries: 0 })
        const theirs: APIError = await failureAs(bare.chat.completions.create(hello), APIError)
        assert.deepStrictEqual(
          [ours.constructor, ours.status, ours.message, ours.error, ours.code, ours.requestID],
          [theirs.constructor, theirs.status, theirs.message, theirs.error, theirs.code, theirs.requestID]
        )
      } finally {
        await lb.close()
      }
    })
  }

  it.effect("is told without a word where it has none", () => {
    const lbs = scripted([azure("east")], () => ({ status: 422, body: "" }))
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const error = yield* failure(lb.chat(asked))
      assert.match(error.message, /^The service refused the request with status 422, without a word\. Attempts/)
    }).pipe(Effect.provide(lbs.layer))
  })

  it.effect("may be too deep to be written", () => {
    const body = `{"detail":${"[".repeat(20_000)}${"]".repeat(20_000)}}`
    const lbs = scripted([azure("east")], () => ({ status: 422, body }))
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const reason = reasonOf(yield* failure(lb.chat(asked)), "Rejected")
      assert.strictEqual(reason.text, body)
      assert.isBelow(reason.description.length, 300)
    }).pipe(Effect.provide(lbs.layer))
  })
})
