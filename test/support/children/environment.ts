/**
 * Asks once with the configuration of the environment, and says what came, or what is wrong with it.
 */
import { LoadBalancerError } from "@evenkeel/core"
import { createLoadBalancerFromEnvironment, type LoadBalancerClient } from "@evenkeel/node"

const create = (): LoadBalancerClient | undefined => {
  try {
    return createLoadBalancerFromEnvironment()
  } catch (error) {
    if (!(error instanceof LoadBalancerError)) throw error
    console.log(JSON.stringify({ tag: error.reason._tag, message: error.message }))
    return undefined
  }
}

const lb = create()
try {
  const messages = [{ role: "user" as const, content: "Hello" }]
  const answer = await lb?.openai.chat.completions.create({ model: "gpt-4o", messages })
  if (answer !== undefined) console.log(JSON.stringify({ content: answer.choices[0]!.message.content }))
} finally {
  await lb?.close()
}
