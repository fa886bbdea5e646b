import { type Place, WaitingLine } from "#core/deployment/WaitingLine"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { check, integer } from "../../support/Check.ts"

/** Share of the busy times at whose end a line stands. */
const standsAfter = (busy: number, free: number) => {
  const line = new WaitingLine()
  let stood = 0
  for (let at = 0; at < 200_000; at += busy + free) {
    const place = line.enter(at, 10_000)
    if (line.isStanding(at + busy)) stood++
    place.leave(at + busy)
  }
  return stood / (200_000 / (busy + free))
}

describe("a waiting line", () => {
  it("stands once someone has waited for as long as anybody may, and no more when that is over", () => {
    const line = new WaitingLine()
    assert.isFalse(line.isStanding(5))
    const first = line.enter(1000, 10_000)
    const second = line.enter(5000, 10_000)
    first.leave(6000)
    assert.deepStrictEqual([line.isStanding(10_900), line.isStanding(11_100)], [false, true])
    second.leave(12_000)
    line.enter(12_500, 10_000).leave(12_900)
    assert.isTrue(line.isStanding(13_000))
    assert.isFalse(line.isStanding(20_000))
  })

  it("stands where someone waits half of the time, and not where peaks come a third of it", () => {
    assert.isAtLeast(standsAfter(5000, 5000), 0.9)
    assert.strictEqual(standsAfter(2000, 4000), 0)
  })
})

describe("a waiting line of several tenants", () => {
  it.effect.prop("lets each through as much, to one largest request, while all of them wait", {
    sizes: Schema.Array(integer(1, 9)).check(Schema.isMinLength(12))
  }, ({ sizes }) =>
    Effect.sync(() => {
      const line = new WaitingLine()
      const tenants = ["a", "b", "c"]
      const letThrough = new Map(tenants.map((name) => [name, 0]))
      let at = 0
      const enter = (name: string) => {
        const tokens = sizes[at++ % sizes.length]!
        return { name, tokens, place: line.enter(0, 1, name, tokens) }
      }
      // two of each wait all the time
      const waiting = tenants.flatMap((name) => [enter(name), enter(name)])
      for (let turn = 0; turn < 60; turn++) {
        const index = waiting.findIndex(({ place }) => isFirst(place))
        const { name, place, tokens } = waiting[index]!
        letThrough.set(name, letThrough.get(name)! + tokens)
        waiting.splice(index, 1)
        waiting.push(enter(name))
        place.leave(0)
        const all = [...letThrough.values()]
        assert.isAtMost(Math.max(...all) - Math.min(...all), 2 * Math.max(...sizes))
      }
    }), check({ size: 30 }))

  it("stands for those who have their share of it, and not for who comes to it", () => {
    const line = new WaitingLine()
    for (let i = 0; i < 9; i++) line.enter(0, 10_000, "flood")
    assert.deepStrictEqual(["flood", "modest"].map((name) => line.isStanding(15_000, name)), [true, false])
    for (let i = 0; i < 8; i++) line.enter(15_000, 10_000, "other")
    assert.deepStrictEqual(["flood", "other", "modest"].map((name) => line.isStanding(20_000, name)), [
      true,
      true,
      false
    ])
  })

  it("remembers nobody once it is empty", () => {
    const line = new WaitingLine()
    for (let i = 0; i < 1000; i++) line.enter(i, 10_000, `tenant-${i}`).leave(i)
    assert.isAtMost(line.tenantsKnown, 1)
  })
})

/** Whether it is somebody's turn. */
const isFirst = ({ turn }: Place): boolean => {
  let hasTurn = false
  const fiber = Effect.runFork(Effect.andThen(turn, Effect.sync(() => hasTurn = true)))
  fiber.interruptUnsafe()
  return hasTurn
}
