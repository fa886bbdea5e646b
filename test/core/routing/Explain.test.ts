import { explain, replay } from "#core/routing/Explain"
import { decide, type Query } from "#core/routing/Router"
import * as SeededRandom from "#core/simulation/SeededRandom"
import { assert, describe, it } from "@effect/vitest"
import { Policy } from "@evenkeel/core"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"
import { demandOf, failUntilOpen, makeDeployments, makeGroup } from "../../support/Parts.ts"

const policies = {
  "power of two choices": Policy.powerOfTwoChoices(0.85),
  "weighted random": Policy.weightedRandom,
  "least loaded": Policy.leastLoaded,
  "lowest latency": Policy.lowestLatency
}

const part = Schema.Struct({
  tpm: Schema.Literals([0, 1000, 5000]),
  tier: integer(1, 2),
  weight: integer(1, 9),
  used: integer(0, 1000),
  latency: integer(1, 8),
  waiting: integer(0, 5),
  isDown: Schema.Boolean
})

describe("an explanation", () => {
  for (const [name, policy] of Object.entries(policies)) {
    it.prop(`of ${name} gives the same winner as the choice, and again when it is played from what it noted`, {
      parts: Schema.Array(part).check(Schema.isBetweenLength(1, 6)),
      seed: integer(1, 1_000_000)
    }, ({ parts, seed }) => {
      const deployments = makeDeployments(parts.map(({ tier, tpm, weight }) => ({
        tier,
        weight,
        ...(tpm === 0 ? {} : { tpm })
      })))
      parts.forEach(({ isDown, latency, used, waiting }, i) => {
        const deployment = deployments[i]!
        for (let n = 0; n < waiting; n++) deployment.enter(0, used / waiting)
        deployment.latency.observe(latency, 0)
        if (isDown) failUntilOpen(deployment, 0)
      })
      const query: Query = {
        group: makeGroup(deployments),
        demand: demandOf(10),
        tried: new Set(),
        session: undefined,
        shard: 0,
        warm: undefined
      }
      const options = () => ({ policy, hot: 0.85, loadBound: 1.25, random: SeededRandom.make(seed) })
      const decision = decide(query, options(), 0)
      const explained = explain(query, options(), 0, 1)
      const { explanation } = explained
      if (decision._tag === "NoCandidate") {
        assert.isUndefined(explanation.winner)
        assert.isTrue(explanation.deployments.every(({ refusal }) => refusal !== undefined))
        return
      }
      assert.strictEqual(explanation.winner, decision.deployment.id)
      assert.strictEqual(replay(explanation, policy), decision.deployment.id)
      // and from what is left of it on a log's line
      assert.strictEqual(replay(JSON.parse(JSON.stringify(explanation)), policy), decision.deployment.id)
    }, check())
  }

  it("names the two that were drawn, and no other, as compared", () => {
    const deployments = makeDeployments(Array.from({ length: 9 }, () => ({ tpm: 1000 })))
    const query: Query = {
      group: makeGroup(deployments),
      demand: demandOf(10),
      tried: new Set(),
      session: undefined,
      shard: 0,
      warm: undefined
    }
    const options = { policy: Policy.powerOfTwoChoices(0.85), hot: 0.85, loadBound: 1.25, random: SeededRandom.make(3) }
    const { explanation } = explain(query, options, 0, 1)
    const compared = explanation.deployments.filter(({ isCompared }) => isCompared).map(({ id }) => id)
    assert.lengthOf(compared, 2)
    assert.include(compared, explanation.winner)
    assert.include(String(explanation), `compared with ${compared.find((id) => id !== explanation.winner)}`)
  })
})
