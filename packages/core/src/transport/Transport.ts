/**
 * The one seam to the network: a request in; status, headers and a body out.
 *
 * Everything above it is the same whether bytes go through undici (Node), any `effect/http` `HttpClient`, or the
 * simulated service in memory. A transport gets one answer: it neither redirects nor times out a slow one, and sends
 * again only what the connection, or this machine, and surely not the service, let fail.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import type * as Redacted from "effect/Redacted"

/**
 * How one resource is reached, and until when.
 */
export interface Connection {
  /** URL of the proxy; `"none"` for none, whatever the environment says; `undefined` for the transport's default. */
  readonly proxy: "none" | Redacted.Redacted<string> | undefined
  /** `undefined` for the transport's own settings. */
  readonly tls: TlsOptions | undefined
  /** Aborted when the resource is removed: what is open to it is closed once its requests have ended. */
  readonly removed: AbortSignal
}

/**
 * TLS to one resource. The peer's certificate is always verified.
 */
export interface TlsOptions {
  /** Certificates that are trusted in place of the well-known ones, in PEM. */
  readonly ca: string | ReadonlyArray<string> | undefined
  /** The client's own certificate, in PEM, with `key`. */
  readonly cert: string | undefined
  readonly key: Redacted.Redacted<string> | undefined
  /** The name that is asked for and verified, where it is not that of the endpoint. */
  readonly servername: string | undefined
}

/**
 * One send to one resource. `origin` and `path` were built and checked by the resource, never by a caller.
 */
export interface TransportRequest {
  /** Name of the resource: one connection pool each. */
  readonly resource: string
  /** Scheme, host and port, for example `https://my-east.openai.azure.com`. */
  readonly origin: string
  /** Path and query, beginning with `/`. */
  readonly path: string
  readonly method: string
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array | undefined
  /** Absent: the transport's default, for as long as it lives. */
  readonly connection?: Connection | undefined
  /** Whether it may be sent again where nobody knows whether it arrived. Default: false. */
  readonly isRepeatable?: boolean | undefined
  /**
   * Told, before `send` waits for anything, of what gives up the response, handed over or not: whoever is interrupted in
   * between can then still do so. Of a `send` that `isAbortable`, `abort` ends what it waits for, too.
   */
  readonly onStart?: ((exchange: Pick<TransportResponse, "abort">) => void) | undefined
}

/**
 * An answer whose headers have arrived. Its body is either read as a whole (`text`) or pulled chunk by chunk; never
 * both.
 */
export interface TransportResponse {
  readonly status: number
  /** Lower-case names; a repeated header is joined by `, `. */
  readonly headers: Readonly<Record<string, string>>
  /** The next chunk of the body. Ends with `Done`. Pulling nothing holds the peer back. */
  readonly pull: Pull.Pull<Uint8Array, TransportError>
  /** The rest of the body, decoded as UTF-8. */
  readonly text: Effect.Effect<string, TransportError>
  /**
   * Gives the body up: closes the socket unless the body has ended, and ends a `pull` or `text` that waits with an error.
   * Idempotent, and does not wait itself.
   */
  readonly abort: () => void
  /**
   * Lets the rest of the body go by unread, so that the connection can serve the next request; closes it when the rest
   * does not end soon. Idempotent, and does not wait.
   */
  readonly discard: () => void
}

/**
 * What broke below HTTP.
 *
 * - `dns`, `connect`, `connect-timeout`, `tls`: no byte of the request was sent.
 * - `local`: this machine had no file, port, memory or allowed connection left; no byte was sent, and no service is to
 *   blame.
 * - `reset`: the connection ended while the request or the answer was under way.
 * - `stale`: the same before a byte of the answer, on a connection that had served before and had ended unseen: no service
 *   is to blame, but the request may not be sent again.
 * - `protocol`: the peer did not speak HTTP, broke it, or sent us elsewhere.
 */
export type TransportErrorKind =
  | "dns"
  | "connect"
  | "connect-timeout"
  | "tls"
  | "local"
  | "reset"
  | "stale"
  | "protocol"

/** What the system says when this machine is what stands in the way of a connection. */
const localTroubles: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "EADDRNOTAVAIL", "ENOBUFS", "ENOMEM"])

/** Whether a code of the system is this machine's own trouble: files, ports or memory. */
export const isLocalTrouble = (code: string | undefined): boolean => code !== undefined && localTroubles.has(code)

const unsentKinds: ReadonlySet<TransportErrorKind> = new Set(["dns", "connect", "connect-timeout", "tls", "local"])

/**
 * A failure of the network. It carries no header and no body, so it can be printed.
 */
export class TransportError extends Data.TaggedError("TransportError")<{
  readonly kind: TransportErrorKind
  /** The transport's own word for it, such as `ECONNREFUSED` or `UND_ERR_SOCKET`. */
  readonly code: string | undefined
}> {
  override get message(): string {
    return this.code === undefined ? this.kind : `${this.kind} (${this.code})`
  }

  /** Whether the request surely never reached the service, so that it may be sent elsewhere whatever it does. */
  get unsent(): boolean {
    return unsentKinds.has(this.kind)
  }

  /** Whether it says nothing of the service, so that it is held against nobody. */
  get blameless(): boolean {
    return this.kind === "local" || this.kind === "stale"
  }
}

/** What ends a wait that was aborted. */
export const aborted = new TransportError({ kind: "reset", code: "ABORTED" })

/**
 * Service that sends a request to one resource.
 *
 * Interrupting `send`, or calling `abort` on its response, closes the socket.
 */
export class Transport extends Context.Service<Transport, {
  readonly send: {
    (request: TransportRequest): Effect.Effect<TransportResponse, TransportError>
    /**
     * Whether it tells each request's `onStart`, and every `abort` ends what waits, so that a time limit needs no fiber to
     * interrupt. What is sent through any other waits in fibers of its own. It is said of the function, so that it is not
     * said of one that wraps it. Default: false.
     */
    readonly isAbortable?: boolean | undefined
  }
}>()("@evenkeel/core/Transport") {}
