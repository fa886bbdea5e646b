import * as SeededRandom from "#core/simulation/SeededRandom"
import { assert, describe, it } from "@effect/vitest"
import { MemoryFleetStore } from "@evenkeel/core"
import { Effect } from "effect"
import { runs, seed } from "../support/Check.ts"
import { liar } from "./Liar.ts"
import { play } from "./Play.ts"
import { Scenario } from "./Scenario.ts"
import * as Watchers from "./Watchers.ts"

/** One exchange in five is lost, one way or the other, and any takes up to 600 ms. */
const lossy = (seed: number): MemoryFleetStore => {
  const random = SeededRandom.make(seed)
  return new MemoryFleetStore(() => ({
    there: Math.ceil(random() * 300),
    back: Math.ceil(random() * 300),
    lost: random() < 0.1 ? "there" : random() < 0.1 ? "back" : undefined
  }))
}

const never = () => Infinity

/** Each is played by one process alone as well, in as many worlds as there are runs. */
const worlds = Math.ceil(runs / 5)

const guarantees: ReadonlyArray<readonly [string, Watchers.Guarantee, (scenario: Scenario) => number]> = [
  ["1: in-flight counts, reservations and probe slots return to zero", Watchers.nothingStays, never],
  ["2: retries never exceed the budget in any window, free ones aside", Watchers.retriesAreBudgeted, never],
  ["3: no deployment is tried twice while another eligible one is left", Watchers.noneTwiceWhileAnotherIsLeft, never],
  ["4: a time set by the service is not violated outside panic", Watchers.timesAreKept, never],
  ["5: an open breaker admits one probe at a time outside panic", Watchers.oneProbeAtATime, never],
  [
    "6: while a deployment is usable, only attempts, deadline and budget refuse a request, and the error says which",
    Watchers.refusalsHaveReasons,
    never
  ],
  ["7: bytes of two generations never meet in one answer", Watchers.generationsNeverMeet, never],
  ["8: a key is never sent to another resource, and never printed", Watchers.keysNeverCross, never],
  [
    "9: after the scope closes nothing is sent, and no socket, timer or count is left",
    Watchers.nothingOutlivesTheScope,
    ({ seed }) => seed % 16_000
  ],
  ["10: the ledger never counts less than the service does", Watchers.theLedgerIsNeverLess, never]
]

for (
  const [where, storeOf] of [
    ["in a fleet", () => new MemoryFleetStore().layer],
    ["in a fleet whose network loses and delays", ({ seed }: Scenario) => lossy(seed).layer],
    ["in a fleet whose store lies of everything", ({ seed }: Scenario) => liar(seed)]
  ] as const
) {
  describe(`Guarantees ${where}`, () => {
    for (const [name, guarantee, closeAt] of guarantees) {
      it.effect.prop(
        name,
        { scenario: Scenario },
        ({ scenario }) =>
          Effect.gen(function*() {
            const wrong: Array<string> = []
            yield* play(scenario, guarantee(wrong, scenario), closeAt(scenario), storeOf(scenario))
            assert.strictEqual(wrong.join("\n"), "")
          }),
        { timeout: 60_000 + runs * 300, arbitrary: { runs: worlds, seed, size: 300 } }
      )
    }
  })
}
