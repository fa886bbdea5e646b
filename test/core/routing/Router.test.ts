import type { Deployment } from "#core/deployment/Deployment"
import { healthyShare } from "#core/routing/Router"
import * as SeededRandom from "#core/simulation/SeededRandom"
import { assert, describe, it } from "@effect/vitest"
import { Policy } from "@evenkeel/core"
import { ask, chosen, none } from "../../support/Asking.ts"
import { failUntilOpen, makeDeployments, makeGroup, type PartOptions } from "../../support/Parts.ts"

const three = (parts: ReadonlyArray<PartOptions> = [{}, {}, {}]) =>
  makeDeployments(parts.map((part) => ({ tpm: 1000, ...part }))) as [Deployment, Deployment, Deployment]

const use = (deployment: Deployment, share: number): void => {
  deployment.quota.reserve(0, share * deployment.quota.tokenLimit)
}

describe("a choice", () => {
  it("is the policy's, among those that pass their gates", () => {
    const [a, b, c] = three()
    failUntilOpen(a, 0)
    let seen: ReadonlyArray<string> = []
    const policy: Policy.Policy = (candidates) => {
      seen = candidates.map(({ id }) => id)
      return candidates.at(-1)!
    }
    assert.strictEqual(chosen([a, b, c], { policy }), "r2")
    assert.deepStrictEqual(seen, ["r1/gpt", "r2/gpt"])
  })

  it("is random within a tier, and ignores the others", () => {
    const deployments = three([{ tier: 2 }, { tier: 1 }, { tier: 1 }])
    const random = SeededRandom.make(7)
    const names = Array.from(
      { length: 100 },
      () => chosen(deployments, { policy: Policy.powerOfTwoChoices(0.85), random })
    )
    const count = names.filter((name) => name === "r1").length
    assert.isTrue(count > 30 && count < 70 && names.every((name) => name !== "r0"))
  })
})

const homeOf = (deployments: ReadonlyArray<Deployment>) => chosen(deployments, { session: "user-42" })

const atHome = (deployments: ReadonlyArray<Deployment>): readonly [Deployment, ReadonlyArray<Deployment>] => {
  const name = homeOf(deployments)
  return [
    deployments.find(({ resource }) => resource.name === name)!,
    deployments.filter(({ resource }) => resource.name !== name)
  ]
}

describe("a session", () => {
  it("moves when its home fails, always to the same next one, and back when it is well", () => {
    const deployments = three()
    const [home, others] = atHome(deployments)
    failUntilOpen(home, 0)
    const next = homeOf(deployments)
    assert.notStrictEqual(next, home.resource.name)
    assert.strictEqual(homeOf(deployments), next)
    assert.strictEqual(chosen(others, { session: "user-42" }), next)
    assert.strictEqual(chosen(deployments, { session: "user-42", now: 5000 }), home.resource.name)
  })

  it("goes to the next when its home is above its load bound, and stays when all are as busy", () => {
    const deployments = three()
    const [home, others] = atHome(deployments)
    use(home, 0.7)
    assert.notStrictEqual(homeOf(deployments), home.resource.name)
    for (const other of others) use(other, 0.65)
    assert.strictEqual(homeOf(deployments), home.resource.name)
  })

  it("stays at home while that is calm, however idle the others are", () => {
    const deployments = three()
    const [home] = atHome(deployments)
    use(home, 0.55)
    assert.strictEqual(homeOf(deployments), home.resource.name)
  })

  it("leaves a worse tier once its home passes and is not hot: tier beats memory", () => {
    const [a, b, c] = three([{ tier: 1 }, { tier: 2 }, { tier: 2 }])
    assert.strictEqual(chosen([a, b, c], { session: "user-42", warm: b }), "r0")
    use(a, 0.86)
    assert.strictEqual(chosen([a, b, c], { session: "user-42", warm: b }), "r1")
    failUntilOpen(b, 0)
    assert.strictEqual(chosen([a, b, c], { session: "user-42", warm: b }), "r0")
  })

  it("is not kept in a worse tier that was tried", () => {
    const [a, b, c] = three([{ tier: 1 }, { tier: 2 }, { tier: 2 }])
    use(a, 0.86)
    assert.strictEqual(chosen([a, b, c], { session: "user-42", warm: b, tried: new Set([b]) }), "r0")
  })
})

