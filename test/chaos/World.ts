/**
 * The service that the storm strikes, and how balancers are configured for it: ten deployments of one model in six
 * resources and two tiers, and some for embeddings.
 */
import type { ResourceInput } from "#core/config/Config"
import type { DeploymentOptions } from "#core/simulation/SimulatedDeployment"
import { type Simulator, type SimulatorResourceOptions, startSimulator } from "#node/simulator/SimulatorServer"
import type { ConfigInput } from "@evenkeel/core"
import { questionOf, say } from "./Reply.ts"

export const CHAT_MODEL = "gpt-4o"
export const EMBEDDING_MODEL = "text-embedding-3-small"
export const DIMENSIONS = 64

/** The whole of a call, over all its attempts, in milliseconds. */
export const TOTAL_MILLIS = 4_000

/** Short limits: what hangs is left within the run, and what is open is tried again within it. */
export const config = {
  timeouts: { connect: 1_000, firstEvent: 1_200, firstContent: 1_600, idle: 1_200, total: TOTAL_MILLIS },
  failover: { attempts: 3, maxWait: 1_000, maxWaiting: 150, backoff: 50, maxBackoff: 500 },
  health: {
    openFor: 200,
    maxOpenFor: 2_000,
    window: 5_000,
    cooldown: 400,
    slowStart: 1_000,
    check: { interval: 500, timeout: 1_000 }
  }
} as const satisfies Omit<ConfigInput, "resources">

/** The resource that comes and goes. */
export const GUEST = "guest"

export interface World {
  readonly simulator: Simulator
  /** Names of all resources, the guest among them. */
  readonly resources: ReadonlyArray<string>
  /** Those that are used first. */
  readonly firstTier: ReadonlyArray<string>
  readonly chatDeploymentsOf: (resource: string) => ReadonlyArray<string>
  /** How a balancer is configured for a resource. */
  readonly configOf: (resource: string) => ResourceInput
  /** Requests that the service believes to be under way. */
  readonly inFlight: () => number
}

const latency = { baseMs: 40, perPromptTokenMs: 0, perOutputTokenMs: 16, jitter: 0.2, tokensPerEvent: 4, errorMs: 2 }

/** More than is asked for, and known to the balancers, which would take a 429 for a lower one that lasts a minute. */
const limits = { tpm: 10_000_000, rpm: 100_000 }

const secondTier = new Set(["south", "upper"])

export const startWorld = async (seed: number): Promise<World> => {
  let generation = 0
  const reply: DeploymentOptions["reply"] = ({ body }) => {
    const { input, messages } = body as { input?: unknown; messages?: ReadonlyArray<{ content: unknown }> }
    const question = questionOf(messages?.at(-1)?.content ?? input)
    return question === undefined ? undefined : say(question, ++generation)
  }
  const chat = (name: string): DeploymentOptions => ({ name, model: CHAT_MODEL, latency, reply, ...limits })
  const embed: DeploymentOptions = { name: "embed", model: EMBEDDING_MODEL, latency, dimensions: DIMENSIONS, ...limits }
  const resources: ReadonlyArray<SimulatorResourceOptions> = [
    { name: "east", deployments: [chat("gpt-1"), chat("gpt-2"), embed] },
    { name: "west", deployments: [chat("gpt-1"), { ...chat("gpt-2"), asyncFilter: true }, embed] },
    { name: "north", deployments: [chat("gpt-1")] },
    { name: GUEST, deployments: [chat("gpt-1"), chat("gpt-2")] },
    { name: "south", provider: "openai", deployments: [chat(CHAT_MODEL), { ...embed, name: EMBEDDING_MODEL }] },
    { name: "upper", deployments: [chat("gpt-1"), chat("gpt-2")] }
  ]
  const simulator = await startSimulator({ resources, seed })
  const configs = new Map(simulator.resources.map((started) => {
    // one of them by the classic API
    const given = started.config(started.name === "west" ? "2025-04-01-preview" : undefined)
    const tier = secondTier.has(started.name) ? 2 : 1
    const deployments = given.deployments!.map(({ model, name, rpm, tpm }) => ({ name, model, tpm, rpm, tier }))
    return [started.name, { ...given, deployments }]
  }))
  const names = resources.map(({ name }) => name)
  return {
    simulator,
    resources: names,
    firstTier: names.filter((name) => !secondTier.has(name)),
    chatDeploymentsOf: (resource) =>
      configs.get(resource)!.deployments.filter(({ model }) => model === CHAT_MODEL).map(({ name }) => name),
    configOf: (resource) => configs.get(resource)!,
    inFlight: () => names.reduce((sum, name) => sum + simulator.service(name).stats(Date.now()).inFlight, 0)
  }
}
