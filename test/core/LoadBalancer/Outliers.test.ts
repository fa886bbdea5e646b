import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type Fleet, fleet, listen, run, service, stateOf, steady } from "../../support/Balanced.ts"
import { amount, sample } from "../../support/Check.ts"
import { tellsOf } from "../../support/Telling.ts"

/** A second of tokens, one every 20 ms. */
const spoken = {
  latency: { ...steady, baseMs: 200, perOutputTokenMs: 20, tokensPerEvent: 1 },
  reply: () => "one two ".repeat(15)
}

const of = (names: ReadonlyArray<string>) => fleet(names.map((name) => service(name, spoken)))

const three = () => of(["east", "west", "north"])

interface Traffic {
  readonly how: "stream" | "whole"
  /** How many sessions take turns; none where it is 0. */
  readonly sessions: number
  /** What each asks besides. */
  readonly more?: Readonly<Record<string, unknown>>
}

/** Five requests a second, from one moment to another. */
const ask = ({ how, more, sessions }: Traffic, from: number, until: number) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    for (let i = from * 5; i < until * 5; i++) {
      const parameters = {
        model: "gpt-4o",
        messages: [{ role: "user" as const, content: `Say hello, ${i % 30}.` }],
        ...more
      }
      const options = sessions === 0 ? {} : { session: `s${i % sessions}` }
      const asked = how === "stream"
        ? Stream.runDrain(lb.chatStream(parameters, options))
        : lb.chat(parameters, options)
      yield* Effect.forkChild(Effect.ignore(asked), { startImmediately: true })
      yield* TestClock.adjust(200)
    }
  })

/** For how many seconds all is well at first. */
const WELL = amount(60, 20)

/** Then east falls ill. Its share of the last half of the next minute, and who was told of. */
const observe = (made: Fleet, traffic: Traffic, fault: SimulatedFault) =>
  Effect.gen(function*() {
    yield* ask(traffic, 0, WELL)
    const events = yield* listen
    made.services["east"]!.fault("*", fault)
    yield* ask(traffic, WELL, WELL + 60)
    const late = made.sends.filter(({ at }) => at >= (WELL + 30) * 1000)
    return {
      share: late.filter(({ resource }) => resource === "east").length / late.length,
      told: ["east", "west", "north"].filter((name) => events.some((event) => tellsOf(event, name)))
    }
  })

const half = { probability: 0.5 }

const filters = { kind: "status", error: "content-filter" } satisfies SimulatedFault

/** By what it does, its share of three at most: what is well has a third. */
const illnesses: ReadonlyArray<readonly [string, SimulatedFault, Traffic, number]> = [
  ["filters half of what it is asked", { ...filters, ...half }, { how: "whole", sessions: 0 }, 0.2],
  ["filters all that thirty sessions ask of it", filters, { how: "whole", sessions: 30 }, 0.1],
  [
    "answers with nothing at all",
    { kind: "status", status: 200, body: "{\"ok\":true}", contentType: "application/json" },
    { how: "whole", sessions: 0 },
    0.1
  ],
  [
    "answers with no choice",
    { kind: "status", status: 200, body: "{\"choices\":[]}", contentType: "application/json" },
    { how: "whole", sessions: 30 },
    0.1
  ],
  [
    "cuts all streams short with a limit",
    { kind: "errorInStream", afterEvents: 5 },
    { how: "stream", sessions: 0 },
    0.1
  ],
  ["breaks every stream of a tier of its own", { kind: "cut", afterEvents: 5, ending: "reset" }, {
    how: "stream",
    sessions: 0,
    more: { service_tier: "flex" }
  }, 0.1],
  ["breaks every other stream", { kind: "cut", afterEvents: 5, ending: "reset", ...half }, {
    how: "stream",
    sessions: 30
  }, 0.1],
  ["falls silent in mid-stream", { kind: "hang", afterEvents: 5 }, { how: "stream", sessions: 0 }, 0.1],
  ["falls silent in mid-stream every other time", { kind: "hang", afterEvents: 5, ...half }, {
    how: "stream",
    sessions: 30
  }, 0.1],
  ["is five times slower", { kind: "slow", factor: 5 }, { how: "whole", sessions: 30 }, 0.1],
  ["is ten times slower every other time", { kind: "slow", factor: 10, ...half }, { how: "stream", sessions: 30 }, 0.1],
  ["decodes six times slower", { kind: "slowDecoding", factor: 6 }, { how: "stream", sessions: 30 }, 0.1],
  ["hangs every other time", { kind: "hang", ...half }, { how: "whole", sessions: 30 }, 0.1]
]

describe("one of three deployments that", () => {
  for (const [what, fault, traffic, most] of sample(illnesses, 3)) {
    const whom = traffic.sessions === 0 ? "requests of no session" : `${traffic.sessions} sessions`
    it.effect(`${what} loses its traffic within half a minute, and is told of: ${whom}`, () => {
      const made = three()
      return run(
        made,
        Effect.map(observe(made, traffic, fault), ({ share, told }) => {
          assert.deepStrictEqual(told, ["east"])
          assert.isAtMost(share, most)
        })
      )
    })
  }
})

