/**
 * The one seam to the network: a request in; status, headers and a body out.
 *
 * Everything above it is the same whether bytes go through undici (Node), any `effect/http` `HttpClient`, or the
 * simulated service in memory. A transport sends what it is given once: it neither retries, redirects, times out a
 * slow answer, nor reads an environment variable.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"

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
  /**
   * Told of the response in the same moment in which there is one, before it is handed over: whoever is interrupted in
   * between can then still give it up.
   */
  readonly onResponse?: ((response: Pick<TransportResponse, "abort">) => void) | undefined
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
 * - `reset`: the connection ended while the request or the answer was under way.
 * - `protocol`: the peer did not speak HTTP, or broke it.
 */
export type TransportErrorKind = "dns" | "connect" | "connect-timeout" | "tls" | "reset" | "protocol"

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
    return this.kind === "dns" || this.kind === "connect" || this.kind === "connect-timeout" || this.kind === "tls"
  }
}

/**
 * Service that sends a request to one resource.
 *
 * Interrupting `send`, or calling `abort` on its response, closes the socket.
 */
export class Transport extends Context.Service<Transport, {
  readonly send: (request: TransportRequest) => Effect.Effect<TransportResponse, TransportError>
}>()("@evenkeel/core/Transport") {}
