import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { assert, describe, it } from "@effect/vitest"
import { Deployments, type Event, LoadBalancer } from "@evenkeel/core"
import { Clock, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { answer, fleet, type FleetConfig, hello, run, sent, service, stateOf, steady } from "../../support/Balanced.ts"

/** Fifty words take five seconds. */
const talkative = {
  latency: { ...steady, perOutputTokenMs: 100 },
  reply: () => Array.from({ length: 50 }, (_, i) => `word${i}`).join(" ")
}
import { sample } from "../../support/Check.ts"
import { timed } from "../../support/Timed.ts"

const names = ["east", "west", "north"]

const three = (deployment: Parameters<typeof service>[1] = {}, config: FleetConfig = {}) =>
  fleet(names.map((name) => service(name, deployment)), config)

/** One alone in the first tier, and two behind it. */
const oneInFront = () => fleet(names.map((name) => service(name)), { tiers: { west: 2, north: 2 } })

const streamed = (lb: LoadBalancer["Service"]) => Stream.runDrain(lb.chatStream(hello))

/** Streams one after the other, as many as there are. */
const ask = (count: number) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    for (let i = 0; i < count; i++) yield* answer(streamed(lb))
  })

/** What east does, and how many are asked until that is known. Ten seconds to a first word, and half a second for others. */
const slownesses: ReadonlyArray<
  readonly [what: string, deployment: Parameters<typeof service>[1], fault: SimulatedFault, known: number]
> = [
  ["in its first tokens", talkative, { kind: "slow", factor: 10 }, 0],
  ["in the tokens after the first", talkative, { kind: "slowDecoding", factor: 10 }, 0],
  [
    "in the tokens after the first, where first tokens take far longer than the rest",
    { ...talkative, latency: { ...steady, baseMs: 10_000, perOutputTokenMs: 10 } },
    { kind: "slowDecoding", factor: 30 },
    40
  ],
  [
    "behind a proxy that holds streams back, however fast they come then",
    talkative,
    { kind: "silence", forMs: 10_000 },
    40
  ]
]

describe("a deployment that is slow but alive", () => {
  for (const [what, deployment, fault, known] of sample(slownesses, 2)) {
    it.effect(`loses most of its traffic, and is not taken out: ${what}`, () =>
      run(three(deployment), function*(_, fleet) {
        if (known === 0) yield* ask(30)
        fleet.services["east"]!.fault("*", fault)
        yield* ask(known)
        const before = sent(fleet)["east"] ?? 0
        yield* ask(60)
        assert.isAtMost((sent(fleet)["east"] ?? 0) - before, 12)
        assert.strictEqual((yield* stateOf("east")).state, "healthy")
      }))
  }

  it.effect("is left even by the sessions that are warm there, and they stay where they went", () =>
    run(three(), function*(lb, fleet) {
      const converse = Effect.gen(function*() {
        const before = sent(fleet)
        for (let i = 0; i < 10; i++) yield* answer(Stream.runDrain(lb.chatStream(hello, { session: "s" })))
        const after = sent(fleet)
        return names.filter((name) => (after[name] ?? 0) - (before[name] ?? 0) > 5)
      })
      yield* ask(30)
      const [warm] = yield* converse
      fleet.services[warm!]!.fault("*", { kind: "slow", factor: 10 })
      const moved = yield* converse
      assert.lengthOf(moved, 1)
      assert.notInclude(moved, warm)
      fleet.services[warm!]!.clear()
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* converse, moved)
    }))

  it.effect("once only, or to many at once, is left by no session", () =>
    run(three({}, { session: { maxRate: 0 } }), function*(lb, fleet) {
      const converse = (sessions: number, turns: number) =>
        Effect.gen(function*() {
          const before = sent(fleet)
          for (let turn = 0; turn < turns; turn++) {
            yield* answer(Effect.forEach(
              Array.from({ length: sessions }, (_, i) => i),
              () => Stream.runDrain(lb.chatStream(hello, { session: "s" })),
              { concurrency: "unbounded" }
            ))
          }
          const after = sent(fleet)
          return names.filter((name) => (after[name] ?? 0) - (before[name] ?? 0) > 0)
        })
      yield* ask(30)
      const [home, ...others] = yield* converse(1, 10)
      assert.isEmpty(others)
      for (const [times, atOnce] of [[1, 1], [5, 5]] as const) {
        fleet.services[home!]!.fault("*", { kind: "slow", factor: 30, times })
        assert.deepStrictEqual(yield* converse(atOnce, 1), [home])
        assert.deepStrictEqual(yield* converse(1, 10), [home])
      }
    }))

  for (const [how, fault] of [["slow", { kind: "slow", factor: 10 }], ["hangs", { kind: "hang" }]] as const) {
    it.effect(`gives way to the next tier where it is alone in its own, and ${how}`, () =>
      run(oneInFront(), function*(lb, fleet) {
        yield* ask(30)
        fleet.services["east"]!.fault("*", fault)
        const before = sent(fleet)["east"]!
        assert.strictEqual(before, 30)
        const asking: Array<Fiber.Fiber<void, unknown>> = []
        for (let i = 0; i < 100; i++) {
          asking.push(yield* Effect.forkChild(streamed(lb), { startImmediately: true }))
          yield* TestClock.adjust("200 millis")
        }
        assert.isAtMost(sent(fleet)["east"]! - before, 25)
        assert.match(String(yield* lb.explain(hello)), /tier 2 .*Slower by far: east\/gpt-4o/)
        yield* Effect.forEach(asking, Fiber.interrupt)
        fleet.services["east"]!.clear()
        yield* TestClock.adjust("2 minutes")
        const after = sent(fleet)["east"]!
        yield* ask(20)
        assert.isAtLeast(sent(fleet)["east"]! - after, 15)
      }))
  }

  it.effect("gets its share back when it is fast again", () =>
    run(three(), function*(_, fleet) {
      yield* ask(30)
      fleet.services["east"]!.fault("*", { kind: "slow", factor: 20 })
      yield* ask(100)
      fleet.services["east"]!.clear()
      yield* TestClock.adjust("1 minute")
      const before = sent(fleet)["east"]!
      yield* ask(90)
      assert.isAtLeast(sent(fleet)["east"]! - before, 15)
    }))

  it.effect("is left while it hangs, long before a time limit says so", () =>
    run(three(), function*(lb, fleet) {
      yield* ask(30)
      fleet.services["east"]!.fault("*", { kind: "hang" })
      const before = sent(fleet)["east"]!
      const asking: Array<Fiber.Fiber<void, unknown>> = []
      for (let i = 0; i < 200; i++) {
        asking.push(yield* Effect.forkChild(streamed(lb), { startImmediately: true }))
        yield* TestClock.adjust("100 millis")
      }
      assert.isAtMost(sent(fleet)["east"]! - before, 20)
      assert.isAbove((yield* stateOf("east")).waiting, 0)
      yield* Effect.forEach(asking, Fiber.interrupt)
    }))
})

