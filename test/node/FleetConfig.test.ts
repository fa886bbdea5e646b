import * as SimulatedTransport from "#core/simulation/SimulatedTransport"
import { assert, describe, it } from "@effect/vitest"
import { decodeConfig, LoadBalancer } from "@evenkeel/core"
import { Effect, Layer, Result } from "effect"

const resources = [{
  name: "east",
  provider: "azure",
  endpoint: "https://east.example",
  apiKey: "key",
  deployments: [{ name: "gpt" }]
}]

const mistakesOf = (fleet: unknown): ReadonlyArray<string> => {
  const decoded = decodeConfig({ resources, fleet })
  return Result.isFailure(decoded) ? decoded.failure.map(({ message, path }) => `${path}: ${message}`) : []
}

describe("the key `fleet`", () => {
  it("takes a Redis with and without TLS, a user, a database", () => {
    for (const redis of ["redis://host", "rediss://user:pass@host:6380/2", "redis://[::1]:6379"]) {
      assert.deepStrictEqual(mistakesOf({ redis }), [])
    }
  })

  it("keeps the URL as a secret, and no mistake shows it", () => {
    const decoded = Result.getOrThrow(decodeConfig({ resources, fleet: { redis: "redis://:hidden@host" } }))
    assert.notInclude(JSON.stringify(decoded.fleet), "hidden")
    assert.strictEqual(decoded.fleet!.prefix, "evenkeel")
    for (const redis of ["http://:hidden@host", "redis://:hidden@host/name", ":hidden@host"]) {
      const [mistake = ""] = mistakesOf({ redis })
      assert.include(mistake, "fleet.redis")
      assert.notInclude(mistake, "hidden")
    }
  })

  it("tells what does not go together", () => {
    assert.deepStrictEqual(mistakesOf({ redis: "redis://host/1", cluster: true }), [
      "fleet.redis: a Cluster has database 0 only; leave it out"
    ])
    assert.deepStrictEqual(mistakesOf({ redis: "rediss://:pass@host", auth: "entra" }), [
      "fleet.auth: give either a password in `redis` or `auth`, not both"
    ])
    assert.include(mistakesOf({ redis: "redis://host", auth: "entra" }).join(), "rediss://")
    assert.deepStrictEqual(mistakesOf({ redis: "rediss://host", auth: "key" }), [
      "fleet.auth: expected \"entra\", found a text"
    ])
    assert.include(mistakesOf({}).join(), "give the URL")
    assert.include(mistakesOf({ redis: "redis://host", prefix: "a{b}" }).join(), "braces")
    assert.include(mistakesOf({ redis: "redis://host", url: 1 }).join(), "unknown key")
  })

  it.effect("is a mistake where nothing brings a store", () =>
    Effect.gen(function*() {
      const layer = LoadBalancer.layer({ resources, fleet: { redis: "redis://host" } } as never)
      const error = yield* Effect.flip(Layer.build(Layer.provide(layer, SimulatedTransport.layer([]))))
      assert.include(String(error), "needs a store")
    }))
})
