import * as SimulatedHttpClient from "#core/simulation/SimulatedHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { inSmallSteps, letRun } from "../../support/Interleaving.ts"
import { hello, makeService, steady } from "./ask.ts"

const makeOne = (latency = steady) => {
  const service = makeService({}, { latency, reply: () => "Hello you!" })
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

  it.effect("tells the service of an interruption at any operation", () =>
    Effect.gen(function*() {
      const { layer, request, service } = makeOne({
        baseMs: 0,
        perPromptTokenMs: 0,
        perOutputTokenMs: 0,
        jitter: 0,
        errorMs: 0
      })
      service.fault("*", { kind: "hang", afterEvents: 2 })
      const ask = Effect.flatMap(HttpClient.HttpClient, (client) =>
        Effect.flatMap(HttpClient.withScope(client).execute(request({ stream: true })), ({ text }) => text)).pipe(
          Effect.scoped,
          Effect.provide(layer)
        )
      for (let step = 1; step <= 80; step++) {
        const fiber = yield* Effect.forkChild(inSmallSteps(ask))
        yield* Effect.repeat(Effect.yieldNow, { times: step })
        yield* Fiber.interrupt(fiber)
        yield* letRun
        assert.strictEqual(service.stats(0).inFlight, 0, `after ${step} operations`)
      }
      assert.isAbove(service.stats(0).abandoned, 0)
    }))

  it.effect("fails as a transport does", () =>
    Effect.gen(function*() {
      const { layer, request, service } = makeOne()
      service.fault("*", { kind: "refused" })
      const error = yield* HttpClient.execute(request()).pipe(Effect.provide(layer), Effect.flip)
      assert.strictEqual(error.reason._tag, "TransportError")
    }))
})
