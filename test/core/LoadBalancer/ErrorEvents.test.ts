import { assert, describe, it } from "@effect/vitest"
import { type LoadBalancerError } from "@evenkeel/core"
import { Cause, Effect, Exit, Stream } from "effect"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import { answer, failure, hello, overHttp, run } from "../../support/Balanced.ts"
import { azure, type Scripted, scripted } from "../../support/Scripted.ts"

const event = (data: object) => `data: ${JSON.stringify(data)}\n\n`
const begun = event({ id: "x", choices: [{ index: 0, delta: { content: "Hel" }, finish_reason: null }] })
const overloaded = event({
  error: { message: "The server is overloaded.", type: "server_error", code: "server_error" }
})
const refused = event({
  error: { message: "No.", type: "invalid_request_error", code: "invalid_value", param: "user" }
})

const streaming = (...body: ReadonlyArray<string>) =>
  scripted([azure("east")], () => ({ status: 200, body, headers: { "content-type": "text/event-stream" } }), {
    failover: { attempts: 1 }
  })

const body = { ...hello, stream: true }

/** What the balanced `HttpClient` gives out, piece by piece, and how that ended. */
const read = (lbs: Scripted) =>
  run(overHttp(lbs), function*() {
    const client = yield* HttpClient.HttpClient
    const { status, stream } = yield* client.post("https://api.openai.com/v1/chat/completions", {
      body: HttpBody.jsonUnsafe(body)
    })
    let text = ""
    const exit = yield* Effect.exit(Stream.runForEach(Stream.decodeText(stream), (part) =>
      Effect.sync(() => {
        text += part
      })))
    return { exit, status, text }
  })

describe("an error of the service in the middle of a stream", () => {
  it.effect("comes as its last event through the balanced HttpClient", () =>
    Effect.gen(function*() {
      const { exit, text } = yield* read(streaming(begun, overloaded))
      assert.isTrue(Exit.isSuccess(exit))
      assert.strictEqual(text, begun + overloaded)
    }))

  it.effect("is a typed error of the stream of lb.request", () =>
    run(streaming(begun, overloaded), function*(lb) {
      const { stream } = yield* answer(lb.request({ path: "/chat/completions", body }))
      const { reason } = yield* failure(Stream.runDrain(stream))
      assert.deepInclude(reason, { _tag: "StreamInterrupted", why: "server_error in a 200" })
    }))
})

describe("a stream that ends without its end", () => {
  it.effect("fails with the balancer's error through the balanced HttpClient", () =>
    Effect.gen(function*() {
      const { exit, text } = yield* read(streaming(begun))
      assert.strictEqual(text, begun)
      assert(Exit.isFailure(exit))
      const error = Cause.squash(exit.cause) as HttpClientError
      assert.strictEqual((error.cause as LoadBalancerError).reason._tag, "StreamInterrupted")
    }))
})

describe("an error of the caller's own at the start of a stream", () => {
  it.effect("is a refusal, whatever its code", () =>
    Effect.gen(function*() {
      const { status, text } = yield* read(streaming(refused))
      assert.strictEqual(status, 400)
      assert.deepStrictEqual(JSON.parse(text), JSON.parse(refused.slice("data: ".length)))
    }))
})
