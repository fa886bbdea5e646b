import * as SimulatedService from "#core/simulation/SimulatedService"
import * as SimulatedTransport from "#core/simulation/SimulatedTransport"
import { Transport, type TransportRequest } from "#core/transport/Transport"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as TestClock from "effect/testing/TestClock"
import { hello, makeService } from "./ask.ts"

const request = (service: SimulatedService.SimulatedService, body: object = {}): TransportRequest => ({
  resource: service.name,
  origin: service.origin,
  path: "/openai/v1/chat/completions",
  method: "POST",
  headers: { "api-key": service.apiKey },
  body: JSON.stringify({ model: "gpt", messages: hello, ...body })
})

/** One service that says 10 tokens: headers after 50 ms if streamed, the first token after 100, the last after 190. */
const makeOne = () => {
  const service = makeService({}, { reply: () => "x".repeat(40) })
  const send = (body?: object) =>
    Effect.flatMap(Transport, (transport) => transport.send(request(service, body))).pipe(
      Effect.provide(SimulatedTransport.layer([service]))
    )
  return { service, send, counters: () => service.stats(0).deployments["gpt"]! }
}

describe("SimulatedTransport", () => {
  it.effect("plays an answer on the clock of Effect", () =>
    Effect.gen(function*() {
      const { counters, send } = makeOne()
      const fiber = yield* Effect.forkChild(Effect.flatMap(send(), (response) => response.text))
      yield* TestClock.adjust(189)
      assert.isUndefined(fiber.pollUnsafe())
      assert.strictEqual(counters().inFlight, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(JSON.parse(yield* Fiber.join(fiber)).usage.completion_tokens, 10)
      assert.deepInclude(counters(), { inFlight: 0, finished: 1, completionTokens: 10 })
    }))

  it.effect("gives chunks when they are due", () =>
    Effect.gen(function*() {
      const { send } = makeOne()
      const start = yield* Clock.currentTimeMillis
      const times: Array<number> = []
      const fiber = yield* Effect.forkChild(Effect.gen(function*() {
        const response = yield* send({ stream: true })
        times.push((yield* Clock.currentTimeMillis) - start)
        for (;;) {
          yield* response.pull
          times.push((yield* Clock.currentTimeMillis) - start)
        }
      }))
      for (let i = 0; i < 20; i++) yield* TestClock.adjust(10)
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasFails(exit.cause))
      assert.deepStrictEqual(times, [50, 50, 50, 100, 110, 120, 130, 140, 150, 160, 170, 180, 190, 190, 190])
    }))

  it.effect("loses nothing of a pull that was interrupted", () =>
    Effect.gen(function*() {
      const { send } = makeOne()
      const fiber = yield* Effect.forkChild(send({ stream: true }))
      yield* TestClock.adjust(50)
      const response = yield* Fiber.join(fiber)
      yield* response.pull
      yield* response.pull
      const pull = yield* Effect.forkChild(response.pull)
      yield* TestClock.adjust(10)
      yield* Fiber.interrupt(pull)
      yield* TestClock.adjust(40)
      const chunk = new TextDecoder().decode(yield* response.pull)
      assert.match(chunk, /"content":"xxxx"/)
    }))

  it.effect("tells the service when the client goes away", () =>
    Effect.gen(function*() {
      const { counters, send } = makeOne()
      const waiting = yield* Effect.forkChild(send())
      yield* TestClock.adjust(130)
      yield* Fiber.interrupt(waiting)
      assert.deepInclude(counters(), { inFlight: 0, abandoned: 1, completionTokens: 4 })
      const fiber = yield* Effect.forkChild(send({ stream: true }))
      yield* TestClock.adjust(50)
      const response = yield* Fiber.join(fiber)
      assert.strictEqual(counters().inFlight, 1)
      response.abort()
      response.abort()
      assert.deepInclude(counters(), { inFlight: 0, abandoned: 2 })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(response.pull)))
    }))

  it.effect("lets a short rest go by, and gives up a long one", () =>
    Effect.gen(function*() {
      const { counters, send, service } = makeOne()
      const begin = Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(send({ stream: true }))
        yield* TestClock.adjust(1_000)
        return yield* Fiber.join(fiber)
      })
      const short = yield* begin
      short.discard()
      short.discard()
      short.abort()
      assert.deepInclude(counters(), { inFlight: 0, finished: 1, abandoned: 0 })
      service.fault("gpt", { kind: "slowDecoding", factor: 100 })
      const long = yield* begin
      long.discard()
      assert.deepInclude(counters(), { inFlight: 0, finished: 1, abandoned: 1 })
    }))

  it.effect.each(
    [
      { fault: { kind: "refused" }, kind: "connect", unsent: true, after: 0 },
      {
        fault: { kind: "refused", because: "connect-timeout", afterMs: 900 },
        kind: "connect-timeout",
        unsent: true,
        after: 900
      },
      { fault: { kind: "refused", because: "dns" }, kind: "dns", unsent: true, after: 0 },
      { fault: { kind: "refused", because: "tls" }, kind: "tls", unsent: true, after: 0 },
      { fault: { kind: "reset" }, kind: "reset", unsent: false, after: 5 }
    ] as const
  )("fails as $kind", ({ after, fault, kind, unsent }) =>
    Effect.gen(function*() {
      const { counters, send, service } = makeOne()
      service.fault("gpt", fault)
      const fiber = yield* Effect.forkChild(Effect.flip(send()))
      yield* TestClock.adjust(after)
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.kind, kind)
      assert.strictEqual(error.unsent, unsent)
      assert.strictEqual(counters().inFlight, 0)
    }))

  it.effect("hangs until it is interrupted, before the headers and after", () =>
    Effect.gen(function*() {
      const { counters, send, service } = makeOne()
      service.fault("gpt", { kind: "hang", times: 1 })
      const fiber = yield* Effect.forkChild(send())
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(fiber.pollUnsafe())
      yield* Fiber.interrupt(fiber)
      assert.deepInclude(counters(), { inFlight: 0, abandoned: 1 })
      service.fault("gpt", { kind: "hang", afterEvents: 2 })
      const second = yield* Effect.forkChild(send({ stream: true }))
      yield* TestClock.adjust(50)
      const response = yield* Fiber.join(second)
      const read = yield* Effect.forkChild(response.text)
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(read.pollUnsafe())
      response.abort()
      assert.strictEqual(counters().inFlight, 0)
      yield* Fiber.interrupt(read)
    }))

  it.effect("breaks mid-stream", () =>
    Effect.gen(function*() {
      const { send, service } = makeOne()
      service.fault("gpt", { kind: "cut", afterEvents: 4, ending: "reset" })
      const fiber = yield* Effect.forkChild(
        send({ stream: true }).pipe(Effect.flatMap((response) => response.text), Effect.flip)
      )
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).kind, "reset")
    }))

  it.effect("finds services by origin, and projects by key", () =>
    Effect.gen(function*() {
      const latency = { baseMs: 0, perPromptTokenMs: 0, perOutputTokenMs: 0, errorMs: 0 }
      const [a, b] = ["a", "b"].map((name) =>
        SimulatedService.make({ name, provider: "openai", deployments: [{ name: "gpt-4o", latency }] })
      ) as [SimulatedService.SimulatedService, SimulatedService.SimulatedService]
      const transport = SimulatedTransport.make([a, b])
      const send = (key: string, origin = a.origin) =>
        transport.send({
          resource: "any",
          origin,
          path: "/v1/chat/completions",
          method: "POST",
          headers: { authorization: `Bearer ${key}` },
          body: new TextEncoder().encode(JSON.stringify({ model: "gpt-4o", messages: hello }))
        })
      assert.strictEqual((yield* send("b-key")).status, 200)
      assert.strictEqual(a.stats(0).requests, 0)
      assert.deepStrictEqual(b.stats(0).credentials, ["Bearer b-key"])
      const wrong = yield* Effect.forkChild(send("c-key"))
      yield* TestClock.adjust(10)
      assert.strictEqual((yield* Fiber.join(wrong)).status, 401)
      assert.strictEqual((yield* Effect.flip(send("b-key", "https://nowhere.test"))).kind, "dns")
    }))

  it.effect("repeats with the same seed", () =>
    Effect.gen(function*() {
      const run = Effect.gen(function*() {
        const service = makeService({}, { latency: { jitter: 0.5 } })
        const transport = SimulatedTransport.make([service])
        const fiber = yield* Effect.forkChild(
          Effect.forEach(
            Array.from({ length: 20 }),
            () => Effect.flatMap(transport.send(request(service)), (response) => response.text),
            { concurrency: 5 }
          )
        )
        yield* TestClock.adjust("2 minutes")
        const texts = yield* Fiber.join(fiber)
        return texts.map((text) => JSON.parse(text).choices[0].message.content)
      }).pipe(Random.withSeed("same"))
      assert.deepStrictEqual(yield* run, yield* run)
    }))
})
