import { costOfAttempt } from "#core/attempt/AttemptCost"
import { refusalOf } from "#core/deployment/Gate"
import { assert, describe, it } from "@effect/vitest"
import { type DeploymentChange, Deployments, type Event } from "@evenkeel/core"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { demandOf, makeConfig } from "../../support/Parts.ts"

const two = Deployments.layer(makeConfig([{ tpm: 1000 }, { tpm: 1000, tier: 2 }]))

const compatible = { provider: "compatible", endpoint: "http://127.0.0.1:1/v1" } as const

const idsOf = (deployments: Deployments["Service"], model = "gpt") =>
  deployments.group(model)?.deployments.map(({ id }) => id)

const find = (deployments: Deployments["Service"], id: string) => deployments.all().find((one) => one.id === id)!

const some = demandOf(10)

const heard = (deployments: Deployments["Service"]): Array<Event> => {
  const events: Array<Event> = []
  deployments.events.listen((event) => events.push(event))
  return events
}

describe("the live set", () => {
  it.effect("begins as it is configured, by tier", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      assert.deepStrictEqual(idsOf(deployments), ["r0/gpt", "r1/gpt"])
      assert.deepStrictEqual(deployments.models(), ["gpt"])
      assert.strictEqual(deployments.resource("r1")?.name, "r1")
    }).pipe(Effect.provide(two)))

  it.effect("has no group for a model that nobody serves (A9)", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      assert.isUndefined(deployments.group("gpt-fake"))
    }).pipe(Effect.provide(two)))

  it.effect("is warm from the start, and slow to warm to what is added later", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      yield* TestClock.adjust("100 seconds")
      assert.strictEqual(find(deployments, "r0/gpt").warmth(100_000), 1)
      yield* deployments.add({ name: "new", ...compatible, deployments: [{ name: "gpt" }] })
      const added = find(deployments, "new/gpt")
      assert.deepStrictEqual([100_000, 115_000, 130_000].map((now) => added.warmth(now)), [0.1, 0.5, 1])
      assert.deepStrictEqual(idsOf(deployments), ["r0/gpt", "new/gpt", "r1/gpt"])
    }).pipe(Effect.provide(two)))

  it.effect("adds to a resource that is there", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const resource = deployments.resource("r0")
      yield* deployments.add({ name: "r0", ...compatible, deployments: [{ name: "other", model: "gpt" }] })
      assert.strictEqual(find(deployments, "r0/other").resource, resource)
      assert.lengthOf(deployments.resources(), 2)
    }).pipe(Effect.provide(two)))

  it.effect("refuses to add what is wrong, and says all of it", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const wrong = { name: "r9", ...compatible, deployments: [{ name: "a", tpm: -1 }, { name: "a" }] }
      const { reason } = yield* Effect.flip(deployments.add(wrong))
      assert(reason._tag === "InvalidConfig")
      assert.lengthOf(reason.issues, 2)
      assert.isUndefined(deployments.resource("r9"))
    }).pipe(Effect.provide(two)))

  it.effect("asks for the usage of streams as its resource is told when it is added again", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const known = find(deployments, "r0/gpt")
      assert.isTrue(known.asksUsage(0))
      yield* deployments.add({ name: "r0", ...compatible, streamUsage: false, deployments: [{ name: "gpt" }] })
      assert.isFalse(known.asksUsage(0))
    }).pipe(Effect.provide(two)))

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
      yield* deployments.add({ name: "r0", ...compatible, deployments: [{ name: "gpt", price }] })
      assert.strictEqual(cost(), 2)
    }).pipe(Effect.provide(two)))

  it.effect("updates what is added again, and keeps its history", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const known = find(deployments, "r0/gpt")
      known.enter(0, 400)
      yield* deployments.add({ name: "r0", ...compatible, deployments: [{ name: "gpt", tpm: 800, tier: 3 }] })
      assert.strictEqual(find(deployments, "r0/gpt"), known)
      assert.deepStrictEqual([known.quota.utilisation(0), known.tier], [0.5, 3])
      assert.deepStrictEqual(idsOf(deployments), ["r1/gpt", "r0/gpt"])
    }).pipe(Effect.provide(two)))

  it.effect("does not add what contradicts what is there", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const elsewhere = {
        ...compatible,
        endpoint: "http://127.0.0.1:2/v1",
        deployments: [{ name: "gpt", model: "o3" }]
      }
      const { reason } = yield* Effect.flip(deployments.add({ name: "r0", ...elsewhere }))
      assert(reason._tag === "InvalidConfig")
      assert.deepStrictEqual(reason.issues.map(({ path }) => path), ["endpoint", "deployments[0].model"])
      assert.deepStrictEqual(idsOf(deployments), ["r0/gpt", "r1/gpt"])
    }).pipe(Effect.provide(two)))

  it.effect("forgets what a credential failed at only for another one", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const { breaker } = deployments.resource("r0")!
      const again = { name: "r0", ...compatible, deployments: [{ name: "gpt" }] }
      breaker.trip(0, 1, "http 401")
      yield* deployments.add(again)
      assert.isFalse(breaker.isClosed)
      yield* deployments.add({ ...again, apiKey: "new" })
      assert.isTrue(breaker.isClosed)
    }).pipe(Effect.provide(two)))

  it.effect("changes limits, weight and tier while it runs", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      assert.isTrue(yield* deployments.update("r1/gpt", { tier: 1, weight: 3, tpm: 50 }))
      const { configuredCapacity, quota, tier, weight } = find(deployments, "r1/gpt")
      assert.deepStrictEqual([tier, weight, quota.tokenLimit, configuredCapacity], [1, 3, 50, 50])
      assert.isFalse(yield* deployments.update("r1/none", { tier: 1 }))
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
  it.effect("takes no new request, and lets those in flight end", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const draining = find(deployments, "r0/gpt")
      const permit = draining.enter(0, 10)
      assert.isTrue(yield* deployments.drain("r0/gpt"))
      assert.strictEqual(refusalOf(draining, some, 0), "draining")
      assert.strictEqual(draining.inFlight, 1)
      draining.leave(permit)
      assert.strictEqual(draining.inFlight, 0)
      assert.isFalse(yield* deployments.drain("r0/none"))
    }).pipe(Effect.provide(two)))

  it.effect("comes back when it is added again", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      yield* deployments.drain("r0/gpt")
      yield* deployments.add({ name: "r0", ...compatible, deployments: [{ name: "gpt", tpm: 1000 }] })
      assert.isUndefined(refusalOf(find(deployments, "r0/gpt"), some, 0))
    }).pipe(Effect.provide(two)))

  it.effect("is not brought back by an update", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      yield* deployments.drain("r0/gpt")
      yield* deployments.update("r0/gpt", { weight: 2 })
      assert.strictEqual(refusalOf(find(deployments, "r0/gpt"), some, 0), "draining")
    }).pipe(Effect.provide(two)))
})

