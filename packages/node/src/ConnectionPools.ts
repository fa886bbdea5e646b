/**
 * The pools of connections, one for each resource, direct or through a proxy.
 *
 * A pool is retired when its resource is removed or reached in another way, and when one of its connections turned out to
 * have ended unseen, as the others most likely have too: it serves what it was given, and what comes next gets another.
 */
// oxlint-disable-next-line import/no-unassigned-import -- before undici: in a bundle it needs a `require`
import "#require"

import type { TransportRequest } from "@evenkeel/core"
import { type Connection, isLoopback, type TlsOptions } from "@evenkeel/core/internal"
import * as Redacted from "effect/Redacted"
import Undici from "undici"
import type { ProxyVariables } from "./ProxyVariables.ts"

/** Settings of every pool. Durations in milliseconds. */
export interface PoolSettings {
  readonly connectTimeout: number
  readonly keepAlive: number
  readonly maxAge: number
  readonly connections: number
  readonly tls: Readonly<Record<string, unknown>> | undefined
  readonly proxies: ProxyVariables | undefined
}

/** Connections to one resource. */
export interface ConnectionPool {
  readonly dispatcher: Undici.Dispatcher
  readonly connection: Connection | undefined
  /** Gives it no more requests; closes it when those that it has have ended. */
  readonly retire: () => void
}

/** A handler that wants to know which connection it is given, and may want none any more. */
export interface ConnectionHandler extends Undici.Dispatcher.DispatchHandler {
  pooled: PooledConnection | undefined
  readonly isGivenUp: boolean
}

/** One connection, which knows whether it has served before. */
export class PooledConnection extends Undici.Client {
  hasServed = false

  constructor(origin: string | URL, options: object) {
    super(origin, options)
    this.on("connect", () => {
      this.hasServed = false
    })
  }

  override dispatch(options: Undici.Dispatcher.DispatchOptions, handler: Undici.Dispatcher.DispatchHandler): boolean {
    if ("pooled" in handler) {
      const waiting = handler as ConnectionHandler
      // undici would close the connection over it
      if (waiting.isGivenUp) return true
      waiting.pooled = this
    }
    return super.dispatch(options, handler)
  }
}

const tlsOf = (tls: TlsOptions | undefined) =>
  tls === undefined ? {} : {
    ...(tls.ca === undefined ? {} : { ca: typeof tls.ca === "string" ? tls.ca : [...tls.ca] }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: Redacted.value(tls.key) }),
    ...(tls.servername === undefined ? {} : { servername: tls.servername })
  }

const factory = (origin: string | URL, options: object) => new PooledConnection(origin, options)

/**
 * All pools.
 */
export class ConnectionPools {
  private readonly settings: PoolSettings
  private readonly current = new Map<string, ConnectionPool>()
  private readonly open = new Set<Undici.Dispatcher>()

  constructor(settings: PoolSettings) {
    this.settings = settings
  }

  /** The pool that a request goes through. */
  of({ connection, origin, resource }: TransportRequest): ConnectionPool {
    const key = `${resource} ${origin}`
    const known = this.current.get(key)
    if (known !== undefined && known.connection === connection) return known
    known?.retire()
    const pool = this.make(key, origin, connection)
    this.current.set(key, pool)
    connection?.removed.addEventListener("abort", pool.retire, { once: true })
    return pool
  }

  /** Closes every connection, whatever is under way. */
  async destroy(): Promise<void> {
    this.current.clear()
    await Promise.all(Array.from(this.open, (dispatcher) => dispatcher.destroy()))
  }

  private make(key: string, origin: string, connection: Connection | undefined): ConnectionPool {
    const dispatcher = this.dispatcherOf(origin, connection)
    this.open.add(dispatcher)
    const pool: ConnectionPool = {
      dispatcher,
      connection,
      retire: () => {
        connection?.removed.removeEventListener("abort", pool.retire)
        if (this.current.get(key) === pool) this.current.delete(key)
        const forget = () => this.open.delete(dispatcher)
        dispatcher.close().then(forget, forget)
      }
    }
    return pool
  }

  private dispatcherOf(origin: string, connection: Connection | undefined): Undici.Dispatcher {
    const { connections, connectTimeout, keepAlive, maxAge, proxies } = this.settings
    const tls = { ...this.settings.tls, ...tlsOf(connection?.tls) }
    const pooling = {
      connections,
      clientTtl: maxAge,
      keepAliveTimeout: keepAlive,
      keepAliveMaxTimeout: 600_000,
      headersTimeout: 0,
      bodyTimeout: 0,
      allowH2: false,
      connect: { ...tls, timeout: connectTimeout }
    }
    const direct = () => new Undici.Pool(origin, { ...pooling, factory })
    const proxying = {
      ...pooling,
      connectTimeout,
      requestTls: tls,
      factory: (origin: string | URL, options: object) => new Undici.Pool(origin, { ...pooling, ...options, factory }),
      // that which the proxy does not answer in time is no connection
      clientFactory: (origin: URL, options: object) =>
        new Undici.Pool(origin, { ...options, headersTimeout: connectTimeout })
    }
    const proxy = connection?.proxy
    if (Redacted.isRedacted(proxy)) return new Undici.ProxyAgent({ ...proxying, uri: Redacted.value(proxy) })
    // no proxy of another machine reaches this one by its own name
    if (proxy === "none" || proxies === undefined || isLoopback(new URL(origin).hostname)) return direct()
    return new Undici.EnvHttpProxyAgent({
      ...proxying,
      httpProxy: proxies.http,
      httpsProxy: proxies.https,
      noProxy: proxies.none
    })
  }
}
