import { SessionShards } from "#core/routing/SessionShards"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"

const make = (maxRate = 15, capacity = 100) => new SessionShards({ maxRate, capacity })

/** Asks so often, evenly, for so many minutes; requests of each shard in the last minute. */
const ask = (shards: SessionShards, perMinute: number, minutes: number, among = 6): ReadonlyArray<number> => {
  const counts: Array<number> = []
  for (let i = 0; i < perMinute * minutes; i++) {
    const now = (i * 60_000) / perMinute
    const shard = shards.next("s", among, now)
    shards.count("s", shard, now)
    if (now >= (minutes - 1) * 60_000) counts[shard] = (counts[shard] ?? 0) + 1
  }
  return Array.from(counts, (count) => count ?? 0)
}

describe("the shards of a session", () => {
  it("are still the session itself where it is busy for a moment", () => {
    const shards = make()
    for (let i = 0; i < 30; i++) {
      assert.strictEqual(shards.next("s", 6, 0), 0)
      shards.count("s", 0, 0)
    }
    assert.strictEqual(shards.next("s", 6, 0), 1)
    assert.strictEqual(shards.next("s", 6, 4000), 0)
  })

  it("are no more than there are places, which then share evenly", () => {
    const counts = ask(make(), 300, 10, 3)
    assert.lengthOf(counts, 3)
    for (const count of counts) assert.approximately(count, 100, 2)
  })

  it("are forgotten, the longest unused first, where there are too many sessions", () => {
    const shards = make(1, 2)
    const isHot = (session: string): boolean => shards.next(session, 2, 0) === 1
    for (const session of ["a", "b", "c"]) for (let i = 0; i < 2; i++) shards.count(session, 0, 0)
    assert.deepStrictEqual(["a", "b", "c"].map(isHot), [false, true, true])
    shards.count("b", 1, 0)
    shards.count("d", 0, 0)
    assert.deepStrictEqual(["b", "c"].map((session) => shards.next(session, 9, 0) > 0), [true, false])
  })

  it.prop("take at most their rate each, and a burst, over any time", {
    maxRate: integer(1, 30),
    gaps: Schema.Array(integer(0, 20_000)).check(Schema.isMaxLength(300))
  }, ({ gaps, maxRate }) => {
    const shards = make(maxRate)
    const sent: Array<{ readonly at: number; readonly shard: number }> = []
    let now = 0
    for (const gap of gaps) {
      now += gap
      const shard = shards.next("s", 1000, now)
      shards.count("s", shard, now)
      sent.push({ at: now, shard })
    }
    for (const { at: from, shard } of sent) {
      const within = sent.filter((one) => one.shard === shard && one.at >= from)
      const allowed = 2 * maxRate + ((now - from) * maxRate) / 60_000
      assert.isAtMost(within.length, allowed + 1e-6)
    }
  }, check())
})
