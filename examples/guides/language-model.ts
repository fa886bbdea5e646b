/**
 * A program over Effect's own `LanguageModel`, which knows nothing of who provides it.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { LoadBalancerLive } from "@evenkeel/node"
import { Console, Effect, Layer, Schema, Stream } from "effect"
import { LanguageModel } from "effect/ai"
import * as BalancedLanguageModel from "./balanced-language-model.ts"

const Ship = Schema.Struct({ name: Schema.String, length: Schema.Number })

const program = Effect.gen(function*() {
  const { text, usage } = yield* LanguageModel.generateText({ prompt: "Say hello." })
  yield* Console.log(`${text} (${usage.outputTokens.total} tokens)`)

  const { value } = yield* LanguageModel.generateObject({ prompt: "Describe a ship as JSON.", schema: Ship })
  yield* Console.log(`${value.name} is ${value.length} m long.`)

  yield* LanguageModel.streamText({ prompt: "Say hello." }).pipe(
    Stream.runForEach((part) =>
      part.type === "text-delta" ? Effect.sync(() => process.stdout.write(part.delta)) : Effect.void
    )
  )
  yield* Console.log("")
})

program.pipe(
  Effect.provide(BalancedLanguageModel.layer("gpt-4o").pipe(Layer.provide(LoadBalancerLive))),
  NodeRuntime.runMain
)
