import { assert, describe, it } from "@effect/vitest"
import { type ConfigInput, decodeConfig, LoadBalancer } from "@evenkeel/core"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  answer,
  failure,
  fleet,
  heard,
  hello,
  listen,
  reasonOf,
  run,
  sent,
  service,
  stateOf
} from "../../support/Balanced.ts"

/** A fleet of these services, of which the balancer knows only the first. */
const knowingFirst = (...names: ReadonlyArray<string>) => {
  const services = names.map((name) => service(name))
  const [first] = Object.values(fleet(services).services)
  return fleet(services, { resources: [first!.config()] })
}

/** What a configuration of these resources says. */
const decoded = (resources: ConfigInput["resources"]) => Effect.fromResult(decodeConfig({ resources }))

const askTimes = (times: number) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    yield* answer(Effect.forEach(Array.from({ length: times }), () => lb.chat(hello), { concurrency: 5 }))
  })

describe("a resource whose last deployment is removed", () => {
  it.effect("tells those who hold its connections, and none before", () =>
    run(fleet([service("east"), service("west")]), function*(_, two, { members }) {
      yield* askTimes(20)
      const { removed } = two.sends.find(({ resource }) => resource === "east")!.request.connection!
      yield* members.drain("east/gpt-4o")
      assert.isFalse(removed.aborted)
      yield* members.remove("east/gpt-4o")
      assert.isTrue(removed.aborted)
      yield* members.add(two.services["east"]!.config())
      assert.isFalse(members.resource("east")!.connection.removed.aborted)
    }))
})

