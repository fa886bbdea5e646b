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

/** A word every 100 ms. */
const words = { latency: { ...steady, perOutputTokenMs: 100, tokensPerEvent: 1 } }

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
    run(beside(["east", "west", "north"], failing), function*(_lb, _on, { events }) {
      yield* misbehave(10)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(heard(events, "BreakerOpened"), [])
    }))

  it.effect("are no four witnesses of a time to wait: where there is one deployment, the next request tries it", () =>
    run(beside(["east"], { ...busy, headers: { "retry-after": "20" } }), function*(lb) {
      yield* answer(lb.chat(hello))
      for (let i = 0; i < 3; i++) {
        yield* misbehave(10)
        yield* TestClock.adjust(50)
        assert.isTrue(Exit.isSuccess(yield* settle(lb.chat(hello), { limit: 2_000 })))
      }
    }))

  it.effect("open what does fail as soon as a peer answers them", () =>
    run(fleet([service("east"), service("west")], { tiers: { west: 2 } }), function*(lb, made) {
      made.services["east"]!.fault("*", failing)
      for (let i = 0; i < 5; i++) yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
      yield* TestClock.adjust(500)
      assert.strictEqual((yield* stateOf("east")).state, "open")
    }))
})

describe("requests of one caller that fail one after the other", () => {
  it.effect("before their peers said much say no more of the first tier than of those", () =>
    run(
      beside(["east", "west", "north", "south"], failing, { tiers: { west: 2, north: 2, south: 2 } }),
      function*(lb, _, { events }) {
        yield* misbehave(2, 50)
        for (let i = 0; i < 3; i++) yield* answer(lb.chat(hello))
        yield* misbehave(1, 50)
        assert.deepStrictEqual(heard(events, "BreakerOpened"), [])
      }
    ))

  it.effect("and are told to wait hold up nobody else, even where the only deployment is failing", () =>
    run(beside(["east"], busy), function*(lb, _, { events }) {
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
    }))
})

describe("a failing deployment", () => {
  it.effect("that refuses its probe is not asked by all who come while a peer thinks about it", () => {
    const made = scripted(
      [azure("east", { tier: 1 }), azure("west", { tier: 2 })],
      ({ resource }) => resource === "east" ? { status: 404, body: "?" } : { ...completion, after: 10_000 }
    )
    return run(made, function*(lb) {
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
    })
  })

  const cutLater = { kind: "cut", afterEvents: 5, ending: "reset" } satisfies SimulatedFault

  const broken = (then: Effect.Effect<void, unknown, LoadBalancer>, clear: boolean) => {
    const made = fleet(
      ["east", "west"].map((name) => service(name, { ...words, reply: () => "one two ".repeat(10) })),
      {
        tiers: { west: 2 }
      }
    )
    return run(made, function*(lb) {
      made.services["east"]!.fault("*", cutLater)
      for (let i = 0; i < 5; i++) yield* settle(Stream.runDrain(lb.chatStream(hello)))
      assert.strictEqual((yield* stateOf("east")).state, "open")
      yield* TestClock.adjust(5_000)
      if (clear) made.services["east"]!.clear()
      yield* Effect.forkChild(Effect.ignore(Stream.runDrain(lb.chatStream(hello))), { startImmediately: true })
      yield* TestClock.adjust(120)
      // its content has begun, as that of all the others had
      assert.strictEqual((yield* stateOf("east")).state, "open")
      yield* then
    })
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
        const { opensIn, state } = yield* stateOf("east")
        assert.strictEqual(state, "open")
        // for longer than the first time
        assert.isAbove(opensIn!, 4_000)
      }),
      false
    ))

  for (
    const [what, left] of [
      ["nobody reads on", (lb: LoadBalancer["Service"]) =>
        Effect.scoped(Effect.gen(function*() {
          yield* yield* Stream.toPull(lb.chatStream(hello))
          return yield* Effect.never
        }))],
      [
        "is left after three words",
        (lb: LoadBalancer["Service"]) => Stream.runDrain(Stream.take(lb.chatStream(hello), 3))
      ]
    ] as const
  ) {
    it.effect(`whose streams broke is not kept out by a probe that ${what}`, () =>
      broken(
        Effect.gen(function*() {
          const lb = yield* LoadBalancer
          yield* ask(60, 500, () => left(lb))
          yield* ask(20, 500, () => chat)
          assert.strictEqual((yield* stateOf("east")).state, "healthy")
        }),
        true
      ))
  }

  it.effect("that is silent, and left for that before a breaker could count to five, is told of", () => {
    const made = fleet(["east", "west", "north"].map((name) => service(name)), {
      timeouts: { firstEvent: "5 seconds", firstContent: "5 seconds" }
    })
    return run(made, function*(lb, _, { events }) {
      for (let i = 0; i < 10; i++) yield* answer(Stream.runDrain(lb.chatStream(hello)))
      made.services["east"]!.fault("*", { kind: "hang" })
      const before = sent(made)["east"]!
      for (let i = 0; i < 300; i++) {
        yield* Effect.forkChild(Stream.runDrain(lb.chatStream(hello)), { startImmediately: true })
        yield* TestClock.adjust(200)
      }
      assert.isBelow(sent(made)["east"]! - before, 8)
      assert.isTrue(events.some((event) => tellsOf(event, "east")))
    })
  })
})

/** Asks so many times, so many milliseconds apart, and does not wait for what comes of it. */
const ask = <A, E>(times: number, every: number, request: (i: number) => Effect.Effect<A, E, LoadBalancer>) =>
  Effect.gen(function*() {
    for (let i = 0; i < times; i++) {
      yield* Effect.forkChild(Effect.exit(request(i)), { startImmediately: true })
      yield* TestClock.adjust(every)
    }
  })

