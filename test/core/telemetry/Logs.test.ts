import { Logs } from "#core/telemetry/Logs"
import { assert, describe, it } from "@effect/vitest"
import { Deployments, type Event, LoadBalancer, Telemetry } from "@evenkeel/core"
import { Effect, Logger, References, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { answer, fleet, type FleetConfig, hello, run, service, settle, stateOf } from "../../support/Balanced.ts"
import { makeRecorder, traced } from "../../support/Spans.ts"

interface Line {
  readonly level: string
  readonly message: string
  readonly annotations: Readonly<Record<string, unknown>>
}

const reading = (lines: Array<Line>) =>
  Logger.make<unknown, void>((options) => {
    const { annotations, level, message } = Logger.formatStructured.log(options)
    lines.push({ level, message: String(message), annotations })
  })

const logged = <A, E, R>(test: Effect.Effect<A, E, R>, logger: (lines: Array<Line>) => Logger.Logger<unknown, void>) =>
  Effect.suspend(() => {
    const lines: Array<Line> = []
    return Effect.as(test, lines as ReadonlyArray<Line>).pipe(
      Effect.provide(Logger.layer([logger(lines)])),
      Effect.provideService(References.MinimumLogLevel, "Info")
    )
  })

const pair = (config: FleetConfig = {}) =>
  fleet([service("east"), service("west")], { tiers: { east: 1, west: 2 }, ...config }, {
    telemetry: Telemetry.layer({ metrics: false })
  })

type Pair = ReturnType<typeof pair>

const linesOf = <A, E>(
  drive: (fleet: Pair, lb: LoadBalancer["Service"]) => Effect.Effect<A, E, LoadBalancer | Deployments | Scope.Scope>,
  config: FleetConfig = {},
  logger = reading
) => {
  const two = pair(config)
  return logged(Effect.scoped(run(two, Effect.flatMap(LoadBalancer, (lb) => drive(two, lb)))), logger)
}

/** What is written of these events. */
const told = (events: ReadonlyArray<Event>) =>
  logged(
    Effect.withFiber<void>((fiber) => {
      const logs = new Logs((line) => void Effect.runForkWith(fiber.context)(line))
      for (const event of events) logs.observe(event)
      return Effect.void
    }),
    reading
  )

const cooled = (at: number, reason = "http 429", coolFor = 20_000, deployment = "east/gpt-4o"): Event => ({
  _tag: "CooledDown",
  at,
  deployment,
  pool: undefined,
  reason,
  coolFor
})

const missing = (at: number): Event => ({ _tag: "DeploymentMissing", at, deployment: "east/gpt-4o" })

const panicked = (at: number): Event => ({ _tag: "Panicked", at, model: "gpt-4o", deployment: "east/gpt-4o" })

const second = 1000
const minute = 60 * second

describe("log lines", () => {
  it.effect("tell of each change of state: who, why, and until when", () =>
    Effect.gen(function*() {
      const lines = yield* linesOf(
        ({ services: { east } }, lb) =>
          Effect.gen(function*() {
            yield* answer(lb.chat(hello))
            east!.fault("*", { kind: "status", status: 401, times: 5 })
            for (let i = 0; i < 5; i++) yield* answer(lb.chat(hello))
            yield* TestClock.adjust("5 seconds")
            yield* answer(lb.chat(hello))
            east!.fault("*", { kind: "throttle", retryAfterMs: 30_000, times: 1 })
            yield* answer(lb.chat(hello))
            yield* TestClock.adjust("1 minute")
            east!.fault("*", { kind: "status", status: 404, error: "deployment-not-found", times: 1 })
            yield* answer(lb.chat(hello))
            yield* TestClock.adjust("1 minute")
            east!.fault("*", { kind: "status", status: 500 })
            for (let i = 0; i < 8; i++) yield* answer(lb.chat(hello))
            yield* (yield* Deployments).drain("west/gpt-4o")
            yield* settle(lb.chat(hello))
            yield* (yield* Deployments).remove("west/gpt-4o")
          }),
        { health: { slowStart: 0 } }
      )
      const short = lines.map(({ annotations, level, message }) => [
        level,
        message.replaceAll(/\d+(?:\.\d)? s\b/g, "? s"),
        Object.fromEntries(Object.entries(annotations).filter(([name]) => name !== "until" && name !== "cure"))
      ])
      const east = { deployment: "east/gpt-4o" }
      assert.deepStrictEqual(short.slice(0, 6), [
        [
          "WARN",
          "Evenkeel: resource east is failing (http 401); next try in ? s",
          { resource: "east", reason: "http 401" }
        ],
        ["INFO", "Evenkeel: resource east is back", { resource: "east" }],
        [
          "INFO",
          "Evenkeel: east/gpt-4o is to be left alone for ? s (http 429 rate_limit_exceeded)",
          { ...east, reason: "http 429 rate_limit_exceeded" }
        ],
        [
          "INFO",
          "Evenkeel: east/gpt-4o is to be left alone for ? s (http 404 DeploymentNotFound)",
          { ...east, reason: "http 404 DeploymentNotFound" }
        ],
        [
          "ERROR",
          "Evenkeel: east/gpt-4o does not exist; check its name and its resource",
          { ...east, reason: "missing" }
        ],
        [
          "WARN",
          "Evenkeel: deployment east/gpt-4o is failing (http 500 InternalServerError); next try in ? s",
          { ...east, reason: "http 500 InternalServerError" }
        ]
      ])
      assert.includeDeepMembers(short, [
        ["INFO", "Evenkeel: west/gpt-4o is draining", { deployment: "west/gpt-4o", change: "draining" }],
        [
          "WARN",
          "Evenkeel: every deployment of gpt-4o is failing; requests go to east/gpt-4o all the same",
          { ...east, model: "gpt-4o", reason: "panic" }
        ],
        ["INFO", "Evenkeel: west/gpt-4o was removed", { deployment: "west/gpt-4o", change: "removed" }]
      ])
      for (const { annotations: { cure, until }, message } of lines) {
        if (!/left alone|is failing \(/.test(message)) continue
        if (message.includes("is failing (")) assert.match(String(cure), /[:,] check |traffic returns by itself/)
        assert.match(String(until), /^1970-01-01T00:0\d:\d\d\.\d{3}Z$/, message)
      }
    }))

  it.effect("do not tell of ordinary requests, whichever way they end", () =>
    Effect.gen(function*() {
      const lines = yield* linesOf(({ services: { east } }, lb) =>
        Effect.gen(function*() {
          yield* answer(lb.chat(hello, { session: "a" }))
          yield* answer(Stream.runDrain(lb.chatStream(hello)))
          yield* answer(Stream.runDrain(Stream.take(lb.chatStream(hello), 2)))
          yield* settle(Effect.timeout(lb.chat(hello), 30))
          yield* settle(lb.chat({ ...hello, temperature: 9 }))
          yield* settle(lb.chat({ ...hello, model: "nothing" }))
          east!.fault("*", { kind: "reset", times: 1 })
          yield* answer(lb.chat(hello, { session: "a" }))
        })
      )
      assert.deepStrictEqual(lines, [])
    }))

  it.effect("are few in a storm of refusals", () =>
    Effect.gen(function*() {
      const lines = yield* linesOf(
        ({ services }, lb) =>
          Effect.gen(function*() {
            for (const { fault } of Object.values(services)) fault("*", { kind: "throttle", retryAfterMs: 1500 })
            for (let i = 0; i < 600; i++) {
              yield* Effect.forkChild(Effect.exit(lb.chat(hello)), { startImmediately: true })
              yield* TestClock.adjust(500)
            }
          }),
        { failover: { maxWait: 3000 } }
      )
      // five minutes, two deployments, a line a minute
      assert.isAtLeast(lines.length, 8)
      assert.isAtMost(lines.length, 14)
    }))

  it.effect("tell within the quiet time of another reason, but not of another wording", () =>
    Effect.gen(function*() {
      const lines = yield* told([
        cooled(0),
        cooled(1 * second, "http 429 rate_limit_exceeded"),
        cooled(2 * second, "http 404 DeploymentNotFound"),
        cooled(3 * second),
        cooled(4 * second, "http 404 DeploymentNotFound"),
        cooled(5 * second, "http 429", 20_000, "west/gpt-4o"),
        cooled(61 * second)
      ])
      assert.deepStrictEqual(lines.map(({ annotations: { deployment, reason } }) => [deployment, reason]), [
        ["east/gpt-4o", "http 429"],
        ["east/gpt-4o", "http 404 DeploymentNotFound"],
        ["west/gpt-4o", "http 429"],
        ["east/gpt-4o", "http 429"]
      ])
    }))

  it.effect("tell within the quiet time of a wait that is much longer than was said", () =>
    Effect.gen(function*() {
      const lines = yield* told([
        cooled(0, "http 429", 1 * second),
        cooled(1 * second, "http 429", 5 * second),
        cooled(2 * second, "http 429", 60 * minute),
        cooled(3 * second, "http 429", 60 * minute),
        cooled(30 * minute, "http 429", 30 * minute)
      ])
      assert.deepStrictEqual(lines.map(({ annotations: { until } }) => until), [
        "1970-01-01T00:00:01.000Z",
        "1970-01-01T01:00:02.000Z"
      ])
    }))

  it.effect("tell once of what all those found out who were under way together", () =>
    Effect.gen(function*() {
      const lines = yield* told([
        ...Array.from({ length: 50 }, (_, i) => missing(i)),
        ...Array.from({ length: 50 }, (_, i) => panicked(i)),
        missing(2 * minute)
      ])
      assert.deepStrictEqual(lines.map(({ level }) => level), ["ERROR", "WARN", "ERROR"])
    }))

  it.effect("that would tell of a day that no calendar has are told all the same", () =>
    Effect.gen(function*() {
      const lines = yield* told([
        cooled(0, "http 429", Infinity),
        { _tag: "BreakerOpened", at: 0, target: "resource", name: "east", reason: "dns", openFor: 1e300 }
      ])
      assert.lengthOf(lines, 2)
    }))

  it.effect("what was said is not remembered without bound, and a storm of names is no storm of lines", () =>
    Effect.sync(() => {
      let lines = 0
      const logs = new Logs(() => void lines++)
      const names = 10_000
      for (let i = 0; i < names; i++) logs.observe(cooled(i, "http 429", 20_000, `east/${i}`))
      assert.strictEqual(lines, names)
      const { size } = Object.values(logs).find((value) => value instanceof Map) as Map<string, unknown>
      assert.isAtMost(size, 2048)
      // the latest are still known
      logs.observe(cooled(names, "http 429", 20_000, `east/${names - 1}`))
      assert.strictEqual(lines, names)
    }))

  it.effect("a logger that throws harms nothing", () =>
    Effect.gen(function*() {
      let asked = 0
      const throwing = () =>
        Logger.make<unknown, void>(() => {
          asked++
          throw new Error("the disk is full")
        })
      yield* linesOf(
        ({ services: { east } }, lb) =>
          Effect.gen(function*() {
            east!.fault("*", { kind: "throttle", retryAfterMs: 20_000, times: 1 })
            yield* answer(lb.chat(hello))
            yield* answer(Stream.runDrain(lb.chatStream(hello)))
            for (const name of ["east", "west"]) {
              const { inFlight, waiting } = yield* stateOf(name)
              assert.deepStrictEqual([inFlight, waiting], [0, 0])
            }
          }),
        {},
        throwing
      )
      assert.isAbove(asked, 0)
    }))

  it.effect("are no part of the span in which the balancer was made, which may last as long as it", () =>
    Effect.gen(function*() {
      const recorder = makeRecorder()
      const two = pair()
      const test = run(two, function*(lb) {
        two.services["east"]!.fault("*", { kind: "throttle", retryAfterMs: 20_000, times: 1 })
        yield* answer(lb.chat(hello))
      })
      const program = Effect.withSpan(Effect.scoped(test), "main").pipe(
        Effect.provide(Logger.layer([Logger.tracerLogger]))
      )
      yield* traced(recorder, program)
      const main = recorder.spans.find(({ name }) => name === "main")
      assert.deepStrictEqual(main?.events, [])
    }))
})
