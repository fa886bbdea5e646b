/**
 * A part of a program. It knows what a `LoadBalancer` does, and nothing of deployments, keys or sockets.
 */
import { LoadBalancer, type LoadBalancerError } from "@evenkeel/core"
import { Context, Effect, Layer } from "effect"

export class Greeter extends Context.Service<Greeter, {
  readonly greet: (user: string) => Effect.Effect<string, LoadBalancerError>
}>()("app/Greeter") {
  static readonly layer = Layer.effect(
    Greeter,
    Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const greet = (user: string) =>
        lb.chat(
          { model: "gpt-4o", messages: [{ role: "user", content: `Say hello to ${user}.` }] },
          { session: user }
        ).pipe(
          Effect.map(({ choices }) => choices[0]?.message.content ?? ""),
          Effect.catchReason(
            "LoadBalancerError",
            "Throttled",
            ({ retryAfter }) => Effect.succeed(`Come back in ${Math.ceil(retryAfter / 1000)} s, please.`)
          )
        )
      return { greet }
    })
  )
}
