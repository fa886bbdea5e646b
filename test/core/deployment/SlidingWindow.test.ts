import { SlidingWindow } from "#core/deployment/SlidingWindow"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"

describe("SlidingWindow", () => {
  it("keeps what was added for its seconds, and forgets it a second later at the latest", () => {
    const window = new SlidingWindow(60)
    window.add(500, 7)
    assert.strictEqual(window.sum(60_500), 7)
    assert.strictEqual(window.sum(60_999), 7)
    assert.strictEqual(window.sum(61_000), 0)
  })

  it("takes a time before its last as its last", () => {
    const window = new SlidingWindow(10)
    window.add(5000, 1)
    window.add(4000, 1)
    assert.strictEqual(window.sum(3000), 2)
    assert.strictEqual(window.sum(15_999), 2)
  })
})

const add = Schema.Struct({ op: Schema.Literal("add"), amount: integer(0, 100_000) })
const amend = Schema.Struct({ op: Schema.Literal("amend"), which: integer(0, 50), delta: integer(-100_000, 100_000) })
const wait = Schema.Struct({ op: Schema.Literal("wait"), millis: integer(0, 70_000) })
const pause = Schema.Struct({ op: Schema.Literal("wait"), millis: integer(0, 3000) })
const operations = Schema.Array(Schema.Union([add, amend, wait, pause]))

describe("SlidingWindow, against a list of times and amounts", () => {
  it.prop("is never less than the true sliding sum, never more than that of one bucket more", {
    operations,
    start: integer(0, 5000),
    seconds: Schema.Literals([1, 10, 60]),
    width: Schema.Literals([100, 1000])
  }, ({ operations, seconds, start, width }) => {
    const window = new SlidingWindow((seconds * 1000) / width, width)
    const list: Array<{ time: number; amount: number }> = []
    let now = start + 0.25
    for (const step of operations) {
      if (step.op === "wait") now += step.millis
      if (step.op === "add") {
        list.push({ time: now, amount: step.amount })
        window.add(now, step.amount)
      }
      if (step.op === "amend" && list.length > 0) {
        const entry = list[step.which % list.length]!
        const delta = Math.max(step.delta, -entry.amount)
        const before = window.sum(now)
        window.amend(now, entry.time, delta)
        if (now - entry.time >= seconds * 1000 + width) assert.strictEqual(window.sum(now), before)
        entry.amount += delta
      }
      const within = (millis: number) =>
        list.reduce((sum, { amount, time }) => now - time < millis ? sum + amount : sum, 0)
      assert.isAtLeast(window.sum(now), within(seconds * 1000))
      assert.isAtMost(window.sum(now), within(seconds * 1000 + width))
    }
  }, check())

  it.prop("knows what will be left at any later time, and changes nothing by telling", {
    amounts: Schema.Array(Schema.Struct({ amount: integer(1, 100), wait: integer(0, 9000) })),
    seconds: Schema.Literals([1, 10, 60]),
    width: Schema.Literals([100, 1000]),
    ahead: Schema.Array(integer(0, 70_000))
  }, ({ ahead, amounts, seconds, width }) => {
    const filled = () => {
      const window = new SlidingWindow((seconds * 1000) / width, width)
      let now = 0
      for (const { amount, wait } of amounts) {
        now += wait
        window.add(now, amount)
      }
      return { now, window }
    }
    const { now, window } = filled()
    const before = window.sum(now)
    for (const wait of ahead) assert.strictEqual(window.sumAt(now + wait), filled().window.sum(now + wait))
    assert.strictEqual(window.sum(now), before)
  }, check())
})
