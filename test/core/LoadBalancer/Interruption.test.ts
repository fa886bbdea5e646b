import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { assert, describe, it } from "@effect/vitest"
import { type HttpAnswer, LoadBalancer, Selector } from "@evenkeel/core"
import { Cause, Clock, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { answer, fleet, hello, run, service, stateOf } from "../../support/Balanced.ts"
import { sample } from "../../support/Check.ts"
import { countSleepers, inSmallSteps, letRun, type Moment, Striker } from "../../support/Interleaving.ts"

/** More operations than lie between a moment and the end of what follows it at once. */
const steps = sample(Array.from({ length: 55 }, (_, i) => i), 4)

/** These share a thread, and each is many runs. */
const patient = { timeout: 30_000 }

const chat = Effect.flatMap(LoadBalancer, (lb) => Effect.asVoid(lb.chat(hello)))
const stream = Effect.flatMap(LoadBalancer, (lb) => Stream.runDrain(lb.chatStream(hello)))
const first = Effect.flatMap(LoadBalancer, (lb) => Stream.runDrain(Stream.take(lb.chatStream(hello), 1)))
const raw = Effect.flatMap(LoadBalancer, (lb) => lb.request({ path: "/models" }))

const cases: ReadonlyArray<{
  readonly what: string
  readonly ask: Effect.Effect<void | HttpAnswer, unknown, LoadBalancer>
  readonly moment: Moment
  readonly fault?: SimulatedFault
}> = [
  {
    what: "a request that would hang, when it was chosen where it goes",
    ask: chat,
    moment: "choice",
    fault: { kind: "hang" }
  },
  { what: "a whole answer, when its headers come", ask: chat, moment: "headers" },
  { what: "a whole answer, when its body is there", ask: chat, moment: "text" },
  { what: "a stream, when its headers come", ask: stream, moment: "headers" },
  { what: "a stream, when its first bytes come", ask: stream, moment: "chunk" },
  {
    what: "a stream whose whole answer is one burst",
    ask: stream,
    moment: "chunk",
    fault: { kind: "slow", factor: 0.001 }
  },
  { what: "a stream that is stopped at its first event", ask: first, moment: "chunk" },
  { what: "a raw answer, when its headers come", ask: raw, moment: "headers" },
  { what: "a request that fails over", ask: chat, moment: "failure", fault: { kind: "refused", times: 1 } },
  { what: "a stream that fails over", ask: stream, moment: "failure", fault: { kind: "reset", times: 1 } },
  {
    what: "a request that is told to wait",
    ask: chat,
    moment: "text",
    fault: { kind: "throttle", retryAfterMs: 50, times: 2 }
  }
]

/** Two deployments, at which something strikes. */
const struckBy = (striker: Striker) =>
  fleet(
    [service("east"), service("west")],
    {},
    { selector: Selector.layer(striker.choose) },
    (transport) => striker.watch(transport)
  )

describe("LoadBalancer interruption", () => {
  it.effect.each(cases)(
    "interrupted at any operation, nothing stays in flight: $what",
    ({ ask, fault, moment }) =>
      Effect.gen(function*() {
        let struck = 0
        let interrupted = 0
        for (const step of steps) {
          const striker = new Striker(moment, step)
          const two = struckBy(striker)
          const sleepers = yield* countSleepers
          if (fault !== undefined) {
            for (const service of Object.values(two.services)) service.fault("*", fault)
          }
          const test = run(two, function*() {
            const fiber = yield* Effect.forkChild(inSmallSteps(ask))
            striker.strike = Effect.sync(() => fiber.interruptUnsafe())
            yield* letRun
            yield* TestClock.adjust("5 seconds")
            const exit = yield* Fiber.await(fiber)
            if (striker.struck) struck++
            if (Exit.isFailure(exit)) interrupted++
            // what was handed over is its taker's to read
            else if (exit.value !== undefined) yield* answer(exit.value.text)
            for (const name of ["east", "west"]) {
              const { inFlight, totals, waiting } = yield* stateOf(name)
              const { abandoned, attempts, failed, refused, succeeded, throttled } = totals
              assert.deepStrictEqual([inFlight, waiting], [0, 0], `${name} after ${step} operations`)
              assert.strictEqual(attempts, abandoned + failed + refused + succeeded + throttled, `after ${step}`)
              const { inFlight: served } = two.services[name]!.stats(0)
              assert.strictEqual(served, 0, `${name}'s sockets after ${step} operations`)
            }
          })
          yield* Effect.provideService(test, Clock.Clock, sleepers.clock)
          assert.strictEqual(sleepers.asleep(), 0, `timers after ${step} operations`)
        }
        // the moment came each time, and the strike came before the end at least sometimes
        assert.strictEqual(struck, steps.length)
        assert.isAbove(interrupted, 0)
      }),
    patient
  )

  it.effect.each(cases)(
    "closed at any operation, nothing stays in flight, and that is why: $what",
    ({ ask, fault, moment }) =>
      Effect.gen(function*() {
        let ended = 0
        for (const step of steps) {
          const striker = new Striker(moment, step)
          const two = struckBy(striker)
          if (fault !== undefined) {
            for (const service of Object.values(two.services)) service.fault("*", fault)
          }
          const scope = yield* Scope.make()
          const context = yield* Layer.buildWithScope(two.layer, scope)
          striker.strike = Scope.close(scope, Exit.void)
          const fiber = yield* Effect.forkChild(Effect.provideContext(inSmallSteps(ask), context))
          yield* letRun
          yield* TestClock.adjust("5 seconds")
          const answered = yield* Fiber.await(fiber)
          assert.isTrue(striker.struck)
          // where it ended before
          yield* striker.strike
          const exit: Exit.Exit<unknown, unknown> = Exit.isSuccess(answered) && answered.value !== undefined
            ? yield* Effect.exit(answer(answered.value.text))
            : answered
          if (Exit.isFailure(exit)) {
            ended++
            assert.include(Cause.pretty(exit.cause), "closed", `after ${step} operations`)
          }
          for (const name of ["east", "west"]) {
            const { inFlight } = two.services[name]!.stats(0)
            assert.strictEqual(inFlight, 0, `${name}'s sockets after ${step} operations`)
          }
        }
        assert.isAbove(ended, 0)
      }),
    patient
  )

  it.effect.each(["headers", "chunk"] as const)(
    "a half-open probe that is interrupted at any operation after its %s frees its slot, or has decided",
    (moment) =>
      Effect.gen(function*() {
        const states = new Set<string>()
        for (const step of steps) {
          const striker = new Striker(moment, step)
          let watches = false
          const two = fleet(
            [service("east"), service("west")],
            { tiers: { east: 1, west: 2 } },
            {},
            (transport) => ({ send: (request) => (watches ? striker.watch(transport) : transport).send(request) })
          )
          yield* run(two, function*() {
            two.services["east"]!.fault("gpt-4o", { kind: "status", status: 500, times: 5 })
            for (let i = 0; i < 5; i++) yield* answer(chat)
            yield* TestClock.adjust("5 seconds")
            watches = true
            const fiber = yield* Effect.forkChild(inSmallSteps(stream))
            striker.strike = Effect.sync(() => fiber.interruptUnsafe())
            yield* letRun
            yield* TestClock.adjust("1 second")
            yield* Fiber.await(fiber)
            const { state } = yield* stateOf("east")
            states.add(state)
            assert.oneOf(state, ["open", "healthy"], `after ${step} operations`)
            // either way the next one is let in
            yield* answer(chat)
            assert.strictEqual((yield* stateOf("east")).state, "healthy")
          })
        }
        assert.include([...states], "open")
      }),
    patient
  )
})
