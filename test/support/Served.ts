/**
 * Balancers over simulated services behind real sockets, for tests of Node's doors.
 */
import type { Simulator, SimulatorOptions } from "#node/simulator/SimulatorServer"
import { startSimulator } from "#node/simulator/SimulatorServer"
import { assert } from "@effect/vitest"
import type { ConfigInput } from "@evenkeel/core"
import { createLoadBalancer, type LoadBalancerClient, type LoadBalancerClientOptions } from "@evenkeel/node"

export type ResourceOptions = SimulatorOptions["resources"][number]
type ServiceOf = Simulator["service"]

/** Answers within a few milliseconds. */
export const fast = { baseMs: 2, perPromptTokenMs: 0, perOutputTokenMs: 0.1, jitter: 0, errorMs: 1 }

/** A token every 20 ms: slow enough to be stopped on its way. */
export const slow = { baseMs: 20, perPromptTokenMs: 0, perOutputTokenMs: 20, jitter: 0 }

export const messages = [{ role: "user" as const, content: "Say hello." }]
export const hello = { model: "gpt-4o", messages }

/** An Azure resource whose one deployment, `gpt`, serves gpt-4o with the same words each time. */
export const resource = (
  name: string,
  deployment: Partial<ResourceOptions["deployments"][number]> = {},
  options: Partial<ResourceOptions> = {}
): ResourceOptions => ({
  name,
  deployments: [{ name: "gpt", model: "gpt-4o", latency: fast, reply: () => "Hello from here.", ...deployment }],
  ...options
})

/** A balancer over a simulator. Closing it closes both. */
export interface Served extends AsyncDisposable {
  readonly simulator: Simulator
  readonly lb: LoadBalancerClient
  readonly service: ServiceOf
  readonly stats: (name: string) => ReturnType<ReturnType<ServiceOf>["stats"]>
  /** Sends that reached any resource. */
  readonly sends: () => number
}

export interface ServeOptions extends Omit<Partial<ConfigInput>, "resources"> {
  /** Makes the resources classic. */
  readonly apiVersion?: string
  /** Replaces or adds to the configuration of each resource. */
  readonly each?: (given: ConfigInput["resources"][number]) => ConfigInput["resources"][number]
}

/** Starts both. */
export const serve = async (
  resources: ReadonlyArray<ResourceOptions>,
  { apiVersion, each = (given) => given, ...config }: ServeOptions = {},
  replace: LoadBalancerClientOptions = {}
): Promise<Served> => {
  const simulator = await startSimulator({ resources })
  const lb = createLoadBalancer({
    resources: simulator.resources.map((started) => each(started.config(apiVersion))),
    // nothing is sent but what a test sends
    health: { check: { kind: "none" } },
    ...config
  }, replace)
  const stats = (name: string) => simulator.service(name).stats(Date.now())
  return {
    simulator,
    lb,
    service: simulator.service,
    stats,
    sends: () => resources.reduce((sum, { name }) => sum + stats(name).requests, 0),
    [Symbol.asyncDispose]: async () => {
      await lb.close()
      await simulator.close()
    }
  }
}

/** Scheme, host and port of a simulated resource. */
export const urlOf = (simulator: Simulator, name: string): string =>
  simulator.resources.find((started) => started.name === name)!.url

/** Requests that the balancer believes to be under way. */
export const inFlight = (lb: LoadBalancerClient): number =>
  lb.snapshot().deployments.reduce((sum, deployment) => sum + deployment.inFlight, 0)

export const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** Waits for something that a socket brings about, for at most three seconds unless it is said. */
export const eventually = async (
  holds: () => boolean,
  what = "It did not come about",
  within = 3_000
): Promise<void> => {
  const end = performance.now() + within
  while (!holds() && performance.now() < end) await pause(5)
  assert.isTrue(holds(), what)
}

/** What a promise is rejected with. */
export const failureOf = async (promise: PromiseLike<unknown>): Promise<unknown> => {
  try {
    await promise
  } catch (error) {
    return error
  }
  return assert.fail("It did not fail")
}

/** A promise's rejection, which must be of this class. */
export const failureAs = async <E>(
  promise: PromiseLike<unknown>,
  kind: new(...args: Array<never>) => E
): Promise<E> => {
  const error = await failureOf(promise)
  assert.isTrue(error instanceof kind, `${String(error)} is no ${kind.name}`)
  return error as E
}

/** Everything that an iterable gives. */
export const collect = async <A>(items: AsyncIterable<A>): Promise<Array<A>> => {
  const all: Array<A> = []
  for await (const item of items) all.push(item)
  return all
}
