import { assert, describe, it } from "@effect/vitest"
import { type ConfigInput, LoadBalancer } from "@evenkeel/core"
import { Effect } from "effect"
import { answer, failure, fleet, hello, reasonOf, run, sent, service, stateOf, steady } from "../../support/Balanced.ts"

/** Asks for models that do not exist, one after the other. */
const askForNames = (count: number) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    for (let i = 0; i < count; i++) yield* failure(lb.chat({ ...hello, model: `made-up-${i}` }))
  })

describe("LoadBalancer wildcards", () => {
  const models = Array.from({ length: 120 }, (_, i) => `model-${i}`)

  const everything = {
    name: "openai",
    provider: "openai" as const,
    deployments: ["gpt-4o", ...models].map((name) => ({ name, latency: steady }))
  }

  const config: ConfigInput = {
    resources: [{ name: "openai", provider: "openai", apiKey: "openai-key" }]
  }

  it.effect("a resource without deployments serves every model, each with a state of its own", () =>
    run(fleet([everything], config), function*(lb, one) {
      yield* answer(lb.chat(hello))
      one.services["openai"]!.fault("model-1", { kind: "throttle", retryAfterMs: 60_000 })
      yield* failure(lb.chat({ ...hello, model: "model-1" }))
      yield* answer(lb.chat(hello))
      assert.strictEqual((yield* stateOf("openai/gpt-4o")).state, "healthy")
      assert.strictEqual((yield* stateOf("openai/model-1")).state, "cooling-down")
      assert.deepStrictEqual(one.sends.map(({ request }) => JSON.parse(String(request.body)).model), [
        "gpt-4o",
        "model-1",
        "gpt-4o"
      ])
    }))

  it.effect("a wildcard stands beside deployments of that name, and takes over from them", () => {
    const two = fleet([service("east"), everything], {
      resources: [
        { name: "openai", provider: "openai", apiKey: "openai-key", deployments: [{ name: "*", tier: 2 }] },
        {
          name: "east",
          provider: "azure",
          endpoint: "https://east.openai.azure.com",
          apiKey: "east-key",
          deployments: [{ name: "gpt-4o", tier: 1 }]
        }
      ]
    })
    return run(two, function*(lb) {
      yield* answer(lb.chat(hello))
      two.services["east"]!.fault("gpt-4o", { kind: "status", status: 500 })
      yield* answer(lb.chat(hello))
      yield* answer(lb.chat({ ...hello, model: "model-7" }))
      assert.deepStrictEqual(sent(two), { east: 2, openai: 2 })
    })
  })

  it.effect("a hundred and twenty models are served too, and typing errors do not grow the set for ever", () =>
    run(fleet([everything], config), function*(lb, one) {
      yield* answer(Effect.forEach(models, (model) => lb.chat({ ...hello, model }), { concurrency: "unbounded" }))
      assert.deepStrictEqual(
        one.sends.map(({ request }) => JSON.parse(String(request.body)).model).toSorted(),
        models.toSorted()
      )
      // none gave way while it was in use
      yield* answer(lb.chat(hello))
      assert.isAtMost((yield* lb.snapshot).deployments.length, 101)
    }))

  it.effect("three hundred made-up names leave all good models as they are", () =>
    run(fleet([everything], config), function*(lb) {
      for (let i = 0; i < 20; i++) yield* answer(lb.chat({ ...hello, model: `model-${i}` }))
      const before = (yield* stateOf("openai/model-7")).totals.succeeded
      yield* askForNames(300)
      for (let i = 0; i < 40; i++) yield* answer(lb.chat({ ...hello, model: `model-${i}` }))
      // what was known of those that were asked for before is still known
      assert.strictEqual((yield* stateOf("openai/model-7")).totals.succeeded, before + 1)
      assert.isAtMost((yield* lb.snapshot).deployments.length, 101)
      assert.strictEqual((yield* stateOf("openai/*")).state, "healthy")
    }))

  it.effect("a miss cools only its name", () =>
    run(fleet([everything], config), function*(lb, one) {
      yield* askForNames(1)
      const { length } = one.sends
      const error = yield* failure(lb.chat({ ...hello, model: "made-up-0" }))
      assert.strictEqual(reasonOf(error, "Unavailable").limitedBy, "missing")
      assert.strictEqual(one.sends.length, length)
      yield* answer(lb.chat(hello))
    }))

  it.effect("a hundred made-up names at once cool nothing else, though there is no slot for more", () =>
    run(fleet([everything], config), function*(lb) {
      const names = Array.from({ length: 150 }, (_, i) => `made-up-${i}`)
      const asking = Effect.forEach(names, (model) => Effect.exit(lb.chat({ ...hello, model })), {
        concurrency: "unbounded"
      })
      yield* answer(asking)
      for (let i = 0; i < 120; i++) yield* answer(lb.chat({ ...hello, model: `model-${i}` }))
      assert.strictEqual((yield* stateOf("openai/*")).state, "healthy")
    }))

  it.effect("of more than a hundred good ones, the one that was answered the longest ago gives way, and comes again", () =>
    run(fleet([everything], config), function*(lb) {
      for (const model of models) {
        yield* answer(lb.chat({ ...hello, model }))
        yield* answer(lb.chat(hello))
      }
      const ids = (yield* lb.snapshot).deployments.map(({ id }) => id)
      assert.strictEqual(ids.length, 101)
      assert.includeMembers(ids, ["openai/gpt-4o", "openai/model-119", "openai/*"])
      assert.notInclude(ids, "openai/model-0")
      assert.strictEqual((yield* stateOf("openai/gpt-4o")).totals.succeeded, 120)
      yield* answer(lb.chat({ ...hello, model: "model-0" }))
      assert.strictEqual((yield* stateOf("openai/model-0")).totals.succeeded, 1)
    }))

  it.effect("one that was told to wait keeps its slot, and the time is kept", () =>
    run(fleet([everything], config), function*(lb, one) {
      one.services["openai"]!.fault("model-1", { kind: "throttle", retryAfterMs: 60_000 })
      yield* failure(lb.chat({ ...hello, model: "model-1" }))
      yield* askForNames(150)
      const { length } = one.sends
      reasonOf(yield* failure(lb.chat({ ...hello, model: "model-1" })), "Throttled")
      assert.strictEqual(one.sends.length, length)
    }))
})
