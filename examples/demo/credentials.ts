/**
 * The demo with your own deployments: a handful of short calls through the balancer that your environment configures.
 */
import { LoadBalancer } from "@evenkeel/core"
import { LoadBalancerLive, loadConfig } from "@evenkeel/node"
import { Console, Effect, Stream } from "effect"
import { several } from "./text.ts"

/** Names of the variables from which a balancer would be configured. */
export const credentialsIn = (environment: NodeJS.ProcessEnv): ReadonlyArray<string> =>
  Object.keys(environment).filter((name) =>
    (name === "EVENKEEL_CONFIG" || name === "OPENAI_API_KEY" || name.startsWith("AZURE_OPENAI_")) &&
    environment[name]?.trim() !== ""
  )

const QUESTIONS = ["What keeps a ship upright?", "What is a keel made of?", "Who lays it?"]

/** The first chat model that is configured; a small one where every model is served. */
const chooseModel = Effect.map(loadConfig, ({ resources }) => {
  const models = resources.flatMap(({ deployments }) => deployments.map(({ model }) => model))
  const model = models.find((name) => !name.includes("embedding")) ?? "*"
  return model === "*" ? "gpt-4o-mini" : model
})

/** Asks a few times, the last time streamed, and tells what came and from where. */
export const askForReal = Effect.gen(function*() {
  const lb = yield* LoadBalancer
  const model = yield* chooseModel
  const about = (question: string) => ({
    model,
    messages: [{ role: "user" as const, content: `${question} Answer in one short sentence.` }],
    max_completion_tokens: 500
  })
  yield* Console.log(`Asking ${model} ${QUESTIONS.length + 1} short questions, at most 500 tokens each.\n`)
  for (const question of QUESTIONS) {
    const answer = yield* lb.chat(about(question), { session: "demo" })
    yield* Console.log(`  ${question}  ${answer.choices[0]?.message.content}`)
  }
  const last = "What if there is none?"
  process.stdout.write(`  ${last}  `)
  yield* lb.chatStream(about(last)).pipe(
    Stream.runForEach(({ choices }) => Effect.sync(() => process.stdout.write(choices[0]?.delta.content ?? "")))
  )
  yield* Console.log("\n")
  for (const { id, totals } of (yield* lb.snapshot).deployments) {
    const { completionTokens, promptTokens, succeeded } = totals
    yield* Console.log(`  ${id}: ${several(succeeded, "answer")}, ${promptTokens} tokens in, ${completionTokens} out`)
  }
  return true
}).pipe(
  Effect.provide(LoadBalancerLive),
  Effect.catch((error) => Effect.as(Console.error(error.message), false))
)
