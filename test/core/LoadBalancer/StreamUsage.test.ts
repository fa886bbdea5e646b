import type { TransportRequest } from "#core/transport/Transport"
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { failure, hello, overHttp, post, reasonOf, run } from "../../support/Balanced.ts"
import { asked, azure, type Canned, scripted } from "../../support/Scripted.ts"

const chunk = (value: object) => `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", ...value })}\n\n`
const usage = { prompt_tokens: 5, completion_tokens: 1, total_tokens: 6 }
const content = chunk({ choices: [{ index: 0, delta: { content: "Hi" }, finish_reason: null }] })
const stop = chunk({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })

const bodyOf = ({ body }: TransportRequest) => JSON.parse(body as string) as Record<string, unknown>

/** A stream, which ends with its usage where that was asked for. */
const stream = (request: TransportRequest): Canned => {
  const options = bodyOf(request)["stream_options"] as { readonly include_usage?: boolean } | undefined
  const last = options?.include_usage === true ? [chunk({ choices: [], usage })] : []
  return {
    status: 200,
    headers: { "content-type": "text/event-stream" },
    body: [content, stop, ...last, "data: [DONE]\n\n"]
  }
}

const refusals: ReadonlyArray<readonly [string, Canned]> = [
  ["Azure's of an older version", {
    status: 400,
    body: { error: { message: "Unrecognized request argument supplied: stream_options", code: null } }
  }],
  ["one by its parameter", { status: 400, body: { error: { message: "Unknown.", param: "stream_options" } } }],
  ["FastAPI's", {
    status: 422,
    body: {
      detail: [{ type: "extra_forbidden", loc: ["body", "stream_options"], msg: "Extra inputs are not permitted" }]
    }
  }],
  ["a text", { status: 400, body: "include_usage is not supported" }]
]

/** Services that refuse to be asked for usage. */
const strict = (refusal: Canned = refusals[0]![1]) => (request: TransportRequest): Canned =>
  "stream_options" in bodyOf(request) ? refusal : stream(request)

const read = (options: object = {}) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    const chunks = yield* Stream.runCollect(lb.chatStream({ ...hello, ...options }))
    return [...chunks].map(({ choices }) => choices.length)
  })

describe("the usage of a chat stream", () => {
  it.effect("is asked for, and hidden, where the caller says nothing of it", () =>
    run(scripted([azure("east")], stream), function*(_, lbs) {
      for (const options of [{}, { stream_options: null }, { stream_options: {} }]) {
        assert.deepStrictEqual(yield* read(options), [1, 1])
      }
      assert.deepStrictEqual(yield* read({ stream_options: { include_obfuscation: false } }), [1, 1])
      assert.deepStrictEqual(lbs.sends.map((send) => bodyOf(send)["stream_options"]), [
        { include_usage: true },
        { include_usage: true },
        { include_usage: true },
        { include_obfuscation: false, include_usage: true }
      ])
      const { deployments } = yield* (yield* LoadBalancer).snapshot
      assert.strictEqual(deployments[0]!.totals.promptTokens, 20)
    }))

  it.effect("is left as the caller wants it, in either word", () =>
    run(scripted([azure("east")], stream), function*(_, lbs) {
      assert.deepStrictEqual(yield* read({ stream_options: { include_usage: true } }), [1, 1, 0])
      assert.deepStrictEqual(yield* read({ stream_options: { include_usage: false } }), [1, 1])
      assert.deepStrictEqual(lbs.sends.map((send) => bodyOf(send)["stream_options"]), [
        { include_usage: true },
        { include_usage: false }
      ])
    }))

  it.effect("is not asked for with Azure's own data, which takes no such option", () =>
    run(scripted([azure("east")], stream), function*(_, lbs) {
      yield* read({ data_sources: [{ type: "azure_search" }] })
      assert.notProperty(bodyOf(lbs.sends[0]!), "stream_options")
    }))

  it.effect("is not asked for where the configuration says so, and what comes unasked is the caller's", () => {
    const resources = [azure("east", {}, { streamUsage: false })]
    const lbs = scripted(resources, () => ({
      status: 200,
      body: [content, stop, chunk({ choices: [], usage }), "data: [DONE]\n\n"]
    }))
    return run(lbs, function*() {
      assert.deepStrictEqual(yield* read(), [1, 1, 0])
      assert.notProperty(bodyOf(lbs.sends[0]!), "stream_options")
    })
  })

  it.effect.each(refusals)("is not insisted on: %s is sent again without it, for nothing", ([, refusal]) => {
    const lbs = scripted([azure("east"), azure("west")], strict(refusal), { failover: { attempts: 1 } })
    return run(lbs, function*() {
      assert.deepStrictEqual(yield* read(), [1, 1])
      const [first, second] = asked(lbs)
      assert.strictEqual(first, second)
      assert.lengthOf(lbs.sends, 2)
      const { deployments } = yield* (yield* LoadBalancer).snapshot
      assert.isTrue(deployments.every(({ inFlight, state }) => inFlight === 0 && state === "healthy"))
    })
  })

  it.effect("is not asked for again of a deployment that refused it, for an hour", () =>
    run(scripted([azure("east"), azure("west", { tier: 2 })], strict()), function*(_, lbs) {
      yield* read()
      yield* read()
      assert.lengthOf(lbs.sends, 3)
      yield* TestClock.adjust("59 minutes")
      yield* read()
      assert.lengthOf(lbs.sends, 4)
      yield* TestClock.adjust("2 minutes")
      yield* read()
      assert.lengthOf(lbs.sends, 6)
      assert.deepStrictEqual([...new Set(asked(lbs))], ["east"])
    }))

  it.effect("is the caller's own mistake where the caller asked for it, and where the rest is wrong", () => {
    const lbs = scripted([azure("east")], (request) => ({
      status: 400,
      body: { error: { message: "stream_options?", param: "stream_options" } },
      headers: { "x-options": String(JSON.stringify(bodyOf(request)["stream_options"])) }
    }))
    return run(lbs, function*(lb) {
      const explicit = lb.chatStream({ ...hello, stream_options: { include_usage: true } })
      reasonOf(yield* failure(Stream.runDrain(explicit)), "Rejected")
      assert.lengthOf(lbs.sends, 1)
      const own = lb.chatStream({ ...hello, stream_options: { include_obfuscation: true } })
      const { headers } = reasonOf(yield* failure(Stream.runDrain(own)), "Rejected")
      // as the caller gave them
      assert.strictEqual(headers["x-options"], `{"include_obfuscation":true}`)
      assert.lengthOf(lbs.sends, 3)
    })
  })

  it.effect("is no matter of clients over HTTP", () =>
    run(overHttp(scripted([azure("east")], strict())), function*() {
      const response = yield* post({ ...hello, stream: true })
      assert.strictEqual(response.status, 200)
      assert.strictEqual(yield* response.text, `${content}${stop}data: [DONE]\n\n`)
    }))
})
