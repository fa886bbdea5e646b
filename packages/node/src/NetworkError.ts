/**
 * Errors of undici, and of the system below it, in the transport's words.
 */
import { TransportError } from "@evenkeel/core"
import { isLocalTrouble, type TransportErrorKind } from "@evenkeel/core/internal"

const kinds: Readonly<Record<string, TransportErrorKind>> = {
  ENOTFOUND: "dns",
  EAI_AGAIN: "dns",
  EAI_FAIL: "dns",
  ECONNREFUSED: "connect",
  EHOSTUNREACH: "connect",
  ENETUNREACH: "connect",
  UND_ERR_CONNECT_TIMEOUT: "connect-timeout",
  // of a proxy that does not answer
  UND_ERR_HEADERS_TIMEOUT: "connect-timeout",
  UND_ERR_PRX_TLS: "tls",
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

/**
 * What an error of undici, or of the system below it, means.
 *
 * @param wasSent whether the request had a connection: without one, no byte of it left
 */
export const errorOf = (cause: unknown, wasSent: boolean): TransportError => {
  const refusal = refusalOfProxy(cause)
  if (refusal !== undefined) return new TransportError({ kind: "connect", code: refusal })
  const code = codeOf(cause)
  const known = code === undefined ? undefined : kinds[code]
  const isTls = code !== undefined &&
    (code.startsWith("ERR_TLS") || code.startsWith("ERR_SSL") || code.startsWith("CERT_"))
  if (code === "UND_ERR_INVALID_ARG") return new TransportError({ kind: "protocol", code })
  const kind = isTls ? "tls" : known
  // once the request had a connection it may have arrived, whatever broke then
  if (wasSent) return new TransportError({ kind: kind === undefined ? "protocol" : "reset", code })
  if (isLocalTrouble(code)) return new TransportError({ kind: "local", code })
  return new TransportError({ kind: kind === undefined || kind === "reset" ? "connect" : kind, code })
}

/** A host may have several addresses: what one of them says outweighs that this machine has none of that kind. */
const codeOf = (cause: unknown): string | undefined => {
  if (cause instanceof AggregateError) {
    const codes = cause.errors.map(codeOf)
    return codes.find((code) => !isLocalTrouble(code)) ?? codes[0]
  }
  return typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : undefined
}

/** Undici gives the status with which a proxy refuses in words alone. */
const refusalOfProxy = (cause: unknown): string | undefined => {
  const status = cause instanceof Error ? /^Proxy .*\((\d{3})\)/.exec(cause.message)?.[1] : undefined
  return status === undefined ? undefined : `the proxy answered ${status}`
}
