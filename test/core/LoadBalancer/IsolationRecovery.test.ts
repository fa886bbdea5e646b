import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { type Fleet, fleet, hello, run, sent, service } from "../../support/Balanced.ts"

const PER_SECOND = 5

/** Two deployments that hold 200 requests a minute each, where 300 are asked: both are needed. */
const short = () => fleet(["east", "west"].map((name) => service(name, { rpm: 200, requestSliceMs: 0 })))

const traffic = (seconds: number) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    for (let i = 0; i < seconds * PER_SECOND; i++) {
      yield* Effect.forkChild(Effect.ignore(lb.chat(hello)), { startImmediately: true })
      yield* TestClock.adjust(1_000 / PER_SECOND)
    }
  })

/** Breaks every connection of a resource for so long. */
const strike = (made: Fleet, seconds: number) =>
  Effect.gen(function*() {
    made.services["east"]!.fault("*", { kind: "reset" })
    yield* traffic(seconds)
    made.services["east"]!.clear()
  })

/** Seconds until a resource that is well again gets two fifths of the traffic, over five of them. */
const secondsUntilBack = (made: Fleet) =>
  Effect.gen(function*() {
    const counts: Array<number> = []
    for (let seconds = 1; seconds <= 240; seconds++) {
      const before = sent(made)["east"]!
      yield* traffic(1)
      counts.push(sent(made)["east"]! - before)
      const lately = counts.slice(-5).reduce((sum, count) => sum + count, 0)
      if (seconds >= 5 && lately >= 0.4 * 5 * PER_SECOND) return seconds
    }
    return Infinity
  })

describe("a deployment that is missed, since its peers cannot serve all", () => {
  for (
    const [what, strikes] of [
      ["5 s of resets", [5]],
      ["30 s of resets", [30]],
      ["five strikes of 10 s", [10, 10, 10, 10, 10]]
    ] as const
  ) {
    it.effect(`is back within 20 s of ${what}`, () =>
      run(short(), function*(_, made) {
        yield* traffic(60)
        for (const [i, seconds] of strikes.entries()) {
          if (i > 0) yield* traffic(10)
          yield* strike(made, seconds)
        }
        assert.isAtMost(yield* secondsUntilBack(made), 20)
      }))
  }
})
