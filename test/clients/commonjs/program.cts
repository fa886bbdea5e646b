/**
 * A CommonJS program of somebody who uses the packages as they are published: compiled and run outside the workspace.
 */
import { createLoadBalancer, startSimulator } from "@evenkeel/node"
import OpenAI, { APIError, NotFoundError } from "openai"

const text = async (client: OpenAI): Promise<string> => {
  let text = ""
  const messages = [{ role: "user" as const, content: "Say hello." }]
  for await (const { choices } of await client.chat.completions.create({ model: "gpt-4o", messages, stream: true })) {
    text += choices[0]?.delta.content ?? ""
  }
  return text
}

const failure = async (client: OpenAI): Promise<unknown> => {
  try {
    return await client.chat.completions.create({ model: "gpt-unknown", messages: [] })
  } catch (error) {
    return error
  }
}

const main = async () => {
  const deployments = [{ name: "gpt-4o", reply: () => "Hello from here." }]
  const simulator = await startSimulator({ resources: [{ name: "east", deployments }] })
  const lb = createLoadBalancer({ resources: simulator.resources.map((east) => east.config()) }, { openai: OpenAI })
  const error = await failure(lb.session("user-42"))
  console.log(lb.openai instanceof OpenAI, await text(lb.openai))
  console.log(error instanceof NotFoundError, error instanceof APIError && error.code)
  await lb.close()
  await simulator.close()
}

main()
