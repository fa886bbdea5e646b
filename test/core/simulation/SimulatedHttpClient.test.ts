import * as SimulatedHttpClient from "#core/simulation/SimulatedHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { hello, makeService } from "./ask.ts"

const makeOne = () => {
  const service = makeService({}, { reply: () => "Hello you!" })
  const request = (body: object = {}) =>
    HttpClientRequest.post(`${service.origin}/openai/v1/chat/completions`).pipe(
      HttpClientRequest.setHeader("api-key", service.apiKey),
      HttpClientRequest.bodyJsonUnsafe({ model: "gpt", messages: hello, ...body })
    )
  return { service, request, layer: SimulatedHttpClient.layer([service]), counters: () => service.stats(0) }
}

describe("SimulatedHttpClient", () => {
  it.effect("answers over effect/http", () =>
    Effect.gen(function*() {
      const { counters, layer, request } = makeOne()
      const fiber = yield* HttpClient.execute(request()).pipe(
        Effect.flatMap((response) => Effect.map(response.json, (body) => ({ body, response }))),
        Effect.provide(layer),
        Effect.forkChild
      )
      yield* TestClock.adjust("1 second")
      const { body, response } = yield* Fiber.join(fiber)
      assert.strictEqual(response.status, 200)
      assert.strictEqual(response.headers["x-ms-region"], "East US")
      assert.nestedPropertyVal(body, "choices[0].message.content", "Hello you!")
      assert.deepInclude(counters(), { inFlight: 0, finished: 1 })
    }))

  it.effect("streams, and tells the service of an early stop", () =>
    Effect.gen(function*() {
      const { counters, layer, request } = makeOne()
      const send = (take: number) =>
        HttpClient.execute(request({ stream: true })).pipe(
          Effect.flatMap((response) =>
            response.stream.pipe(Stream.decodeText, Stream.splitLines, Stream.take(take), Stream.runCollect)
          ),
          Effect.provide(layer),
          Effect.forkChild
        )
      const whole = yield* send(Infinity)
      yield* TestClock.adjust("1 second")
      assert.include(yield* Fiber.join(whole), "data: [DONE]")
      const part = yield* send(1)
      yield* TestClock.adjust(60)
      assert.strictEqual((yield* Fiber.join(part)).length, 1)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(counters(), { inFlight: 0, finished: 1, abandoned: 1 })
    }))

  it.effect("fails as a transport does", () =>
    Effect.gen(function*() {
      const { layer, request, service } = makeOne()
      service.fault("*", { kind: "refused" })
      const error = yield* HttpClient.execute(request()).pipe(Effect.provide(layer), Effect.flip)
      assert.strictEqual(error.reason._tag, "TransportError")
    }))
})
