import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { assert, describe, it } from "@effect/vitest"
import { HealthMonitor, LoadBalancer } from "@evenkeel/core"
import { Clock, Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { fleet, type FleetConfig, heard, listen, run, sent, service, steady } from "../../support/Balanced.ts"
import { amount, sample } from "../../support/Check.ts"
import {
  type First,
  inStandstills,
  standingTransport,
  standsStill,
  type Standstills
} from "../../support/Standstill.ts"
import { tellsOf } from "../../support/Telling.ts"

const names = ["east", "west", "north"]

/** So slow that each has several that wait for their first token. */
const spoken = {
  latency: { ...steady, baseMs: 400, perOutputTokenMs: 20, tokensPerEvent: 2 },
  reply: () => "one two ".repeat(10)
}

/** For how long all is well, and until when it stands still now and then, in milliseconds. */
const WELL = 10_000
const OVER = 40_000

/** For 0.3 to 3 s, again and again. */
const seconds: Standstills = [2000, 300, 3000, 1000, 2500, 700].map((millis, i) => [
  WELL + 2 + i * 5000,
  WELL + 2 + i * 5000 + millis
])

/** As where a container is allowed a tenth of a processor. */
const tenths: Standstills = Array.from({ length: 300 }, (_, i) => [WELL + 10 + i * 100, WELL + 10 + i * 100 + 90])

/** For a second of every second and a half. */
const often: Standstills = Array.from({ length: 40 }, (_, i) => [i * 1500, i * 1500 + 1000])

interface Traffic {
  readonly how?: "stream" | "whole"
  readonly sessions?: number
  readonly hedge?: boolean
  /** What east has while the process stands still now and then. */
  readonly fault?: SimulatedFault
}

const ills: ReadonlyArray<SimulatedFault> = [
  { kind: "slow", factor: 10 },
  { kind: "slowDecoding", factor: 10 },
  { kind: "hang" }
]

/** Milliseconds from one request to the next. */
const GAP = amount(40, 80)

/** Requests all the time, until some moment. Those that are due while the process stands still are sent when it goes on. */
const ask = ({ hedge = false, how = "stream", sessions = 0 }: Traffic, standstills: Standstills, until: number) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    const slowest = { latency: 0, decoding: 0 }
    let due = 0
    for (let now = yield* Clock.currentTimeMillis; now < until; now = yield* Clock.currentTimeMillis) {
      due++
      if (!standsStill(standstills, now)) {
        for (; due > 0; due--) {
          const i = Math.floor(now / GAP) + due
          const messages = [{ role: "user" as const, content: `Say hello, ${i % 30}.` }]
          const options = { hedge, ...(sessions === 0 ? {} : { session: `s${i % sessions}` }) }
          const asked = how === "stream"
            ? Stream.runDrain(lb.chatStream({ model: "gpt-4o", messages }, options))
            : lb.chat({ model: "gpt-4o", messages }, options)
          yield* Effect.forkChild(Effect.ignore(asked), { startImmediately: true })
        }
        for (const { decoding, latency } of (yield* lb.snapshot).deployments) {
          slowest.latency = Math.max(slowest.latency, latency)
          slowest.decoding = Math.max(slowest.decoding, decoding)
        }
      }
      yield* TestClock.adjust(GAP)
    }
    return slowest
  })

/** What is told while the process stands still now and then, how slow the slowest seems, and who was asked. */
const observe = (standstills: Standstills, first: First, traffic: Traffic, config: FleetConfig = {}) => {
  const made = fleet(
    names.map((name) => service(name, spoken)),
    config,
    config.health === undefined ? {} : { healthMonitor: HealthMonitor.layer },
    standingTransport(standstills, first)
  )
  const observed = Effect.gen(function*() {
    yield* ask(traffic, standstills, WELL)
    const events = yield* listen
    if (traffic.fault !== undefined) made.services["east"]!.fault("*", traffic.fault)
    const slowest = yield* ask(traffic, standstills, OVER)
    const told = names.filter((name) => events.some((event) => tellsOf(event, name)))
    return { events: [...events], slowest, told, sent: sent(made) }
  })
  return inStandstills(run(made, observed), standstills, first)
}

