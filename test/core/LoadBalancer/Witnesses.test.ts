import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Duration, Effect, Exit, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  answer,
  fleet,
  type FleetConfig,
  heard,
  hello,
  listen,
  run,
  sent,
  service,
  settle,
  stateOf,
  steady
} from "../../support/Balanced.ts"
import { asked, azure, completion, scripted } from "../../support/Scripted.ts"
import { tellsOf } from "../../support/Telling.ts"

const BAD = "[bad tenant]"

const bad = { model: "gpt-4o", messages: [{ role: "user" as const, content: `${BAD} Say hello.` }] }

/** Services where one prompt meets a fault everywhere. */
const beside = (names: ReadonlyArray<string>, fault: SimulatedFault, config: FleetConfig = {}) => {
  const made = fleet(names.map((name) => service(name)), config)
  for (const each of Object.values(made.services)) each.fault("*", { when: { text: BAD }, ...fault })
  return made
}

/** Asks so often for what nobody gives it, and does not wait for what comes of it. */
const misbehave = (times: number, every = 0) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    for (let i = 0; i < times; i++) {
      yield* Effect.forkChild(Effect.ignore(lb.chat(bad)), { startImmediately: true })
      yield* TestClock.adjust(every)
    }
  })

const failing = { kind: "status", status: 500 } satisfies SimulatedFault

const busy = { kind: "status", status: 503, headers: { "retry-after": "5" } } satisfies SimulatedFault

describe("requests of one caller that fail together", () => {
  it.effect("count as one witness: ten of them, before anything was answered, open no breaker", () =>
    run(
      beside(["east", "west", "north"], failing),
      Effect.gen(function*() {
        const events = yield* listen
        yield* misbehave(10)
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(heard(events, "BreakerOpened"), [])
      })
    ))

  it.effect("are no four witnesses of a time to wait: where there is one deployment, the next request tries it", () =>
    run(
      beside(["east"], { ...busy, headers: { "retry-after": "20" } }),
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        yield* answer(lb.chat(hello))
        for (let i = 0; i < 3; i++) {
          yield* misbehave(10)
          yield* TestClock.adjust(50)
          assert.isTrue(Exit.isSuccess(yield* settle(lb.chat(hello), { limit: 2_000 })))
        }
      })
    ))

  it.effect("open what does fail as soon as a peer answers them", () => {
    const made = fleet([service("east"), service("west")], { tiers: { west: 2 } })
    return run(
      made,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        made.services["east"]!.fault("*", failing)
        for (let i = 0; i < 5; i++) yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
        yield* TestClock.adjust(500)
        assert.strictEqual((yield* stateOf("east")).state, "open")
      })
    )
  })
})

describe("requests of one caller that fail one after the other", () => {
  it.effect("before their peers said much say no more of the first tier than of those", () =>
    run(
      beside(["east", "west", "north", "south"], failing, { tiers: { west: 2, north: 2, south: 2 } }),
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        const events = yield* listen
        yield* misbehave(2, 50)
        for (let i = 0; i < 3; i++) yield* answer(lb.chat(hello))
        yield* misbehave(1, 50)
        assert.deepStrictEqual(heard(events, "BreakerOpened"), [])
      })
    ))

  it.effect("and are told to wait hold up nobody else, even where the only deployment is failing", () =>
    run(
      beside(["east"], busy),
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        const events = yield* listen
        yield* answer(lb.chat(hello))
        const waits: Array<number> = []
        for (let i = 0; i < 60; i++) {
          yield* misbehave(1, 120)
          yield* Effect.forkChild(
            Effect.map(Effect.timed(lb.chat(hello)), ([took]) => waits.push(Duration.toMillis(took))),
            { startImmediately: true }
          )
          yield* TestClock.adjust(120)
        }
        yield* TestClock.adjust("1 minute")
        assert.isNotEmpty(heard(events, "BreakerOpened"))
        assert.strictEqual(waits.length, 60)
        assert.isBelow(Math.max(...waits), 2_000)
      })
    ))
})

