import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, type Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { answer, fleet, hello, run, sent, service, stateOf, steady } from "../../support/Balanced.ts"

const names = ["east", "west", "north", "south"]

/** Thirty words in a second and a half. */
const talkative = {
  latency: { ...steady, perOutputTokenMs: 50 },
  reply: () => Array.from({ length: 30 }, (_, i) => `word${i}`).join(" ")
}

const four = () => fleet(names.map((name) => service(name, talkative)))

/** So many streams, or whole answers, a second, for so many seconds. */
const ask = (perSecond: number, seconds: number, isWhole = false) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    const one: Effect.Effect<unknown, unknown> = isWhole ? lb.chat(hello) : Stream.runDrain(lb.chatStream(hello))
    const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
    for (let i = 0; i < perSecond * seconds; i++) {
      fibers.push(yield* Effect.forkChild(one, { startImmediately: true }))
      yield* TestClock.adjust(1000 / perSecond)
    }
    return fibers
  })

/** Who is drawn before it is known is luck. */
const seeds = Array.from({ length: 10 }, (_, i) => i + 1)

/** Share of the streams, or whole answers, that one of four gets while it has this fault. */
const shareOf = (kind: "slow" | "slowDecoding", isWhole = false, seed = 1) =>
  run(four(), function*(_, lbs) {
    yield* ask(4, 10, isWhole)
    lbs.services["east"]!.fault("*", { kind, factor: 10 })
    const before = sent(lbs)
    yield* ask(4, 60, isWhole)
    const after = sent(lbs)
    return ((after["east"] ?? 0) - (before["east"] ?? 0)) / 240
  }, seed)

describe("a deployment that decodes slowly", () => {
  it.effect("is left as fast as one whose first tokens are slow", () => {
    return Effect.gen(function*() {
      const slow = yield* shareOf("slow")
      const shares = yield* Effect.forEach(seeds, (seed) => shareOf("slowDecoding", false, seed))
      // a quarter would be its share
      assert.isAtMost(slow, 0.02)
      assert.isAtMost(shares.reduce((sum, share) => sum + share, 0) / shares.length, 0.02)
    })
  }, 120_000)

  it.effect("is left by whole answers before a second of them has come", () =>
    Effect.gen(function*() {
      const [slow, slowDecoding] = [yield* shareOf("slow", true), yield* shareOf("slowDecoding", true)]
      // nothing of an answer is heard before its end, 15 s later: those that wait keep others away
      assert.isAtMost(slow, 0.04)
      assert.isAtMost(slowDecoding, 0.04)
    }))

  it.effect("is noticed before the first of its slow streams ends", () =>
    run(four(), function*(_, lbs) {
      yield* ask(4, 10)
      lbs.services["east"]!.fault("*", { kind: "slowDecoding", factor: 10 })
      yield* ask(4, 4)
      assert.isAbove((yield* stateOf("east")).decoding, 3)
    }))

  it.effect("is not one whose readers take their time", () =>
    run(four(), function*(lb) {
      yield* ask(4, 10)
      const slowly = Stream.runForEach(lb.chatStream(hello), () => Effect.sleep("1 second"))
      yield* answer(Effect.all(Array.from({ length: 12 }, () => slowly), { concurrency: "unbounded" }))
      for (const name of names) assert.isBelow((yield* stateOf(name)).decoding, 2)
    }))
})
