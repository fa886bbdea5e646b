/**
 * What every policy must do, written once: the contract for all of them, and the bounds on quality for those that can
 * hold them by their nature.
 */
import type { Deployment } from "#core/deployment/Deployment"
import type { Candidate } from "#core/routing/Policy"
import { decide } from "#core/routing/Router"
import * as SeededRandom from "#core/simulation/SeededRandom"
import { assert, describe, it } from "@effect/vitest"
import type { Policy } from "@evenkeel/core"
import { Schema } from "effect"
import { check, integer } from "./Check.ts"
import { candidatesAt, demandOf, failUntilOpen, makeDeployments, makeGroup, type PartOptions } from "./Parts.ts"
import { qualities, type Quality } from "./PolicyQuality.ts"
import { drive } from "./Traffic.ts"

/** A policy under test. */
export interface PolicyCase {
  readonly name: string
  /** Made anew for each test, because it may have a memory. */
  readonly make: () => Policy.Policy
  /** The bounds on quality that it holds. */
  readonly holds: ReadonlyArray<Quality>
}

const part = Schema.Struct({
  limits: Schema.Literals(["none", "tpm", "rpm", "both"]),
  capacity: integer(1, 100_000),
  weight: integer(1, 20),
  inFlight: integer(0, 5),
  used: integer(0, 120_000),
  latency: integer(1, 2000)
})

type Part = typeof part.Type

const optionsOf = ({ capacity, limits, weight }: Part): PartOptions => ({
  weight,
  ...(limits === "tpm" || limits === "both" ? { tpm: capacity } : {}),
  ...(limits === "rpm" || limits === "both" ? { rpm: capacity } : {})
})

const candidatesOf = (parts: ReadonlyArray<Part>): ReadonlyArray<Candidate> => {
  const deployments = makeDeployments(parts.map(optionsOf))
  deployments.forEach((deployment, i) => {
    const { inFlight, latency, used } = parts[i]!
    for (let j = 0; j < inFlight; j++) deployment.enter(0, used / 5)
    deployment.latency.observe(latency / 100, 0)
  })
  return candidatesAt(deployments, 10)
}

const stateOf = ({ deployment }: Candidate) => [
  deployment.inFlight,
  deployment.waiting,
  deployment.weight,
  deployment.quota.tokensUsed(10),
  deployment.quota.requestsUsed(10),
  deployment.latency.ratio(10),
  deployment.breaker.epoch,
  deployment.totals.attempts
]

const pick = (policy: Policy.Policy, deployments: ReadonlyArray<Deployment>, session?: string): string | undefined => {
  const query = {
    group: makeGroup(deployments),
    demand: demandOf(10),
    tried: new Set<Deployment>(),
    session,
    shard: 0,
    warm: undefined
  }
  const decision = decide(query, { policy, hot: 0.85, loadBound: 1.25, random: SeededRandom.make(1) }, 0)
  return decision._tag === "Decision" ? decision.deployment.resource.name : undefined
}

/** Runs the suite for one policy. */
export const suite = ({ holds, make, name }: PolicyCase): void => {
  describe(name, () => {
    it.prop("takes one of the candidates, and changes none", {
      parts: Schema.Array(part).check(Schema.isMinLength(1), Schema.isMaxLength(12)),
      points: Schema.Array(Schema.Literals([0, 0.1, 0.5, 0.9, 1 - 2 ** -53])).check(Schema.isMinLength(1)),
      times: integer(1, 5)
    }, ({ parts, points, times }) => {
      const policy = make()
      const candidates = Object.freeze(candidatesOf(parts))
      const before = candidates.map(stateOf)
      let drawn = 0
      const random = () => points[drawn++ % points.length]!
      for (let i = 0; i < times; i++) assert.include(candidates, policy(candidates, random))
      assert.deepStrictEqual(candidates.map(stateOf), before)
    }, check({ size: 12 }))

    it("takes the only candidate there is (A11)", () => {
      const [only] = makeDeployments([{ tpm: 1000 }])
      for (const session of [undefined, "user-42"]) assert.strictEqual(pick(make(), [only!], session), "r0")
    })

    it("works where no capacity is known, and where some are", () => {
      for (const parts of [[{}, {}, {}], [{}, { tpm: 1000 }, { rpm: 6 }]]) {
        const { counts, refused } = drive(make(), makeDeployments(parts), {
          perSecond: 2,
          seconds: 10,
          tokens: 1,
          seed: 1
        })
        assert.strictEqual(counts.reduce((sum, count) => sum + count, refused), 20)
      }
    })

    it("sends nothing to one that is down (A2)", () => {
      const deployments = makeDeployments([{}, {}, {}])
      deployments[1]!.breaker.trip(0, 1, "down")
      const { counts } = drive(make(), deployments, { perSecond: 20, seconds: 5, tokens: 10, seed: 2 })
      assert.strictEqual(counts[1], 0)
      assert.isAtLeast(counts[0]! + counts[2]!, 100)
    })

    it("is asked only about the best tier that passes (A6), and again when it is back (A7)", () => {
      const policy = make()
      const [a, b, c] = makeDeployments([{ tier: 1 }, { tier: 2 }, { tier: 3 }]) as [Deployment, Deployment, Deployment]
      assert.strictEqual(pick(policy, [a, b, c]), "r0")
      failUntilOpen(a, 0)
      assert.strictEqual(pick(policy, [a, b, c]), "r1")
      b.draining = true
      assert.strictEqual(pick(policy, [a, b, c]), "r2")
      a.breaker.reset(0)
      assert.strictEqual(pick(policy, [a, b, c]), "r0")
    })

    for (const quality of holds) it(quality, () => qualities[quality](make))
  })
}
