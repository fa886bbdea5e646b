import { decode } from "#core/config/Config"
import { refusalOf } from "#core/deployment/Gate"
import { assert, describe, it } from "@effect/vitest"
import { Deployments } from "@evenkeel/core"
import { Effect, Result } from "effect"
import { demandOf } from "../../support/Parts.ts"

const compatible = { provider: "compatible", endpoint: "http://127.0.0.1:1/v1" } as const

const idsOf = (deployments: Deployments["Service"], model: string) =>
  deployments.group(model)?.deployments.map(({ id }) => id)

const find = (deployments: Deployments["Service"], id: string) => deployments.all().find((one) => one.id === id)!

const some = demandOf(10)

const wild = Deployments.layer(Result.getOrThrow(decode({
  resources: [{ name: "open", provider: "openai", apiKey: "k" }, {
    name: "azure",
    ...compatible,
    deployments: [{ name: "four", model: "gpt-4o" }]
  }]
})))

describe("a resource that serves every model", () => {
  it.effect("has a deployment of its own for each model that is asked for", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      assert.deepStrictEqual(idsOf(deployments, "o3"), ["open/o3"])
      assert.strictEqual(deployments.group("o3"), deployments.group("o3"))
      assert.notStrictEqual(deployments.group("o3"), deployments.group("o4"))
      find(deployments, "open/o3").enter(0, 10)
      assert.strictEqual(find(deployments, "open/o4").inFlight, 0)
    }).pipe(Effect.provide(wild)))

  it.effect("serves a model that is named elsewhere too", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      assert.sameMembers(idsOf(deployments, "gpt-4o")!, ["open/gpt-4o", "azure/four"])
    }).pipe(Effect.provide(wild)))

  it.effect("does not grow for ever with every misspelt model", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      for (let i = 0; i < 1000; i++) assert.isDefined(deployments.group(`typo-${i}`))
      assert.isBelow(deployments.all().length, 200)
    }).pipe(Effect.provide(wild)))

  it.effect("is removed with all that it became", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      deployments.group("o3")
      yield* deployments.remove("open/*")
      assert.deepStrictEqual(deployments.all().map(({ id }) => id), ["azure/four"])
      assert.isUndefined(deployments.group("o3"))
    }).pipe(Effect.provide(wild)))

  it.effect("is updated with all that it became", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      deployments.group("o3")
      yield* deployments.update("open/*", { tpm: 500, weight: 3 })
      const { name, quota, weight } = find(deployments, "open/o3")
      assert.deepStrictEqual([name, quota.tokenLimit, weight], ["o3", 500, 3])
      assert.strictEqual(deployments.group("o4")!.deployments[0]!.weight, 3)
    }).pipe(Effect.provide(wild)))

  it.effect("is drained with all that it became", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      deployments.group("o3")
      yield* deployments.drain("open/*")
      assert.strictEqual(refusalOf(find(deployments, "open/o3"), some, 0), "draining")
      assert.strictEqual(refusalOf(deployments.group("o4")!.deployments[0]!, some, 0), "draining")
    }).pipe(Effect.provide(wild)))
})
