/**
 * A streamed answer through the official client, with nothing but the environment for configuration.
 */
import { createLoadBalancerFromEnvironment } from "@evenkeel/node"
import { RateLimitError } from "openai"

const lb = createLoadBalancerFromEnvironment()
try {
  const stream = await lb.session("user-42").chat.completions.create(
    { model: "gpt-4o", messages: [{ role: "user", content: "Say hello." }], stream: true },
    { timeout: 60_000 }
  )
  for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "")
  process.stdout.write("\n")
} catch (error) {
  if (!(error instanceof RateLimitError)) throw error
  console.error(`Everything is throttled; again in ${error.headers.get("retry-after")} s.`)
  process.exitCode = 1
} finally {
  await lb.close()
}
