import * as SeededRandom from "#core/simulation/SeededRandom"
import { assert, describe, it } from "@effect/vitest"
import { MemoryFleetStore } from "@evenkeel/core"
import { Effect } from "effect"
import { runs, seed } from "../support/Check.ts"
import { liar } from "./Liar.ts"
import { Scenario } from "./Scenario.ts"
import { guarantees } from "./Together.ts"

/** One exchange in five is lost, one way or the other, and any takes up to 600 ms. */
const lossy = (seed: number): MemoryFleetStore => {
  const random = SeededRandom.make(seed)
  return new MemoryFleetStore(() => ({
    there: Math.ceil(random() * 300),
    back: Math.ceil(random() * 300),
    lost: random() < 0.1 ? "there" : random() < 0.1 ? "back" : undefined
  }))
}

/** Each is played by one process alone as well, in as many worlds as there are runs. */
const worlds = Math.ceil(runs / 5)

for (
  const [where, storeOf] of [
    ["in a fleet", () => new MemoryFleetStore().layer],
    ["in a fleet whose network loses and delays", ({ seed }: Scenario) => lossy(seed).layer],
    ["in a fleet whose store lies of everything", ({ seed }: Scenario) => liar(seed)]
  ] as const
) {
  describe(`Guarantees ${where}`, () => {
    for (const [name, wrong] of guarantees(storeOf)) {
      it.effect.prop(
        name,
        { scenario: Scenario },
        ({ scenario }) => Effect.map(wrong(scenario), (wrong) => assert.strictEqual(wrong.join("\n"), "")),
        { timeout: 60_000 + runs * 300, arbitrary: { runs: worlds, seed, size: 300 } }
      )
    }
  })
}
