/**
 * An answer as it comes. Until its first words arrive it can move to another deployment, and does if it must; from then
 * on a break is an error that says so, never a silent end.
 */
import { createLoadBalancer } from "@evenkeel/node"
import { APIError } from "openai"
import { config } from "./config.ts"

const lb = createLoadBalancer(config)
try {
  const stream = await lb.openai.chat.completions.create({
    model: "gpt-4o",
    messages: [{ role: "user", content: "Tell me about keels." }],
    stream: true,
    stream_options: { include_usage: true }
  })
  for await (const { choices, usage } of stream) {
    process.stdout.write(choices[0]?.delta.content ?? "")
    if (usage) console.log(`\n${usage.prompt_tokens} tokens in, ${usage.completion_tokens} out`)
  }
} catch (error) {
  if (!(error instanceof APIError)) throw error
  console.error(`\n${error.message}`)
  process.exitCode = 1
} finally {
  await lb.close()
}