describe("a failing deployment", () => {
  it.effect("that refuses its probe is not asked by all who come while a peer thinks about it", () => {
    const made = scripted(
      [azure("east", { tier: 1 }), azure("west", { tier: 2 })],
      ({ resource }) => resource === "east" ? { status: 404, body: "?" } : { ...completion, after: 10_000 }
    )
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const ask = (times: number) =>
        Effect.gen(function*() {
          for (let i = 0; i < times; i++) {
            yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
            yield* TestClock.adjust(100)
          }
        })
      yield* ask(200)
      assert.strictEqual((yield* stateOf("east")).state, "open")
      const before = made.sends.length
      yield* ask(1_200)
      assert.isAtMost(asked(made).slice(before).filter((name) => name === "east").length, 12)
    }).pipe(Effect.provide(made.layer))
  })

  const words = { latency: { ...steady, perOutputTokenMs: 100, tokensPerEvent: 1 } }
  const cutLater = { kind: "cut", afterEvents: 5, ending: "reset" } satisfies SimulatedFault

  const broken = (then: Effect.Effect<void, unknown, LoadBalancer>, clear: boolean) => {
    const made = fleet(
      ["east", "west"].map((name) => service(name, { ...words, reply: () => "one two ".repeat(10) })),
      {
        tiers: { west: 2 }
      }
    )
    return run(
      made,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        made.services["east"]!.fault("*", cutLater)
        for (let i = 0; i < 5; i++) yield* settle(Stream.runDrain(lb.chatStream(hello)))
        assert.strictEqual((yield* stateOf("east")).state, "open")
        yield* TestClock.adjust(5_000)
        if (clear) made.services["east"]!.clear()
        yield* Effect.forkChild(Effect.ignore(Stream.runDrain(lb.chatStream(hello))), { startImmediately: true })
        yield* TestClock.adjust(120)
        // its content has begun, as that of all the others had
        assert.strictEqual((yield* stateOf("east")).state, "half-open")
        yield* then
      })
    )
  }

  it.effect("whose streams broke is well again by one that comes to its end, not by one that begins", () =>
    broken(
      Effect.gen(function*() {
        yield* TestClock.adjust(10_000)
        assert.strictEqual((yield* stateOf("east")).state, "healthy")
      }),
      true
    ))

  it.effect("whose streams broke costs one of them to see that they still do", () =>
    broken(
      Effect.gen(function*() {
        yield* TestClock.adjust(1_000)
        assert.strictEqual((yield* stateOf("east")).state, "open")
      }),
      false
    ))

  it.effect("that is silent, and left for that before a breaker could count to five, is told of", () => {
    const made = fleet(["east", "west", "north"].map((name) => service(name)), {
      timeouts: { firstEvent: "5 seconds", firstContent: "5 seconds" }
    })
    return run(
      made,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        const events = yield* listen
        for (let i = 0; i < 10; i++) yield* answer(Stream.runDrain(lb.chatStream(hello)))
        made.services["east"]!.fault("*", { kind: "hang" })
        const before = sent(made)["east"]!
        for (let i = 0; i < 100; i++) {
          yield* Effect.forkChild(Stream.runDrain(lb.chatStream(hello)), { startImmediately: true })
          yield* TestClock.adjust(200)
        }
        assert.isBelow(sent(made)["east"]! - before, 8)
        assert.isTrue(events.some((event) => tellsOf(event, "east")))
      })
    )
  })
})

describe("answers that do not say what they billed", () => {
  it.effect("where others do make nobody slow: how long they should take is not known", () => {
    const short = { status: 200, body: { ok: true }, after: 10 }
    const made = scripted(
      [azure("east"), azure("west")],
      ({ body }) => String(body).includes(BAD) ? short : { ...completion, after: 400 }
    )
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const events = yield* listen
      yield* answer(lb.chat(hello))
      for (let i = 0; i < 60; i++) {
        yield* Effect.forkChild(Effect.ignore(lb.chat(bad)), { startImmediately: true })
        yield* answer(lb.chat(hello))
      }
      assert.deepStrictEqual(heard(events, "Outlier"), [])
      const { deployments } = yield* lb.snapshot
      for (const { latency, id } of deployments) assert.isBelow(latency, 2, id)
    }).pipe(Effect.provide(made.layer))
  })
})
