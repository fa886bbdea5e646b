import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { answer, failure, heard, hello, listen, reasonOf, run, settle, stateOf } from "../../support/Balanced.ts"
import { asked, azure, completion, scripted } from "../../support/Scripted.ts"

const open = { name: "open", provider: "openai", apiKey: "open-key", deployments: [{ name: "*" }] } as const

const other = { ...hello, model: "gpt-5" }

/** What the live set is, as far as it can be configured. */
const configured = Effect.map(
  Effect.flatMap(LoadBalancer, ({ snapshot }) => snapshot),
  ({ deployments, resources }) => ({
    deployments: deployments.map(({ id, model, provisioned, requests, state, tier }) => [
      id,
      model,
      provisioned,
      requests.limit,
      state,
      tier
    ]),
    resources: resources.map(({ endpoint, name, provider }) => [name, provider, endpoint])
  })
)

describe("adding to a resource that is there", () => {
  const contradictions: ReadonlyArray<readonly [string, ReturnType<typeof azure>]> = [
    ["another provider", { name: "east", provider: "openai", apiKey: "secret", deployments: [{ name: "gpt-4o" }] }],
    ["another endpoint", azure("east", {}, { endpoint: "https://else.openai.azure.com", apiKey: "secret" })],
    ["another version of the API", azure("east", {}, { apiVersion: "2024-10-21", apiKey: "secret" })],
    ["another model of a deployment", azure("east", { model: "gpt-5" }, { apiKey: "secret" })],
    ["another kind of a deployment", azure("east", { provisioned: true, tier: 3 }, { apiKey: "secret" })],
    [
      "one deployment that contradicts, after one that is new",
      azure("east", {}, { apiKey: "secret", deployments: [{ name: "mini" }, { name: "gpt-4o", model: "gpt-5" }] })
    ]
  ]

  for (const [name, addition] of contradictions) {
    it.effect(`is refused with ${name}, and changes nothing`, () =>
      run(scripted([azure("east")], () => completion), function*(lb, lbs, { events, members }) {
        const before = yield* configured
        const { issues } = reasonOf(yield* Effect.flip(members.add(addition)), "InvalidConfig")
        assert.lengthOf(issues, name === "another provider" ? 2 : 1)
        assert.deepStrictEqual(yield* configured, before)
        assert.lengthOf(heard(events, "MembershipChanged"), 0)
        yield* answer(lb.chat(hello))
        const [{ headers, origin }] = lbs.sends as [typeof lbs.sends[number]]
        assert.strictEqual(origin, "https://east.openai.azure.com")
        assert.strictEqual(headers["api-key"], "east-key")
        assert.notInclude(JSON.stringify(headers), "secret")
      }))
  }

  it.effect("takes any address once the resource was removed", () =>
    run(scripted([azure("east"), azure("west", { name: "mini" })], () => completion), function*(lb, lbs, { members }) {
      yield* members.remove("east/gpt-4o")
      yield* members.add(azure("east", {}, { endpoint: "https://else.openai.azure.com", apiKey: "new" }))
      yield* answer(lb.chat(hello))
      assert.deepInclude(lbs.sends[0], { resource: "east", origin: "https://else.openai.azure.com" })
      assert.strictEqual(lbs.sends[0]!.headers["api-key"], "new")
    }))

  const compatible = { name: "east", provider: "compatible", endpoint: "https://east.example/v1" } as const

  for (const [what, east] of [["key", azure("east")], ["lack of one", compatible]] as const) {
    it.effect(`leaves an open breaker open with the same ${what}, and closes it with another key`, () => {
      const lbs = scripted(
        [{ ...east, deployments: [{ name: "gpt-4o" }] }, azure("west", { tier: 2 })],
        ({ resource }) => resource === "east" ? { status: 401 } : completion
      )
      return run(lbs, function*(lb, _, { members }) {
        for (let i = 0; i < 6; i++) yield* answer(lb.chat(hello))
        const stateOfEast = Effect.map(lb.snapshot, ({ resources }) => resources[0]!.state)
        assert.strictEqual(yield* stateOfEast, "open")
        yield* members.add({ ...east, deployments: [{ name: "mini" }] })
        assert.strictEqual(yield* stateOfEast, "open")
        yield* members.add({ ...east, apiKey: "renewed", deployments: [{ name: "mini" }] })
        assert.strictEqual(yield* stateOfEast, "healthy")
      })
    })
  }
})

