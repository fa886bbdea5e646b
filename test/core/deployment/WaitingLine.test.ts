import { type Place, WaitingLine } from "#core/deployment/WaitingLine"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import { check, integer } from "../../support/Check.ts"

const step = Schema.Struct({ what: Schema.Literals(["enter", "leave", "giveUp"]), whom: integer(0, 7) })

describe("a waiting line", () => {
  it("has stood since it was empty last", () => {
    const line = new WaitingLine()
    assert.strictEqual(line.standingFor(5), 0)
    const first = line.enter(10)
    const second = line.enter(20)
    assert.deepStrictEqual([line.standingFor(10), line.standingFor(25)], [0, 15])
    first.leave()
    assert.strictEqual(line.standingFor(30), 20)
    second.leave()
    assert.strictEqual(line.standingFor(40), 0)
    line.enter(50)
    assert.strictEqual(line.standingFor(60), 10)
  })

  it.effect.prop("gives the turn to whoever came first and is still there, whoever leaves", {
    steps: Schema.Array(step)
  }, ({ steps }) =>
    Effect.gen(function*() {
      const line = new WaitingLine()
      const model: Array<number> = []
      const places: Array<{ readonly place: Place; readonly fiber: Fiber.Fiber<void>; hadTurn: boolean }> = []
      const goneAs = (who: number): void => {
        const at = model.indexOf(who)
        if (at !== -1) model.splice(at, 1)
      }
      for (const { what, whom } of steps) {
        if (what === "enter") {
          const entry = { place: line.enter(0), hadTurn: false }
          const waiting = Effect.andThen(entry.place.turn, Effect.sync(() => entry.hadTurn = true))
          const fiber = yield* Effect.forkChild(Effect.asVoid(waiting), { startImmediately: true })
          places.push(Object.assign(entry, { fiber }))
          model.push(places.length - 1)
        } else if (places.length > 0) {
          const who = whom % places.length
          const { fiber, place } = places[who]!
          if (what === "giveUp") yield* Fiber.interrupt(fiber)
          place.leave()
          place.leave()
          goneAs(who)
        }
        yield* Effect.yieldNow
        yield* Effect.yieldNow
        assert.strictEqual(line.length, model.length)
        if (model.length > 0) assert.isTrue(places[model[0]!]!.hadTurn, "the first has its turn")
        for (const who of model.slice(1)) assert.isFalse(places[who]!.hadTurn, "nobody else had")
      }
    }), check())
})
