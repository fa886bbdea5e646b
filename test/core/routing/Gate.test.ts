import type { Deployment } from "#core/deployment/Deployment"
import { isFailing, opensAt, type Refusal, refusalOf } from "#core/deployment/Gate"
import { assert, describe, it } from "@effect/vitest"
import { demandOf, failUntilOpen, makeDeployments, type PartOptions } from "../../support/Parts.ts"

const demand = demandOf(100, { promptTokens: 50 })

const make = (options: PartOptions = {}): Deployment => makeDeployments([{ tpm: 1000, ...options }])[0]!

const gates: ReadonlyArray<readonly [Refusal, (deployment: Deployment) => void]> = [
  ["draining", (deployment) => {
    deployment.draining = true
  }],
  ["too-long", (deployment) => deployment.limitContext(49, 0)],
  ["resource-open", (deployment) => deployment.resource.breaker.trip(0, 1, "down")],
  ["breaker-open", (deployment) => failUntilOpen(deployment, 0)],
  ["cooling-down", (deployment) => deployment.cooldown.begin(0, 5000, "http 429")],
  ["over-quota", (deployment) => deployment.quota.reserve(0, 950)]
]

describe("the gates", () => {
  it("let a deployment pass that is well", () => {
    assert.isUndefined(refusalOf(make(), demand, 0))
  })

  it.each(gates)("refuse by name: %s", (name, close) => {
    const deployment = make()
    close(deployment)
    assert.strictEqual(refusalOf(deployment, demand, 0), name)
  })

  it("are asked in their order: each refuses before those that come after it", () => {
    const deployment = make()
    const refusals = gates.toReversed().map(([, close]) => {
      close(deployment)
      return refusalOf(deployment, demand, 0)
    })
    assert.deepStrictEqual(refusals, gates.map(([name]) => name).toReversed())
  })

  it("refuse resources that do not own what is referred to", () => {
    assert.strictEqual(refusalOf(make(), { ...demand, resources: new Set(["r9"]) }, 0), "pinned-elsewhere")
    assert.isUndefined(refusalOf(make(), { ...demand, resources: new Set(["r0"]) }, 0))
  })

  it("let prompts pass that are no longer than a deployment says it takes, and forget that in time", () => {
    const deployment = make()
    deployment.limitContext(50, 0)
    assert.isUndefined(refusalOf(deployment, demand, 0))
    const longer = { ...demand, promptTokens: 51 }
    assert.strictEqual(refusalOf(deployment, longer, 0), "too-long")
    assert.isUndefined(refusalOf(deployment, longer, 600_000))
  })

  it("let a prompt pass that was refused as too long, where there is no standard deployment to spare it for", () => {
    const deployment = make({ provisioned: true })
    deployment.limitContext(49, 0)
    assert.isUndefined(refusalOf(deployment, { ...demand, hasStandard: false }, 0))
  })

  it("ask only about the resource, where no model is asked for", () => {
    const deployment = make()
    const noModel = { ...demand, scope: "/files" }
    for (const [name, close] of gates.filter(([name]) => name !== "resource-open")) {
      close(deployment)
      assert.isUndefined(refusalOf(deployment, noModel, 0), name)
    }
    deployment.resource.breaker.trip(0, 1, "down")
    assert.strictEqual(refusalOf(deployment, noModel, 0), "resource-open")
    assert.strictEqual(refusalOf(deployment, { ...noModel, resources: new Set(["r9"]) }, 0), "pinned-elsewhere")
  })

  it("tell a deployment that the service does not know from one that it told to wait", () => {
    const deployment = make()
    deployment.cooldown.beginMissing(0, "http 404 DeploymentNotFound")
    assert.strictEqual(refusalOf(deployment, demand, 0), "missing")
    assert.strictEqual(opensAt(deployment, "missing", demand, 0), 30_000)
    assert.isUndefined(refusalOf(deployment, demand, 30_000))
    deployment.cooldown.begin(30_000, 5000, "http 429")
    assert.strictEqual(refusalOf(deployment, demand, 30_000), "cooling-down")
  })

  it("let no prompt pass to another provisioned deployment that was too long for one", () => {
    const tooLong = { ...demand, isStandardOnly: true }
    assert.strictEqual(refusalOf(make({ provisioned: true }), tooLong, 0), "too-long")
    assert.isUndefined(refusalOf(make(), tooLong, 0))
  })

  it("open again by themselves, when their time has come", () => {
    for (const [name, close] of gates.slice(2)) {
      const deployment = make()
      close(deployment)
      const opens = opensAt(deployment, refusalOf(deployment, demand, 0)!, demand, 0)
      assert.strictEqual(refusalOf(deployment, demand, opens - 1), name)
      assert.isUndefined(refusalOf(deployment, demand, opens), name)
    }
  })

  it.each(["pinned-elsewhere", "draining", "too-long"] as const)("never open by waiting: %s", (refusal) => {
    assert.strictEqual(opensAt(make(), refusal, demand, 0), Infinity)
  })

  it("open after the last of several, where a breaker and a cooldown both hold", () => {
    const deployment = make()
    failUntilOpen(deployment, 0)
    deployment.cooldown.begin(0, 20_000, "http 429")
    assert.strictEqual(opensAt(deployment, "breaker-open", demand, 0), 20_000)
  })

  it("do not open in the past, where the one probe of a breaker is under way", () => {
    for (const which of ["breaker", "resource"] as const) {
      const deployment = make()
      const breaker = which === "breaker" ? deployment.breaker : deployment.resource.breaker
      breaker.trip(0, 1, "down")
      breaker.enter(6000)
      const refusal = refusalOf(deployment, demand, 7000)!
      assert.isTrue(isFailing(refusal))
      assert.isAbove(opensAt(deployment, refusal, demand, 7000), 7000)
    }
  })

  it("tell failing from full", () => {
    const failing = gates.map(([name]) => name).filter((name) => isFailing(name))
    assert.deepStrictEqual(failing, ["resource-open", "breaker-open"])
  })
})
