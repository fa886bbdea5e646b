import * as SimulatedPool from "#core/simulation/SimulatedPool"
import { assert, describe, it } from "@effect/vitest"
import { Deployments, LoadBalancer } from "@evenkeel/core"
import { Effect, Exit } from "effect"
import { TestClock } from "effect/testing"
import {
  answer,
  failure,
  fleet,
  type FleetConfig,
  heard,
  hello,
  reasonOf,
  routeOf,
  run,
  sent,
  service,
  settle,
  stateOf
} from "../../support/Balanced.ts"
import { azure } from "../../support/Scripted.ts"

const names = ["east", "north", "south"]

/** Three regions on one quota, and others that have their own. */
const pooled = (options: { readonly tpm?: number; readonly rpm?: number }, more = 0, config: FleetConfig = {}) => {
  const pool = SimulatedPool.make({ name: "global", ...options })
  const own = Array.from({ length: more }, (_, i) => service(`own-${i}`, options))
  const one = fleet([...names.map((name) => service(name, { pool })), ...own], config)
  return { ...one, pool }
}

/** A question that reserves so many tokens, little more. */
const asking = (tokens: number) => ({ ...hello, max_completion_tokens: tokens - 20 })

const askTimes = (times: number, tokens: number) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    for (let i = 0; i < times; i++) yield* settle(lb.chat(asking(tokens)))
  })

/** Five requests of different sizes a second, for 100 s. */
const keepAsking = Effect.gen(function*() {
  const lb = yield* LoadBalancer
  for (let i = 0; i < 500; i++) {
    yield* Effect.forkChild(lb.chat(asking(100 + (i * 7919) % 1900)), { startImmediately: true })
    yield* TestClock.adjust(200)
  }
})

const sum = (counts: Readonly<Record<string, number>>, of: (name: string) => boolean) =>
  Object.entries(counts).reduce((all, [name, count]) => of(name) ? all + count : all, 0)

