import { costOfAttempt } from "#core/attempt/AttemptCost"
import { refusalOf } from "#core/deployment/Gate"
import { assert, describe, it } from "@effect/vitest"
import { type DeploymentChange, Deployments } from "@evenkeel/core"
import { Effect } from "effect"
import { demandOf, makeConfig } from "../../support/Parts.ts"

const two = Deployments.layer(makeConfig([{ tpm: 1000 }, { tpm: 1000, tier: 2 }]))

const find = (deployments: Deployments["Service"], id: string) => deployments.all().find((one) => one.id === id)!

const some = demandOf(10)

describe("the live set", () => {
  it.effect("bills by the price of what is added again", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const known = find(deployments, "r0/gpt")
      const usage = {
        promptTokens: 1_000_000,
        cachedTokens: 0,
        cacheWriteTokens: 0,
        completionTokens: 0,
        reasoningTokens: 0
      }
      const cost = () => costOfAttempt(known.enter(0, 1), usage, undefined, { find: () => undefined }, 0)
      assert.isUndefined(cost())
      const price = { input: 2, output: 8 }
      const resource = { name: "r0", provider: "compatible", endpoint: "http://127.0.0.1:1/v1" } as const
      yield* deployments.add({ ...resource, deployments: [{ name: "gpt", price }] })
      assert.strictEqual(cost(), 2)
    }).pipe(Effect.provide(two)))

  it.effect("keeps what an update does not name", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      yield* deployments.update("r1/gpt", { weight: 3 })
      const { quota, tier } = find(deployments, "r1/gpt")
      assert.deepStrictEqual([quota.tokenLimit, tier], [1000, 2])
      yield* deployments.update("r1/gpt", { rpm: 60 })
      assert.deepStrictEqual([quota.tokenLimit, quota.requestLimit, find(deployments, "r1/gpt").weight], [1000, 60, 3])
    }).pipe(Effect.provide(two)))

  it.effect.each<[string, DeploymentChange]>([
    ["a weight below 0", { weight: -1 }],
    ["a tier that is no number", { tier: NaN }],
    ["a limit of 0", { tpm: 0 }]
  ])("does not take %s", ([, change]) =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const { reason } = yield* Effect.flip(deployments.update("r0/gpt", change))
      assert.strictEqual(reason._tag, "InvalidConfig")
      const { quota, tier, weight } = find(deployments, "r0/gpt")
      assert.deepStrictEqual([quota.tokenLimit, tier, weight], [1000, 1, 1])
    }).pipe(Effect.provide(two)))
})

describe("a draining deployment", () => {
  it.effect("is not brought back by an update", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      yield* deployments.drain("r0/gpt")
      yield* deployments.update("r0/gpt", { weight: 2 })
      assert.strictEqual(refusalOf(find(deployments, "r0/gpt"), some, 0), "draining")
    }).pipe(Effect.provide(two)))
})

describe("what another process saw", () => {
  it.effect("is one outage, however many processes tell of it", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      for (let i = 0; i < 10; i++) yield* deployments.observe("r0/gpt", { health: "failing" })
      assert.isAtMost(find(deployments, "r0/gpt").breaker.openUntil, 5000)
    }).pipe(Effect.provide(two)))

  it.effect("is not taken in where it is no number", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      yield* deployments.observe("r0/gpt", { cooldownFor: NaN, usage: { tokens: NaN, requests: NaN } })
      const told = find(deployments, "r0/gpt")
      assert.isUndefined(refusalOf(told, some, 0))
      assert.strictEqual(told.quota.utilisation(0), 0)
    }).pipe(Effect.provide(two)))
})
