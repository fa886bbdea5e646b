import type { Deployment } from "#core/deployment/Deployment"
import * as Policy from "#core/routing/Policy"
import { decide } from "#core/routing/Router"
import { SessionAffinity } from "#core/routing/SessionAffinity"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { chosen } from "../../support/Asking.ts"
import { check, integer } from "../../support/Check.ts"
import { demandOf, makeDeployments, makeGroup, type PartOptions } from "../../support/Parts.ts"
import { SessionMemoryModel } from "./SessionMemoryModel.ts"

/** Where the router sends a session that it remembers nothing of, while nothing is busy. */
const homeOf = (session: string, deployments: ReadonlyArray<Deployment>): Deployment => {
  const query = { group: makeGroup(deployments), demand: demandOf(0), tried: none, session, shard: 0, warm: undefined }
  const options = { policy: Policy.roundRobin(), hot: 0.85, loadBound: 1.25, random: () => 0 }
  const decision = decide(query, options, 0)
  return decision._tag === "Decision" ? decision.deployment : assert.fail("nobody passes")
}

const none: ReadonlySet<Deployment> = new Set()

const sessions = (count: number, named = "user") => Array.from({ length: count }, (_, i) => `${named}-${i}`)

const named = Schema.String.check(Schema.isMaxLength(20))

const parts = Schema.Array(Schema.Struct({ weight: integer(1, 9), tpm: integer(1, 9) })).check(
  Schema.isMinLength(2),
  Schema.isMaxLength(8)
)

const optionsOf = (drawn: typeof parts.Type, known: boolean): ReadonlyArray<PartOptions> =>
  drawn.map(({ tpm, weight }) => known ? { tpm: tpm * 1000, weight } : { weight })

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
    parts,
    removed: integer(0, 7),
    known: Schema.Boolean,
    named
  }, ({ known, named, parts, removed }) => {
    const deployments = makeDeployments(optionsOf(parts, known))
    const gone = deployments[removed % deployments.length]!
    const left = deployments.filter((deployment) => deployment !== gone)
    for (const key of sessions(20, named)) {
      const before = homeOf(key, deployments)
      if (before !== gone) assert.strictEqual(homeOf(key, left), before)
    }
  }, check())

  it.prop("is the same to whoever knows the same deployments, in whatever order", {
    parts,
    known: Schema.Boolean,
    named,
    turn: integer(1, 7)
  }, ({ known, named, parts, turn }) => {
    const options = optionsOf(parts, known).map((part, i) => Object.assign({ name: `east-${i}` }, part))
    const here = makeDeployments(options)
    const there = makeDeployments([...options.slice(turn), ...options.slice(0, turn)].toReversed())
    for (const key of sessions(10, named)) assert.strictEqual(homeOf(key, here).id, homeOf(key, there).id)
  }, check())

  it.prop("is each deployment as often as its capacity and its weight say", {
    parts,
    known: Schema.Boolean,
    named
  }, ({ known, named, parts }) => {
    const deployments = makeDeployments(optionsOf(parts, known))
    const shares = parts.map(({ tpm, weight }) => known ? tpm * weight : weight)
    const all = shares.reduce((sum, share) => sum + share, 0)
    const drawn = 300
    const found = sharesOf(deployments, sessions(drawn, named))
    found.forEach((share, i) => {
      const right = shares[i]! / all
      // five standard deviations, and a few for what is rare: of so many runs none may be out
      assert.approximately(share, right, 5 * Math.sqrt((right * (1 - right)) / drawn) + 6 / drawn)
    })
  }, check())

  it("is today where it was yesterday, in another process", () => {
    const deployments = makeDeployments([{ name: "east" }, { name: "west" }, { name: "north", weight: 2 }])
    const homes = ["user-42", "tenant/7/chat", "", "漢字", "user-43"].map((key) => homeOf(key, deployments).id)
    assert.deepStrictEqual(homes, ["north/gpt", "west/gpt", "north/gpt", "west/gpt", "east/gpt"])
  })

  it("is moved to by sessions of all others alike when a deployment is added", () => {
    const deployments = makeDeployments([{}, {}, {}, {}])
    const before = deployments.slice(0, 3)
    const moved = sessions(3000).filter((key) => homeOf(key, before) !== homeOf(key, deployments))
    assert.isTrue(moved.every((key) => homeOf(key, deployments) === deployments[3]))
    assert.approximately(moved.length / 3000, 0.25, 0.03)
  })
})

