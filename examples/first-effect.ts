import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { LoadBalancer } from "@evenkeel/core"
import { LoadBalancerLive } from "@evenkeel/node"
import { Console, Effect, Stream } from "effect"

const messages = [{ role: "user" as const, content: "Say hello." }]

const program = Effect.gen(function*() {
  const lb = yield* LoadBalancer
  const answer = yield* lb.chat({ model: "gpt-4o", messages }, { session: "user-42" })
  yield* Console.log(answer.choices[0]?.message.content)
  yield* lb.chatStream({ model: "gpt-4o", messages }).pipe(
    Stream.runForEach((chunk) => Effect.sync(() => process.stdout.write(chunk.choices[0]?.delta.content ?? "")))
  )
})

program.pipe(Effect.provide(LoadBalancerLive), NodeRuntime.runMain)
