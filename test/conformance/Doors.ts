/**
 * The four ways in which a program may use the official client: by itself, and balanced through each door.
 */
import * as BalancedHttpClient from "#core/BalancedHttpClient"
import { Telemetry } from "#core/telemetry/Telemetry"
import type { ConfigInput } from "@evenkeel/core"
import { createLoadBalancer, layer } from "@evenkeel/node"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import OpenAI, { AzureOpenAI } from "openai"
import { fetchOf } from "../support/HttpClientFetch.ts"
import type { Api, Case } from "./Case.ts"

/** The doors of the balancer: `lb.openai`, `lb.fetch`, and the `HttpClient` of `BalancedHttpClient`. */
export type Door = "lb.openai" | "lb.fetch" | "HttpClient"

export const doors: ReadonlyArray<Door> = ["lb.openai", "lb.fetch", "HttpClient"]

/** A client and what ends with it. */
export interface Opened {
  readonly client: OpenAI
  readonly close: () => Promise<void>
}

/** A caller sees nothing of it, and a balancer for each case is made sooner. */
const telemetry = Telemetry.layerNoop

const apiKey = "key-of-the-service"
const apiVersion = "2024-10-21"

/** Every model that a case asks for. On Azure each is a deployment of the same name. */
const models = ["gpt-4o", "text-embedding-3-small", "whisper-1", "tts-1", "gpt-image-1"]

const configOf = ({ api = "openai", config }: Case, base: string): ConfigInput => {
  const shared = { name: "only", apiKey, deployments: models.map((name) => ({ name })) }
  const resources: Record<Api, ConfigInput["resources"][number]> = {
    "openai": { ...shared, provider: "compatible", endpoint: `${base}/v1` },
    "azure-v1": { ...shared, provider: "azure", endpoint: base },
    "azure-classic": { ...shared, provider: "azure", endpoint: base, apiVersion }
  }
  return {
    resources: [resources[api]],
    health: { check: { kind: "none" } },
    // as often as the bare client, which does not retry either
    failover: { attempts: 1 },
    ...config
  }
}

/** Options of every client. */
const options = {
  webhookSecret: "whsec_c2VjcmV0IG9mIHRoZSB3ZWJob29r",
  // what the client says of an event that it cannot read is compared as an error
  logLevel: "off"
} as const

/** The client that a program has without a balancer, over any fetch. */
const clientOf = ({ api = "openai", client }: Case, base: string, fetch = globalThis.fetch): OpenAI => {
  const all = { ...options, apiKey, maxRetries: 0, fetch, ...client }
  if (api === "azure-classic") return new AzureOpenAI({ ...all, endpoint: base, apiVersion })
  return new OpenAI({ adminAPIKey: apiKey, ...all, baseURL: api === "openai" ? `${base}/v1` : `${base}/openai/v1` })
}

/** The bare client. */
export const bare = async (given: Case, base: string): Promise<Opened> => ({
  client: clientOf(given, base),
  close: async () => {}
})

/** A client through a door of a balancer of its own, so that no case feels another's failures. */
export const open = async (door: Door, given: Case, base: string): Promise<Opened> => {
  const config = configOf(given, base)
  if (door === "HttpClient") {
    const runtime = ManagedRuntime.make(BalancedHttpClient.layer.pipe(Layer.provide(layer(config, { telemetry }))))
    return { client: clientOf(given, base, fetchOf(runtime)), close: () => runtime.dispose() }
  }
  const lb = createLoadBalancer(config, { telemetry })
  const client = door === "lb.openai"
    ? lb.openai.withOptions({ ...options, ...given.client })
    : clientOf(given, base, lb.fetch)
  return { client, close: lb.close }
}
