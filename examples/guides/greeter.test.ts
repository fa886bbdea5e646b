/**
 * A test of the part, against simulated deployments in memory and on a clock of its own: no network, no waiting.
 */
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { SimulatedService, SimulatedTransport } from "@evenkeel/core/simulation"
import { Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Greeter } from "./greeter.ts"

const reply = () => "Hello!"

const simulated = () => {
  const east = SimulatedService.make({ name: "east", deployments: [{ name: "gpt-4o", reply }] })
  const west = SimulatedService.make({ name: "west", deployments: [{ name: "gpt-4o", reply }] })
  const layer = Greeter.layer.pipe(
    Layer.provide(LoadBalancer.layer({ resources: [east.config(), west.config()] })),
    Layer.provide(SimulatedTransport.layer([east, west]))
  )
  return { east, west, layer }
}

const greet = Effect.gen(function*() {
  const greeter = yield* Greeter
  const asked = yield* Effect.forkChild(greeter.greet("Ada"))
  yield* TestClock.adjust("1 minute")
  return yield* Fiber.join(asked)
})

describe("a greeter", () => {
  it.effect("greets though a region is down", () => {
    const { east, layer } = simulated()
    east.fault("*", { kind: "status", status: 503 })
    return Effect.gen(function*() {
      assert.strictEqual(yield* greet, "Hello!")
    }).pipe(Effect.provide(layer))
  })

  it.effect("asks for patience where all are throttled", () => {
    const { east, layer, west } = simulated()
    for (const service of [east, west]) service.fault("*", { kind: "throttle", retryAfterMs: 90_000 })
    return Effect.gen(function*() {
      assert.match(yield* greet, /^Come back in \d+ s, please\.$/)
    }).pipe(Effect.provide(layer))
  })
})