describe("LoadBalancer live set", () => {
  it.effect("G1: a deployment that is added is used", () =>
    run(knowingFirst("east", "west"), function*(_, two, { members }) {
      yield* askTimes(10)
      assert.deepStrictEqual(sent(two), { east: 10, west: 0 })
      yield* members.add(two.services["west"]!.config())
      yield* TestClock.adjust("1 minute")
      yield* askTimes(40)
      assert.isAbove(sent(two)["west"]!, 10)
    }))

  it.effect("G1: adding what is there overwrites it and keeps its history", () =>
    run(fleet([service("east", { tpm: 1000 })]), function*(_, one, { members }) {
      yield* askTimes(2)
      const before = yield* stateOf("east")
      const config = one.services["east"]!.config()
      yield* members.add({ ...config, deployments: [{ name: "gpt-4o", tier: 3, tpm: 5000, weight: 2 }] })
      const after = yield* stateOf("east")
      assert.deepInclude(after, { tier: 3, weight: 2, totals: before.totals })
      assert.deepStrictEqual(after.tokens, { ...before.tokens, limit: 1000 })
      yield* members.update("east/gpt-4o", { tpm: 700 })
      assert.strictEqual((yield* stateOf("east")).tokens.limit, 700)
      assert.strictEqual((yield* (yield* LoadBalancer).snapshot).deployments.length, 1)
    }))

  it.effect("G1: a deployment that is removed gets nothing more, what is under way goes on", () =>
    run(fleet([service("east"), service("west")], { tiers: { east: 1, west: 2 } }), function*(lb, two, { members }) {
      const fiber = yield* Effect.forkChild(
        Stream.mkString(
          Stream.map(lb.chatStream(hello), ({ choices }) => choices[0]?.delta.content ?? "")
        ),
        { startImmediately: true }
      )
      yield* TestClock.adjust(60)
      assert.isTrue(yield* members.remove("east/gpt-4o"))
      assert.strictEqual(yield* answer(Fiber.join(fiber)), "I am east.")
      yield* askTimes(5)
      assert.deepStrictEqual(sent(two), { east: 1, west: 5 })
      const { deployments: left, resources } = yield* lb.snapshot
      assert.deepStrictEqual(left.map(({ id }) => id), ["west/gpt-4o"])
      assert.deepStrictEqual(resources.map(({ name }) => name), ["west"])
      assert.strictEqual(two.services["east"]!.stats(0).inFlight, 0)
    }))

  it.effect("G1: removing what is not there says so, and changes nothing", () =>
    run(fleet([service("east")]), function*(_lb, _on, { members }) {
      assert.isFalse(yield* members.remove("east/other"))
      assert.isFalse(yield* members.remove("west/gpt-4o"))
      assert.isFalse(yield* members.drain("west/gpt-4o"))
      assert.isFalse(yield* members.update("west/gpt-4o", { tier: 2 }))
      assert.isFalse(yield* members.observe("west/gpt-4o", { health: "failing" }))
      yield* askTimes(1)
    }))

  it.effect("G1: a deployment that is removed and added again begins anew", () =>
    run(fleet([service("east"), service("west")], { tiers: { east: 1, west: 2 } }), function*(lb, two, { members }) {
      two.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 60_000, times: 1 })
      yield* answer(lb.chat(hello))
      assert.strictEqual((yield* stateOf("east")).state, "cooling-down")
      yield* members.remove("east/gpt-4o")
      yield* members.add(two.services["east"]!.config())
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
      assert.strictEqual((yield* stateOf("east")).totals.attempts, 0)
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(sent(two), { east: 2, west: 1 })
    }))

  it.effect("a deployment that drains takes no new request, finishes its own, and comes back when it is added", () =>
    run(fleet([service("east"), service("west")], { tiers: { east: 1, west: 2 } }), function*(lb, two, { members }) {
      const fiber = yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
      assert.isTrue(yield* members.drain("east/gpt-4o"))
      assert.strictEqual((yield* stateOf("east")).state, "draining")
      yield* answer(Fiber.join(fiber))
      yield* askTimes(3)
      assert.deepStrictEqual(sent(two), { east: 1, west: 3 })
      yield* members.add(two.services["east"]!.config())
      yield* askTimes(1)
      assert.deepStrictEqual(sent(two), { east: 2, west: 3 })
    }))

  it.effect("with the last deployment gone its model is unknown; while it drains nothing is left to try", () =>
    run(fleet([service("east")]), function*(lb, _, { members }) {
      yield* members.drain("east/gpt-4o")
      assert.strictEqual(reasonOf(yield* failure(lb.chat(hello)), "Unavailable").limitedBy, "no-deployment")
      yield* members.remove("east/gpt-4o")
      assert.deepStrictEqual(reasonOf(yield* failure(lb.chat(hello)), "UnknownModel").known, [])
      assert.strictEqual(reasonOf(yield* failure(lb.request({ path: "/models" })), "UnknownModel").model, "")
    }))

  it.effect("an update moves traffic at once: a worse tier is left, a better one is taken", () =>
    run(fleet([service("east"), service("west")], { tiers: { east: 1, west: 2 } }), function*(_, two, { members }) {
      yield* askTimes(5)
      assert.isTrue(yield* members.update("west/gpt-4o", { tier: 1 }))
      assert.isTrue(yield* members.update("east/gpt-4o", { tier: 2 }))
      yield* askTimes(5)
      assert.deepStrictEqual(sent(two), { east: 5, west: 5 })
    }))

  it.effect("what another process saw is taken in: cooldown, use of quota, health", () =>
    run(fleet([service("east", { tpm: 1000 }), service("west"), service("north")]), function*(lb, three, { members }) {
      yield* members.observe("east/gpt-4o", { usage: { tokens: 1000, requests: 10 } })
      yield* members.observe("west/gpt-4o", { cooldownFor: 60_000 })
      yield* members.observe("north/gpt-4o", { health: "failing" })
      assert.deepInclude((yield* stateOf("east")).tokens, { used: 1000, byOthers: 1000 })
      assert.strictEqual((yield* stateOf("west")).state, "cooling-down")
      assert.strictEqual((yield* stateOf("north")).state, "open")
      yield* members.observe("north/gpt-4o", { health: "healthy" })
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(three.sends.map(({ resource }) => resource), ["north"])
    }))

  it.effect("the live set tells what changed in it", () =>
    run(knowingFirst("east", "west"), function*(_, two, { events, members }) {
      yield* members.add(two.services["west"]!.config())
      yield* members.update("west/gpt-4o", { tier: 2 })
      yield* members.drain("west/gpt-4o")
      yield* members.remove("west/gpt-4o")
      assert.deepStrictEqual(
        heard(events, "MembershipChanged").map(({ change, deployment }) => [deployment, change]),
        ["added", "updated", "draining", "removed"].map((change) => ["west/gpt-4o", change])
      )
    }))

  it.effect("another configuration takes its place in one step, and what is in both is told of only where it differs", () =>
    run(knowingFirst("east", "west"), function*(lb, two, { members }) {
      yield* askTimes(2)
      const before = yield* stateOf("east")
      const events = yield* listen
      const resources = (tpm: number) =>
        decoded([{ ...two.services["east"]!.config(), deployments: [{ name: "gpt-4o", tpm }] }])
      yield* members.replace(yield* resources(5000))
      yield* members.replace(yield* resources(5000))
      assert.deepStrictEqual((yield* stateOf("east")).totals, before.totals)
      yield* members.replace(yield* decoded([two.services["west"]!.config()]))
      assert.deepStrictEqual((yield* lb.snapshot).resources.map(({ name }) => name), ["west"])
      yield* askTimes(2)
      assert.deepStrictEqual(sent(two), { east: 2, west: 2 })
      assert.deepStrictEqual(
        heard(events, "MembershipChanged").map(({ change, deployment }) => `${deployment} ${change}`),
        ["east/gpt-4o updated", "east/gpt-4o removed", "west/gpt-4o added"]
      )
    }))

  it.effect("a resource that is wrong is refused with every mistake, and nothing is changed", () =>
    run(fleet([service("east")]), function*(lb, _, { members }) {
      const wrong: any = {
        name: "west",
        provider: "azure",
        endpoint: "nowhere",
        apiKey: "k",
        deployments: [{}],
        x: 1
      }
      const error = yield* failure(members.add(wrong))
      assert.isAtLeast(reasonOf(error, "InvalidConfig").issues.length, 3)
      assert.strictEqual((yield* lb.snapshot).resources.length, 1)
    }))
})
