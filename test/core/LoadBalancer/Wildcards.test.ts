import { assert, describe, it } from "@effect/vitest"
import { type ConfigInput, LoadBalancer } from "@evenkeel/core"
import { Effect } from "effect"
import { answer, failure, fleet, hello, run, sent, service, stateOf, steady } from "../../support/Balanced.ts"

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

  it.effect("a resource without deployments serves every model, each with a state of its own", () => {
    const one = fleet([everything], config)
    return run(
      one,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
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
      })
    )
  })

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
    return run(
      two,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        yield* answer(lb.chat(hello))
        two.services["east"]!.fault("gpt-4o", { kind: "status", status: 500 })
        yield* answer(lb.chat(hello))
        yield* answer(lb.chat({ ...hello, model: "model-7" }))
        assert.deepStrictEqual(sent(two), { east: 2, openai: 2 })
      })
    )
  })

  it.effect("a hundred and twenty models are served too, and typing errors do not grow the set for ever", () => {
    const one = fleet([everything], config)
    return run(
      one,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        yield* answer(Effect.forEach(models, (model) => lb.chat({ ...hello, model }), { concurrency: "unbounded" }))
        const { deployments } = yield* lb.snapshot
        assert.isAtMost(deployments.length, 101)
        assert.deepStrictEqual(
          one.sends.map(({ request }) => JSON.parse(String(request.body)).model).toSorted(),
          models.toSorted()
        )
      })
    )
  })
})