describe("a place that is slow for one session alone", () => {
  it("is left for one that is at ease, and kept where the others are too busy", () => {
    const [warm, other] = makeDeployments([{ tpm: 100_000 }, { tpm: 100_000 }]) as [Deployment, Deployment]
    const placesOf = () =>
      Array.from({ length: 20 }, (_, i) => chosen([warm, other], { session: `s${i}`, warm, isWarmSlow: true }))
    assert.deepStrictEqual(new Set(placesOf()), new Set([other.resource.name]))
    for (let i = 0; i < 8; i++) other.quota.reserve(0, 11_000)
    warm.quota.reserve(0, 10_000)
    assert.deepStrictEqual(new Set(placesOf()), new Set([warm.resource.name]))
  })
})

const memory = (capacity = 100, idle = 600_000) => new SessionAffinity({ capacity, idle })

describe("the memory of sessions", () => {
  const [a, b, c] = makeDeployments([{}, {}, {}]) as [Deployment, Deployment, Deployment]

  it("leaves a place that answered slowly three times in a row, and no other after it", () => {
    const affinity = memory()
    let now = 0
    const answer = (place: Deployment, isSlow: boolean) => {
      affinity.commit("s", place, ++now, now, isSlow)
      return affinity.leaves("s")
    }
    assert.isFalse(affinity.leaves("s"))
    const slow = [true, true, false, true, true, true]
    assert.deepStrictEqual(slow.map((isSlow) => answer(a, isSlow)), [false, false, false, false, false, true])
    // slow there too: it is for its own sake
    assert.deepStrictEqual([b, b, b, b].map((place) => answer(place, true)), [false, false, false, false])
    // nor where it is slow now and then: it would go to and fro
    assert.deepStrictEqual([false, true, true, true].map((isSlow) => answer(b, isSlow)), [false, false, false, false])
    assert.isFalse(answer(c, false))
  })

  it("leaves no place for what was slow all at once", () => {
    const affinity = memory()
    for (let i = 0; i < 5; i++) affinity.commit("s", a, 100, 200 + i, true)
    assert.isFalse(affinity.leaves("s"))
    for (const startedAt of [300, 500]) affinity.commit("s", a, startedAt, startedAt + 100, true)
    assert.isTrue(affinity.leaves("s"))
  })
})

const step = Schema.Union([
  Schema.Struct({ op: Schema.Literal("commit"), key: integer(0, 7), target: integer(0, 2), age: integer(0, 3000) }),
  Schema.Struct({ op: Schema.Literal("commit"), key: integer(0, 2), target: integer(0, 2), age: integer(0, 20) }),
  Schema.Struct({ op: Schema.Literal("recall"), key: integer(0, 7) }),
  Schema.Struct({ op: Schema.Literal("drain"), target: integer(0, 2), isOver: Schema.Boolean }),
  Schema.Struct({ op: Schema.Literal("wait"), millis: integer(0, 1000) }),
  Schema.Struct({ op: Schema.Literal("wait"), millis: Schema.Literals([1, 1499, 1500, 1501]) })
])

describe("the memory of sessions, over any sequence of operations", () => {
  const places = makeDeployments([{}, {}, {}])

  it.prop("is what the reference model is", {
    steps: Schema.Array(step),
    capacity: integer(1, 6)
  }, ({ capacity, steps }) => {
    const affinity = memory(capacity, 1500)
    const model = new SessionMemoryModel<Deployment>({ capacity, idle: 1500 })
    const sameRecall = (key: number) =>
      assert.strictEqual(affinity.recall(String(key), now)?.id, model.recall(String(key), now)?.id)
    for (const place of places) place.draining = false
    let now = 10_000
    for (const step of steps) {
      if (step.op === "wait") now += step.millis
      if (step.op === "drain") places[step.target]!.draining = !step.isOver
      if (step.op === "recall") sameRecall(step.key)
      if (step.op === "commit") {
        const committed = [String(step.key), places[step.target]!, now - step.age, now] as const
        assert.strictEqual(affinity.commit(...committed)?.id, model.commit(...committed)?.id)
      }
      // to recall forgets what is cold, so the rest is asked at the end
      assert.strictEqual(affinity.size, model.size)
    }
    for (let key = 0; key < 8; key++) sameRecall(key)
  }, check({ size: 80 }))
})
