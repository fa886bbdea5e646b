/**
 * A balancer over simulated services in memory, for tests under virtual time.
 *
 * Nothing random is in it unless a test asks: latency is flat, active checks are off, and `run` provides one seed around
 * everything, because the balancer takes its clock and its random source when its layer is built.
 */
import { type LayerOptions } from "#core/LoadBalancer"
import type { DeploymentOptions, DeploymentStats } from "#core/simulation/SimulatedDeployment"
import * as SimulatedService from "#core/simulation/SimulatedService"
import * as SimulatedTransport from "#core/simulation/SimulatedTransport"
import { Transport, type TransportRequest } from "#core/transport/Transport"
import {
  type AttemptSummary,
  BalancedHttpClient,
  type ConfigInput,
  Deployments,
  type DeploymentSnapshot,
  type Event,
  HealthMonitor,
  LoadBalancer,
  LoadBalancerError,
  type LoadBalancerErrorReason,
  Telemetry
} from "@evenkeel/core"
import { Clock, Effect, type Exit, Fiber, identity, Layer, Random } from "effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import { TestClock } from "effect/testing"

export type ServiceOptions = SimulatedService.SimulatedServiceOptions

type ResourceInput = ConfigInput["resources"][number]

export interface Fleet {
  readonly services: Readonly<Record<string, SimulatedService.SimulatedService>>
  /** Every send, in order. */
  readonly sends: ReadonlyArray<Send>
  readonly layer: Layer.Layer<LoadBalancer | Deployments, LoadBalancerError>
  readonly transport: Layer.Layer<Transport>
}

/** One send, as the transport saw it. */
export interface Send {
  readonly resource: string
  readonly at: number
  readonly request: TransportRequest
}

/** Deterministic latency, small and flat, unless a test asks for another: headers 50 ms, content 100 ms. */
export const steady = { baseMs: 100, perPromptTokenMs: 0, perOutputTokenMs: 1, jitter: 0, errorMs: 10 }

/** A resource with one deployment of gpt-4o that says who it is, in a few tokens. */
export const service = (
  name: string,
  deployment: Partial<DeploymentOptions> = {},
  options: Partial<ServiceOptions> = {}
): ServiceOptions => ({
  name,
  deployments: [{ name: "gpt-4o", latency: steady, reply: () => `I am ${name}.`, ...deployment }],
  ...options
})

export interface FleetConfig extends Partial<ConfigInput> {
  /** By name of the resource, for all of its deployments. */
  readonly tiers?: Readonly<Record<string, number>>
  readonly weights?: Readonly<Record<string, number>>
  /** The balancer is not told what the deployments' limits are. */
  readonly unlimited?: boolean
}

/** A balancer over these services. Active checks are off unless they are replaced. */
export const fleet = (
  services: ReadonlyArray<ServiceOptions>,
  config: FleetConfig = {},
  replace: LayerOptions = {},
  wrap: (transport: Transport["Service"]) => Transport["Service"] = identity
): Fleet => {
  const made = services.map((options) => SimulatedService.make(options))
  const sends: Array<Send> = []
  const { tiers, unlimited = false, weights, ...rest } = config
  const resources: Array<ResourceInput> = made.map((service, i) => ({
    name: service.name,
    provider: service.provider,
    endpoint: service.provider === "azure" ? service.origin : `${service.origin}/v1`,
    apiKey: service.apiKey,
    region: services[i]!.region,
    deployments: services[i]!.deployments.map((deployment) => ({
      name: deployment.name,
      model: deployment.model ?? deployment.name,
      pool: unlimited ? undefined : deployment.pool?.options.name,
      tpm: unlimited ? undefined : deployment.pool?.options.tpm ?? deployment.tpm,
      rpm: unlimited ? undefined : deployment.pool?.options.rpm ?? deployment.rpm,
      provisioned: deployment.provisioned,
      tier: tiers?.[service.name],
      weight: weights?.[service.name]
    }))
  }))
  const layers = { healthMonitor: HealthMonitor.layerNone, telemetry: Telemetry.layerNoop, ...replace }
  const transport = recording(wrap(SimulatedTransport.make(made)), sends)
  return {
    services: Object.fromEntries(made.map((service) => [service.name, service])),
    sends,
    layer: LoadBalancer.layer({ resources, ...rest }, layers).pipe(Layer.provide(transport)),
    transport
  }
}

const recording = (transport: Transport["Service"], sends: Array<Send>) =>
  Layer.succeed(Transport, {
    send: (request) =>
      Effect.flatMap(Clock.currentTimeMillis, (at) => {
        sends.push({ resource: request.resource, at, request })
        return transport.send(request)
      })
  })

/** What a test runs over: a fleet, or a script of answers. */
interface Balanced<Out = never> {
  readonly layer: Layer.Layer<LoadBalancer | Deployments | Out, LoadBalancerError>
}

/** The same, with the balanced `HttpClient`. */
export const overHttp = <On extends Balanced>(on: On) => ({
  ...on,
  layer: Layer.provideMerge(BalancedHttpClient.layer, on.layer)
})

/** Posts JSON, or text as it is, with the `HttpClient` that is there, as a chat unless it is said. */
export const post = (
  body: unknown,
  options: { readonly url?: string; readonly headers?: Record<string, string>; readonly contentType?: string } = {}
) => {
  const { contentType = "application/json", headers, url = "https://api.openai.com/v1/chat/completions" } = options
  const request = HttpClientRequest.post(url, { headers })
  const text = typeof body === "string" ? body : JSON.stringify(body)
  return HttpClient.execute(HttpClientRequest.bodyText(request, text, contentType))
}

