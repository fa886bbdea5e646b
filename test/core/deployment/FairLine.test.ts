import { type Place, WaitingLine } from "#core/deployment/WaitingLine"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import { check, integer } from "../../support/Check.ts"
import { LineModel, PlainLine } from "./WaitingLineModel.ts"

const names = [undefined, "a", "b", "c"]

const step = Schema.Struct({
  what: Schema.Literals(["enter", "enter", "send first", "send", "give up", "step aside", "send unplaced"]),
  whom: integer(0, 7),
  tenant: integer(0, 3),
  tokens: integer(1, 50)
})

interface Waiting {
  readonly place: Place
  readonly fiber: Fiber.Fiber<void>
  /** Whether it was told of its turn, or that its place was taken. */
  isTold: boolean
}

const wait = (place: Place): Effect.Effect<Waiting> =>
  Effect.gen(function*() {
    const waiting = { place, isTold: false }
    const told = Effect.sync(() => void (waiting.isTold = true))
    const fiber = yield* Effect.forkChild(Effect.andThen(place.turn, told), { startImmediately: true })
    return Object.assign(waiting, { fiber })
  })

/** Lets whoever was told hear it. */
const hear = Effect.repeat(Effect.yieldNow, { times: 3 })

describe("a waiting line of several tenants", () => {
  it.effect.prop("gives the turn to the tenant that was let through the least, whoever comes, goes or is sent", {
    steps: Schema.Array(step),
    most: integer(1, 6)
  }, ({ most, steps }) =>
    Effect.gen(function*() {
      const line = new WaitingLine()
      const model = new LineModel()
      const all: Array<Waiting> = []
      for (const { tenant: number, tokens, what, whom } of steps) {
        const tenant = names[number]
        const id = what === "send first" ? model.first?.id : whom % Math.max(1, all.length)
        const one = id === undefined ? undefined : all[id]
        const known = model.waiting.find((other) => other.id === id)
        if (what === "enter") {
          const makes = model.makesRoom(tenant, most)
          assert.strictEqual(line.makeRoom(0, most, tenant), makes !== "none")
          const taken = model.waiting.filter((other) => all[other.id]!.place.isTaken).map((other) => other.id)
          if (typeof makes === "string") assert.lengthOf(taken, 0)
          else {
            assert.lengthOf(taken, 1)
            assert.include(makes, taken[0])
            model.remove(taken[0])
          }
          if (makes === "none") continue
          all.push(yield* wait(line.enter(0, 1, tenant, tokens)))
          model.enter({ id: all.length - 1, tenant, tokens })
        } else if (what === "send unplaced") {
          line.pass(tenant, tokens)
          model.send(tenant, tokens)
        } else if (one !== undefined && id !== undefined) {
          // interrupted or not, it leaves, and may do so twice
          if (whom > 3) yield* Fiber.interrupt(one.fiber)
          const leave = what === "step aside"
            ? one.place.stepAside
            : what === "give up"
            ? one.place.leave
            : one.place.pass
          leave(0)
          leave(0)
          if (what === "step aside") model.remove(id)
          else if (what === "give up") model.giveUp(id)
          else if (known !== undefined) model.send(known.tenant, known.tokens, id)
        }
        yield* hear
        assert.strictEqual(line.length, model.waiting.length)
        for (const name of names) assert.strictEqual(line.isDue(name), model.isDue(name))
        for (const waiting of model.waiting) {
          assert.isAtLeast(model.startOf(waiting.tenant), model.virtualTime)
          assert.strictEqual(all[waiting.id]!.isTold, waiting === model.first)
        }
        for (const { isTold, place } of all) if (place.isTaken) assert.isTrue(isTold)
      }
    }), check())

  it.effect.prop("is what it was for one tenant, whatever its name: first come, first served, and standing as long", {
    steps: Schema.Array(Schema.Struct({
      what: Schema.Literals(["enter", "enter", "send", "leave", "aside", "send unplaced"]),
      whom: integer(0, 9),
      tokens: integer(0, 5000),
      after: integer(0, 8000)
    })),
    name: integer(0, 1)
  }, ({ name: number, steps }) =>
    Effect.gen(function*() {
      const name = names[number]
      const line = new WaitingLine()
      const plain = new PlainLine()
      const all: Array<readonly [Waiting, object]> = []
      let now = 0
      for (const { after, tokens, what, whom } of steps) {
        now += after
        const [one, was] = all[whom % Math.max(1, all.length)] ?? []
        if (what === "enter") {
          const hasRoom = plain.length < 8
          assert.strictEqual(line.makeRoom(now, 8, name), hasRoom)
          assert.strictEqual(line.isStanding(now, name), plain.isStanding(now))
          if (hasRoom) all.push([yield* wait(line.enter(now, 10_000, name, tokens)), plain.enter(now, 10_000)])
        } else if (what === "send unplaced") line.pass(name, tokens)
        else if (one !== undefined && was !== undefined) {
          const { leave, pass, stepAside } = one.place
          const go = what === "aside" ? stepAside : what === "leave" ? leave : pass
          go(now)
          plain.leave(was, now)
        }
        yield* hear
        assert.strictEqual(line.length, plain.length)
        assert.isTrue(line.isDue(name))
        for (const [{ isTold }, was] of all) if (plain.isFirst(was)) assert.isTrue(isTold)
        assert.strictEqual(line.isStanding(now + 1, name), plain.isStanding(now + 1))
      }
    }), check())

  it.effect("lets nobody save up credit: who comes anew takes turns with the others", () =>
    Effect.gen(function*() {
      const line = new WaitingLine()
      const waiting: Array<readonly [string, Waiting]> = []
      const come = (name: string) =>
        Effect.map(wait(line.enter(0, 1000, name, 100)), (one) => void waiting.push([name, one]))
      const next = Effect.gen(function*() {
        yield* hear
        const at = waiting.findIndex(([, { isTold }]) => isTold)
        const [[name, { place }]] = waiting.splice(at, 1) as [(typeof waiting)[number]]
        place.pass(0)
        return name
      })
      for (let i = 0; i < 12; i++) yield* Effect.forEach(["a", "b"], come)
      for (let i = 0; i < 16; i++) yield* next
      yield* Effect.forEach(["c", "c", "c", "c"], come)
      const order: Array<string> = []
      for (let i = 0; i < 9; i++) order.push(yield* next)
      assert.deepStrictEqual(["a", "b", "c"].map((name) => order.filter((other) => other === name).length), [3, 3, 3])
    }))

  it.effect.each([0, Infinity, NaN, 1e300])(
    "is fair, whatever requests say of their size: %d tokens",
    (tokens) =>
      Effect.gen(function*() {
        const line = new WaitingLine()
        for (let i = 0; i < 3; i++) line.enter(0, 1000, "mad", tokens).pass(0)
        const flood: Array<Waiting> = []
        for (let i = 0; i < 3; i++) flood.push(yield* wait(line.enter(1000, 1000, "flood", tokens)))
        const other = yield* wait(line.enter(1000, 1000, "other", tokens))
        flood[0]!.place.pass(1000)
        yield* hear
        assert.isTrue(other.isTold)
        other.place.pass(1000)
        yield* hear
        assert.isTrue(flood[1]!.isTold)
      })
  )

  it("remembers a bounded number of those who do not wait", () => {
    const line = new WaitingLine()
    line.enter(0, 1000, "waits", 1)
    for (let i = 0; i < 20_000; i++) line.pass(`tenant-${i}`, 10)
    assert.isAtMost(line.tenantsKnown, 1000)
  })
})
