import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { runs, seed } from "../support/Check.ts"
import { Capacities, utilisations } from "./Level.ts"
import { play } from "./Play.ts"
import { Scenario } from "./Scenario.ts"
import * as Watchers from "./Watchers.ts"

const never = () => Infinity

/** A property of every scenario: nothing is written into `wrong`. */
const always = (name: string, guarantee: Watchers.Guarantee, closeAt: (scenario: Scenario) => number = never) =>
  it.effect.prop(
    name,
    { scenario: Scenario },
    ({ scenario }) =>
      Effect.gen(function*() {
        const wrong: Array<string> = []
        yield* play(scenario, guarantee(wrong, scenario), closeAt(scenario))
        assert.strictEqual(wrong.join("\n"), "")
      }),
    { timeout: 60_000 + runs * 300, arbitrary: { runs, seed, size: 300 } }
  )

describe("Guarantees", () => {
  always("1: in-flight counts, reservations and probe slots return to zero", Watchers.nothingStays)
  always("2: retries never exceed the budget in any window, free ones aside", Watchers.retriesAreBudgeted)
  always("3: no deployment is tried twice while another eligible one is left", Watchers.noneTwiceWhileAnotherIsLeft)
  always("4: a time set by the service is not violated outside panic", Watchers.timesAreKept)
  always("5: an open breaker admits one probe at a time outside panic", Watchers.oneProbeAtATime)
  always(
    "6: while a deployment is usable, only attempts, deadline and budget refuse a request, and the error says which",
    Watchers.refusalsHaveReasons
  )
  always("7: bytes of two generations never meet in one answer", Watchers.generationsNeverMeet)
  always("8: a key is never sent to another resource, and never printed", Watchers.keysNeverCross)
  always(
    "9: after the scope closes nothing is sent, and no socket, timer or count is left",
    Watchers.nothingOutlivesTheScope,
    ({ seed }) => seed % 16_000
  )
  always("10: the ledger never counts less than the service does", Watchers.theLedgerIsNeverLess)

  it.effect.prop(
    "11: with unequal capacities, equal latencies and 70 % in use, every deployment runs between 60 % and 80 %",
    { given: Capacities },
    ({ given }) =>
      Effect.gen(function*() {
        for (const utilisation of yield* utilisations(given, 0.7)) {
          assert.isAtLeast(utilisation, 0.6)
          assert.isAtMost(utilisation, 0.8)
        }
      }),
    { timeout: 60_000 + runs * 300, arbitrary: { runs, seed } }
  )
})