/** What there is to see of a balancer from within. */
interface Seen {
  readonly members: Deployments["Service"]
  /** Everything that happens from the moment on when a test takes them, in order. */
  readonly events: ReadonlyArray<Event>
}

/** Runs a test over a balancer, with one seed for all that is random. It is given both, and what there is to see. */
export const run: {
  <Out, On extends Balanced<Out>, Eff extends Effect.Effect<any, any, any>, A>(
    on: On & Balanced<Out>,
    test: (lb: LoadBalancer["Service"], on: On, seen: Seen) => Generator<Eff, A, never>,
    seed?: string | number
  ): Effect.Effect<
    A,
    LoadBalancerError | (Eff extends Effect.Effect<any, infer E, any> ? E : never),
    Exclude<Eff extends Effect.Effect<any, any, infer R> ? R : never, LoadBalancer | Deployments | Out>
  >
  <A, E, R, Out>(
    on: Balanced<Out>,
    test: Effect.Effect<A, E, R>,
    seed?: string | number
  ): Effect.Effect<A, E | LoadBalancerError, Exclude<R, LoadBalancer | Deployments | Out>>
} = (
  on: Balanced<any>,
  test:
    | Effect.Effect<any, any, any>
    | ((lb: LoadBalancer["Service"], on: any, seen: Seen) => Generator<any, any, never>),
  seed: string | number = 1
) => {
  const body = typeof test === "function"
    ? Effect.flatMap(
      Effect.all([LoadBalancer, Deployments]),
      ([lb, members]) => Effect.gen(() => test(lb, on, see(members)))
    )
    : test
  return body.pipe(Effect.provide(on.layer), Random.withSeed(seed))
}

/** How an effect ended, after as much virtual time as it needs, in steps. */
export const settle = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options: { readonly step?: number; readonly limit?: number } = {}
): Effect.Effect<Exit.Exit<A, E>, never, R> =>
  Effect.gen(function*() {
    const { limit = 2_000_000, step = 50 } = options
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    for (let waited = 0; fiber.pollUnsafe() === undefined && waited < limit; waited += step) {
      yield* TestClock.adjust(step)
    }
    if (fiber.pollUnsafe() === undefined) {
      yield* Fiber.interrupt(fiber)
      return yield* Effect.die(new Error(`nothing came of it in ${limit} ms`))
    }
    return yield* Fiber.await(fiber)
  })

/** What an effect gives, after as much virtual time as it needs. */
export const answer = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatten(settle(effect))

/** The error of an effect that fails, after as much virtual time as it needs. */
export const failure = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<E, A, R> => Effect.flip(answer(effect))

/** The reason of an error, which must be of this kind. */
export const reasonOf = <Tag extends LoadBalancerErrorReason["_tag"]>(
  error: unknown,
  tag: Tag
): Extract<LoadBalancerErrorReason, { readonly _tag: Tag }> => {
  if (!(error instanceof LoadBalancerError)) throw new Error(`no error of the balancer: ${String(error)}`)
  if (error.reason._tag !== tag) throw new Error(`expected ${tag}, found ${error.reason._tag}: ${error.message}`)
  return error.reason as Extract<LoadBalancerErrorReason, { readonly _tag: Tag }>
}

/** Where the attempts of an error went, and how each ended. */
export const routeOf = (error: unknown): ReadonlyArray<string> =>
  (error as { readonly attempts: ReadonlyArray<AttemptSummary> }).attempts.map(({ deployment, outcome }) =>
    `${deployment.split("/")[0]} ${outcome}`
  )

/** What a deployment of a service did so far: the first one, unless it is named. Its usage is as of the beginning. */
export const statsOf = (
  service: SimulatedService.SimulatedService | undefined,
  name = service!.deployments[0]!,
  now = 0
): DeploymentStats => service!.stats(now).deployments[name]!

/** What the only deployment of a service did, as of now. */
export const statsNow = (service: SimulatedService.SimulatedService | undefined): Effect.Effect<DeploymentStats> =>
  Effect.map(Clock.currentTimeMillis, (now) => statsOf(service, undefined, now))

/** How many requests each service was sent, by name of the resource. */
export const sent = (fleet: Fleet): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const name of Object.keys(fleet.services)) counts[name] = 0
  for (const { resource } of fleet.sends) counts[resource] = (counts[resource] ?? 0) + 1
  return counts
}

/** State of a deployment, by name of its resource or by its id. */
export const stateOf = (name: string): Effect.Effect<DeploymentSnapshot, never, LoadBalancer> =>
  Effect.gen(function*() {
    const { deployments } = yield* (yield* LoadBalancer).snapshot
    return deployments.find(({ id, resource }) => resource === name || id === name)!
  })

/** Everything that happens from now on, in order. */
export const listen: Effect.Effect<ReadonlyArray<Event>, never, Deployments> = Effect.map(
  Deployments,
  (members) => see(members).events
)

/** Nobody listens unless the events are taken, as the balancer makes none for nobody. */
const see = (members: Deployments["Service"]): Seen => ({
  members,
  get events() {
    const heard: Array<Event> = []
    members.events.listen((event) => heard.push(event))
    return heard
  }
})

/** The events of one kind. */
export const heard = <Tag extends Event["_tag"]>(
  events: ReadonlyArray<Event>,
  tag: Tag
): ReadonlyArray<Extract<Event, { readonly _tag: Tag }>> =>
  events.filter((event): event is Extract<Event, { readonly _tag: Tag }> => event._tag === tag)

export const hello = { model: "gpt-4o", messages: [{ role: "user" as const, content: "Say hello." }] }
