import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { runs, seed } from "../support/Check.ts"
import { Capacities, utilisations } from "./Level.ts"
import { Scenario } from "./Scenario.ts"
import { guarantees } from "./Together.ts"

describe("Guarantees", () => {
  for (const [name, wrong] of guarantees()) {
    it.effect.prop(
      name,
      { scenario: Scenario },
      ({ scenario }) => Effect.map(wrong(scenario), (wrong) => assert.strictEqual(wrong.join("\n"), "")),
      { timeout: 60_000 + runs * 300, arbitrary: { runs, seed, size: 300 } }
    )
  }

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
