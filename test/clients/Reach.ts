/**
 * Ways in which a client of others reaches a balancer, and the simulated service behind it.
 */
import { type ConfigInput, type Event, type Snapshot, Telemetry } from "@evenkeel/core"
import type { Simulator } from "@evenkeel/node"
import { gated } from "../support/Gated.ts"
import { fast, type ResourceOptions, serve } from "../support/Served.ts"

/** What a client is given to reach us: a place, and a fetch where that is what makes the difference. */
export interface Reach {
  /** Scheme, host and port that its base URL begins with. */
  readonly origin: string
  /** `{ fetch }`, or nothing where the base URL alone leads here. */
  readonly through: { readonly fetch?: typeof fetch }
}

interface Opened extends Reach, AsyncDisposable {
  /** The resources that the balancer is before. */
  readonly simulator: Simulator
  readonly snapshot: () => Snapshot
}

/** A way to reach a balancer over simulated resources, of Azure's v1 API or of this version of the classic one. */
export interface Way {
  readonly name: string
  readonly open: (
    resources: ReadonlyArray<ResourceOptions>,
    config: Omit<ConfigInput, "resources">,
    tell: (event: Event) => void,
    apiVersion?: string
  ) => Promise<Opened>
}

export const ways: ReadonlyArray<Way> = [
  {
    name: "lb.fetch",
    open: async (resources, config, tell, apiVersion) => {
      const telemetry = Telemetry.layerListener(tell)
      const served = await serve(resources, { ...config, ...(apiVersion !== undefined && { apiVersion }) }, {
        telemetry
      })
      return {
        // a host that is nowhere: of a URL only its path counts
        origin: "https://anything.example",
        through: { fetch: served.lb.fetch },
        simulator: served.simulator,
        snapshot: served.lb.snapshot,
        [Symbol.asyncDispose]: () => served[Symbol.asyncDispose]()
      }
    }
  },
  {
    name: "the gateway",
    open: async (resources, config, tell, apiVersion) => {
      const gateway = await gated(resources, config, apiVersion)
      gateway.events.listen(tell)
      return {
        origin: gateway.url,
        through: {},
        simulator: gateway.simulator,
        snapshot: gateway.snapshot,
        [Symbol.asyncDispose]: gateway.close
      }
    }
  }
]

/** The model that talks, one that takes its time, and one that embeds. */
export const models = { chat: "gpt-4o", slow: "gpt-slow", embedding: "text-embedding-3-small" }

export const said = "Hello from here."
export const weather = { city: "Rome", degrees: 21 }
export const report = "It is 21 degrees in Rome."

interface Body {
  readonly tools?: ReadonlyArray<unknown>
  readonly messages?: ReadonlyArray<{ readonly role?: string }>
  readonly input?: unknown
  readonly response_format?: { readonly type: string }
  readonly text?: { readonly format?: { readonly type: string } }
}

/** Calls the tool that it is offered, tells what that gave, gives JSON where a schema asks for it, and says hello. */
const reply = ({ body }: { readonly body: unknown }) => {
  const { input, messages, response_format, text, tools } = body as Body
  const last = messages?.at(-1)?.role ?? (Array.isArray(input) ? (input.at(-1) as { type?: string }).type : undefined)
  if (last === "tool" || last === "function_call_output") return report
  if (tools !== undefined && tools.length > 0) {
    return { calls: [{ name: "weather", arguments: { city: weather.city } }] }
  }
  return (response_format ?? text?.format)?.type === "json_schema" ? JSON.stringify(weather) : said
}

const tokenByToken = { baseMs: 20, perPromptTokenMs: 0, perOutputTokenMs: 40, jitter: 0 }

const names = ["east", "west"]

/** A client's way to two resources. */
export interface Reached extends Opened {
  /** What each resource did. */
  readonly stats: () => ReadonlyArray<ReturnType<ReturnType<Simulator["service"]>["stats"]>>
  /** What each resource does to every request from now on. */
  readonly fault: (fault: Parameters<ReturnType<Simulator["service"]>["fault"]>[1]) => void
  /** The sessions of all requests that ended so far, in their order. */
  readonly sessions: ReadonlyArray<string | undefined>
  /** Requests that the balancer believes to be under way. */
  readonly inFlight: () => number
}

/** Starts two resources, a balancer over them, and a way to it, which keys may be needed for. */
export const reach = async (way: Way, apiVersion?: string, gateway?: ConfigInput["gateway"]): Promise<Reached> => {
  const resources = names.map((name) => ({
    name,
    apiKey: `${name}-key`,
    deployments: [
      { name: "chat", model: models.chat, latency: fast, reply },
      { name: "slow", model: models.slow, latency: tokenByToken, reply: () => "word ".repeat(200) },
      { name: "embed", model: models.embedding, latency: fast, dimensions: 8 }
    ]
  }))
  const config = {
    failover: { backoff: 1, maxBackoff: 1, maxWait: 0 },
    health: { check: { kind: "none" } },
    ...(gateway && { gateway })
  } as const
  const sessions: Array<string | undefined> = []
  const opened = await way.open(
    resources,
    config,
    (event) => {
      if (event._tag === "RequestEnded") sessions.push(event.session)
    },
    apiVersion
  )
  const { simulator, snapshot } = opened
  return {
    ...opened,
    stats: () => names.map((name) => simulator.service(name).stats(Date.now())),
    fault: (fault) => names.forEach((name) => simulator.service(name).fault("*", fault)),
    sessions,
    inFlight: () => snapshot().deployments.reduce((sum, { inFlight }) => sum + inFlight, 0)
  }
}
