/**
 * Bounds on the quality of a choice, each under traffic of its own. The numbers are those of docs and of the systems
 * that this one is measured against.
 */
import * as SeededRandom from "#core/simulation/SeededRandom"
import { assert } from "@effect/vitest"
import type { Policy } from "@evenkeel/core"
import { candidatesAt, makeDeployments, type PartOptions } from "./Parts.ts"
import { drive, type Traffic, utilisations } from "./Traffic.ts"

type Make = () => Policy.Policy

const seeds = [1, 2, 3, 4, 5]

const many = (count: number, part: PartOptions): ReadonlyArray<PartOptions> => Array.from({ length: count }, () => part)

const quick = () => 10
const slow = () => 5000

const sum = (values: ReadonlyArray<number>): number => values.reduce((total, value) => total + value, 0)

const standardDeviation = (values: ReadonlyArray<number>): number => {
  const mean = sum(values) / values.length
  return Math.sqrt(sum(values.map((value) => (value - mean) ** 2)) / values.length)
}

/** Share of the first of these deployments, over some minutes. */
const firstShare = (make: Make, parts: ReadonlyArray<PartOptions>, traffic: Partial<Traffic>): number => {
  const deployments = makeDeployments(parts)
  const { counts } = drive(make(), deployments, { perSecond: 10, seconds: 100, tokens: 10, seed: 1, ...traffic })
  return counts[0]! / sum(counts)
}

/** 70 % of what all of these can carry, for five minutes; the last three count. */
const runsLevel = (make: Make, parts: ReadonlyArray<PartOptions>, traffic: Partial<Traffic>): void => {
  const tpm = sum(parts.map((part) => part.tpm ?? 0))
  const rpm = sum(parts.map((part) => part.rpm ?? 0))
  const perSecond = rpm > 0 ? (0.7 * rpm) / 60 : 20
  const tokens = rpm > 0 ? 10 : (0.7 * tpm) / 60 / perSecond
  const levels = utilisations(
    make(),
    makeDeployments(parts),
    { perSecond, seconds: 300, tokens, seed: 1, ...traffic },
    180
  )
  for (const level of levels) {
    assert.isAtLeast(level, 0.6, levels.join(" "))
    assert.isAtMost(level, 0.8, levels.join(" "))
  }
}

const unevenRequests = [{ rpm: 1000 }, ...many(4, { rpm: 100 })]
const unevenTokens = [{ tpm: 1_000_000 }, ...many(4, { tpm: 100_000 })]

export const qualities = {
  "ties are random, never always the first (A12)": (make: Make) => {
    for (const part of [{}, { tpm: 100_000 }]) {
      const candidates = candidatesAt(makeDeployments(many(3, part)), 0)
      const policy = make()
      const random = SeededRandom.make(3)
      const taken = Array.from({ length: 600 }, () => candidates.indexOf(policy(candidates, random)))
      for (const i of [0, 1, 2]) assert.approximately(taken.filter((one) => one === i).length, 200, 50)
    }
  },

  "100 requests over 3 equal: 25 to 40 each (A1)": (make: Make) => {
    for (const seed of seeds) {
      const { counts } = drive(make(), makeDeployments(many(3, {})), { perSecond: 10, seconds: 10, tokens: 10, seed })
      for (const count of counts) assert.isTrue(count >= 25 && count <= 40, counts.join(" "))
    }
  },

  "after a minute has rolled, 100 more level the loads within 10 % (A3)": (make: Make) => {
    for (const seed of seeds) {
      const deployments = makeDeployments(many(3, { tpm: 10_000 }))
      const policy = make()
      const before = drive(policy, deployments, { perSecond: 20, seconds: 5, tokens: 10, seed })
      for (const { quota } of deployments) assert.strictEqual(quota.utilisation(100_000), 0)
      const after = drive(policy, makeDeployments(many(3, { tpm: 10_000 })), {
        perSecond: 20,
        seconds: 5,
        tokens: 10,
        seed: seed + 100
      })
      before.counts.forEach((count, i) => assert.approximately(count + after.counts[i]!, 200 / 3, 20 / 3))
    }
  },

  "one that has room takes the load where quota is scarce": (make: Make) => {
    const deployments = makeDeployments(many(3, { tpm: 10_000 }))
    for (const full of deployments.slice(1)) full.quota.reserve(0, 6000)
    drive(make(), deployments, { perSecond: 16, seconds: 30, tokens: 25, seed: 1, latency: quick })
    for (const { quota } of deployments) assert.approximately(quota.utilisation(30_000), 0.8, 0.08)
  },

  "1000 in flight over 10 equal: standard deviation of utilisation at most 0.009 (A4)": (make: Make) => {
    const deployments = makeDeployments(many(10, { rpm: 300 }), { quota: { requestSlice: "1 minute" } })
    drive(make(), deployments, { perSecond: 1000, seconds: 1, tokens: 10, seed: 1, latency: () => 60_000 })
    const levels = deployments.map(({ quota }) => quota.utilisation(1000))
    assert.approximately(sum(levels) / 10, 1 / 3, 1e-9)
    assert.isAtMost(standardDeviation(levels), 0.009, levels.join(" "))
  },

  "requests a minute of 1000 and 4 x 100, 70 % in use: each at 60 to 80 % (A5)": (make: Make) => {
    runsLevel(make, unevenRequests, {})
    runsLevel(make, unevenRequests, { latency: quick })
  },

  "tokens a minute of 10:1:1:1:1, 70 % in use: each at 60 to 80 % (A5)": (make: Make) => {
    for (const seed of [1, 2]) runsLevel(make, unevenTokens, { seed })
    runsLevel(make, unevenTokens, { latency: quick })
    runsLevel(make, unevenTokens, { latency: slow })
  },

  "tokens a minute of 10:1, 70 % in use: both at 60 to 80 % (A5)": (make: Make) => {
    runsLevel(make, unevenTokens.slice(0, 2), {})
    runsLevel(make, unevenTokens.slice(0, 2), { latency: quick })
  },

  "weights of 9:1 hold, busy or idle, capacity known or not (A8)": (make: Make) => {
    for (const part of [{}, { tpm: 1_000_000 }]) {
      for (const latency of [quick, slow]) {
        const share = firstShare(make, [{ ...part, weight: 9 }, part], { latency })
        assert.isAtLeast(share, 0.8)
        assert.isAtMost(share, 0.95)
      }
    }
  },

  "weights of 9:1:1 hold (A8)": (make: Make) => {
    const share = firstShare(make, [{ weight: 9 }, {}, {}], {})
    assert.approximately(share, 9 / 11, 0.08)
  },

  "one that has just come back gets little at first": (make: Make) => {
    for (const count of [2, 5]) {
      const deployments = makeDeployments(many(count, {}))
      deployments[0]!.breaker.trip(-5000, 1, "down")
      deployments[0]!.breaker.succeed(deployments[0]!.breaker.enter(0), 0)
      const { counts } = drive(make(), deployments, { perSecond: 50, seconds: 4, tokens: 10, seed: 1 })
      assert.isBelow(counts[0]! / sum(counts), 0.5 / count)
    }
  },

  "one that is ten times slower gets little": (make: Make) => {
    const deployments = makeDeployments(many(3, {}))
    const latency = (deployment: (typeof deployments)[number]) => deployment === deployments[0] ? 10_000 : 1000
    const { counts } = drive(make(), deployments, { perSecond: 10, seconds: 120, tokens: 10, seed: 1, latency })
    assert.isBelow(counts[0]! / sum(counts), 0.12, counts.join(" "))
  }
} as const

export type Quality = keyof typeof qualities
