/**
 * The doors that are measured, and what they are measured against.
 */
import { LoadBalancer } from "#core/LoadBalancer"
import { Telemetry } from "#core/telemetry/Telemetry"
import type { Transport } from "#core/transport/Transport"
import * as UndiciTransport from "#node/UndiciTransport"
import type { ConfigInput } from "@evenkeel/core"
import { createLoadBalancer } from "@evenkeel/node"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { AzureOpenAI } from "openai"
import { apiVersion, type DeploymentName, deploymentNames } from "./Canned.ts"

/** Resources among which the balancer chooses. */
const RESOURCES = 3

export const configOf = (endpoint: string): ConfigInput => ({
  resources: Array.from({ length: RESOURCES }, (_, i) => ({
    name: `resource-${i}`,
    provider: "azure" as const,
    endpoint,
    apiVersion,
    apiKey: "bench-key",
    deployments: Object.values(deploymentNames).map((name) => ({ name, tpm: 1_000_000_000, rpm: 100_000_000 }))
  }))
})

/** Telemetry that only listens: what it costs that someone does. */
const listening = { telemetry: Telemetry.layerListener((event) => void (heard += event.at)) }
const off = { telemetry: Telemetry.layerNoop }
let heard = 0

export interface DoorOptions {
  readonly endpoint: string
  readonly telemetry: boolean
  readonly transport?: Layer.Layer<Transport>
}

/** The Effect door. */
export const effectDoor = async ({ endpoint, telemetry, transport }: DoorOptions) => {
  const layer = LoadBalancer.layer(configOf(endpoint), telemetry ? listening : off)
  const runtime = ManagedRuntime.make(layer.pipe(Layer.provide(transport ?? UndiciTransport.layer())))
  return { lb: await runtime.runPromise(LoadBalancer), close: () => runtime.dispose() }
}

/** The promise door. */
export const promiseDoor = ({ endpoint, telemetry, transport }: DoorOptions) =>
  createLoadBalancer(configOf(endpoint), { ...(telemetry ? listening : off), transport })

/** The official client, as anyone would make it. */
export const bareClient = (endpoint: string, fetch?: typeof globalThis.fetch): AzureOpenAI =>
  new AzureOpenAI({ endpoint, apiKey: "bench-key", apiVersion, ...(fetch === undefined ? {} : { fetch }) })

/** URL of a deployment, for what is not balanced. */
export const urlOf = (endpoint: string, name: DeploymentName): string =>
  `${endpoint}/openai/deployments/${name}/chat/completions?api-version=${apiVersion}`

/** So many promises at a time. */
export const promises = (concurrency: number, call: () => Promise<unknown>) => async (calls: number): Promise<void> => {
  let left = calls
  const work = async () => {
    // oxlint-disable-next-line no-await-in-loop -- so many at a time, and no more
    while (left-- > 0) await call()
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, calls) }, work))
}

/** So many fibers, each of which calls again and again. */
export const fibers = <E>(concurrency: number, call: Effect.Effect<unknown, E>) => (calls: number): Promise<void> => {
  let left = calls
  const work = Effect.whileLoop({
    while: () => left-- > 0,
    body: () => call,
    step: () => {}
  })
  const workers = Array.from({ length: Math.min(concurrency, calls) }, () => work)
  return Effect.runPromise(Effect.all(workers, { concurrency: "unbounded", discard: true }))
}
