/**
 * A small server for Prometheus, where the program has none of its own.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { once } from "node:events"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import * as Environment from "./Environment.ts"
import { contentType, page } from "./Prometheus.ts"

/** The server could not be started. */
export class PrometheusServerError extends Data.TaggedError("PrometheusServerError")<{
  readonly host: string
  readonly port: number
  /** The system's word for it, such as `EADDRINUSE`. */
  readonly code: string
}> {
  override get message(): string {
    const { code, host, port } = this
    const hint = code === "EADDRINUSE"
      ? "; something else listens there: give another port in OTEL_EXPORTER_PROMETHEUS_PORT, or 0 for any"
      : ""
    return `The page for Prometheus cannot be served at ${host}:${port} (${code})${hint}.`
  }
}

/** Where to listen. */
export interface PrometheusServerOptions {
  /** Default: `OTEL_EXPORTER_PROMETHEUS_HOST`, else `localhost`, which only this machine reaches. */
  readonly host?: string | undefined
  /** 0 for any that is free. Default: `OTEL_EXPORTER_PROMETHEUS_PORT`, else 9464. */
  readonly port?: number | undefined
}

/** Serves `/metrics` while the scope is open. Gives the port. */
export const serve = (options: PrometheusServerOptions = {}) =>
  Effect.gen(function*() {
    const given = yield* Environment.prometheus
    const { host = given.host, port = given.port } = options
    const run = Effect.runPromiseWith(yield* Effect.context<never>())
    const server = createServer((request, response) => {
      const path = request.url?.split("?", 1)[0]
      if (path !== "/metrics" || (request.method !== "GET" && request.method !== "HEAD")) {
        response.writeHead(path === "/metrics" ? 405 : 404, { "content-type": "text/plain" }).end("GET /metrics\n")
        return
      }
      void run(page).then((text) => {
        response.writeHead(200, { "content-type": contentType }).end(request.method === "HEAD" ? undefined : text)
      })
    })
    // a program that has nothing else to do may end
    server.unref()
    yield* Effect.acquireRelease(listen(server, host, port), () => close(server))
    return (server.address() as AddressInfo).port
  })

const listen = (server: Server, host: string, port: number): Effect.Effect<void, PrometheusServerError> =>
  Effect.tryPromise({
    try: async () => void await once(server.listen(port, host), "listening"),
    catch: (cause) => {
      const { code = "unknown" } = cause as NodeJS.ErrnoException
      return new PrometheusServerError({ host, port, code })
    }
  })

const close = (server: Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    server.close(() => resume(Effect.void))
    server.closeAllConnections()
  })

/** A server that was started. */
export interface PrometheusServer extends AsyncDisposable {
  readonly port: number
  readonly close: () => Promise<void>
}

/**
 * Starts a server for Prometheus, for plain TypeScript.
 *
 * **Example** (A balancer that Prometheus can scrape)
 *
 * ```ts
 * await using server = await PrometheusServer.start({ port: 9464 })
 * ```
 *
 * @throws PrometheusServerError where it cannot listen
 */
export const start = async (options: PrometheusServerOptions = {}): Promise<PrometheusServer> => {
  const scope = Effect.runSync(Scope.make())
  const close = () => Effect.runPromise(Scope.close(scope, Exit.void))
  const port = await Effect.runPromise(Effect.provideService(serve(options), Scope.Scope, scope))
  return { port, close, [Symbol.asyncDispose]: close }
}

/**
 * Layer of a server for Prometheus: `http://localhost:9464/metrics`, unless it is told otherwise.
 *
 * **Example** (A balancer that Prometheus can scrape)
 *
 * ```ts
 * program.pipe(Effect.provide(LoadBalancerLive.pipe(Layer.provideMerge(PrometheusServer.layer({ host: "0.0.0.0" })))))
 * ```
 */
export const layer = (options: PrometheusServerOptions = {}): Layer.Layer<never, PrometheusServerError> =>
  Layer.effectDiscard(serve(options))
