import type { Deployment, Permit } from "#core/deployment/Deployment"
import { Pool } from "#core/deployment/Pool"
import { type PoolChange, PoolFinder } from "#core/deployment/PoolFinder"
import type { RateLimits } from "#core/deployment/RateLimitHeaders"
import * as SeededRandom from "#core/simulation/SeededRandom"
import * as Limiter from "#core/simulation/SimulatedLimiter"
import { assert, describe, it } from "@effect/vitest"
import { amount } from "../../support/Check.ts"
import { makeConfig, makeDeployments } from "../../support/Parts.ts"

const LIMIT = 600_000

interface World {
  readonly seed: number
  /** Which counter each of the deployments draws on. */
  readonly counters: ReadonlyArray<number>
  /** The same in the second half. */
  readonly later?: ReadonlyArray<number>
  readonly window?: Limiter.LimiterOptions["window"]
  /** Requests a second, of us and of another process. */
  readonly rate?: number
  readonly others?: number
  /** The other process sends to each deployment in the same milliseconds as we do, as many requests. */
  readonly isInStep?: boolean
  /** What the services tell in place of what is left. */
  readonly tells?: (remaining: number) => number
  readonly seconds?: number
  /** Mean tokens of a request, of us and of others, at a time in milliseconds. */
  readonly tokens?: (at: number) => number
  /** Limits in the second half. */
  readonly laterLimits?: ReadonlyArray<number>
}

/** Sends to deployments whose services answer at once, and notes what is found. */
const play = ({ counters, later = counters, ...world }: World) => {
  const {
    isInStep = false,
    laterLimits,
    others = 0,
    rate = 8,
    seconds = 240,
    seed,
    tells,
    tokens = () => 900,
    window
  } = world
  let now = 0
  const random = SeededRandom.make(seed)
  const size = () => Math.ceil(Math.min(20_000, tokens(now) * SeededRandom.lognormal(random, 0.8)))
  const deployments = makeDeployments(counters.map(() => ({})))
  const limiters = counters.map((_, i) => Limiter.make({ tpm: LIMIT, window, phaseMs: 1000 * i }))
  const isLater = () => now >= seconds * 500
  const limiterOf = (i: number) => limiters[(isLater() ? later : counters)[i]!]!
  const finder = new PoolFinder()
  const changes: Array<PoolChange & { readonly at: number }> = []
  const ask = (i: number, at: number) => {
    const deployment = deployments[i]!
    const charge = size()
    const permit: Permit = deployment.enter(at, charge)
    finder.send(permit)
    const limiter = limiterOf(i)
    const isRefused = limiter.admit(charge, at) !== undefined
    if (isRefused) deployment.quota.refund(permit.reservation, at)
    const limit = isLater() ? laterLimits?.[later[i]!] ?? LIMIT : LIMIT
    const left = Math.max(0, limit - limiter.usage(at).tokens)
    const limits: RateLimits = {
      limitTokens: limit,
      limitRequests: undefined,
      remainingTokens: tells === undefined ? left : tells(left),
      remainingRequests: undefined,
      utilisation: undefined,
      spilled: undefined
    }
    deployment.leave(permit)
    const change = finder.heard(permit, limits, at)
    if (change !== undefined) changes.push({ ...change, at })
  }
  const pick = () => Math.floor(random() * deployments.length)
  for (let at = 0, nextOther = others === 0 ? Infinity : 0; at < seconds * 1000;) {
    now = at
    ask(pick(), at)
    if (isInStep) limiterOf(pick()).consume(size(), 1, at)
    at += Math.ceil(-Math.log(1 - random()) * 1000 / rate)
    while (nextOther < at) {
      limiterOf(pick()).consume(size(), 1, Math.floor(nextOther))
      nextOther += others === 0 ? Infinity : -Math.log(1 - random()) * 1000 / others
    }
  }
  return { deployments, changes, poolOf: (deployment: Deployment) => deployment.pool?.name }
}

/** Small requests and large ones by turns of so many seconds. */
const phases = (seconds: number) => (at: number): number => Math.floor(at / (seconds * 1000)) % 2 === 0 ? 200 : 2000

const seeds = amount([1, 2, 3, 4, 5], [1, 2])

