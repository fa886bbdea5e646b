/**
 * The program: `LoadBalancerLive` with two parts replaced.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Policy, Selector, Telemetry } from "@evenkeel/core"
import { layerFromEnvironment } from "@evenkeel/node"
import { Console, Effect, Layer } from "effect"
import { Greeter } from "./greeter.ts"

const program = Effect.gen(function*() {
  const greeter = yield* Greeter
  yield* Console.log(yield* greeter.greet("user-42"))
})

const Balanced = layerFromEnvironment({
  selector: Selector.layer(Policy.leastLoaded),
  telemetry: Telemetry.layer({ logs: false })
})

program.pipe(
  Effect.provide(Greeter.layer.pipe(Layer.provide(Balanced))),
  NodeRuntime.runMain
)
