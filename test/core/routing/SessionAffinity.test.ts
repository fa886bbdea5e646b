import { assert, describe, it } from "@effect/vitest"
import type { Deployment } from "@evenkeel/core/deployment/Deployment"
import {
  hashSession,
  meanConfiguredCapacity,
  rendezvousScore,
  SessionAffinity
} from "@evenkeel/core/routing/SessionAffinity"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"
import { makeDeployments, type PartOptions } from "../../support/Parts.ts"

const homeOf = (session: string, deployments: ReadonlyArray<Deployment>): Deployment => {
  const mean = meanConfiguredCapacity(deployments)
  const hash = hashSession(session)
  return deployments.toSorted((a, b) => rendezvousScore(hash, b, mean) - rendezvousScore(hash, a, mean))[0]!
}

const sessions = (count: number) => Array.from({ length: count }, (_, i) => `user-${i}`)

/** Share of many sessions that are at home at each. */
const sharesOf = (deployments: ReadonlyArray<Deployment>, keys = sessions(20_000)): Array<number> => {
  const counts = new Map(deployments.map((deployment) => [deployment, 0]))
  for (const key of keys) {
    const home = homeOf(key, deployments)
    counts.set(home, counts.get(home)! + 1)
  }
  return [...counts.values()].map((count) => count / keys.length)
}

describe("a session's home", () => {
  it("is the same in every process, in whatever order it knows the deployments", () => {
    const here = makeDeployments([{ name: "a" }, { name: "b" }, { name: "c" }])
    const there = makeDeployments([{ name: "c" }, { name: "a" }, { name: "b" }])
    for (const key of sessions(200)) assert.strictEqual(homeOf(key, here).id, homeOf(key, there).id)
  })

  it("is spread in proportion to capacity", () => {
    const shares = sharesOf(makeDeployments([{ tpm: 1000 }, { tpm: 300 }, { tpm: 100 }]))
    const right = [1000, 300, 100].map((tpm) => tpm / 1400)
    shares.forEach((share, i) => assert.approximately(share, right[i]!, 0.01))
  })

  it("is spread in proportion to weight", () => {
    const shares = sharesOf(makeDeployments([{ weight: 9 }, { weight: 1 }]))
    assert.approximately(shares[0]!, 0.9, 0.01)
  })

  it("is spread evenly for any kind of key", () => {
    const deployments = makeDeployments([{}, {}, {}, {}, {}])
    const numbers = Array.from({ length: 10_000 }, (_, i) => String(i))
    const long = Array.from({ length: 10_000 }, (_, i) => `tenant/${"x".repeat(100)}/${i * 1024}`)
    const uuids = Array.from({ length: 10_000 }, (_, i) => `${(i * 2654435761 >>> 0).toString(16)}-4a5b-8c9d`)
    for (const keys of [numbers, long, uuids]) {
      for (const share of sharesOf(deployments, keys)) assert.approximately(share, 0.2, 0.02)
    }
  })

  it("takes a deployment of unknown capacity for an average one", () => {
    const shares = sharesOf(makeDeployments([{ tpm: 1000 }, {}, { tpm: 3000 }]))
    assert.approximately(shares[1]!, 2000 / 6000, 0.01)
  })

  it.prop("moves only when its own deployment is removed", {
    parts: Schema.Array(Schema.Struct({ weight: integer(1, 9), tpm: integer(1, 9) })).check(
      Schema.isMinLength(2),
      Schema.isMaxLength(8)
    ),
    removed: integer(0, 7),
    known: Schema.Boolean
  }, ({ known, parts, removed }) => {
    const options: ReadonlyArray<PartOptions> = parts.map(({ tpm, weight }) => known ? { tpm, weight } : { weight })
    const deployments = makeDeployments(options)
    const gone = deployments[removed % deployments.length]!
    const left = deployments.filter((deployment) => deployment !== gone)
    for (const key of sessions(50)) {
      const before = homeOf(key, deployments)
      if (before !== gone) assert.strictEqual(homeOf(key, left), before)
    }
  }, check(100))

  it("is moved to by sessions of all others alike when a deployment is added", () => {
    const deployments = makeDeployments([{}, {}, {}, {}])
    const before = deployments.slice(0, 3)
    const moved = sessions(3000).filter((key) => homeOf(key, before) !== homeOf(key, deployments))
    assert.isTrue(moved.every((key) => homeOf(key, deployments) === deployments[3]))
    assert.approximately(moved.length / 3000, 0.25, 0.03)
  })
})

