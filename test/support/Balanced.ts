/**
 * A balancer over simulated services in memory, for tests under virtual time.
 */
import { type ConfigInput, Deployments, LoadBalancer, type LoadBalancerError } from "@evenkeel/core"
import * as SimulatedService from "@evenkeel/core/simulation/SimulatedService"
import * as SimulatedTransport from "@evenkeel/core/simulation/SimulatedTransport"
import { type LayerOptions } from "@evenkeel/core/LoadBalancer"
import { Layer } from "effect"

export type ServiceOptions = Parameters<typeof SimulatedService.make>[0]

type ResourceInput = ConfigInput["resources"][number]

export interface Fleet {
  readonly services: Readonly<Record<string, SimulatedService.SimulatedService>>
  readonly layer: Layer.Layer<LoadBalancer | Deployments, LoadBalancerError>
}

/** Deterministic latency, small and flat, unless a test asks for another. */
export const steady = {
  baseMs: 100,
  perPromptTokenMs: 0,
  perOutputTokenMs: 1,
  jitter: 0,
  loadFactor: 0
}

/** A resource with one deployment of its own name, or with those that are given. */
export const fleet = (
  services: ReadonlyArray<ServiceOptions>,
  config: Partial<ConfigInput> & {
    readonly tiers?: Readonly<Record<string, number>>
    readonly weights?: Readonly<Record<string, number>>
  } = {},
  replace: LayerOptions = {}
): Fleet => {
  const made = services.map((options) => SimulatedService.make(options))
  const { tiers, weights, ...rest } = config
  const resources: Array<ResourceInput> = made.map((service, i) => ({
    name: service.name,
    provider: service.provider,
    endpoint: service.provider === "azure" ? service.origin : `${service.origin}/v1`,
    apiKey: service.apiKey,
    deployments: services[i]!.deployments.map((deployment) => ({
      name: deployment.name,
      model: deployment.model ?? deployment.name,
      tpm: deployment.tpm,
      rpm: deployment.rpm,
      provisioned: deployment.provisioned,
      tier: tiers?.[service.name],
      weight: weights?.[service.name]
    }))
  }))
  return {
    services: Object.fromEntries(made.map((service) => [service.name, service])),
    layer: LoadBalancer.layer({ resources, ...rest }, replace).pipe(Layer.provide(SimulatedTransport.layer(made)))
  }
}

export const hello = { model: "gpt-4o", messages: [{ role: "user" as const, content: "Say hello." }] }
