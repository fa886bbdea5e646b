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
  it.effect("goes to further deployments, each of which gets as much as its cache is warm for, and stays there", () =>
    run(six(), function*(_, fleet) {
      yield* converse(fleet, "hot", 60, 3)
      const counts = yield* converse(fleet, "hot", 60, 10)
      assert.lengthOf(counts, 4)
      for (const count of counts) assert.approximately(count, 150, 20)
      assert.deepStrictEqual((yield* converse(fleet, "calm", 15, 10)).length, 1)
    }))

  it.effect("has a home for each of its shards, whatever it is called", () =>
    run(six(), function*(_, fleet) {
      for (let i = 0; i < 10; i++) assert.lengthOf(yield* converse(fleet, `tenant-${i}`, 40, 2), 2)
    }))

  it.effect("shares no place with a session that is called like one of its shards", () =>
    run(six(), function*(lb) {
      yield* answer(
        Effect.all(Array.from({ length: 40 }, () => lb.chat(hello, { session: "bot" })), { concurrency: "unbounded" })
      )
      for (const name of ["bot#1", "bot\u00001"]) {
        assert.isUndefined((yield* lb.explain(hello, { session: name })).warm, name)
      }
      assert.match(String(yield* lb.explain(hello, { session: "bot" })), /session bot, shard 1 as it is hot:/)
    }))

  it.effect("keeps to one place where it is told to", () =>
    run(six({ session: { maxRate: 0 } }), function*(_, fleet) {
      assert.deepStrictEqual(yield* converse(fleet, "hot", 60, 10), [600])
    }))

  it.effect("is not counted where someone only asks where it would go", () =>
    run(six(), function*(lb) {
      yield* answer(lb.chat(hello, { session: "s" }))
      const where = () => Effect.map(lb.explain(hello, { session: "s" }), ({ session, winner }) => [session, winner])
      const first = yield* where()
      for (let i = 0; i < 100; i++) assert.deepStrictEqual(yield* where(), first)
    }))
})