const chat = Effect.flatMap(LoadBalancer, (lb) => lb.chat(hello))
const stream = Effect.flatMap(LoadBalancer, (lb) => Stream.runDrain(lb.chatStream(hello)))

/** Five failures, and then nothing is wrong but what this noise meets, beside which others ask. */
const back = (noise: Effect.Effect<unknown, unknown, LoadBalancer>, status: number, body: object) => {
  let isDown = true
  const made = scripted(
    [azure("east", { tier: 1 }), azure("west", { tier: 2 })],
    ({ body: text, path, resource }) => {
      if (path.includes("/files") || String(text).includes(BAD)) return { status, body }
      return isDown && resource === "east" ? { status: 500 } : { ...completion, after: 100 }
    }
  )
  return run(made, function*() {
    yield* answer(chat)
    for (let i = 0; i < 5; i++) yield* answer(chat)
    assert.strictEqual((yield* stateOf("east")).state, "open")
    isDown = false
    yield* ask(60, 200, (i) => i % 2 === 0 ? noise : chat)
    assert.strictEqual((yield* stateOf("east")).state, "healthy")
  })
}

describe("a breaker", () => {
  it.effect("opens for streams that all break after seconds, however many begin meanwhile", () => {
    const made = fleet(
      ["east", "west", "north"].map((name) => service(name, { ...words, reply: () => "so ".repeat(40) }))
    )
    return run(made, function*(_lb, _on, { events }) {
      yield* ask(20, 200, () => stream)
      made.services["east"]!.fault("*", { kind: "cut", afterEvents: 30, ending: "reset" })
      const before = sent(made)["east"]!
      yield* ask(150, 200, () => stream)
      assert.isNotEmpty(heard(events, "BreakerOpened"))
      assert.isBelow(sent(made)["east"]! - before, 40)
    })
  })

  it.effect("is kept open by nothing that is told of an endpoint", () =>
    back(Effect.flatMap(LoadBalancer, (lb) => lb.request({ path: "/files/file-x" })), 404, { error: { message: "?" } }))

  it.effect("that waits for the end of a stream closes at the end of any, however many probes came after", () => {
    const made = fleet(["east", "west"].map((name) => service(name, { ...words, reply: () => "so ".repeat(600) })), {
      tiers: { west: 2 }
    })
    return run(made, function*() {
      made.services["east"]!.fault("*", { kind: "cut", afterEvents: 5, ending: "reset" })
      for (let i = 0; i < 5; i++) yield* settle(stream)
      made.services["east"]!.clear()
      yield* ask(100, 1_000, () => stream)
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
    })
  })

  it.effect("is closed by a probe that is refused for its content", () =>
    back(Effect.flatMap(LoadBalancer, (lb) => lb.chat(bad)), 400, {
      error: { code: "content_filter", message: "The response was filtered.", type: null, param: "prompt" }
    }))
})

const three = () => fleet(["east", "west", "north"].map((name) => service(name)))

describe("one of three deployments", () => {
  it.effect("that never answers whole requests is told of", () =>
    run(three(), function*(_, made, { events }) {
      yield* ask(100, 200, () => chat)
      made.services["east"]!.fault("*", { kind: "hang" })
      yield* ask(300, 1_000, () => chat)
      assert.isTrue(events.some((event) => tellsOf(event, "east")))
    }))

  it.effect("is not held back by one caller's 429s, ten a second: others wait for no more than a moment", () => {
    const made = fleet(["east", "west", "north"].map((name) => service(name)), { unlimited: true })
    for (const each of Object.values(made.services)) {
      each.fault("*", { kind: "throttle", retryAfterMs: 60_000, when: { text: BAD } })
    }
    return run(made, function*() {
      yield* ask(350, 200, () => chat)
      const waits: Array<number> = []
      const timed = Effect.map(Effect.timed(chat), ([took]) => void waits.push(Duration.toMillis(took)))
      const asksInVain = Effect.asVoid(Effect.flatMap(LoadBalancer, (lb) => lb.chat(bad)))
      // two of three are the bad tenant's
      yield* ask(900, 67, (i) => i % 3 === 0 ? timed : asksInVain)
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(waits.length, 300)
      assert.isBelow(Math.max(...waits), 3_000)
    })
  })

  it.effect("is not missing because one caller's requests say so, fifty at once", () => {
    const made = three()
    for (const each of Object.values(made.services)) {
      each.fault("*", { kind: "status", error: "deployment-not-found", when: { text: BAD } })
    }
    return run(made, function*() {
      yield* ask(50, 200, () => chat)
      let lost = 0
      for (let i = 0; i < 12; i++) {
        yield* misbehave(50)
        yield* ask(25, 200, () => Effect.tapError(chat, () => Effect.sync(() => lost++)))
      }
      assert.strictEqual(lost, 0)
    })
  })
})

describe("answers that do not say what they billed", () => {
  it.effect("where others do make nobody slow: how long they should take is not known", () => {
    const short = { status: 200, body: { ok: true }, after: 10 }
    const made = scripted(
      [azure("east"), azure("west")],
      ({ body }) => String(body).includes(BAD) ? short : { ...completion, after: 400 }
    )
    return run(made, function*(lb, _, { events }) {
      yield* answer(lb.chat(hello))
      for (let i = 0; i < 60; i++) {
        yield* Effect.forkChild(Effect.ignore(lb.chat(bad)), { startImmediately: true })
        yield* answer(lb.chat(hello))
      }
      assert.deepStrictEqual(heard(events, "Outlier"), [])
      const { deployments } = yield* lb.snapshot
      for (const { latency, id } of deployments) assert.isBelow(latency, 2, id)
    })
  })
})
