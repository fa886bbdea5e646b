/**
 * The transport of Node: undici, one connection pool for each resource.
 *
 * Keep-alive outlives the gaps between calls, so that an idle minute costs no new TLS handshake. Time limits are the
 * balancer's, but for the time to connect, which only the pool can tell from the rest. HTTP/2 is off: one broken
 * connection would break every stream on it.
 *
 * Two things are no failure of a resource. A connection that was kept may have ended without a word, at a NAT or a load
 * balancer: what was just sent on it is sent again, once, on a new one, where it may be. And this machine may have no file,
 * port or memory left for a connection: then it is tried again for as long as connecting may take.
 */
import { Transport, TransportError, type TransportRequest, type TransportResponse } from "@evenkeel/core"
import { aborted } from "@evenkeel/core/internal"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { ConnectionPool, ConnectionPools, PoolSettings } from "./ConnectionPools.ts"
import { Exchange } from "./Exchange.ts"
import { errorOf } from "./NetworkError.ts"
import * as ProxyVariables from "./ProxyVariables.ts"
import * as Runtime from "./Runtime.ts"

/**
 * Options of the pools. Durations in milliseconds.
 */
export interface UndiciTransportOptions {
  /**
   * Time to connect, TLS included.
   *
   * @default 10_000
   */
  readonly connectTimeout?: number | undefined
  /**
   * How long an idle connection is kept. A server's own hint is honoured.
   *
   * @default 60_000
   */
  readonly keepAlive?: number | undefined
  /**
   * How old a connection gets before it is replaced, between two requests, so that a change of the resource's address is
   * followed.
   *
   * @default 300_000
   */
  readonly maxAge?: number | undefined
  /**
   * Connections to one resource. Each answer and each stream that is under way has one; requests beyond wait for one, for
   * as long as connecting may take, and then fail as `local`: held against no resource, and tried at another.
   *
   * @default 10_000
   */
  readonly connections?: number | undefined
  /**
   * Passed to the TLS connection of every resource: `ca`, `cert`, `key`, `servername`. What a resource's own `tls` says
   * wins. Certificates are always verified unless told otherwise.
   */
  readonly tls?: Readonly<Record<string, unknown>> | undefined
  /**
   * Variables that name proxies: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, in either case, and `NODE_USE_ENV_PROXY=0` for
   * none. A resource's own `proxy` wins, and this machine is never asked through one of these.
   *
   * @default process.env
   */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
}

/**
 * Layer of the transport. Closing its scope destroys every connection.
 */
export const layer = (options: UndiciTransportOptions = {}): Layer.Layer<Transport> =>
  Layer.effect(Transport, make(options))

/**
 * Makes the transport.
 */
export const make = (options: UndiciTransportOptions = {}): Effect.Effect<Transport["Service"], never, Scope.Scope> =>
  Effect.gen(function*() {
    if (Runtime.current !== "node") return yield* Effect.die(new TypeError(notHere))
    const connectTimeout = options.connectTimeout ?? 10_000
    const settings: PoolSettings = {
      connectTimeout,
      keepAlive: options.keepAlive ?? 60_000,
      maxAge: options.maxAge ?? 300_000,
      connections: options.connections ?? 10_000,
      tls: options.tls,
      proxies: ProxyVariables.read(options.environment ?? process.env)
    }
    let pools = Pools && new Pools(settings)
    let opening: Promise<ConnectionPools> | undefined
    // one for all who ask while it is loaded
    const opened = () => opening ??= loadPools().then((Loaded) => pools = new Loaded(settings))
    // a server is rarely asked at once; and whoever asks is told what failed
    loadPools().catch(() => {})
    yield* Effect.addFinalizer(() =>
      Effect.promise(async () => {
        // where it could not be loaded there is nothing to close
        await opening?.catch(() => {})
        await pools?.destroy()
      })
    )
    const send = (request: TransportRequest) =>
      Effect.callback<TransportResponse, TransportError>((resume) => {
        const sending = new Sending(request, connectTimeout, resume)
        request.onStart?.(sending)
        if (pools !== undefined) sending.start(pools)
        else opened().then((pools) => sending.start(pools), (cause) => resume(Effect.die(cause)))
        return Effect.sync(() => sending.abort())
      })
    return Transport.of({ send: Object.assign(send, { isAbortable: true }) })
  })

/**
 * undici takes as long to load as all of Evenkeel: it is loaded with the first transport, not where this package is only
 * imported, nor on Bun and Deno.
 */
const loadPools = async (): Promise<typeof ConnectionPools> =>
  Pools ??= (await import("./ConnectionPools.ts")).ConnectionPools

let Pools: typeof ConnectionPools | undefined

const notHere =
  `UndiciTransport runs on Node.js alone, and this is ${Runtime.current}: use HttpClientTransport.layer of `
  + "@evenkeel/core over FetchHttpClient.layer, as createLoadBalancer and LoadBalancerLive do by themselves"

/** Pauses before a connection is tried again that this machine could not make, in milliseconds: the first, the longest. */
const FIRST_PAUSE = 50
const LONGEST_PAUSE = 1000

/** One request, until it has an answer or failed for good. */
class Sending {
  private readonly request: TransportRequest
  private readonly connectTimeout: number
  private readonly resume: (effect: Effect.Effect<TransportResponse, TransportError>) => void
  private exchange: Exchange | undefined
  private isAborted = false
  private isRepeat = false
  private pause = FIRST_PAUSE
  private givesUpAt: number | undefined
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    request: TransportRequest,
    connectTimeout: number,
    resume: (effect: Effect.Effect<TransportResponse, TransportError>) => void
  ) {
    this.request = request
    this.connectTimeout = connectTimeout
    this.resume = resume
  }

  start(pools: ConnectionPools): void {
    if (this.isAborted) return
    const { body, headers, method, origin, path } = this.request
    try {
      const pool = pools.of(this.request)
      const exchange = new Exchange(
        (response) => this.resume(Effect.succeed(response)),
        (error) => this.failed(error, pool, pools)
      )
      this.exchange = exchange
      const hasRoom = pool.dispatcher.dispatch({
        origin,
        path,
        method,
        // what comes is given out as it is
        headers: { ...headers, "accept-encoding": "identity" },
        body: body ?? null
      }, exchange)
      if (!hasRoom) setTimeout(() => exchange.giveUp(noConnection), this.connectTimeout).unref()
    } catch (cause) {
      this.resume(Effect.fail(errorOf(cause, false)))
    }
  }

  abort(): void {
    this.isAborted = true
    clearTimeout(this.timer)
    this.exchange?.abort()
    this.resume(Effect.fail(aborted))
  }

  private failed(error: TransportError, pool: ConnectionPool, pools: ConnectionPools): void {
    if (error.kind === "stale") {
      pool.retire()
      if (this.request.isRepeatable === true && !this.isRepeat) {
        this.isRepeat = true
        this.start(pools)
        return
      }
    }
    if (error.kind === "local" && error !== noConnection) {
      this.givesUpAt ??= performance.now() + this.connectTimeout
      if (performance.now() + this.pause < this.givesUpAt) {
        this.timer = setTimeout(() => this.start(pools), this.pause)
        this.pause = Math.min(2 * this.pause, LONGEST_PAUSE)
        return
      }
    }
    this.resume(Effect.fail(error))
  }
}

const noConnection = new TransportError({ kind: "local", code: "every connection is in use" })