describe("PoolFinder", () => {
  it.each([
    { said: "nobody else sends", minutes: 2, more: {} },
    { said: "minutes are fixed", minutes: 2, more: { window: "fixed" as const } },
    { said: "others send as much", minutes: 60, more: { others: 4, rate: 4 } },
    { said: "another sends in step", minutes: 60, more: { isInStep: true, rate: 4 } }
  ])("finds that five deployments share a quota within $minutes minutes, where $said", ({ minutes, more }) => {
    for (const seed of seeds) {
      const { changes, deployments } = play({ seed, counters: [0, 0, 0, 0, 0], seconds: minutes * 60, ...more })
      assert.strictEqual(new Set(deployments.map(({ pool }) => pool)).size, 1, `seed ${seed}`)
      assert.isDefined(deployments[0]!.pool)
      assert.isTrue(changes.every(({ left }) => left.length === 0))
    }
  })

  it.each([
    { said: "nobody else sends", more: {} },
    { said: "little is used", more: { rate: 0.5 } },
    { said: "all is used", more: { rate: 50 } },
    { said: "others send as much", more: { others: 8 } },
    { said: "others send ten times as much", more: { others: 20, rate: 2 } },
    { said: "another sends in step", more: { isInStep: true } },
    { said: "another sends in step, and all is used", more: { isInStep: true, rate: 50 } },
    { said: "minutes are fixed", more: { window: "fixed" as const, others: 4 } },
    {
      said: "others are large when ours are, for 20 s",
      more: { others: 4, rate: 4, seconds: 1800, tokens: phases(20) }
    },
    {
      said: "others are large when ours are, for 37 s",
      more: { others: 4, rate: 4, seconds: 1800, tokens: phases(37) }
    },
    {
      said: "others are large when ours are, for 5 min",
      more: { others: 4, rate: 4, seconds: 1800, tokens: phases(300) }
    },
    { said: "buckets refill all the time", more: { window: "bucket" as const } },
    { said: "the counters stand still", more: { tells: () => LIMIT - 1000 } },
    { said: "the counters tell of nothing but the last request", more: { tells: () => LIMIT - 17 } }
  ])("takes no quotas for one that are two or five, where $said", ({ more }) => {
    for (const seed of seeds) {
      for (const counters of [[0, 1], [0, 1, 2, 3, 4]]) {
        const { changes } = play({ seed, counters, ...more })
        assert.deepStrictEqual(changes, [], `seed ${seed}, ${counters.length} quotas`)
      }
    }
  })

  it("finds who of several shares, and leaves out who does not", () => {
    for (const seed of seeds) {
      const { deployments, poolOf } = play({ seed, counters: [0, 0, 0, 0, 1], seconds: 600 })
      const pools = deployments.map(poolOf)
      assert.strictEqual(new Set(pools.slice(0, 4)).size, 1, `seed ${seed}`)
      assert.isDefined(pools[0])
      assert.isUndefined(pools[4])
    }
  })

  it("a deployment whose counter shows that it does not share gets a quota of its own again", () => {
    for (const seed of seeds) {
      const { changes, deployments } = play({ seed, counters: [0, 0, 0], later: [0, 1, 2], seconds: 1800 })
      const left = changes.flatMap((change) => change.left.map(({ id }) => id))
      assert.deepStrictEqual(left.toSorted(), deployments.map(({ id }) => id), `seed ${seed}`)
      assert.isTrue(deployments.every(({ pool }) => pool === undefined))
      assert.strictEqual(new Set(deployments.map(({ quota }) => quota)).size, 3)
    }
  })

  it("a pool is none any more where its members are told different limits", () => {
    const { changes, deployments } = play({
      seed: 1,
      counters: [0, 0],
      later: [0, 1],
      laterLimits: [400_000, 200_000],
      seconds: 600
    })
    assert.isAbove(changes.length, 1)
    assert.isTrue(deployments.every(({ pool }) => pool === undefined))
  })

  it("who is gone is not remembered for a late answer", () => {
    const [gone] = makeDeployments([{}])
    const finder = new PoolFinder()
    const permit = gone!.enter(0, 10)
    finder.send(permit)
    gone!.draining = true
    finder.forget(gone!)
    const limits = { limitTokens: 1000, remainingTokens: 900, limitRequests: undefined, remainingRequests: undefined }
    finder.heard(permit, { ...limits, utilisation: undefined, spilled: undefined }, 10)
    assert.strictEqual(finder.size, 0)
  })

  it("limits that were given for each member stay each one's own", () => {
    const [a, b] = makeDeployments([{ tpm: 100_000 }, {}])
    const pool = new Pool<Deployment>(a!.id, a!.quota, a!.cooldown.options, true)
    pool.quota.absorb(b!.quota, 0)
    a!.join(pool)
    b!.join(pool)
    assert.deepStrictEqual([a!.configuredCapacity, b!.configuredCapacity], [100_000, NaN])
    b!.configure({ ...makeConfig([{}]).resources[0]!.deployments[0]!, weight: 2 })
    assert.strictEqual(pool.quota.tokenLimit, 100_000)
    a!.leavePool(0)
    b!.leavePool(0)
    assert.deepStrictEqual([a!.quota.tokenLimit, b!.quota.tokenLimit], [100_000, Infinity])
  })

  it("who leaves a pool is taken to use as much as all of it, until that leaves the window", () => {
    const { deployments: [first, second] } = play({ seed: 1, counters: [0, 0, 0], seconds: 120 })
    const used = first!.quota.tokensUsed(120_000)
    first!.leavePool(120_000)
    assert.strictEqual(first!.quota.tokensUsed(120_000), used)
    assert.strictEqual(second!.quota.tokensUsed(120_000), used)
    assert.strictEqual(first!.quota.ownTokens.sum(181_000), 0)
  })

  it("ledgers that become one hold what both held, and what is under way is still corrected", () => {
    const [a, b] = makeDeployments([{ tpm: 10_000 }, { tpm: 10_000 }])
    const earlier = a!.enter(0, 1000)
    const later = b!.enter(500, 2000)
    a!.quota.absorb(b!.quota, 600)
    assert.strictEqual(a!.quota.ownTokens.sum(600), 3000)
    a!.quota.refund(later.reservation, 700)
    a!.quota.settle(earlier.reservation, 800, 1500)
    assert.strictEqual(a!.quota.ownTokens.sum(900), 1500)
    assert.strictEqual(a!.quota.ownRequests.sum(900), 1)
  })
})
