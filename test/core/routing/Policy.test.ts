import type { Deployment } from "#core/deployment/Deployment"
import type { Candidate } from "#core/routing/Policy"
import * as SeededRandom from "#core/simulation/SeededRandom"
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer, Policy, Selector } from "@evenkeel/core"
import { Effect } from "effect"
import { fleet, hello } from "../../support/Balanced.ts"
import { candidatesAt, makeDeployments } from "../../support/Parts.ts"
import { suite } from "../../support/PolicySuite.ts"

suite({
  name: "power of two choices, the default",
  make: () => Policy.powerOfTwoChoices(0.85),
  holds: [
    "ties are random, never always the first (A12)",
    "100 requests over 3 equal: 25 to 40 each (A1)",
    "after a minute has rolled, 100 more level the loads within 10 % (A3)",
    "one that has room takes the load where quota is scarce",
    "1000 in flight over 10 equal: standard deviation of utilisation at most 0.009 (A4)",
    "requests a minute of 1000 and 4 x 100, 70 % in use: each at 60 to 80 % (A5)",
    "tokens a minute of 10:1:1:1:1, 70 % in use: each at 60 to 80 % (A5)",
    "tokens a minute of 10:1, 70 % in use: both at 60 to 80 % (A5)",
    "weights of 9:1 hold, busy or idle, capacity known or not (A8)",
    "weights of 9:1:1 hold (A8)",
    "one that has just come back gets little at first",
    "one that is ten times slower gets little"
  ]
})

// in turn, by weight alone: blind to capacity, use, latency and slow start, and its ties are no draw
suite({
  name: "round robin",
  make: () => Policy.roundRobin(),
  holds: [
    "100 requests over 3 equal: 25 to 40 each (A1)",
    "after a minute has rolled, 100 more level the loads within 10 % (A3)",
    "1000 in flight over 10 equal: standard deviation of utilisation at most 0.009 (A4)",
    "weights of 9:1 hold, busy or idle, capacity known or not (A8)",
    "weights of 9:1:1 hold (A8)"
  ]
})

// independent draws: right on average, too scattered for bounds on a hundred or a thousand, and blind to use and latency
suite({
  name: "weighted random",
  make: () => Policy.weightedRandom,
  holds: [
    "ties are random, never always the first (A12)",
    "requests a minute of 1000 and 4 x 100, 70 % in use: each at 60 to 80 % (A5)",
    "tokens a minute of 10:1:1:1:1, 70 % in use: each at 60 to 80 % (A5)",
    "tokens a minute of 10:1, 70 % in use: both at 60 to 80 % (A5)",
    "weights of 9:1 hold, busy or idle, capacity known or not (A8)",
    "weights of 9:1:1 hold (A8)",
    "one that has just come back gets little at first"
  ]
})

// the fewest in flight first, so what is slow is left; it counts whole requests, so small deployments that have less
// than one in flight at a time are not level with large ones
suite({
  name: "least loaded",
  make: () => Policy.leastLoaded,
  holds: [
    "ties are random, never always the first (A12)",
    "100 requests over 3 equal: 25 to 40 each (A1)",
    "after a minute has rolled, 100 more level the loads within 10 % (A3)",
    "one that has room takes the load where quota is scarce",
    "1000 in flight over 10 equal: standard deviation of utilisation at most 0.009 (A4)",
    "weights of 9:1 hold, busy or idle, capacity known or not (A8)",
    "weights of 9:1:1 hold (A8)",
    "one that has just come back gets little at first",
    "one that is ten times slower gets little"
  ]
})

// latency alone: blind to use, and to capacity, weight and slow start while nothing waits
suite({
  name: "lowest latency",
  make: () => Policy.lowestLatency,
  holds: [
    "ties are random, never always the first (A12)",
    "100 requests over 3 equal: 25 to 40 each (A1)",
    "after a minute has rolled, 100 more level the loads within 10 % (A3)",
    "1000 in flight over 10 equal: standard deviation of utilisation at most 0.009 (A4)",
    "one that is ten times slower gets little"
  ]
})

const byName: Policy.Policy = (candidates) => candidates.toSorted((a, b) => a.id.localeCompare(b.id)).at(-1)!

// a caller's own answers for its quality itself
suite({ name: "a caller's own", make: () => byName, holds: [] })

describe("a policy of one's own", () => {
  it.effect("is the one that chooses (A10)", () => {
    const services = ["east", "north", "west"].map((name) => ({
      name,
      deployments: [{ name: "gpt-4o", model: "gpt-4o", tpm: 100_000 }]
    }))
    const { layer, services: simulated } = fleet(services, {}, { selector: Selector.layer(byName) })
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      for (let i = 0; i < 5; i++) yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
      const { deployments } = yield* lb.snapshot
      assert.deepStrictEqual(deployments.map(({ inFlight }) => inFlight), [0, 0, 5])
      assert.sameMembers(Object.keys(simulated), ["east", "north", "west"])
    }).pipe(Effect.provide(layer))
  })
})

const used = (deployments: ReadonlyArray<Deployment>, shares: ReadonlyArray<number>): ReadonlyArray<Candidate> => {
  deployments.forEach(({ quota }, i) => quota.reserve(0, shares[i]! * quota.capacity))
  return candidatesAt(deployments, 0)
}

const times = (policy: Policy.Policy, candidates: ReadonlyArray<Candidate>): ReadonlyArray<string> => {
  const random = SeededRandom.make(1)
  return Array.from({ length: 200 }, () => policy(candidates, random).deployment.resource.name)
}

describe("power of two choices", () => {
  const policy = Policy.powerOfTwoChoices(0.85)

  /** What is used of each, how much slower the second is, and how often of two hundred times it is taken. */
  const choices: ReadonlyArray<
    readonly [string, used: readonly [number, number], slower: number, least: number, most: number]
  > = [
    ["leaves one that is slower by far, however hot the other is", [0.99, 0.1], 4.5, 0, 0],
    ["leaves a hot one for a cold one that is slower, but not by far", [0.9, 0.2], 3.5, 200, 200],
    ["prefers the less used where all are hot, if it is not slower by far", [0.99, 0.86], 3.5, 141, 200],
    ["does not call what is exactly at the mark hot", [0.85, 0.2], 20, 0, 199]
  ]
  it.each(choices)("%s", (_, shares, slower, least, most) => {
    const deployments = makeDeployments([{ tpm: 10_000 }, { tpm: 10_000 }])
    deployments[1]!.latency.observe(slower, 0)
    const names = times(policy, used(deployments, shares))
    const count = names.filter((name) => name === "r1").length
    assert.isTrue(count >= least && count <= most, String(count))
  })

  it("takes no account of use below 60 %", () => {
    const names = times(policy, used(makeDeployments([{ tpm: 10_000 }, { tpm: 10_000 }]), [0.55, 0.01]))
    const count = names.filter((name) => name === "r0").length
    assert.isTrue(count > 70 && count < 130, String(count))
  })
})

describe("least loaded", () => {
  it("takes the least used share where nothing is in flight, whatever the capacities", () => {
    const candidates = used(makeDeployments([{ tpm: 100_000 }, { tpm: 10_000 }]), [0.5, 0.1])
    assert.isTrue(times(Policy.leastLoaded, candidates).every((name) => name === "r1"))
  })
})
