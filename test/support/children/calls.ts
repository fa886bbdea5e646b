/**
 * Asks once with each kind of call, and says what came. Takes the URL of a resource.
 */
import { createLoadBalancer } from "@evenkeel/node"

const [url = ""] = process.argv.slice(2)

const lb = createLoadBalancer({
  resources: [{
    name: "east",
    provider: "azure",
    endpoint: url,
    apiKey: "east-key",
    deployments: [{ name: "gpt", model: "gpt-4o" }]
  }]
})

try {
  const { openai } = lb
  const messages = [{ role: "user" as const, content: "Hello" }]
  const whole = await openai.chat.completions.create({ model: "gpt-4o", messages })
  let streamed = ""
  for await (const chunk of await openai.chat.completions.create({ model: "gpt-4o", messages, stream: true })) {
    streamed += chunk.choices[0]?.delta.content ?? ""
  }
  await openai.chat.completions.create({ model: "gpt-4o", messages }, { headers: { "openai-beta": "mine" } })
  await openai.models.list()
  const { baseURL, organization, project } = openai
  const { sessions } = lb.snapshot()
  const content = whole.choices[0]!.message.content
  console.log(JSON.stringify({ content, streamed, baseURL, organization, project, sessions }))
} finally {
  await lb.close()
}
