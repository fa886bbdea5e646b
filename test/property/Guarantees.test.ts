import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { play, type Watcher } from "./Play.ts"
import { Scenario } from "./Scenario.ts"

const runs = Number(process.env["EVENKEEL_PROPERTY_RUNS"] ?? 100)

/** A property of every scenario: nothing is written into `wrong`. */
const always = (name: string, watcher: (wrong: Array<string>, scenario: Scenario) => Watcher) =>
  it.effect.prop(
    name,
    { scenario: Scenario },
    ({ scenario }) =>
      Effect.gen(function*() {
        const wrong: Array<string> = []
        yield* play(scenario, watcher(wrong, scenario))
        assert.deepStrictEqual(wrong, [])
      }),
    { timeout: 60_000 + runs * 200, arbitrary: { runs, size: 24 } }
  )

describe("Guarantees", () => {
  always("1: in-flight counts, reservations and probe slots return to zero", (wrong) => ({
    onQuiet: ({ deployments, services }) =>
      Effect.sync(() => {
        for (const { breaker, id, inFlight, resource, waiting } of deployments) {
          if (inFlight !== 0 || waiting !== 0) wrong.push(`${id}: ${inFlight} in flight, ${waiting} waiting`)
          for (const { state } of [breaker, resource.breaker]) {
            if (state === "half-open") wrong.push(`${id}: a probe slot is taken`)
          }
        }
        for (const service of services) {
          const { inFlight } = service.stats(0)
          if (inFlight !== 0) wrong.push(`${service.name}: ${inFlight} sockets`)
        }
      })
  }))
})
