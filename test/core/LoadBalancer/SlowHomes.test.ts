import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type Fleet, fleet, listen, run, service, steady } from "../../support/Balanced.ts"
import { amount, sample } from "../../support/Check.ts"
import { tellsOf } from "../../support/Telling.ts"

/** Ten seconds of tokens. */
const long = {
  latency: { ...steady, baseMs: 400, perOutputTokenMs: 20, tokensPerEvent: 1 },
  reply: () => "one two ".repeat(250)
}

const three = () => fleet(["east", "west", "north"].map((name) => service(name, long)))

/** A session that asks again two seconds after each answer. */
const talk = (session: string, textOf: (turn: number) => string = () => "") =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    for (let turn = 0;; turn++) {
      const messages = [{ role: "user" as const, content: `${session} asks ${textOf(turn)}, turn ${turn}.` }]
      yield* Effect.ignore(Stream.runDrain(lb.chatStream({ model: "gpt-4o", messages }, { session })))
      yield* Effect.sleep(2000)
    }
  })

/** Seconds until those that talk have their homes, and are known. */
const SETTLED = amount(150, 60)

const pass = (seconds: number) => Effect.forEach(Array.from({ length: 2 * seconds }), () => TestClock.adjust(500))

const begin = (effect: Effect.Effect<unknown, unknown, LoadBalancer>) =>
  Effect.forkChild(effect, { startImmediately: true })

/** Where a request went that has a text in it. */
const placesOf = ({ sends }: Fleet, text: string): ReadonlyArray<string> =>
  sends.filter(({ request }) => String(request.body).includes(text)).map(({ resource }) => resource)

const late: SimulatedFault = { kind: "silence", forMs: 3000 }

describe("a deployment whose first tokens come late", () => {
  for (const sessions of amount([1, 3, 6], [1, 3])) {
    it.effect(`is left by each that lives there after three, and that is told: ${sessions} whose streams are long`, () =>
      run(three(), function*(_, made) {
        for (let i = 0; i < sessions; i++) yield* begin(Effect.delay(talk(`s${i}`), 2000 * i))
        yield* pass(SETTLED)
        const [home] = placesOf(made, "s0 asks").slice(-1) as [string]
        const live = new Set(made.sends.slice(-sessions).filter(({ resource }) => resource === home)).size
        const events = yield* listen
        const before = made.sends.length
        made.services[home]!.fault("*", late)
        yield* pass(120)
        const there = made.sends.slice(before).filter(({ resource }) => resource === home)
        assert.isAtMost(there.length, 3 * live)
        const isTold = events.some((event) =>
          tellsOf(event, home)
          || (event._tag === "SessionMoved" && event.reason === "slow" && event.from.startsWith(home))
        )
        assert.isTrue(isTold)
      }))
  }
})

const bad: ReadonlyArray<readonly [string, (turn: number) => string]> = [
  ["", () => "[bad]"],
  [", but now and then", (turn) => turn % 4 === 3 ? "" : "[bad]"]
]

describe("a session whose first tokens come late wherever it goes", () => {
  for (const [when, textOf] of sample(bad, 2)) {
    it.effect(`looks elsewhere once, and stays there${when}`, () => {
      const made = three()
      for (const each of Object.values(made.services)) each.fault("*", { ...late, when: { text: "[bad]" } })
      return run(made, function*() {
        for (let i = 0; i < 6; i++) yield* begin(Effect.delay(talk(`s${i}`), 2000 * i))
        yield* pass(SETTLED)
        const events = yield* listen
        yield* begin(talk("own", textOf))
        yield* pass(amount(300, 240))
        const places = placesOf(made, "own asks")
        assert.isAbove(places.length, 15)
        const moves = events.filter((event) => event._tag === "SessionMoved")
        assert.deepStrictEqual(moves.map(({ reason, session }) => [session, reason]), [["own", "slow"]])
        assert.lengthOf(places.filter((place, i) => i > 0 && place !== places[i - 1]), 1)
        assert.isEmpty(["east", "west", "north"].filter((name) => events.some((event) => tellsOf(event, name))))
      })
    })
  }
})