/** One caller's requests for some seconds, beside others that are answered well. */
const beside = (made: Fleet, fault: SimulatedFault, session: string | undefined, traffic: Traffic, seconds: number) =>
  Effect.gen(function*() {
    for (const each of Object.values(made.services)) each.fault("*", { ...fault, when: { text: "[bad]" } })
    const lb = yield* LoadBalancer
    const events = yield* listen
    const bad = { model: "gpt-4o", messages: [{ role: "user" as const, content: "[bad]" }] }
    yield* ask(traffic, 0, WELL)
    for (let second = WELL; second < WELL + seconds; second++) {
      const asked = traffic.how === "stream"
        ? Stream.runDrain(lb.chatStream(bad, { session }))
        : lb.chat(bad, { session })
      yield* Effect.forkChild(Effect.ignore(asked), { startImmediately: true })
      yield* ask(traffic, second, second + 1)
    }
    return events
  })

describe("one caller whose requests", () => {
  const own: ReadonlyArray<readonly [string, SimulatedFault, Traffic["how"]]> = [
    ["are filtered", filters, "whole"],
    ["are answered with nothing", { kind: "status", status: 200, body: "{\"ok\":true}" }, "whole"],
    ["are ten times slower", { kind: "slow", factor: 10 }, "whole"],
    ["fall silent in mid-stream", { kind: "hang", afterEvents: 5 }, "stream"]
  ]
  for (const [what, fault, how] of own) {
    for (const session of amount([undefined, "bad"], [how === "whole" ? "bad" : undefined])) {
      const where = session === undefined ? "wherever they go" : "in one session, beside others there"
      it.effect(`${what} ${where} shows nothing of any deployment`, () => {
        const made = three()
        return run(
          made,
          Effect.map(beside(made, fault, session, { how, sessions: 30 }, amount(60, 30)), (events) => {
            const told = ["east", "west", "north"].filter((name) => events.some((event) => tellsOf(event, name)))
            assert.deepStrictEqual(told, [])
          })
        )
      })
    }
  }
})

describe("among ten deployments, one session whose requests", () => {
  const names = Array.from({ length: 10 }, (_, i) => `r${i}`)
  const own: ReadonlyArray<readonly [string, SimulatedFault, Traffic["how"]]> = [
    ["are filtered", filters, "whole"],
    ["are too large", { kind: "status", status: 413 }, "whole"],
    ["break in mid-stream", { kind: "cut", afterEvents: 5, ending: "reset" }, "stream"],
    ["fall silent in mid-stream", { kind: "hang", afterEvents: 5 }, "stream"]
  ]
  for (const [what, fault, how] of own) {
    it.effect(`${what} shows nothing of any, wherever it lives`, () => {
      const made = of(names)
      return run(
        made,
        Effect.map(
          beside(made, fault, "bad", { how, sessions: 40 }, amount(90, 45)),
          (events) => assert.deepStrictEqual(names.filter((name) => events.some((event) => tellsOf(event, name))), [])
        )
      )
    })
  }
})

describe("a deployment that filtered everything, and is well again", () => {
  it.effect("has its share back, though now and then one caller's request is filtered everywhere", () =>
    run(three(), function*(lb, made) {
      const traffic: Traffic = { how: "whole", sessions: 0 }
      yield* ask(traffic, 0, 60)
      made.services["east"]!.fault("*", filters)
      yield* ask(traffic, 60, 120)
      for (const each of Object.values(made.services)) {
        each.clear()
        each.fault("*", { ...filters, when: { text: "[bad]" } })
      }
      const bad = { model: "gpt-4o", messages: [{ role: "user" as const, content: "[bad]" }] }
      for (let second = 120; second < 360; second += 4) {
        yield* Effect.forkChild(Effect.ignore(lb.chat(bad)), { startImmediately: true })
        yield* ask(traffic, second, second + 4)
      }
      const late = made.sends.filter(({ at }) => at >= 240_000)
      assert.isAbove(late.filter(({ resource }) => resource === "east").length / late.length, 0.2)
    }))
})

describe("a failing deployment whose probe", () => {
  it.effect("is answered with nothing goes on to fail", () =>
    run(three(), function*(_, made) {
      const traffic: Traffic = { how: "whole", sessions: 0 }
      yield* ask(traffic, 0, 10)
      made.services["east"]!.fault("*", { kind: "status", status: 500 })
      yield* ask(traffic, 10, 20)
      made.services["east"]!.clear()
      made.services["east"]!.fault("*", {
        kind: "status",
        status: 200,
        body: "{\"ok\":true}",
        contentType: "application/json"
      })
      const before = made.sends.length
      yield* ask(traffic, 20, 60)
      const sends = made.sends.slice(before).filter(({ resource }) => resource === "east")
      assert.isAtMost(sends.length, 6)
      assert.notStrictEqual((yield* stateOf("east")).state, "healthy")
    }))

  it.effect("is answered with nothing leaves its resource free for the next probe", () =>
    run(three(), function*(_, made) {
      const traffic: Traffic = { how: "whole", sessions: 0 }
      yield* ask(traffic, 0, 10)
      made.services["east"]!.fault("*", { kind: "status", status: 500 })
      yield* ask(traffic, 10, 20)
      made.services["east"]!.clear()
      made.services["east"]!.fault("*", { kind: "refused" })
      yield* ask(traffic, 20, 40)
      made.services["east"]!.clear()
      made.services["east"]!.fault("*", {
        kind: "status",
        status: 200,
        body: "{\"ok\":true}",
        contentType: "application/json"
      })
      yield* ask(traffic, 40, 90)
      made.services["east"]!.clear()
      yield* ask(traffic, 90, 400)
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
    }))
})
