import { decide } from "#core/routing/Router"
import { Sample } from "#core/routing/Sample"
import * as SeededRandom from "#core/simulation/SeededRandom"
import { assert, describe, it } from "@effect/vitest"
import { Policy } from "@evenkeel/core"
import { demandOf, failUntilOpen, makeDeployments, makeGroup, type PartOptions } from "../../support/Parts.ts"

const many = (count: number, part: (index: number) => PartOptions) =>
  makeGroup(makeDeployments(Array.from({ length: count }, (_, i) => part(i))))

const query = (group: ReturnType<typeof many>) => ({
  group,
  demand: demandOf(10),
  tried: new Set<never>(),
  session: undefined,
  shard: 0,
  warm: undefined
})

const options = { policy: Policy.powerOfTwoChoices(0.85), hot: 0.85, loadBound: 1.25 }

describe("a sample of many deployments", () => {
  it("is drawn in proportion to capacity and weight, an unknown capacity counting as the mean", () => {
    const { deployments } = many(
      12,
      (i) => ({ ...(i % 3 === 2 ? {} : { tpm: 1000 * (1 + i % 3) }), weight: 1 + i % 2 })
    )
    const sample = Sample.of(deployments, 0)!
    const random = SeededRandom.make(3)
    const counts = Array.from({ length: 12 }, () => 0)
    const draws = 60_000
    for (let i = 0; i < draws; i++) counts[sample.draw(() => true, 0, random)]! += 1
    const wanted = deployments.map(({ quota: { capacity }, weight }) => (capacity > 0 ? capacity : 1500) * weight)
    const sum = wanted.reduce((total, share) => total + share)
    counts.forEach((count, place) => {
      const expected = draws * wanted[place]! / sum
      assert.isBelow(Math.abs(count - expected), 5 * Math.sqrt(expected))
      assert.approximately(sample.shareAt(place, 0), 12 * wanted[place]! / sum, 1e-9)
    })
  })

  it("leaves out what does not pass, and what comes back gets its part", () => {
    const { deployments } = many(10, () => ({ tpm: 1000 }))
    const sample = Sample.of(deployments, 0)!
    const random = SeededRandom.make(5)
    failUntilOpen(deployments[0]!, 0)
    const counts = Array.from({ length: 10 }, () => 0)
    deployments[1]!.breaker.reset(0)
    for (let i = 0; i < 10_000; i++) counts[sample.draw((one) => one.breaker.allows(0), 0, random)]! += 1
    assert.strictEqual(counts[0], 0)
    assert.isAbove(Math.min(...counts.slice(1)), 900)
    assert.strictEqual(sample.draw(() => false, 0, random), -1)
  })

  it("is of the first tier, where that has many; of few there is none", () => {
    assert.isUndefined(Sample.of(many(8, () => ({})).deployments, 0))
    assert.isUndefined(Sample.of(many(20, (i) => ({ tier: i < 5 ? 1 : 2 })).deployments, 0))
    assert.strictEqual(Sample.of(many(20, (i) => ({ tier: i < 15 ? 1 : 2 })).deployments, 0)!.at(14).tier, 1)
  })
})

describe("a choice among many", () => {
  it("spreads as a choice among few does: in proportion to capacity", () => {
    const group = many(30, (i) => ({ tpm: i < 15 ? 1_000_000 : 3_000_000 }))
    const random = SeededRandom.make(11)
    let large = 0
    for (let i = 0; i < 4_000; i++) {
      const decision = decide(query(group), { ...options, random }, i)
      assert(decision._tag === "Decision")
      decision.deployment.quota.reserve(i, 1_000)
      if (decision.deployment.quota.tokenLimit === 3_000_000) large++
    }
    assert.approximately(large / 4_000, 0.75, 0.03)
  })

  it("finds the one that passes, however many do not", () => {
    const group = many(200, () => ({ tpm: 1000 }))
    const random = SeededRandom.make(13)
    for (const deployment of group.deployments.slice(1)) deployment.cooldown.begin(0, 60_000, "http 429")
    for (let i = 0; i < 50; i++) {
      const decision = decide(query(group), { ...options, random }, 1)
      assert(decision._tag === "Decision")
      assert.strictEqual(decision.deployment, group.deployments[0])
    }
  })

  it("gives way to the next tier where all of the first are slower by far", () => {
    const group = many(20, (i) => ({ tier: i < 12 ? 1 : 2, tpm: 1000 }))
    const random = SeededRandom.make(17)
    for (const deployment of group.deployments.slice(0, 12)) deployment.slowUntil = 1_000
    const decision = decide(query(group), { ...options, random }, 1)
    assert(decision._tag === "Decision")
    assert.strictEqual(decision.deployment.tier, 2)
  })
})
