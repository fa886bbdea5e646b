import { assert, describe, it } from "@effect/vitest"
import { type ConfigInput, LoadBalancer } from "@evenkeel/core"
import { Effect, Exit, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  answer,
  failure,
  fleet,
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

/** East is asked first, west only when east is out. */
const tiered = { tiers: { east: 1, west: 2 } }

const pair = () => fleet([service("east"), service("west")], tiered)

/** East takes tokens, of which `provider` gives one at each asking; west has a key. */
const withTokens = (provider: () => string, failover: ConfigInput["failover"] = {}) => {
  const services = [service("east", {}, { bearerTokens: ["good-token"] }), service("west")]
  return fleet(services, {
    failover,
    resources: [
      {
        name: "east",
        provider: "azure",
        endpoint: "https://east.openai.azure.com",
        auth: provider,
        deployments: [{ name: "gpt-4o", tier: 1 }]
      },
      {
        name: "west",
        provider: "azure",
        endpoint: "https://west.openai.azure.com",
        apiKey: "west-key",
        deployments: [{ name: "gpt-4o", tier: 2 }]
      }
    ]
  })
}

const stateOfResource = (name: string) =>
  Effect.map(
    Effect.flatMap(LoadBalancer, (lb) => lb.snapshot),
    ({ resources }) => resources.find((resource) => resource.name === name)!.state
  )

const longPrompt = { model: "gpt-4o", messages: [{ role: "user" as const, content: "x".repeat(8000) }] }

describe("LoadBalancer outcomes", () => {
  it.effect("a 401 renews a token once on the same deployment, which costs no attempt", () => {
    const tokens = ["stale-token", "good-token"]
    const two = withTokens(() => tokens.shift() ?? "good-token", { attempts: 1 })
    return run(two, function*(lb) {
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(sent(two), { east: 2, west: 0 })
      assert.strictEqual(yield* stateOfResource("east"), "healthy")
      assert.deepStrictEqual(two.services["east"]!.stats(0).credentials, ["Bearer stale-token", "Bearer good-token"])
    })
  })

  it.effect("five requests in a row whose 401 a new token does not mend open the resource, and another one answers each", () =>
    run(withTokens(() => "bad-token"), function*(lb, two, { events }) {
      for (let i = 0; i < 5; i++) yield* answer(lb.chat(hello))
      assert.deepStrictEqual(sent(two), { east: 10, west: 5 })
      assert.deepStrictEqual(heard(events, "BreakerOpened").map(({ name, target }) => [target, name]), [
        ["resource", "east"]
      ])
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(sent(two), { east: 10, west: 6 })
    }))

  it.effect("a token that cannot be had counts against its resource, and sends nothing there", () => {
    const two = withTokens(() => {
      throw new Error("the identity service is away")
    })
    return run(two, function*(lb) {
      for (let i = 0; i < 6; i++) yield* answer(lb.chat(hello))
      assert.deepStrictEqual(sent(two), { east: 0, west: 6 })
      assert.strictEqual(yield* stateOfResource("east"), "open")
    })
  })

  it.effect.each([401, 403])(
    "a %s to a fixed key is repeated elsewhere only, and five in a row open the resource",
    (status) =>
      run(pair(), function*(lb, two) {
        two.services["east"]!.fault("*", { kind: "status", status })
        for (let i = 0; i < 4; i++) yield* answer(lb.chat(hello))
        assert.strictEqual(yield* stateOfResource("east"), "healthy")
        yield* answer(lb.chat(hello))
        assert.deepStrictEqual(sent(two), { east: 5, west: 5 })
        assert.strictEqual(yield* stateOfResource("east"), "open")
        assert.strictEqual((yield* stateOf("east")).totals.refused, 5)
      })
  )

  it.effect("a new credential resets the resource's breaker", () =>
    run(pair(), function*(lb, two, { members }) {
      const east = two.services["east"]!
      east.setCredentials({ apiKey: "new-key" })
      for (let i = 0; i < 5; i++) yield* answer(lb.chat(hello))
      assert.strictEqual(yield* stateOfResource("east"), "open")
      yield* members.add({ ...east.config(), apiKey: "new-key" })
      assert.strictEqual(yield* stateOfResource("east"), "healthy")
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(sent(two), { east: 6, west: 5 })
    }))

  it.effect("404 DeploymentNotFound cools down 30 s, growing to 300 s, and people are told", () =>
    run(pair(), function*(lb, two, { events }) {
      two.services["east"]!.fault("gpt-4o", { kind: "status", error: "deployment-not-found" })
      for (const pause of [30, 60, 120, 240, 300, 300]) {
        yield* answer(lb.chat(hello))
        yield* TestClock.adjust(`${pause} seconds`)
      }
      assert.deepStrictEqual(
        heard(events, "CooledDown").map(({ coolFor }) => coolFor),
        [30_000, 60_000, 120_000, 240_000, 300_000, 300_000]
      )
      const missing = heard(events, "DeploymentMissing").map(({ deployment }) => deployment)
      assert.deepStrictEqual(missing, Array.from({ length: 6 }, () => "east/gpt-4o"))
      assert.deepStrictEqual(sent(two), { east: 6, west: 6 })
      // once it is there it is there, and its next absence begins anew
      two.services["east"]!.clear()
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(sent(two), { east: 7, west: 6 })
      two.services["east"]!.fault("gpt-4o", { kind: "status", error: "deployment-not-found" })
      yield* answer(lb.chat(hello))
      assert.strictEqual(heard(events, "CooledDown").at(-1)!.coolFor, 30_000)
    }))

  it.effect.each(
    [
      { what: "a 404 for a path", fault: { kind: "status", error: "not-found" }, status: 404 },
      { what: "a 413", fault: { kind: "status", status: 413 }, status: 413 },
      { what: "a 422", fault: { kind: "status", status: 422 }, status: 422 },
      { what: "a 431", fault: { kind: "status", status: 431 }, status: 431 }
    ] as const
  )("$what that peers repeat is the caller's, and held against nobody", ({ fault, status }) => {
    const two = pair()
    return run(two, function*(lb) {
      for (const service of Object.values(two.services)) service.fault("gpt-4o", fault)
      for (let i = 0; i < 12; i++) {
        assert.strictEqual(reasonOf(yield* failure(lb.chat(hello)), "Rejected").status, status)
      }
      for (const name of ["east", "west"]) assert.strictEqual((yield* stateOf(name)).state, "healthy")
      // nothing is asked of more than two
      assert.isAtMost(two.sends.length, 24)
    })
  })

  it.effect.each(
    [
      { kind: "status", error: "not-found" },
      { kind: "status", status: 405 },
      {
        kind: "status",
        status: 400,
        body: JSON.stringify({ error: { message: "API version not supported", code: "BadRequest" } })
      },
      { kind: "status", status: 413 },
      { kind: "status", status: 422 }
    ] as const
  )("a deployment that refuses what its peer answers loses its traffic, and people are told: %o", (fault) => {
    const two = pair()
    return run(two, function*(lb, _, { events }) {
      two.services["east"]!.fault("gpt-4o", fault)
      let lost = 0
      for (let i = 0; i < 20; i++) {
        if (Exit.isFailure(yield* settle(lb.chat(hello)))) lost++
      }
      // the first that is worded as the request's own fault is taken for that
      assert.isAtMost(lost, 1)
      assert.isAtMost(sent(two)["east"]!, 6)
      assert.strictEqual((yield* stateOf("east")).state, "open")
      assert.deepInclude(heard(events, "BreakerOpened").map(({ name }) => name), "east/gpt-4o")
    })
  })

  it.effect.each([408, 409, 424, 500, 502, 503, 504, 529])(
    "a %s is a failure: another deployment answers, and five open the breaker",
    (status) =>
      run(pair(), function*(lb, two) {
        two.services["east"]!.fault("gpt-4o", { kind: "status", status })
        for (let i = 0; i < 6; i++) yield* answer(lb.chat(hello))
        assert.deepStrictEqual(sent(two), { east: 5, west: 6 })
        assert.strictEqual((yield* stateOf("east")).state, "open")
        assert.strictEqual(yield* stateOfResource("east"), "healthy")
      })
  )

  it.effect.each(
    [
      "insufficient-quota",
      "credit-balance-exhausted",
      "organization-spend-limit",
      "project-spend-limit",
      "billing-hard-limit",
      "billing-not-active"
    ] as const
  )("a spending limit (%s) opens the resource: waiting does not mend it", (error) => {
    const two = pair()
    return run(two, function*(lb) {
      two.services["east"]!.fault("*", { kind: "throttle", error })
      yield* answer(lb.chat(hello))
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(sent(two), { east: 1, west: 2 })
      assert.strictEqual(yield* stateOfResource("east"), "open")
      assert.strictEqual((yield* stateOf("east")).tokens.used, 0)
    })
  })

  it.effect("a prompt that the content filter refused is ContentFiltered, with one send", () =>
    run(pair(), function*(lb, two) {
      const messages = [{ role: "user" as const, content: "[blocked prompt]" }]
      const error = yield* failure(lb.chat({ model: "gpt-4o", messages }))
      const { code, status } = reasonOf(error, "ContentFiltered")
      assert.deepStrictEqual([status, code], [400, "content_filter"])
      assert.deepStrictEqual(routeOf(error), ["east refused"])
      assert.deepStrictEqual(sent(two), { east: 1, west: 0 })
    }))

  it.effect("an answer that the content filter cut is an answer", () =>
    run(pair(), function*(lb, two) {
      const messages = [{ role: "user" as const, content: "[blocked answer]" }]
      const { choices } = yield* answer(lb.chat({ model: "gpt-4o", messages }))
      assert.strictEqual(choices[0]!.finish_reason, "content_filter")
      const chunks = yield* answer(Stream.runCollect(lb.chatStream({ model: "gpt-4o", messages })))
      assert.strictEqual(chunks.at(-1)!.choices[0]!.finish_reason, "content_filter")
      assert.deepStrictEqual(sent(two), { east: 2, west: 0 })
      assert.strictEqual((yield* stateOf("east")).totals.succeeded, 2)
    }))

  it.effect("a prompt too long for a provisioned deployment goes to a standard one, and the size is remembered", () => {
    const two = fleet([service("east", { provisioned: true, contextTokens: 1000 }), service("west")], tiered)
    return run(two, function*(lb) {
      yield* answer(lb.chat(longPrompt))
      assert.deepStrictEqual(sent(two), { east: 1, west: 1 })
      yield* answer(lb.chat(longPrompt))
      assert.deepStrictEqual(sent(two), { east: 1, west: 2 })
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(sent(two), { east: 2, west: 2 })
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
    })
  })

  it.effect("a prompt too long for one provisioned deployment is never sent to another provisioned one", () => {
    const short = { provisioned: true, contextTokens: 1000 }
    const three = fleet([service("east", short), service("north", short), service("west")], {
      tiers: { east: 1, north: 2, west: 3 }
    })
    return run(three, function*(lb) {
      // also not when the standard one fails at first
      three.services["west"]!.fault("gpt-4o", { kind: "status", status: 500, times: 1 })
      yield* answer(lb.chat(longPrompt))
      assert.deepStrictEqual(three.sends.map(({ resource }) => resource), ["east", "west", "west"])
    })
  })

  it.effect("a prompt too long for a standard deployment is refused: others of the model are no longer", () =>
    run(fleet([service("east", { contextTokens: 1000 }), service("west")], tiered), function*(lb, two) {
      const error = yield* failure(lb.chat(longPrompt))
      assert.strictEqual(reasonOf(error, "Rejected").code, "context_length_exceeded")
      assert.deepStrictEqual(sent(two), { east: 1, west: 0 })
    }))

  it.effect("a page of HTML for an error is told in few words", () =>
    run(pair(), function*(lb, two) {
      for (const { fault } of Object.values(two.services)) fault("gpt-4o", { kind: "status", status: 502 })
      const error = yield* failure(lb.chat(hello))
      assert.notInclude(error.message, "<")
      assert.include(error.message, "http 502")
    }))

  it.effect("what an attempt tells of a breaker's earlier life changes nothing", () => {
    const one = fleet([service("east", { reply: () => "x".repeat(400) }), service("west")], {
      ...tiered,
      health: { consecutiveFailures: 1 }
    })
    return run(one, function*(lb) {
      const east = one.services["east"]!
      // a stream that is going to break in 15 s, begun while all is well
      east.fault("gpt-4o", { kind: "slowDecoding", factor: 500, times: 1 })
      east.fault("gpt-4o", { kind: "cut", afterEvents: 32, ending: "reset", times: 1 })
      const breaking = yield* Effect.forkChild(Effect.exit(Stream.runDrain(lb.chatStream(hello))), {
        startImmediately: true
      })
      east.fault("gpt-4o", { kind: "status", status: 500, times: 1 })
      yield* answer(lb.chat(hello))
      assert.strictEqual((yield* stateOf("east")).state, "open")
      yield* TestClock.adjust("6 seconds")
      yield* answer(lb.chat(hello))
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
      assert.isUndefined(breaking.pollUnsafe())
      yield* TestClock.adjust("10 seconds")
      assert.isDefined(breaking.pollUnsafe())
      assert.deepInclude((yield* stateOf("east")).totals, { failed: 2 })
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
    })
  })
})