const memory = (capacity = 100, idle = 600_000) => new SessionAffinity({ capacity, idle })

describe("the memory of sessions", () => {
  const [a, b, c] = makeDeployments([{}, {}, {}]) as [Deployment, Deployment, Deployment]

  it("knows where a session was served last, and tells when it moved", () => {
    const affinity = memory()
    assert.isUndefined(affinity.recall("s", 0))
    assert.isUndefined(affinity.commit("s", a, 0, 10))
    assert.isUndefined(affinity.commit("s", a, 20, 30))
    assert.strictEqual(affinity.commit("s", b, 40, 50), a)
    assert.strictEqual(affinity.recall("s", 60), b)
  })

  it("is written only by the attempt that began last", () => {
    const affinity = memory()
    affinity.commit("s", b, 100, 200)
    assert.isUndefined(affinity.commit("s", a, 50, 300))
    assert.strictEqual(affinity.recall("s", 300), b)
  })

  it("goes cold when it is idle", () => {
    const affinity = memory(100, 1000)
    affinity.commit("s", a, 0, 0)
    assert.strictEqual(affinity.recall("s", 1000), a)
    assert.isUndefined(affinity.recall("s", 1001))
    assert.strictEqual(affinity.size, 0)
  })

  it("stays warm while it is used", () => {
    const affinity = memory(100, 1000)
    for (let now = 0; now < 10_000; now += 900) affinity.commit("s", a, now, now)
    assert.strictEqual(affinity.recall("s", 10_500), a)
  })

  it("forgets what was unused for longest, past its bound (F6)", () => {
    const affinity = memory(2)
    affinity.commit("first", a, 0, 0)
    affinity.commit("second", b, 1, 1)
    affinity.commit("first", a, 2, 2)
    affinity.commit("third", c, 3, 3)
    assert.strictEqual(affinity.size, 2)
    assert.isUndefined(affinity.recall("second", 4))
    assert.strictEqual(affinity.recall("first", 4), a)
  })

  it("takes in no deployment that is going (F4)", () => {
    const [going] = makeDeployments([{}])
    const affinity = memory()
    going!.draining = true
    affinity.commit("u", going!, 1, 1)
    assert.isUndefined(affinity.recall("u", 2))
  })

  it.prop("is what the newest-started attempt wrote, within its bounds", {
    steps: Schema.Array(Schema.Struct({
      key: integer(0, 5),
      target: integer(0, 2),
      age: integer(0, 3000),
      wait: integer(0, 2000)
    })),
    capacity: integer(1, 4)
  }, ({ capacity, steps }) => {
    const affinity = memory(capacity, 1500)
    const model: Array<{ key: string; deployment: Deployment; startedAt: number; seenAt: number }> = []
    let now = 10_000
    for (const { age, key, target, wait } of steps) {
      now += wait
      const deployment = [a, b, c][target]!
      affinity.commit(String(key), deployment, now - age, now)
      const at = model.findIndex((entry) => entry.key === String(key))
      if (at < 0 || model[at]!.startedAt <= now - age) {
        if (at >= 0) model.splice(at, 1)
        model.push({ key: String(key), deployment, startedAt: now - age, seenAt: now })
        if (model.length > capacity) model.shift()
      }
      assert.isAtMost(affinity.size, capacity)
      for (let i = model.length - 1; i >= 0; i--) {
        const entry = model[i]!
        const isCold = now - entry.seenAt > 1500
        assert.strictEqual(affinity.recall(entry.key, now), isCold ? undefined : entry.deployment)
        if (isCold) model.splice(i, 1)
      }
      assert.strictEqual(affinity.size, model.length)
    }
  }, check(300))
})
