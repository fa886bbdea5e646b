import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { answer, type Fleet, fleet, hello, run, sent, service } from "../../support/Balanced.ts"

const names = ["east", "west", "north", "south", "centre", "coast"]

const six = (config: Parameters<typeof fleet>[1] = {}) => fleet(names.map((name) => service(name)), config)

/** Asks within a session, so often a minute; how many each resource got that got any, the most first. */
const converse = (one: Fleet, session: string, perMinute: number, minutes: number) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    const before = sent(one)
    for (let i = 0; i < perMinute * minutes; i++) {
      yield* Effect.forkChild(lb.chat(hello, { session }), { startImmediately: true })
      yield* TestClock.adjust(60_000 / perMinute)
    }
    const after = sent(one)
    const counts = names.map((name) => after[name]! - before[name]!)
    return counts.filter((count) => count > 0).toSorted((a, b) => b - a)
  })

describe("a session that asks for more than one cache is warm for", () => {
  it.effect("goes to further deployments, each of which gets as much as its cache is warm for, and stays there", () => {
    const fleet = six()
    return run(
      fleet,
      Effect.gen(function*() {
        yield* converse(fleet, "hot", 60, 3)
        const counts = yield* converse(fleet, "hot", 60, 10)
        // four shards, of which two may have one home
        assert.isAtLeast(counts.length, 3)
        assert.isAtMost(counts.length, 4)
        assert.isAtMost(counts[0]!, 320)
        assert.deepStrictEqual((yield* converse(fleet, "calm", 15, 10)).length, 1)
      })
    )
  })

  it.effect("keeps to one place where it is told to", () => {
    const fleet = six({ session: { maxRate: 0 } })
    return run(
      fleet,
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* converse(fleet, "hot", 60, 10), [600])
      })
    )
  })

  it.effect("is not counted where someone only asks where it would go", () => {
    const fleet = six()
    return run(
      fleet,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        yield* answer(lb.chat(hello, { session: "s" }))
        const where = () => Effect.map(lb.explain(hello, { session: "s" }), ({ session, winner }) => [session, winner])
        const first = yield* where()
        for (let i = 0; i < 100; i++) assert.deepStrictEqual(yield* where(), first)
      })
    )
  })
})
