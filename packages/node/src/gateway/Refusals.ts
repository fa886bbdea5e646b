/**
 * What the gateway itself refuses, in OpenAI's shape, so that every client throws its own typed error. What would go better
 * later says when, in both headers that the SDKs read; what would not is not tried again.
 */
import { type ServerResponse, STATUS_CODES } from "node:http"

/** A refusal of the gateway's own. */
export interface GatewayRefusal {
  readonly status: number
  readonly code: string
  readonly message: string
  /** Milliseconds after which it would go better; absent where it would not. */
  readonly retryAfter?: number | undefined
  /** Whether nothing that follows on its connection can be trusted. */
  readonly isLast?: boolean
}

const refusal = (
  status: number,
  code: string,
  message: string,
  more?: Pick<GatewayRefusal, "retryAfter" | "isLast">
): GatewayRefusal => ({ status, code, message, ...more })

export const unauthorized: GatewayRefusal = refusal(
  401,
  "invalid_api_key",
  "The gateway does not know this key: give one of its own as \"Authorization: Bearer …\" or \"api-key\"."
)

export const notForOperators: GatewayRefusal = refusal(
  403,
  "not_an_operator",
  "This page is for operators: give the key of one, or ask on the operators' own port."
)

/** A page for operators, with no key that anybody has. */
export const nobodysPage: GatewayRefusal = { ...unauthorized, message: notForOperators.message }

export const wrongModel = (model: string): GatewayRefusal =>
  refusal(403, "model_not_allowed", `This key may not use the model ${JSON.stringify(model)}.`)

export const noModel: GatewayRefusal = refusal(
  403,
  "endpoint_not_allowed",
  "This key is for certain models, and what names none of them is closed to it."
)

export const fromElsewhere: GatewayRefusal = refusal(
  403,
  "foreign_origin",
  "A gateway without keys answers programs on this machine alone, and no page of another site."
)

export const throttled = (limit: string, retryAfter: number | undefined): GatewayRefusal => {
  const message = retryAfter === undefined
    ? `This request needs more ${limit} than its key may use in a minute.`
    : `This key has no ${limit} left; try again in ${Math.ceil(retryAfter / 1000)} s.`
  return refusal(429, "rate_limit_exceeded", message, { retryAfter })
}

/** How soon a gateway that has too much to do may be asked again, in milliseconds. */
const BUSY = 1000

export const busy: GatewayRefusal = refusal(
  503,
  "gateway_busy",
  "The gateway has as many requests under way as it takes.",
  { retryAfter: BUSY }
)

export const broken: GatewayRefusal = refusal(500, "gateway_error", "The gateway failed; its log says how.")

export const badMethod: GatewayRefusal = refusal(405, "method_not_allowed", "Nothing here has this method.")

export const noSuchPath: GatewayRefusal = refusal(
  404,
  "unknown_path",
  "Nothing is here. A client's base URL ends in /v1; Azure's clients take the gateway's address as their endpoint."
)

export const tooLarge = (most: number): GatewayRefusal =>
  refusal(413, "body_too_large", `The body has more than ${most} bytes, the most that the gateway takes.`)

export const tooComplex: GatewayRefusal = refusal(
  413,
  "body_too_complex",
  "The body has more values, or more parts, than the gateway reads."
)

export const compressed: GatewayRefusal = refusal(
  415,
  "content_encoding",
  "The gateway takes bodies as they are, without a content encoding."
)

/** What comes after it on its connection cannot be trusted. */
const last = (status: number, code: string, message: string): GatewayRefusal =>
  refusal(status, code, message, { isLast: true })

export const transferEncoding: GatewayRefusal = last(
  501,
  "transfer_encoding",
  "The gateway knows no transfer encoding but chunked."
)

export const noUpgrade: GatewayRefusal = last(
  501,
  "upgrade_not_supported",
  "The gateway speaks HTTP; WebSockets are not balanced."
)

export const unknownExpectation: GatewayRefusal = last(
  417,
  "unknown_expectation",
  "The gateway meets no expectation but 100-continue."
)

/** What of a request cannot be read as HTTP, by the parser's code. */
export const unreadable = (code: string | undefined): GatewayRefusal => {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return last(431, "headers_too_large", "The request's headers have more bytes than the gateway takes.")
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return last(413, "chunk_extensions", "The extensions of a chunk have more bytes than the gateway takes.")
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return last(408, "request_timeout", "The request was not there whole in time.")
    default:
      return last(400, "malformed_request", "This is no request of HTTP/1.1 that can be understood in one way only.")
  }
}

/** What OpenAI calls refusals of a status; all others are invalid requests. */
const types: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  429: "rate_limit_error",
  500: "server_error",
  503: "service_unavailable_error"
}

/** Its headers and body. */
const write = (
  refusal: GatewayRefusal
): { readonly headers: Readonly<Record<string, string>>; readonly body: string } => {
  const { code, message, retryAfter, status } = refusal
  const type = types[status] ?? "invalid_request_error"
  const body = JSON.stringify({ error: { message, type, code, param: null } })
  const again: Record<string, string> = retryAfter === undefined
    ? { "x-should-retry": "false" }
    : { "retry-after": String(Math.ceil(retryAfter / 1000)), "retry-after-ms": String(Math.ceil(retryAfter)) }
  const wanted: Record<string, string> = status === 401 ? { "www-authenticate": "Bearer" } : {}
  return {
    headers: {
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
      ...again,
      ...wanted
    },
    body
  }
}

/** Answers with a refusal. */
export const answer = (response: ServerResponse, refusal: GatewayRefusal): void => {
  const { body, headers } = write(refusal)
  if (refusal.isLast === true) response.shouldKeepAlive = false
  response.writeHead(refusal.status, headers)
  response.end(response.req.method === "HEAD" ? undefined : body)
}

/** Ends an answer that cannot be given: as an error, unless some of it was. */
export const giveUp = (response: ServerResponse): void => {
  if (response.headersSent) response.destroy()
  else if (!response.destroyed) answer(response, broken)
}

/** A refusal as bytes, for a socket on which no request could be read. */
export const asBytes = (refusal: GatewayRefusal): string => {
  const { body, headers } = write(refusal)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("")
  return `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n${lines}connection: close\r\n\r\n${body}`
}