describe("a removed deployment", () => {
  it.effect("is forgotten, and so is a resource without any (G1)", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const removed = find(deployments, "r0/gpt")
      const permit = removed.enter(0, 10)
      assert.isTrue(yield* deployments.remove("r0/gpt"))
      assert.deepStrictEqual(idsOf(deployments), ["r1/gpt"])
      assert.isUndefined(deployments.resource("r0"))
      assert.isTrue(removed.draining)
      assert.isTrue(removed.leave(permit))
      assert.strictEqual(removed.inFlight, 0)
      assert.isFalse(yield* deployments.remove("r0/gpt"))
    }).pipe(Effect.provide(two)))

  it.effect("leaves an unknown model behind when it was the last", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      yield* deployments.remove("r0/gpt")
      yield* deployments.remove("r1/gpt")
      assert.isUndefined(deployments.group("gpt"))
      assert.deepStrictEqual(deployments.models(), [])
    }).pipe(Effect.provide(two)))

  it.effect("has no history when it is added again", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const removed = find(deployments, "r0/gpt")
      const permit = removed.enter(0, 900)
      yield* deployments.remove("r0/gpt")
      yield* deployments.add({ name: "r0", ...compatible, deployments: [{ name: "gpt", tpm: 1000 }] })
      const again = find(deployments, "r0/gpt")
      assert.notStrictEqual(again, removed)
      removed.leave(permit)
      assert.deepStrictEqual([again.inFlight, again.quota.tokensUsed(0)], [0, 0])
    }).pipe(Effect.provide(two)))
})

describe("what another process saw", () => {
  it.effect("cools down, counts as load and closes or opens", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const seen = find(deployments, "r0/gpt")
      yield* deployments.observe("r0/gpt", { cooldownFor: 5000, usage: { tokens: 400, requests: 3 } })
      assert.strictEqual(refusalOf(seen, some, 0), "cooling-down")
      assert.deepStrictEqual([seen.quota.tokensUsed(0), seen.quota.requestsUsed(0)], [400, 3])
      yield* deployments.observe("r0/gpt", { health: "failing" })
      assert.strictEqual(refusalOf(seen, some, 2000), "breaker-open")
      yield* deployments.observe("r0/gpt", { health: "healthy" })
      assert.isUndefined(refusalOf(seen, some, 5000))
      assert.isFalse(yield* deployments.observe("r0/none", {}))
    }).pipe(Effect.provide(two)))

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

describe("a change of the set", () => {
  it.effect("is told to whoever listens", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const events = heard(deployments)
      yield* deployments.add({ name: "r2", ...compatible, deployments: [{ name: "gpt" }] })
      yield* deployments.update("r2/gpt", { weight: 2 })
      yield* deployments.drain("r2/gpt")
      yield* deployments.remove("r2/gpt")
      assert.deepStrictEqual(
        events.map((event) => event._tag === "MembershipChanged" ? [event.deployment, event.change] : event._tag),
        [["r2/gpt", "added"], ["r2/gpt", "updated"], ["r2/gpt", "draining"], ["r2/gpt", "removed"]]
      )
    }).pipe(Effect.provide(two)))
})
