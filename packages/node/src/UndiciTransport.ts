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
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import type Undici from "undici"
import type {
  ConnectionHandler,
  ConnectionPool,
  ConnectionPools,
  PooledConnection,
  PoolSettings
} from "./ConnectionPools.ts"
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
    const opened = Effect.promise(() => opening ??= loadPools().then((Loaded) => pools = new Loaded(settings)))
    // a server is rarely asked at once; and whoever asks is told what failed
    loadPools().catch(() => {})
    yield* Effect.addFinalizer(() =>
      Effect.promise(async () => {
        // where it could not be loaded there is nothing to close
        await opening?.catch(() => {})
        await pools?.destroy()
      })
    )
    const send = (request: TransportRequest, pools: ConnectionPools) =>
      Effect.callback<TransportResponse, TransportError>((resume) => {
        const sending = new Sending(request, pools, connectTimeout, resume)
        sending.start()
        return Effect.sync(() => sending.abort())
      })
    return Transport.of({
      send: (request) =>
        pools === undefined ? Effect.flatMap(opened, (pools) => send(request, pools)) : send(request, pools)
    })
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
  private readonly pools: ConnectionPools
  private readonly connectTimeout: number
  private readonly resume: (effect: Effect.Effect<TransportResponse, TransportError>) => void
  private exchange: Exchange | undefined
  private isRepeat = false
  private pause = FIRST_PAUSE
  private givesUpAt: number | undefined
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    request: TransportRequest,
    pools: ConnectionPools,
    connectTimeout: number,
    resume: (effect: Effect.Effect<TransportResponse, TransportError>) => void
  ) {
    this.request = request
    this.pools = pools
    this.connectTimeout = connectTimeout
    this.resume = resume
  }

  start(): void {
    const { body, headers, method, origin, path } = this.request
    try {
      const pool = this.pools.of(this.request)
      const exchange = new Exchange(
        (response) => {
          this.request.onResponse?.(response)
          this.resume(Effect.succeed(response))
        },
        (error) => this.failed(error, pool)
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
    clearTimeout(this.timer)
    this.exchange?.abort()
  }

  private failed(error: TransportError, pool: ConnectionPool): void {
    if (error.kind === "stale") {
      pool.retire()
      if (this.request.isRepeatable === true && !this.isRepeat) {
        this.isRepeat = true
        this.start()
        return
      }
    }
    if (error.kind === "local" && error !== noConnection) {
      this.givesUpAt ??= performance.now() + this.connectTimeout
      if (performance.now() + this.pause < this.givesUpAt) {
        this.timer = setTimeout(() => this.start(), this.pause)
        this.pause = Math.min(2 * this.pause, LONGEST_PAUSE)
        return
      }
    }
    this.resume(Effect.fail(error))
  }
}

/** Bytes that may wait unread before the peer is held back. */
const HIGH_WATER = 64 * 1024

/** How long the rest of a discarded body may take, in milliseconds, before its connection is closed. */
const DISCARD_WITHIN = 1000

/**
 * A connection that had ended unseen says so as soon as something is sent on it. One that ends later than this, in
 * milliseconds, may have ended because of what was sent.
 */
const STALE_WITHIN = 3000

/** One request and its answer: undici's handler, and what is read from it. */
class Exchange implements ConnectionHandler, TransportResponse {
  status = 0
  headers: Readonly<Record<string, string>> = {}
  pooled: PooledConnection | undefined
  private readonly onStart: (response: TransportResponse) => void
  private readonly onFail: (error: TransportError) => void
  private controller: Undici.Dispatcher.DispatchController | undefined
  private chunks: Array<Buffer> = []
  private unread = 0
  /** Whether the body is compressed, though nobody asked for that. */
  private isEncoded = false
  private state: "waiting" | "open" | "ended" | "aborted" = "waiting"
  private error: TransportError | undefined
  /** Who waits for the next bytes, the end, or an error; and who waits for the whole. */
  private pulling: ((next: Pull.Pull<Uint8Array, TransportError>) => void) | undefined
  private reading: ((text: Effect.Effect<string, TransportError>) => void) | undefined
  private discardTimer: ReturnType<typeof setTimeout> | undefined
  /** Until when its connection may turn out to have ended before; 0 for one that is new, or that has answered. */
  private maybeStaleUntil = 0

  constructor(onStart: (response: TransportResponse) => void, onFail: (error: TransportError) => void) {
    this.onStart = onStart
    this.onFail = onFail
  }

  onRequestStart(controller: Undici.Dispatcher.DispatchController): void {
    this.controller = controller
    const { pooled } = this
    if (this.state === "aborted") controller.abort(abandoned)
    else if (pooled !== undefined) {
      if (pooled.hasServed) this.maybeStaleUntil = performance.now() + STALE_WITHIN
      pooled.hasServed = true
    }
    this.pooled = undefined
  }

  get isGivenUp(): boolean {
    return this.state === "aborted"
  }

  onResponseStarted(): void {
    this.maybeStaleUntil = 0
  }

  onResponseStart(
    controller: Undici.Dispatcher.DispatchController,
    status: number,
    headers: Readonly<Record<string, string | Array<string> | undefined>>
  ): void {
    if (status < 200 || this.state !== "waiting") return
    const encoding = headers["content-encoding"] ?? "identity"
    this.isEncoded = String(encoding).toLowerCase() !== "identity"
    if (status < 300 && this.isEncoded) {
      this.error = new TransportError({ kind: "protocol", code: `content-encoding ${String(encoding)}` })
      this.onFail(this.error)
      this.state = "aborted"
      controller.abort(abandoned)
      return
    }
    this.state = "open"
    this.status = status
    this.headers = flat(headers)
    this.onStart(this)
  }

  onResponseData(controller: Undici.Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.state !== "open" || this.discardTimer !== undefined) return
    this.chunks.push(chunk)
    this.unread += chunk.length
    if (this.reading !== undefined) return
    if (this.unread > HIGH_WATER) controller.pause()
    this.awake()
  }

  onResponseEnd(): void {
    clearTimeout(this.discardTimer)
    if (this.state === "open") this.state = "ended"
    this.awake()
  }

  onResponseError(_controller: Undici.Dispatcher.DispatchController, cause: Error): void {
    clearTimeout(this.discardTimer)
    const wasWaiting = this.state === "waiting"
    if (this.state === "ended") return
    this.error = this.errorOf(cause)
    if (this.state !== "aborted") this.state = "ended"
    if (wasWaiting) this.onFail(this.error)
    else this.awake()
  }

  readonly pull: Pull.Pull<Uint8Array, TransportError> = Effect.callback((resume) => {
    this.pulling = resume
    if (this.chunks.length > 0 || this.state !== "open") this.awake()
  })

  readonly text: Effect.Effect<string, TransportError> = Effect.callback((resume) => {
    this.reading = resume
    this.controller?.resume()
    if (this.state !== "open") this.awake()
  })

  abort(): void {
    if (this.state === "ended" || this.state === "aborted") return
    this.state = "aborted"
    this.chunks = []
    clearTimeout(this.discardTimer)
    this.error ??= new TransportError({ kind: "reset", code: "ABORTED" })
    this.controller?.abort(abandoned)
    this.awake()
  }

  /** Ends the wait for a connection, where it still waits for one. */
  giveUp(error: TransportError): void {
    if (this.state !== "waiting" || this.controller !== undefined) return
    this.state = "aborted"
    this.onFail(error)
  }

  discard(): void {
    this.chunks = []
    if (this.state !== "open" || this.discardTimer !== undefined) return
    // of the socket, after the request's own fiber: it must not keep the process alive
    this.discardTimer = setTimeout(() => this.abort(), DISCARD_WITHIN)
    this.discardTimer.unref()
    this.controller?.resume()
  }

  private errorOf(cause: Error): TransportError {
    const error = errorOf(cause, this.controller !== undefined)
    return error.kind === "reset" && performance.now() < this.maybeStaleUntil
      ? new TransportError({ kind: "stale", code: error.code })
      : error
  }

  private awake(): void {
    const { pulling, reading } = this
    this.pulling = undefined
    this.reading = undefined
    // taken by whoever still waits: one that was interrupted takes nothing
    pulling?.(this.next)
    reading?.(this.whole)
  }

  private readonly next = Effect.suspend(() => this.take())

  private readonly whole = Effect.suspend(() => this.takeAll())

  private take(): Pull.Pull<Uint8Array, TransportError> {
    const chunk = this.chunks.shift()
    if (chunk === undefined) return this.error === undefined ? Cause.done() : Effect.fail(this.error)
    this.unread -= chunk.length
    if (this.controller?.paused === true && this.unread <= HIGH_WATER / 2) this.controller.resume()
    return Effect.succeed(chunk)
  }

  private takeAll(): Effect.Effect<string, TransportError> {
    if (this.error !== undefined) return Effect.fail(this.error)
    const { chunks } = this
    this.chunks = []
    // of a refusal the status and the headers say most
    if (this.isEncoded) return Effect.succeed("")
    const text = (chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).toString("utf8")
    // a byte order mark is no part of a text
    return Effect.succeed(text.startsWith("\uFEFF") ? text.slice(1) : text)
  }
}

const abandoned = new Error("the attempt was given up")

const noConnection = new TransportError({ kind: "local", code: "every connection is in use" })

const flat = (
  headers: Readonly<Record<string, string | Array<string> | undefined>>
): Readonly<Record<string, string>> => {
  for (const name in headers) {
    if (typeof headers[name] !== "string") {
      const entries = Object.entries(headers).filter(([, value]) => value !== undefined)
      return Object.fromEntries(entries.map(([key, value]) => [key, Array.isArray(value) ? value.join(", ") : value!]))
    }
  }
  return headers as Readonly<Record<string, string>>
}
