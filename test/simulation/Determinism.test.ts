import { assert, describe, it } from "@effect/vitest"
import { amount, sample } from "../support/Check.ts"
import type { Contender } from "./Client.ts"
import { evenkeel } from "./Evenkeel.ts"
import { figuresOf } from "./Figures.ts"
import { plainContenders } from "./PlainClient.ts"
import { play } from "./Run.ts"
import { shortened } from "./Scenario.ts"
import { scenarioNamed } from "./Scenarios.ts"

/** A minute, or some seconds, warm or not. */
const short = (name: string) => ({ ...shortened(scenarioNamed(name), amount(1 / 15, 1 / 90)), warmUp: amount(15, 5) })

const trafficOf = async (contender: Contender) => {
  const { asked } = await play(short("fleet"), contender, 3)
  return asked.map(({ at, index, streamed }) => ({ at, index, streamed }))
}

describe("a simulation", { concurrent: false }, () => {
  for (const name of sample(["slow", "fleet", "sessions"], 2)) {
    it(`is the same for the same seed: ${name}`, async () => {
      for (const contender of [evenkeel, plainContenders[0]!]) {
        const one = await play(short(name), contender, 7)
        const other = await play(short(name), contender, 7)
        assert.deepStrictEqual(figuresOf(one), figuresOf(other))
        assert.deepStrictEqual(one, other)
      }
    })
  }

  it("is another for another seed", async () => {
    const one = await play(short("equal"), evenkeel, 1)
    const other = await play(short("equal"), evenkeel, 2)
    assert.notDeepEqual(one.sends, other.sends)
  })

  it("gives every contender the same traffic", async () => {
    const traffic = await trafficOf(evenkeel)
    for (const contender of sample(plainContenders, 2)) assert.deepStrictEqual(await trafficOf(contender), traffic)
  })
})
