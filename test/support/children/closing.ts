/**
 * Uses a balancer and lets go of it, in one of several ways, and says what came of it. The process must then end by
 * itself. Takes the way, and the URL of a resource with a deployment that answers and one that talks for ever.
 */
import type { ConfigInput } from "@evenkeel/core"
import { createLoadBalancer } from "@evenkeel/node"

const [way = "", url = ""] = process.argv.slice(2)

const config: ConfigInput = {
  resources: [{
    name: "east",
    provider: "azure",
    endpoint: url,
    apiKey: "east-key",
    deployments: [{ name: "gpt", model: "gpt-4o" }, { name: "endless", model: "endless" }]
  }],
  health: { check: { interval: 50 } }
}

const messages = [{ role: "user" as const, content: "Hello" }]
const say = (value: unknown): void => console.log(JSON.stringify(value))
const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** How a promise ends: with what, or with an error of which name. */
const outcome = (promise: Promise<unknown>): Promise<string> =>
  promise.then((value) => `ended with ${String(value)}`, (error: Error) => `failed with ${error.name}`)

/** Reads what is left of a stream. */
const rest = async (items: AsyncIterator<unknown>): Promise<string> =>
  (await items.next()).done === true ? "silence" : rest(items)

const ways: Readonly<Record<string, () => Promise<void>>> = {
  used: async () => {
    await createLoadBalancer(config).close()
    const lb = createLoadBalancer(config)
    await lb.openai.chat.completions.create({ model: "gpt-4o", messages })
    const stream = await lb.session("s").chat.completions.create({ model: "gpt-4o", messages, stream: true })
    let chunks = 0
    for await (const _ of stream) chunks++
    await lb.openai.embeddings.create({ model: "none", input: "x" }).catch(() => {})
    // long enough for a check or two
    await pause(150)
    await lb.close()
    await lb.close()
    say({
      chunks,
      resources: process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Timeout|Immediate/.test(name))
    })
  },

  busy: async () => {
    const lb = createLoadBalancer(config)
    const open = () => lb.openai.chat.completions.create({ model: "endless", messages, stream: true })
    const isReading = Promise.withResolvers<void>()
    const read = outcome((async () => {
      for await (const _ of await open()) isReading.resolve()
      return "silence"
    })())
    const unread = await open()
    const halfRead = (await open())[Symbol.asyncIterator]()
    await halfRead.next()
    const asked = outcome(lb.openai.chat.completions.create({ model: "endless", messages }))
    const fetched = outcome(
      lb.fetch("https://api.openai.com/v1/chat/completions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "endless", messages })
      }).then(({ status }) => status)
    )
    const told = outcome((async () => {
      for await (const _ of lb.events()) { /* until they end */ }
      return "their end"
    })())
    await isReading.promise
    await lb.close()
    say({
      read: await read,
      halfRead: await outcome(rest(halfRead)),
      unread: await outcome(rest(unread[Symbol.asyncIterator]())),
      asked: await asked,
      fetched: await fetched,
      told: await told,
      inFlight: lb.snapshot().deployments.reduce((sum, { inFlight }) => sum + inFlight, 0),
      after: await outcome(lb.openai.chat.completions.create({ model: "gpt-4o", messages }))
    })
  },

  credential: async () => {
    const { resources: [east] } = config
    const hangs = { ...east!, apiKey: undefined, auth: () => new Promise<string>(() => {}) }
    const timeouts = { connect: 200 }
    const lb = createLoadBalancer({ ...config, resources: [hangs], timeouts, failover: { attempts: 1 } })
    say({ asked: await outcome(lb.openai.chat.completions.create({ model: "gpt-4o", messages })) })
    await lb.close()
  },

  scoped: async () => {
    {
      await using lb = createLoadBalancer(config)
      await lb.openai.chat.completions.create({ model: "gpt-4o", messages })
    }
    try {
      await using lb = createLoadBalancer(config)
      await lb.openai.chat.completions.create({ model: "none", messages })
    } catch (error) {
      say({ code: (error as { code?: string }).code })
    }
  }
}

await ways[way]!()
const done = performance.now()
process.on("exit", () => say({ endedAfter: performance.now() - done }))
