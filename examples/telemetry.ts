/**
 * Spans, metrics and logs by OTLP: where `OTEL_EXPORTER_OTLP_ENDPOINT` says, else to a collector on this machine.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { LoadBalancer } from "@evenkeel/core"
import { LoadBalancerLive } from "@evenkeel/node"
import { OtlpLive } from "@evenkeel/otel"
import { Console, Effect, Layer } from "effect"

const program = Effect.gen(function*() {
  const lb = yield* LoadBalancer
  const answer = yield* lb.chat({ model: "gpt-4o", messages: [{ role: "user", content: "Say hello." }] })
  yield* Console.log(answer.choices[0]?.message.content)
}).pipe(Effect.withSpan("greet"))

program.pipe(Effect.provide(LoadBalancerLive.pipe(Layer.provideMerge(OtlpLive))), NodeRuntime.runMain)
