/** Uses a balancer of which one resource has a wrong key. Takes how it warns, and the URLs of both. */
import { createLoadBalancer } from "@evenkeel/node"

const [how, east = "", west = ""] = process.argv.slice(2)

const deployments = [{ name: "gpt", model: "gpt-4o" }]
const lb = createLoadBalancer({
  resources: [
    { name: "east", provider: "azure", endpoint: east, apiKey: "wrong-key", deployments },
    { name: "west", provider: "azure", endpoint: west, apiKey: "west-key", deployments }
  ],
  health: { openFor: 1, maxOpenFor: 1 }
}, how === "off" ? { warnings: false } : {})
for (let i = 0; i < 60; i++) {
  await lb.openai.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content: "Hello" }] })
}
await lb.close()
