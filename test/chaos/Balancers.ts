/**
 * The two balancers that share the service, as two processes would: one used through Effect, one through promises.
 */
import type { ResourceInput } from "#core/config/Config"
import { Deployments } from "#core/deployment/Deployments"
import type { Event } from "#core/Event"
import { LoadBalancer } from "#core/LoadBalancer"
import { Telemetry } from "#core/telemetry/Telemetry"
import { layer } from "#node/LoadBalancerLive"
import type { ConfigInput, Snapshot } from "@evenkeel/core"
import { createLoadBalancer, type LoadBalancerClient } from "@evenkeel/node"
import { Context, Effect, Exit, Layer, Metric, Scope } from "effect"
import { config, type World } from "./World.ts"

/** What both have in common. */
export interface Balancer {
  readonly name: string
  readonly snapshot: () => Snapshot
  readonly add: (resource: ResourceInput) => Promise<unknown>
  readonly drain: (id: string) => Promise<unknown>
  readonly remove: (id: string) => Promise<unknown>
  readonly update: (id: string, change: { readonly tier?: number; readonly weight?: number }) => Promise<unknown>
  readonly close: () => Promise<void>
}

export interface EffectBalancer extends Balancer {
  readonly lb: LoadBalancer["Service"]
  /** Runs as an application would that has the balancer in its context. */
  readonly run: <A, E>(effect: Effect.Effect<A, E>, signal: AbortSignal) => Promise<Exit.Exit<A, E>>
  /** Fibers that were started and have not ended. */
  readonly fibers: () => number
}

export interface PromiseBalancer extends Balancer {
  readonly client: LoadBalancerClient
}

type Observe = (event: Event) => void

const configFor = (world: World, check: NonNullable<ConfigInput["health"]>["check"], hedge: boolean): ConfigInput => ({
  ...config,
  resources: world.resources.map(world.configOf),
  health: { ...config.health, check: { ...config.health.check, ...check } },
  failover: { ...config.failover, hedge }
})

/** Asks completions of what is idle or down, and hedges. */
export const effectBalancer = async (world: World, observe: Observe): Promise<EffectBalancer> => {
  let fibers = 0
  const counter = Layer.succeed(Metric.FiberRuntimeMetrics, {
    recordFiberStart: () => void fibers++,
    recordFiberEnd: () => void fibers--
  })
  const scope = Effect.runSync(Scope.make())
  const layers = layer(configFor(world, { kind: "completion" }, true), { telemetry: Telemetry.layerListener(observe) })
  const context = await Effect.runPromise(Layer.buildWithScope(Layer.provideMerge(layers, counter), scope))
  const lb = Context.get(context, LoadBalancer)
  const deployments = Context.get(context, Deployments)
  const run = Effect.runPromiseExitWith(context)
  return {
    name: "effect",
    lb,
    run: (effect, signal) => run(effect, { signal }),
    fibers: () => fibers,
    snapshot: () => Effect.runSync(lb.snapshot),
    add: (resource) => Effect.runPromise(deployments.add(resource)),
    drain: (id) => Effect.runPromise(deployments.drain(id)),
    remove: (id) => Effect.runPromise(deployments.remove(id)),
    update: (id, change) => Effect.runPromise(deployments.update(id, change)),
    close: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

/** Asks for the list of models of what is idle or down, and does not hedge. */
export const promiseBalancer = (world: World, observe: Observe): PromiseBalancer => {
  const client = createLoadBalancer(configFor(world, { kind: "models" }, false), {
    telemetry: Telemetry.layerListener(observe)
  })
  return { name: "promise", client, snapshot: client.snapshot, ...client.deployments, close: client.close }
}
