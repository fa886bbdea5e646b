import { assert, describe, it } from "@effect/vitest"
import { type DeploymentChange, LoadBalancer } from "@evenkeel/core"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { answer, failure, hello, reasonOf, run, stateOf } from "../../support/Balanced.ts"
import { azure, completion, type Scripted, scripted } from "../../support/Scripted.ts"

const open = { name: "open", provider: "openai", apiKey: "open-key", deployments: [{ name: "*" }] } as const

const alias = { name: "gpt-4o", model: "best" }

/** Names under which models were asked for at the services, in order. */
const namesSent = ({ sends }: Scripted) =>
  sends.map(({ body }) => (JSON.parse(String(body)) as { readonly model: string }).model)

describe("an alias beside a wildcard", () => {
  it.effect("leaves the model of its name to the wildcard, and both are served", () =>
    run(scripted([{ ...open, deployments: [alias, { name: "*" }] }], () => completion), function*(lb, lbs) {
      for (const model of ["gpt-4o", "gpt-5", "best"]) yield* answer(lb.chat({ ...hello, model }))
      assert.deepStrictEqual(namesSent(lbs).slice(0, 2), ["gpt-4o", "gpt-5"])
      const members = (yield* lb.snapshot).deployments.map(({ id, model }) => [id, model])
      assert.includeMembers(members.map(([, model]) => model!), ["best", "gpt-4o", "gpt-5", "*"])
      assert.strictEqual(new Set(members.map(([id]) => id)).size, members.length)
    }))

  for (const isAsked of [false, true]) {
    it.effect(`may be added, whether or not its name was asked for before as a model: ${isAsked}`, () =>
      run(scripted([open], () => completion), function*(lb, _, { members }) {
        if (isAsked) yield* answer(lb.chat(hello))
        yield* members.add({ ...open, deployments: [alias] })
        yield* answer(lb.chat({ ...hello, model: "best" }))
        yield* answer(lb.chat(hello))
        const { deployments } = yield* lb.snapshot
        assert.strictEqual(deployments.find(({ id }) => id === "open/gpt-4o")?.model, "best")
        assert.lengthOf(deployments.filter(({ model }) => model === "gpt-4o"), 1)
      }))
  }
})

describe("a model that a wildcard serves beside an alias of its name", () => {
  const both = { ...open, deployments: [alias, { name: "*" }] }
  const modelsOf = Effect.map(
    Effect.flatMap(LoadBalancer, ({ snapshot }) => snapshot),
    ({ deployments }) => deployments.map(({ model }) => model)
  )

  it.effect("goes on to be served when the alias is removed", () =>
    run(scripted([both], () => completion), function*(lb, _, { members }) {
      yield* answer(lb.chat(hello))
      assert.isTrue(yield* members.remove("open/gpt-4o"))
      yield* answer(lb.chat(hello))
      assert.lengthOf((yield* modelsOf).filter((model) => model === "gpt-4o"), 1)
    }))

  it.effect("is updated and drained with the wildcard", () =>
    run(scripted([both], () => completion), function*(lb, _, { members }) {
      yield* answer(lb.chat(hello))
      yield* members.update("open/*", { rpm: 7 })
      yield* members.drain("open/*")
      const { deployments } = yield* lb.snapshot
      const own = deployments.find(({ model }) => model === "gpt-4o")!
      assert.deepStrictEqual([own.requests.limit, own.state], [7, "draining"])
      assert.strictEqual((yield* stateOf("open/gpt-4o")).state, "healthy")
    }))

  it.effect("goes with the wildcard, and the alias stays", () =>
    run(scripted([both], () => completion), function*(lb, lbs, { members }) {
      yield* answer(lb.chat(hello))
      yield* members.remove("open/*")
      assert.deepStrictEqual(yield* modelsOf, ["best"])
      reasonOf(yield* failure(lb.chat({ ...hello, model: "gpt-5" })), "UnknownModel")
      yield* answer(lb.chat({ ...hello, model: "best" }))
      assert.strictEqual(namesSent(lbs).at(-1), "gpt-4o")
      // the name is only the alias's now
      yield* answer(lb.chat(hello))
      assert.strictEqual((yield* stateOf("open/gpt-4o")).totals.succeeded, 2)
    }))
})