/** How it stands still. */
const ways: ReadonlyArray<readonly [string, Standstills]> = [
  ["for seconds", seconds],
  ["for most of each tenth of a second", tenths]
]

for (const first of ["timers", "reads"] as const) {
  describe(`a process that stands still, and comes to its ${first} first when it goes on,`, () => {
    for (const [what, standstills] of amount(ways, [ways[first === "timers" ? 0 : 1]!])) {
      for (const how of ["stream", "whole"] as const) {
        for (const sessions of standstills === seconds ? amount([0, 30], [30]) : [0]) {
          it.effect(`${what} finds no deployment slow: ${how}, ${sessions} sessions`, () =>
            Effect.map(observe(standstills, first, { how, sessions }), ({ events, slowest, told }) => {
              assert.deepStrictEqual(told, [])
              assert.deepStrictEqual(heard(events, "SessionMoved"), [])
              assert.isAtMost(slowest.latency, 2.5)
              assert.isAtMost(slowest.decoding, 2.5)
            }))
        }
      }
      for (const fault of sample(ills, 2)) {
        it.effect(`${what} finds the one that has "${fault.kind}", and no other`, () =>
          Effect.map(observe(standstills, first, { fault }), ({ told }) => {
            assert.deepStrictEqual(told, ["east"])
          }))
      }
    }

    it.effect("keeps to its first tier", () =>
      Effect.map(observe(seconds, first, {}, { tiers: { west: 2, north: 2 } }), ({ sent: { north, west }, told }) => {
        assert.deepStrictEqual(told, [])
        assert.deepStrictEqual({ north, west }, { north: 0, west: 0 })
      }))

    it.effect("hedges nothing", () =>
      Effect.map(observe(seconds, first, { hedge: true }), ({ events }) => {
        assert.deepStrictEqual(heard(events, "Hedged"), [])
      }))

    it.effect("finds no resource down that it checks", () => {
      const check = { interval: "2 seconds", timeout: "500 millis" } as const
      const slowly = standingTransport(often, first)
      const made = fleet(
        names.map((name) => service(name)),
        { health: { check } },
        { healthMonitor: HealthMonitor.layer },
        ({ send }) => slowly({ send: (request) => Effect.andThen(Effect.sleep(300), send(request)) })
      )
      const observed = Effect.gen(function*() {
        const events = yield* listen
        yield* TestClock.adjust("1 minute")
        return heard(events, "Checked").map(({ problem }) => problem)
      })
      return Effect.map(inStandstills(run(made, observed), often, first), (problems) => {
        assert.isAtLeast(problems.length, 30)
        assert.deepStrictEqual(problems.filter((problem) => problem !== undefined), [])
      })
    })

    it.effect("gives up nothing that it could not hear", () => {
      const timeouts = { firstContent: "600 millis", idle: "200 millis", connect: "200 millis" } as const
      return Effect.map(observe(seconds, first, {}, { timeouts }), ({ events }) => {
        const reasons = heard(events, "AttemptEnded").map(({ attempt }) => attempt.reason)
        assert.deepStrictEqual(reasons.filter((reason) => reason.startsWith("timeout")), [])
      })
    })
  })
}

describe("deployments that", () => {
  it.effect.each(amount([1, 2, 3, 4, 5], [1]))(
    "all answer late at once are none of them slower than the others: seed %s",
    (seed) => {
      const made = fleet(names.map((name) => service(name, spoken)))
      return run(
        made,
        Effect.gen(function*() {
          yield* ask({}, [], WELL)
          const events = yield* listen
          for (const each of Object.values(made.services)) each.fault("*", { kind: "slow", factor: 10 })
          yield* ask({}, [], WELL + 10_000)
          for (const each of Object.values(made.services)) each.clear()
          yield* ask({}, [], OVER)
          assert.deepStrictEqual(heard(events, "Outlier"), [])
        }),
        seed
      )
    }
  )
})
