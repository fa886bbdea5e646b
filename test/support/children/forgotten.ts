/**
 * Uses a balancer and forgets to close it: the process must end by itself when its own work does, and not before. Takes
 * the way, and the URL of a resource with a deployment that answers, one that is throttled at first and one that hangs.
 */
import { createLoadBalancer } from "@evenkeel/node"

const [way = "", url = ""] = process.argv.slice(2)

const lb = createLoadBalancer({
  resources: [{
    name: "east",
    provider: "azure",
    endpoint: url,
    apiKey: "east-key",
    deployments: [{ name: "gpt", model: "gpt-4o" }, { name: "busy", model: "busy" }, { name: "stuck", model: "stuck" }]
  }],
  health: { check: { interval: way === "checked" ? 20 : "30 seconds" } }
})

const messages = [{ role: "user" as const, content: "Hello" }]
const say = (value: unknown): void => console.log(JSON.stringify(value))

const ways: Readonly<Record<string, () => Promise<void>>> = {
  unused: async () => say("nothing"),

  checked: async () => {
    await new Promise((resolve) => setTimeout(resolve, 200))
    say("checked")
  },

  used: async () => {
    const { choices } = await lb.openai.chat.completions.create({ model: "gpt-4o", messages })
    for await (
      const _ of await lb.openai.chat.completions.create({ model: "gpt-4o", messages, stream: true })
    ) { /* all */ }
    say(choices.length)
  },

  waiting: async () => {
    // told to wait for a second, in which there is nothing but that wait
    const { choices } = await lb.openai.chat.completions.create({ model: "busy", messages })
    say(choices.length)
  },

  hanging: async () => {
    const error = await lb.openai.chat.completions.create({ model: "stuck", messages }, { timeout: 700 }).catch(
      ({ status }: { readonly status: number }) => status
    )
    say(error)
  }
}

await ways[way]!()
const done = performance.now()
process.on("exit", () => say({ endedAfter: performance.now() - done }))