describe("a request that waits", () => {
  const wait = Effect.gen(function*() {
    const lb = yield* LoadBalancer
    const waiting = yield* Effect.forkChild(Effect.exit(lb.chat(hello)), { startImmediately: true })
    yield* TestClock.adjust("1 second")
    assert.isUndefined(waiting.pollUnsafe())
    return waiting
  })

  it.effect("is served by a wildcard that comes after its last deployment left", () => {
    const lbs = scripted(
      [azure("east"), azure("west", { name: "mini" })],
      ({ resource }) => resource === "east" ? { status: 429, headers: { "retry-after": "5" } } : completion
    )
    return run(lbs, function*(_lb, _on, { members }) {
      const waiting = yield* wait
      yield* members.remove("east/gpt-4o")
      yield* members.add(open)
      const exit = yield* answer(Fiber.join(waiting))
      assert.strictEqual(exit._tag, "Success", String(exit))
      assert.strictEqual(lbs.sends.at(-1)!.resource, "open")
    })
  })

  it.effect("is served by a wildcard though what that became was removed meanwhile", () => {
    let isFull = true
    const lbs = scripted([open], () => isFull ? { status: 429, headers: { "retry-after": "5" } } : completion)
    return run(lbs, function*(_lb, _on, { members }) {
      const waiting = yield* wait
      isFull = false
      yield* members.remove("open/gpt-4o")
      const exit = yield* answer(Fiber.join(waiting))
      assert.strictEqual(exit._tag, "Success", String(exit))
    })
  })
})

describe("an update", () => {
  it.effect("leaves a tier and a weight that are undefined in it", () =>
    run(
      scripted([azure("east", { tier: 2, weight: 3, tpm: 900 })], () => completion),
      function*(_lb, _on, { members }) {
        const change = { tier: undefined, weight: undefined, rpm: 5 } as unknown as DeploymentChange
        assert.isTrue(yield* members.update("east/gpt-4o", change))
        const { requests, tier, tokens, weight } = yield* stateOf("east/gpt-4o")
        assert.deepStrictEqual([tier, weight, tokens.limit, requests.limit], [2, 3, 900, 5])
      }
    ))

  it.effect("forgets a limit that is undefined in it", () =>
    run(scripted([azure("east", { tpm: 900, rpm: 5 })], () => completion), function*(_lb, _on, { members }) {
      yield* members.update("east/gpt-4o", { tpm: undefined })
      const { requests, tokens } = yield* stateOf("east/gpt-4o")
      assert.strictEqual(requests.limit, 5)
      assert.notStrictEqual(tokens.limit, 900)
    }))

  it.effect("of a wildcard gives numbers to what that becomes later", () =>
    run(scripted([open, { ...open, name: "other" }], () => completion), function*(lb, _, { members }) {
      const change = { tier: undefined, weight: undefined, rpm: 50 } as unknown as DeploymentChange
      yield* members.update("open/*", change)
      yield* answer(lb.chat(hello))
      const { requests, tier, weight } = yield* stateOf("open/gpt-4o")
      assert.deepStrictEqual([tier, weight, requests.limit], [1, 1, 50])
    }))

  it.effect("of a wildcard leaves what one of its own was given", () =>
    run(scripted([open], () => completion), function*(lb, _, { members }) {
      yield* answer(lb.chat(hello))
      yield* members.update("open/gpt-4o", { rpm: 5, tier: 2 })
      yield* members.update("open/*", { weight: 2 })
      const { requests, tier, weight } = yield* stateOf("open/gpt-4o")
      assert.deepStrictEqual([requests.limit, tier, weight], [5, 2, 2])
    }))

  for (const change of [{ name: "mini" }, { model: "gpt-5" }, { provisioned: true }, { rpm: 5, model: "gpt-5" }]) {
    it.effect(`of what cannot change is refused, and changes nothing: ${JSON.stringify(change)}`, () =>
      run(scripted([azure("east", { rpm: 9 })], () => completion), function*(lb, _, { members }) {
        const before = (yield* lb.snapshot).deployments
        const error = yield* Effect.flip(members.update("east/gpt-4o", change as DeploymentChange))
        const { issues } = reasonOf(error, "InvalidConfig")
        assert.deepStrictEqual(issues.map(({ path }) => path), [Object.keys(change).at(-1)])
        assert.deepStrictEqual((yield* lb.snapshot).deployments, before)
      }))
  }
})