describe("sessions at a place that hangs", () => {
  it.effect("leave it within a few requests, also where the first that waits there may be long", () => {
    let hangs = false
    const lbs = timed(
      ["a", "b", "c"],
      ({ resource }) => hangs && resource === "a" ? { after: "never" } : { after: 200 }
    )
    return run(lbs, function*(lb) {
      const small = { ...hello, max_tokens: 50 }
      const homes: Array<string> = []
      for (let i = 0; homes.length < 12; i++) {
        yield* answer(lb.chat(small, { session: `s${i}` }))
        if (lbs.sends.at(-1) === "a") homes.push(`s${i}`)
      }
      for (let i = 0; i < 30; i++) yield* answer(lb.chat(small))
      hangs = true
      const before = lbs.sends.length
      const asking = [
        yield* Effect.forkChild(lb.chat({ ...small, max_tokens: 8000 }, { session: homes[0]! }), {
          startImmediately: true
        })
      ]
      for (let i = 0; i < 30; i++) {
        const session = homes[1 + i % 11]!
        asking.push(yield* Effect.forkChild(lb.chat(small, { session }), { startImmediately: true }))
        yield* TestClock.adjust("1 second")
      }
      assert.isAtMost(lbs.sends.slice(before).filter((name) => name === "a").length, 8)
      yield* Effect.forEach(asking, Fiber.interrupt)
    })
  })
})

describe("streams that are silent for their own sake", () => {
  it.effect("move no session of others", () =>
    run(three(), function*(lb, fleet) {
      const moved: Array<string> = []
      const { events } = yield* Deployments
      events.listen((event: Event) => void (event._tag === "SessionMoved" && moved.push(event.session)))
      for (const { fault } of Object.values(fleet.services)) fault("*", { kind: "hang", when: { text: "[silent]" } })
      const silent = { ...hello, messages: [{ role: "user" as const, content: "[silent]" }] }
      yield* ask(30)
      const asking: Array<Fiber.Fiber<unknown, unknown>> = []
      for (let i = 0; i < 400; i++) {
        const session = `s${i % 12}`
        asking.push(yield* Effect.forkChild(Stream.runDrain(lb.chatStream(hello, { session }))))
        asking.push(yield* Effect.forkChild(Stream.runDrain(lb.chatStream(silent))))
        yield* TestClock.adjust("250 millis")
      }
      assert.deepStrictEqual(moved, [])
      yield* Effect.forEach(asking, Fiber.interrupt)
    }))
})

describe("a whole answer that does not come", () => {
  const whole = Effect.gen(function*() {
    const lb = yield* LoadBalancer
    return yield* answer(lb.chat(hello))
  })

  it.effect("is asked for elsewhere, once it takes far longer than any, and nobody is blamed", () =>
    run(three(), function*(_, fleet) {
      yield* Effect.replicateEffect(whole, 30)
      for (const name of names) fleet.services[name]!.fault("*", { kind: "hang", times: 1 })
      // the first two attempts may be unlucky; the second is waited for to the end
      fleet.services["east"]!.clear()
      fleet.services["west"]!.clear()
      const began = yield* Clock.currentTimeMillis
      for (let i = 0; i < 6; i++) yield* whole
      const took = (yield* Clock.currentTimeMillis) - began
      assert.isAtLeast(took, 60_000)
      assert.isAtMost(took, 65_000)
      assert.strictEqual((yield* stateOf("north")).state, "healthy")
      assert.strictEqual((yield* stateOf("north")).inFlight, 0)
    }))

  it.effect("is waited for the second time, as a long one must be able to come", () =>
    run(three(), function*(_, fleet) {
      yield* Effect.replicateEffect(whole, 30)
      for (const name of names) fleet.services[name]!.fault("*", { kind: "slow", factor: 2000 })
      const began = yield* Clock.currentTimeMillis
      yield* whole
      const took = (yield* Clock.currentTimeMillis) - began
      assert.isAbove(took, 200_000)
      assert.deepStrictEqual(fleet.sends.slice(30).length, 2)
    }))

  it.effect("is waited for where there is nobody else", () =>
    run(fleet([service("east")]), function*(_, one) {
      yield* Effect.replicateEffect(whole, 30)
      one.services["east"]!.fault("*", { kind: "slow", factor: 2000 })
      yield* whole
      assert.lengthOf(one.sends, 31)
    }))
})