describe("no candidate", () => {
  it("says when the first opens, and what refused each", () => {
    const [a, b, c] = three()
    a.cooldown.begin(0, 9000, "http 429")
    b.cooldown.begin(0, 4000, "http 429")
    c.draining = true
    assert.deepStrictEqual(none([a, b, c]), {
      _tag: "NoCandidate",
      opensAt: 4000,
      isOutage: false,
      isMissing: false,
      bestBet: undefined,
      refusals: [
        { deployment: a, refusal: "cooling-down", opensAt: 9000 },
        { deployment: b, refusal: "cooling-down", opensAt: 4000 },
        { deployment: c, refusal: "draining", opensAt: Infinity }
      ]
    })
  })

  it("is an outage when all are failing, of which the soonest back is the best bet", () => {
    const [a, b, c] = three()
    a.breaker.trip(0, 1, "down")
    b.breaker.trip(0, 0.2, "down")
    c.resource.breaker.trip(0, 0.9, "no route")
    assert.deepInclude(none([a, b, c]), { isOutage: true, bestBet: b, opensAt: 3000 })
    assert.strictEqual(none([a, b, c], { tried: new Set([b]) }).bestBet, c)
  })

  it("ends, in an outage, with the first time that a service set, whatever the breakers say", () => {
    const [a, b, c] = three()
    for (const each of [a, b, c]) {
      each.breaker.trip(0, 1, "down")
      each.cooldown.begin(0, 1000, "http 503")
    }
    assert.deepInclude(none([a, b, c]), { isOutage: true, bestBet: undefined, opensAt: 1000 })
  })

  it("is an outage too while the one probe of the last deployment is under way", () => {
    const [a] = three()
    a.breaker.trip(0, 1, "down")
    a.enter(5000, 10)
    assert.deepInclude(none([a], { now: 6000 }), { isOutage: true, bestBet: a })
  })

  it("is no outage while one is only full or told to wait", () => {
    const [a, b, c] = three()
    for (const failing of [a, b]) failUntilOpen(failing, 0)
    use(c, 1)
    assert.isFalse(none([a, b, c], { tokens: 500 }).isOutage)
  })

  it("is of a model that the service does not know, when it knows none of the deployments", () => {
    const [a, b] = three()
    a.cooldown.beginMissing(0, "http 404 DeploymentNotFound")
    assert.isFalse(ask([a, b])._tag === "NoCandidate")
    b.cooldown.begin(0, 5000, "http 429")
    assert.isFalse(none([a, b]).isMissing)
    assert.deepInclude(none([a]), { isMissing: true, isOutage: false, opensAt: 30_000 })
  })

  it("has no best bet that the service told to wait", () => {
    const [a] = three()
    failUntilOpen(a, 0)
    a.cooldown.begin(0, 60_000, "http 429")
    assert.isUndefined(none([a]).bestBet)
  })

  it("cannot be waited for when nothing will ever pass", () => {
    const [a, b] = three()
    a.draining = true
    b.limitContext(1, 0)
    assert.deepInclude(none([a, b]), { opensAt: Infinity, isOutage: false })
  })
})

describe("the healthy share", () => {
  it("counts closed breakers of deployment and resource, among those that stay", () => {
    const [a, b, c] = three()
    assert.strictEqual(healthyShare(makeGroup([a, b, c])), 1)
    failUntilOpen(a, 0)
    b.resource.breaker.trip(0, 1, "down")
    assert.approximately(healthyShare(makeGroup([a, b, c])), 1 / 3, 1e-9)
    b.draining = true
    assert.strictEqual(healthyShare(makeGroup([a, b, c])), 0.5)
    c.draining = true
    assert.strictEqual(healthyShare(makeGroup([b, c])), 0)
  })
})
