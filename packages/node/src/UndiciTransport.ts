/**
 * The transport of Node: undici, one connection pool for each resource.
 *
 * Keep-alive outlives the gaps between calls, so that an idle minute costs no new TLS handshake. Time limits are the
 * balancer's, but for the time to connect, which only the pool can tell from the rest. HTTP/2 is off: one broken
 * connection would break every stream on it.
 */
import Undici from "@effect/platform-node/Undici"
import { Transport, TransportError, type TransportErrorKind, type TransportResponse } from "@evenkeel/core/Transport"
import type { TransportRequest } from "@evenkeel/core/Transport"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"

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
   * Connections to one resource; requests beyond wait for one.
   *
   * @default no limit
   */
  readonly connections?: number | undefined
  /** Passed to the TLS connection: `ca`, `cert`, `key`, `servername`. Certificates are always verified unless told otherwise. */
  readonly tls?: Readonly<Record<string, unknown>> | undefined
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
    const pools = new Map<string, Undici.Pool>()
    yield* Effect.addFinalizer(() =>
      Effect.promise(() => {
        const closed = Array.from(pools.values(), (pool) => pool.destroy())
        pools.clear()
        return Promise.all(closed)
      })
    )
    const poolOf = (request: TransportRequest): Undici.Pool => {
      const key = `${request.resource} ${request.origin}`
      let pool = pools.get(key)
      if (pool === undefined) {
        pool = new Undici.Pool(request.origin, {
          connections: options.connections ?? null,
          keepAliveTimeout: options.keepAlive ?? 60_000,
          keepAliveMaxTimeout: 600_000,
          headersTimeout: 0,
          bodyTimeout: 0,
          allowH2: false,
          connect: { ...options.tls, timeout: options.connectTimeout ?? 10_000 }
        })
        pools.set(key, pool)
      }
      return pool
    }
    return Transport.of({
      send: (request) =>
        Effect.callback<TransportResponse, TransportError>((resume) => {
          const exchange = new Exchange(
            (response) => {
              request.onResponse?.(response)
              resume(Effect.succeed(response))
            },
            (error) => resume(Effect.fail(error))
          )
          try {
            poolOf(request).dispatch({
              path: request.path,
              method: request.method,
              // what comes is given out as it is
              headers: { ...request.headers, "accept-encoding": "identity" },
              body: request.body ?? null
            }, exchange)
          } catch (cause) {
            resume(Effect.fail(errorOf(cause, false)))
          }
          return Effect.sync(() => exchange.abort())
        })
    })
  })

/** Bytes that may wait unread before the peer is held back. */
const HIGH_WATER = 64 * 1024

/** How long the rest of a discarded body may take, in milliseconds, before its connection is closed. */
const DISCARD_WITHIN = 1000

/** One request and its answer: undici's handler, and what is read from it. */
class Exchange implements Undici.Dispatcher.DispatchHandler, TransportResponse {
  status = 0
  headers: Readonly<Record<string, string>> = {}
  private readonly onStart: (response: TransportResponse) => void
  private readonly onFail: (error: TransportError) => void
  private controller: Undici.Dispatcher.DispatchController | undefined
  private chunks: Array<Buffer> = []
  private unread = 0
  private readsWhole = false
  /** Whether the body is compressed, though nobody asked for that. */
  private isEncoded = false
  private state: "waiting" | "open" | "ended" | "aborted" = "waiting"
  private error: TransportError | undefined
  /** Called when there is something to read: bytes, the end, or an error. */
  private wake: (() => void) | undefined
  private discardTimer: ReturnType<typeof setTimeout> | undefined

  constructor(onStart: (response: TransportResponse) => void, onFail: (error: TransportError) => void) {
    this.onStart = onStart
    this.onFail = onFail
  }

  onRequestStart(controller: Undici.Dispatcher.DispatchController): void {
    this.controller = controller
    if (this.state === "aborted") controller.abort(abandoned)
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
    if (this.readsWhole) return
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
    this.error = errorOf(cause, this.controller !== undefined)
    if (this.state !== "aborted") this.state = "ended"
    if (wasWaiting) this.onFail(this.error)
    else this.awake()
  }

  readonly pull: Pull.Pull<Uint8Array, TransportError> = Effect.suspend(() =>
    this.hasNews() ? this.take() : Effect.flatMap(this.news, () => this.take())
  )

  readonly text: Effect.Effect<string, TransportError> = Effect.suspend(() => {
    this.readsWhole = true
    this.controller?.resume()
    return this.state === "open" ? Effect.flatMap(this.news, () => this.takeAll()) : this.takeAll()
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

  discard(): void {
    this.chunks = []
    if (this.state !== "open" || this.discardTimer !== undefined) return
    // of the socket, after the request's own fiber: it must not keep the process alive
    this.discardTimer = setTimeout(() => this.abort(), DISCARD_WITHIN)
    this.discardTimer.unref()
    this.controller?.resume()
  }

  private hasNews(): boolean {
    return this.chunks.length > 0 || this.state !== "open"
  }

  private readonly news: Effect.Effect<void> = Effect.callback((resume) => {
    const wake = () => resume(Effect.void)
    this.wake = wake
    return Effect.sync(() => {
      if (this.wake === wake) this.wake = undefined
    })
  })

  private awake(): void {
    const { wake } = this
    this.wake = undefined
    wake?.()
  }

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

const kinds: Readonly<Record<string, TransportErrorKind>> = {
  ENOTFOUND: "dns",
  EAI_AGAIN: "dns",
  EAI_FAIL: "dns",
  ECONNREFUSED: "connect",
  EHOSTUNREACH: "connect",
  ENETUNREACH: "connect",
  EADDRNOTAVAIL: "connect",
  EMFILE: "connect",
  UND_ERR_CONNECT_TIMEOUT: "connect-timeout",
  EPROTO: "tls",
  DEPTH_ZERO_SELF_SIGNED_CERT: "tls",
  SELF_SIGNED_CERT_IN_CHAIN: "tls",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "tls",
  UNABLE_TO_GET_ISSUER_CERT: "tls",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "tls",
  UND_ERR_SOCKET: "reset",
  ECONNRESET: "reset",
  EPIPE: "reset"
}

/** @param wasSent whether the request had a connection: without one, no byte of it left */
const errorOf = (cause: unknown, wasSent: boolean): TransportError => {
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : undefined
  const known = code === undefined ? undefined : kinds[code]
  const isTls = code !== undefined &&
    (code.startsWith("ERR_TLS") || code.startsWith("ERR_SSL") || code.startsWith("CERT_"))
  if (code === "UND_ERR_INVALID_ARG") return new TransportError({ kind: "protocol", code })
  const kind = isTls ? "tls" : known
  // once the request had a connection it may have arrived, whatever broke then
  if (wasSent) return new TransportError({ kind: kind === undefined ? "protocol" : "reset", code })
  return new TransportError({ kind: kind === undefined || kind === "reset" ? "connect" : kind, code })
}
