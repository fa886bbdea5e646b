/**
 * A program that speaks to OpenAI over `effect/http` is balanced by a layer: nothing in it changes.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { BalancedHttpClient } from "@evenkeel/core"
import { LoadBalancerLive } from "@evenkeel/node"
import { Console, Effect, Layer, Schema } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"

const Answer = Schema.Struct({
  choices: Schema.Array(Schema.Struct({ message: Schema.Struct({ content: Schema.String }) }))
})

const program = Effect.gen(function*() {
  const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
  const request = HttpClientRequest.post("https://api.openai.com/v1/chat/completions").pipe(
    HttpClientRequest.bodyJsonUnsafe({ model: "gpt-4o", messages: [{ role: "user", content: "Say hello." }] })
  )
  const response = yield* client.execute(request)
  const { choices } = yield* HttpClientResponse.schemaBodyJson(Answer)(response)
  yield* Console.log(choices[0]?.message.content)
  yield* Console.log(`from ${response.headers["x-evenkeel-deployment"]}`)
})

program.pipe(
  Effect.provide(BalancedHttpClient.layer.pipe(Layer.provide(LoadBalancerLive))),
  NodeRuntime.runMain
)
