import type { ResourceInput } from "#core/config/Config"
import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { startSimulator } from "#node/simulator/SimulatorServer"
import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer } from "@evenkeel/node"
import { inspect } from "node:util"
import OpenAI from "openai"
import { collect, fast, hello, inFlight, type ResourceOptions } from "../support/Served.ts"

const names = ["east", "west", "north", "openai"] as const

/** Different protocols and ways to authenticate; the same model. */
const resources: ReadonlyArray<ResourceOptions> = names.map((name) => ({
  name,
  provider: name === "openai" ? "openai" : "azure",
  apiKey: `secret-${name}-key`,
  bearerTokens: [`secret-${name}-token`],
  deployments: [
    { name: "gpt-4o", latency: fast, outputTokens: 20 },
    { name: "text-embedding-3-small", latency: fast, dimensions: 8 }
  ]
}))

/** What each is to see of credentials, and nothing else. */
const own: Readonly<Record<(typeof names)[number], string>> = {
  east: "secret-east-key",
  west: "secret-west-key",
  north: "Bearer secret-north-token",
  openai: "Bearer secret-openai-key"
}

const configOf = (given: ResourceInput): ResourceInput => {
  switch (given.name) {
    case "west":
      return { ...given, apiVersion: "2025-04-01-preview" }
    case "north":
      return { ...given, apiKey: undefined, auth: async () => "secret-north-token" }
    default:
      return given
  }
}

/** Something is always wrong somewhere. */
const faults: ReadonlyArray<SimulatedFault> = [
  { kind: "status", status: 500, probability: 0.1 },
  { kind: "status", status: 401, probability: 0.05 },
  { kind: "status", status: 400, probability: 0.05 },
  { kind: "throttle", retryAfterMs: 5, probability: 0.1 },
  { kind: "reset", probability: 0.05 },
  { kind: "errorInStream", afterEvents: 1, probability: 0.1 },
  { kind: "cut", afterEvents: 6, ending: "reset", probability: 0.05 }
]

type Ask = (client: OpenAI) => PromiseLike<unknown>

const asks: ReadonlyArray<Ask> = [
  (client) => client.chat.completions.create(hello),
  (client) => client.chat.completions.create({ ...hello, stream: true }).then(collect),
  (client) => client.responses.create({ model: "gpt-4o", input: "Hello" }),
  (client) => client.responses.create({ model: "gpt-4o", input: "Hello", stream: true }).then(collect),
  (client) => client.responses.create({ model: "gpt-4o", input: "Hello", previous_response_id: "resp_unknown1" }),
  (client) => client.embeddings.create({ model: "text-embedding-3-small", input: "Hello" }),
  (client) => client.models.list(),
  (client) => client.post("/uploads", { body: { a: 1 } })
]

describe("a credential of one resource", () => {
  it("is never sent to another, whatever fails, and is never shown", async () => {
    await using simulator = await startSimulator({ resources })
    await using lb = createLoadBalancer({
      resources: simulator.resources.map((resource) => configOf(resource.config())),
      failover: { backoff: 1, maxBackoff: 2, budgetPerSecond: 1_000, maxWait: 50 },
      health: { openFor: 5, maxOpenFor: 20, check: { interval: 20 } }
    })
    const told: Array<unknown> = []
    const events = lb.events()
    const listening = (async () => {
      for await (const event of events) told.push(event)
    })()
    for (const name of names) {
      for (const fault of faults) {
        for (const deployment of ["gpt-4o", "text-embedding-3-small"]) simulator.service(name).fault(deployment, fault)
      }
    }
    const foreign = new OpenAI({ apiKey: "secret-foreign-key", fetch: lb.fetch, maxRetries: 0, logLevel: "off" })
    const clients = [lb.openai, lb.session("user-1"), foreign]
    let failures = 0
    await Promise.all(Array.from({ length: 400 }, async (_, i) => {
      try {
        await asks[i % asks.length]!(clients[i % clients.length]!)
      } catch (error) {
        failures++
        told.push(error, inspect(error, { depth: 12, showHidden: true }))
      }
    }))
    told.push(lb.snapshot(), inspect(lb.snapshot(), { depth: 12 }))
    await events.return!()
    await listening

    for (const name of names) {
      const { credentials, requests } = simulator.service(name).stats(Date.now())
      assert.isAbove(requests, 20, name)
      assert.deepStrictEqual(credentials, [own[name]], name)
    }
    // a quarter asks for what nobody has, and fails; of the rest the most was answered all the same
    assert.isAbove(failures, 100)
    assert.isBelow(failures, 300)
    assert.isAbove(told.length, 400)
    assert.notMatch(JSON.stringify(told), /secret-/)
    assert.notMatch(inspect(lb, { depth: 12, showHidden: true }), /secret-/)
    assert.strictEqual(inFlight(lb), 0)
  }, 15_000)
})