describe("LoadBalancer pools", () => {
  it.effect("the use of one member is the use of all", () =>
    run(pooled({ tpm: 10_000 }), function*() {
      yield* askTimes(3, 1000)
      const { deployments } = yield* (yield* LoadBalancer).snapshot
      assert.deepStrictEqual(new Set(deployments.map(({ pool }) => pool)), new Set(["global"]))
      const used = new Set(deployments.map(({ tokens }) => tokens.used))
      assert.strictEqual(used.size, 1)
      assert.isAbove([...used][0]!, 2900)
      assert.deepStrictEqual(new Set(deployments.map(({ tokens }) => tokens.limit)), new Set([10_000]))
    }))

  it.effect("what a pool has no room for is sent to none of its members", () =>
    run(pooled({ tpm: 10_000 }, 0, { failover: { maxWait: 0 } }), function*(lb, one) {
      yield* askTimes(3, 3000)
      const error = yield* failure(lb.chat(asking(3000)))
      assert.strictEqual(reasonOf(error, "Throttled").model, "gpt-4o")
      assert.strictEqual(one.sends.length, 3)
      const told = String(yield* lb.explain(asking(3000)))
      assert.include(told, "east/gpt-4o (pool-over-quota, pool global)")
    }))

  it.effect("a deployment beside a pool gets the share of its own quota, not one of the members'", () =>
    run(pooled({ tpm: 1_000_000 }, 1), function*(_, one) {
      yield* askTimes(300, 100)
      // two quotas of the same size
      assert.closeTo(sent(one)["own-0"]!, 150, 30)
    }))

  it.effect("a 429 of the pool's quota does not move on to another member", () =>
    run(pooled({ tpm: 10_000 }, 0, { failover: { maxWait: 0 } }), function*(lb, one, { events }) {
      // others used it up
      one.services["east"]!.consume("gpt-4o", 10_000, 1, 0)
      const error = yield* failure(lb.chat(asking(1000)))
      assert.strictEqual(routeOf(error).length, 1)
      assert.strictEqual(one.sends.length, 1)
      assert.deepStrictEqual(heard(events, "CooledDown").map(({ pool }) => pool), ["global"])
      for (const name of names) assert.deepInclude(yield* stateOf(name), { state: "cooling-down" })
      assert.include(String(yield* lb.explain(asking(1000))), "pool-cooling-down, pool global")
    }))

  it.effect("a 429 of the pool's quota moves on to a deployment with a quota of its own", () =>
    run(pooled({ tpm: 10_000 }, 1, { tiers: { "own-0": 2 } }), function*(lb, one) {
      one.services["east"]!.consume("gpt-4o", 10_000, 1, 0)
      for (let i = 0; i < 5; i++) yield* answer(lb.chat(asking(1000)))
      assert.strictEqual(sum(sent(one), (name) => names.includes(name)), 1)
      assert.strictEqual(sent(one)["own-0"], 5)
    }))

  it.effect.each([
    {
      said: "that it is too busy",
      fault: { kind: "throttle", error: "azure-capacity-429", retryAfterMs: 9000 } as const
    },
    {
      said: "in its headers that there is room",
      fault: {
        kind: "throttle",
        headers: { "x-ratelimit-remaining-tokens": "9000", "x-ratelimit-remaining-requests": "50" }
      } as const
    }
  ])("a 429 of one member that says $said moves on to the next, and is that member's own", ({ fault }) => {
    const one = pooled({ tpm: 10_000, rpm: 60 })
    return run(one, function*(lb, _, { events }) {
      for (const name of ["east", "north"]) one.services[name]!.fault("gpt-4o", { ...fault, times: 1 })
      for (let i = 0; i < 6; i++) yield* answer(lb.chat(hello))
      assert.deepStrictEqual(heard(events, "CooledDown").map(({ pool }) => pool), [undefined, undefined])
      assert.deepInclude(yield* stateOf("south"), { state: "healthy" })
    })
  })

  it.effect("a 429 that tells nothing is tried at another member, and is the first one's own where that answers", () =>
    run(pooled({}, 0, { failover: { maxWait: "5 seconds" } }), function*(lb, one) {
      yield* askTimes(6, 100)
      one.services["east"]!.fault("gpt-4o", { kind: "throttle", headers: { "retry-after": "60" } })
      const before = one.sends.length
      const started = 6
      const exits = yield* Effect.forEach(
        Array.from({ length: 30 }),
        () => Effect.andThen(TestClock.adjust(50), settle(lb.chat(hello)))
      )
      const failed = exits.filter(Exit.isFailure).length
      assert.isAtMost(failed, 2)
      assert.strictEqual(before, started)
      assert.deepInclude(yield* stateOf("east"), { state: "cooling-down" })
      for (const name of ["north", "south"]) assert.deepInclude(yield* stateOf(name), { state: "healthy" })
    }))

  it.effect("a session stays with the member where its cache is warm, however full the pool is", () =>
    run(pooled({ tpm: 100_000 }), function*(lb, one) {
      for (let i = 0; i < 18; i++) yield* answer(lb.chat(asking(5000), { session: "a talk" }))
      assert.deepStrictEqual(Object.values(sent(one)).toSorted((a, b) => a - b), [0, 0, 18])
    }))

  it.effect("a pool that nobody configured is found, told of once for each member, and acted on", () =>
    run(pooled({ tpm: 600_000 }, 0, { unlimited: true, failover: { maxWait: 0 } }), function*(lb, one, { events }) {
      yield* keepAsking
      const changes = heard(events, "PoolChanged")
      assert.deepStrictEqual(changes.flatMap(({ joined }) => joined).toSorted(), names.map((name) => `${name}/gpt-4o`))
      assert.deepStrictEqual(changes.flatMap(({ left }) => left), [])
      const pools = yield* Effect.forEach(names, (name) => Effect.map(stateOf(name), ({ pool }) => pool))
      assert.deepStrictEqual(pools, names.map(() => changes[0]!.pool))
      one.services["east"]!.consume("gpt-4o", 600_000, 1, 100_000)
      const error = yield* failure(lb.chat(hello))
      assert.strictEqual(routeOf(error).length, 1)
    }))

  it.effect("deployments that are configured to share with nobody are left alone", () => {
    const resources = names.map((name) => azure(name, { pool: name }))
    return run(pooled({ tpm: 600_000 }, 0, { resources }), function*(_, one, { events }) {
      yield* keepAsking
      assert.isAbove(one.sends.length, 400)
      assert.deepStrictEqual(heard(events, "PoolChanged"), [])
    })
  })

  it.effect("members that are removed take nothing of the pool with them", () =>
    run(pooled({ tpm: 10_000 }, 0, { failover: { maxWait: 0 } }), function*(lb, one, { members }) {
      yield* askTimes(3, 3000)
      yield* members.remove("east/gpt-4o")
      assert.strictEqual((yield* stateOf("north")).tokens.used, (yield* stateOf("south")).tokens.used)
      yield* failure(lb.chat(asking(3000)))
      assert.strictEqual(one.sends.length, 3)
    }))

  it.effect("a limit that changes for one member changes for all", () =>
    run(pooled({ tpm: 10_000 }), function*(_lb, _on, { members }) {
      yield* members.update("east/gpt-4o", { tpm: 50_000 })
      yield* members.update("north/gpt-4o", { weight: 2 })
      for (const name of names) assert.strictEqual((yield* stateOf(name)).tokens.limit, 50_000)
    }))

  it.effect("a limit that one member gives holds for those that give none, and for who joins later", () => {
    const deployments = [{ name: "gpt-4o", pool: "global" }, { name: "mini", pool: "global", tpm: 70 }]
    const resources = [azure("east", {}, { deployments }), azure("north", { pool: "global", tpm: 9000 })]
    return run(pooled({}, 0, { resources }), function*(lb) {
      const limits = (yield* lb.snapshot).deployments.map(({ id, tokens }) => [id, tokens.limit])
      assert.deepStrictEqual(limits, [["east/gpt-4o", 9000], ["east/mini", 70], ["north/gpt-4o", 9000]])
      yield* (yield* Deployments).add(azure("south", { pool: "global" }))
      assert.strictEqual((yield* stateOf("south")).tokens.limit, 9000)
    })
  })
})
