/**
 * The simulated service behind real sockets: one listening port on 127.0.0.1 for each resource.
 *
 * It shares the machine with what it tests, so its hot path is plain: no Effect for a chunk, one timer for a waiting
 * answer, and everything that is due in one write.
 *
 * **Example** (Testing against it)
 *
 * ```ts
 * await using simulator = await startSimulator({
 *   resources: [{ name: "east", apiKey: "key", deployments: [{ name: "gpt-4o", tpm: 30_000, rpm: 180 }] }]
 * })
 * simulator.service("east").fault("gpt-4o", { kind: "throttle", retryAfterMs: 2_000, times: 1 })
 * const lb = createLoadBalancer({ resources: simulator.resources.map((resource) => resource.config()) })
 * ```
 *
 * A `refused` fault breaks the connection at once here, since it was made before the fault was known; `down` refuses.
 *
 * While it runs, it can be looked at and changed over HTTP, on the port of the resource:
 *
 * - `GET /++/stats`: what the resource did so far.
 * - `GET /++/faults`, `PATCH /++/faults`: the faults by target, a deployment or `*` for the whole resource. A patch
 *   replaces the list of each target that it names: `{ "gpt-4o": [{ "kind": "slow", "factor": 5 }], "*": null }`.
 * - `PATCH /++/limits`: `{ "gpt-4o": { "tpm": 10000, "rpm": 60 } }`.
 * - `POST /++/consume`: use by other clients, `{ "deployment": "gpt-4o", "tokens": 5000, "requests": 3 }`.
 */
import type { ResourceInput } from "@evenkeel/core"
import { SeededRandom, SimulatedService } from "@evenkeel/core/simulation"
import { once } from "node:events"
import * as Http from "node:http"
import type { AddressInfo, Socket } from "node:net"
import * as Control from "./SimulatorControl.ts"
import { play } from "./SimulatorPlayer.ts"

/**
 * What to simulate.
 */
export interface SimulatorOptions {
  readonly resources: ReadonlyArray<SimulatorResourceOptions>
  /** Seed of everything that is random. Default 1. */
  readonly seed?: number | undefined
}

/**
 * A resource, and where it listens.
 */
export interface SimulatorResourceOptions extends SimulatedService.SimulatedServiceOptions {
  /** Default 0: any that is free. */
  readonly port?: number | undefined
}

/**
 * A running simulator.
 */
export interface Simulator extends AsyncDisposable {
  readonly resources: ReadonlyArray<SimulatorResource>
  /** The model behind a resource: its faults, limits and counters. */
  readonly service: (name: string) => SimulatedService.SimulatedService
  /** Connections that are open to a resource, or to all of them. */
  readonly connections: (name?: string) => number
  /** Stops listening and breaks every connection of a resource: connecting is refused from then on. */
  readonly down: (name: string) => Promise<void>
  /** Listens again, on the same port. */
  readonly up: (name: string) => Promise<void>
  readonly close: () => Promise<void>
}

/**
 * A resource that listens.
 */
export interface SimulatorResource {
  readonly name: string
  /** Scheme, host and port, such as `http://127.0.0.1:40123`. */
  readonly url: string
  /** Base URL for clients of OpenAI, such as `http://127.0.0.1:40123/openai/v1`. */
  readonly baseUrl: string
  readonly provider: "azure" | "openai"
  readonly apiKey: string
  /** Names of its deployments. */
  readonly deployments: ReadonlyArray<string>
  /** How a client is configured for it. An API version makes it classic Azure. */
  readonly config: (apiVersion?: string) => ResourceInput
}

/**
 * Starts a simulator. In a program of Effect it is a resource of its scope by `Effect.acquireDisposable`.
 */
export const startSimulator = async (options: SimulatorOptions): Promise<Simulator> => {
  const random = SeededRandom.make(options.seed ?? 1)
  const listeners = new Map(
    options.resources.map((resource) => [resource.name, makeListener(SimulatedService.make(resource), random)])
  )
  if (listeners.size < options.resources.length) throw new RangeError("Resources must have different names")
  const find = (name: string): Listener => {
    const listener = listeners.get(name)
    if (listener === undefined) throw new RangeError(`The simulator has no resource ${name}`)
    return listener
  }
  const close = async (): Promise<void> => {
    await Promise.all(Array.from(listeners.values(), (listener) => listener.close()))
  }
  try {
    await Promise.all(options.resources.map((resource) => find(resource.name).listen(resource.port ?? 0)))
  } catch (error) {
    await close()
    throw error
  }
  return {
    resources: Array.from(listeners.values(), ({ port, service }) => {
      const url = `http://127.0.0.1:${port()}`
      return {
        name: service.name,
        url,
        baseUrl: `${url}${service.provider === "azure" ? "/openai" : ""}/v1`,
        provider: service.provider,
        apiKey: service.apiKey,
        deployments: service.deployments,
        config: (apiVersion) => service.config({ origin: url, apiVersion })
      }
    }),
    service: (name) => find(name).service,
    connections: (name) =>
      (name === undefined ? Array.from(listeners.values()) : [find(name)])
        .reduce((sum, listener) => sum + listener.connections(), 0),
    down: (name) => find(name).close(),
    up: (name) => find(name).listen(find(name).port()),
    close,
    [Symbol.asyncDispose]: close
  }
}

type Listener = ReturnType<typeof makeListener>

const makeListener = (service: SimulatedService.SimulatedService, random: () => number) => {
  const sockets = new Set<Socket>()
  const server = Http.createServer({ keepAlive: true, noDelay: true }, (request, response) => {
    const url = request.url ?? "/"
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("error", () => {})
    request.on("end", () => {
      const body = chunks.length === 1 ? chunks[0]!.toString("utf8") : Buffer.concat(chunks).toString("utf8")
      if (url.startsWith("/++/")) return Control.answer(service, request.method ?? "GET", url, body, response)
      const incoming = { method: request.method ?? "GET", path: url, headers: request.headers, body }
      play(service.handle(incoming, Date.now(), random), response)
    })
  })
  // Answers may take as long as they like, and connections are kept for as long as a client may reuse them.
  server.requestTimeout = 0
  server.headersTimeout = 0
  server.keepAliveTimeout = 300_000
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  let port = 0
  return {
    service,
    port: () => port,
    connections: () => sockets.size,
    listen: async (wanted: number): Promise<void> => {
      await once(server.listen(wanted, "127.0.0.1", 4_096), "listening")
      port = (server.address() as AddressInfo).port
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      })
  }
}
