/**
 * A gateway before simulated resources, on real sockets.
 */
import { Gateway } from "#node/gateway/Gateway"
import { layerDecoded } from "#node/LoadBalancerLive"
import { type SimulatorOptions, startSimulator } from "#node/simulator/SimulatorServer"
import { type ConfigInput, decodeConfig, Deployments, LoadBalancer } from "@evenkeel/core"
import { Context, Effect, Exit, Layer, Result, Scope } from "effect"
import { connect, type Socket } from "node:net"

export type Gated = Awaited<ReturnType<typeof gated>>

/** Starts both; resources need no more than their deployments. `each` adds to how the gateway is told of them. */
export const gated = async (
  resources: ReadonlyArray<
    Omit<SimulatorOptions["resources"][number], "apiKey"> & { readonly apiKey?: string | undefined }
  >,
  config: Partial<ConfigInput> = {},
  apiVersion?: string,
  each = (resource: ConfigInput["resources"][number]) => resource
) => {
  const simulator = await startSimulator({
    resources: resources.map((resource) => ({
      apiKey: `key-of-${resource.name}`,
      ...resource
    })) as SimulatorOptions["resources"]
  })
  const input: ConfigInput = {
    resources: simulator.resources.map((resource) => each(resource.config(apiVersion))),
    ...config,
    gateway: { port: 0, ...config.gateway }
  }
  const settings = Result.getOrThrowWith(decodeConfig(input), (issues) => new Error(JSON.stringify(issues)))
  const scope = Effect.runSync(Scope.make())
  const layer = Gateway.layer(settings.gateway).pipe(Layer.provideMerge(layerDecoded(settings)))
  const context = await Effect.runPromise(Layer.buildWithScope(layer, scope))
  const gateway = Context.get(context, Gateway)
  let closing: Promise<void> | undefined
  const close = () => closing ??= Effect.runPromise(Scope.close(scope, Exit.void)).finally(() => simulator.close())
  return {
    simulator,
    gateway,
    context,
    settings,
    events: Context.get(context, Deployments).events,
    snapshot: () => Effect.runSync(Context.get(context, LoadBalancer).snapshot),
    url: gateway.url,
    port: Number(new URL(gateway.url).port),
    close,
    /** Closes the gateway alone. */
    stop: () => Effect.runPromise(Scope.close(scope, Exit.void)),
    [Symbol.asyncDispose]: close
  }
}

/** What comes back on a socket for these bytes, until it is closed or so many milliseconds have passed. */
export const raw = (port: number, bytes: string | Uint8Array, millis = 2000): Promise<string> =>
  new Promise((resolve) => {
    let text = ""
    const socket: Socket = connect(port, "127.0.0.1", () => socket.write(bytes))
    const timer = setTimeout(() => socket.destroy(), millis)
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1")
    })
    socket.on("error", () => {})
    socket.on("close", () => {
      clearTimeout(timer)
      resolve(text)
    })
  })