describe("what a wildcard became", () => {
  it.effect("comes back with it when it was draining", () =>
    run(scripted([open], () => completion), function*(lb, _, { members }) {
      yield* answer(lb.chat(hello))
      yield* members.drain("open/*")
      yield* failure(lb.chat(hello))
      yield* members.add(open)
      yield* answer(lb.chat(hello))
      yield* answer(lb.chat(other))
    }))

  it.effect("takes its new limits, whether it is updated or added again", () =>
    run(scripted([open], () => completion), function*(lb, _, { members }) {
      yield* answer(lb.chat(hello))
      yield* members.update("open/*", { rpm: 7 })
      assert.strictEqual((yield* stateOf("open/gpt-4o")).requests.limit, 7)
      yield* members.add({ ...open, deployments: [{ name: "*", rpm: 9 }] })
      assert.strictEqual((yield* stateOf("open/gpt-4o")).requests.limit, 9)
      yield* answer(lb.chat(other))
      assert.strictEqual((yield* stateOf("open/gpt-5")).requests.limit, 9)
    }))

  it.effect("stays when it was added by name meanwhile and the wildcard is removed", () =>
    run(scripted([open], () => completion), function*(lb, _, { members }) {
      yield* answer(lb.chat(hello))
      yield* answer(lb.chat(other))
      yield* members.add({ ...open, deployments: [{ name: "gpt-4o" }] })
      yield* members.remove("open/*")
      assert.deepStrictEqual(members.all().map(({ id }) => id), ["open/gpt-4o"])
      yield* answer(lb.chat(hello))
      reasonOf(yield* failure(lb.chat(other)), "UnknownModel")
    }))

  it.effect("is not said to be removed while it is there", () =>
    run(scripted([open], () => completion), function*(lb, _, { members }) {
      yield* answer(lb.chat(hello))
      const events = yield* listen
      const removed = yield* members.remove("open/gpt-4o")
      const isThere = members.all().some(({ id }) => id === "open/gpt-4o")
      const told = heard(events, "MembershipChanged").map(({ change }) => change)
      // either it goes, and is said to be gone; or it is there, and that is the last word
      assert.strictEqual(told.at(-1) === "removed", !isThere, `told: ${told.join(", ")}`)
      assert.strictEqual(told.includes("removed"), removed)
    }))
})

describe("a request that waits", () => {
  it.effect("is served by its deployment that was removed and added again meanwhile", () => {
    let isFull = true
    const lbs = scripted(
      [azure("east"), azure("west", { name: "mini" })],
      () => isFull ? { status: 429, headers: { "retry-after": "5" } } : completion
    )
    return run(lbs, function*(lb, _, { members }) {
      const waiting = yield* Effect.forkChild(Effect.exit(lb.chat(hello)), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      isFull = false
      yield* members.remove("east/gpt-4o")
      yield* members.add(azure("east"))
      yield* answer(lb.chat(hello))
      const exit = yield* answer(Fiber.join(waiting))
      assert.strictEqual(exit._tag, "Success", String(exit))
      assert.deepStrictEqual(asked(lbs), ["east", "east", "east"])
    })
  })

  it.effect("ends when its deployment was removed and nothing came instead", () => {
    const lbs = scripted([azure("east"), azure("west", { name: "mini" })], () => ({
      status: 429,
      headers: { "retry-after": "5" }
    }))
    return run(lbs, function*(lb, _, { members }) {
      const waiting = yield* Effect.forkChild(Effect.exit(lb.chat(hello)), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* members.remove("east/gpt-4o")
      const ended = yield* settle(Fiber.join(waiting))
      assert.strictEqual(ended._tag === "Success" && ended.value._tag, "Failure")
    })
  })
})
