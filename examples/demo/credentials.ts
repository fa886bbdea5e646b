/**
 * The demo with your own deployments: a handful of short calls through the balancer that your environment configures.
 */
import { LoadBalancer } from "@evenkeel/core"
import { LoadBalancerLive, loadConfig } from "@evenkeel/node"
import { Console, Effect, Stream } from "effect"

/** Names of the variables from which a balancer would be configured. */
export const credentialsIn = (environment: NodeJS.ProcessEnv): ReadonlyArray<string> =>
  Object.keys(environment).filter((name) =>
    (name === "EVENKEEL_CONFIG" || name === "OPENAI_API_KEY" || name.startsWith("AZURE_OPENAI_")) &&
    environment[name]?.trim() !== ""
  )

const CALLS = 4

/** The first chat model that is configured; a small one where every model is served. */
const chooseModel = Effect.map(loadConfig, ({ resources }) => {
  const models = resources.flatMap(({ deployments }) => deployments.map(({ model }) => model))
  const model = models.find((name) => !name.includes("embedding")) ?? "*"
  return model === "*" ? "gpt-4o-mini" : model
})

/** Asks a few times, streamed and not, and tells what came and from where. */
export const askForReal = Effect.gen(function*() {
  const lb = yield* LoadBalancer
  const model = yield* chooseModel
  const messages = [{ role: "user" as const, content: "What keeps a ship upright? One short sentence." }]
  const params = { model, messages, max_completion_tokens: 400 }
  yield* Console.log(`Asking ${model} ${CALLS} times, at most ${params.max_completion_tokens} tokens each.\n`)
  for (let i = 0; i < CALLS; i++) {
    const answer = yield* lb.chat(params, { session: "demo" })
    yield* Console.log(`  ${answer.choices[0]?.message.content}`)
  }
  yield* lb.chatStream(params).pipe(
    Stream.runForEach(({ choices }) => Effect.sync(() => process.stdout.write(choices[0]?.delta.content ?? "")))
  )
  for (const { id, totals } of (yield* lb.snapshot).deployments) {
    yield* Console.log(
      `\n${id}: ${totals.succeeded} answers, ${totals.promptTokens} tokens in, ${totals.completionTokens} out`
    )
  }
}).pipe(Effect.provide(LoadBalancerLive))
