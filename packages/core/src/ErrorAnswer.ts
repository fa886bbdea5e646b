/**
 * The balancer's errors as answers of OpenAI's shape, for clients that read statuses and bodies.
 */
import type { LoadBalancerError } from "./LoadBalancerError.ts"
import { isRecord } from "./request/LlmRequest.ts"

/** An error as HTTP would say it. */
export interface ErrorAnswer {
  readonly status: number
  readonly headers: Record<string, string>
  /** JSON: `{ error: { message, type, code, param, attempts } }`; or the body of a service's refusal, as it came. */
  readonly body: string
}

/** An error's body as text. A service's own that is nested too deep to be written is left out. */
const write = (body: unknown): string => {
  try {
    return JSON.stringify(body)
  } catch {
    return JSON.stringify({ error: { message: "The service's error cannot be written.", type: "error", code: null } })
  }
}

/** Headers of a refusal that its caller may want for support. */
const kept = ["x-request-id", "apim-request-id", "x-ms-region"]

/**
 * Status, headers and body of an error: 404 for an unknown model, 429 with `retry-after`, 503, 504; a refusal of the
 * service keeps its own. `x-should-retry: false`, because retrying is done.
 */
export const make = (error: LoadBalancerError): ErrorAnswer => {
  const { attempts, reason } = error
  const headers: Record<string, string> = { "content-type": "application/json", "x-should-retry": "false" }
  const lastId = attempts.at(-1)?.requestIds[0]
  if (lastId !== undefined) headers["x-request-id"] = lastId
  const own = (status: number, type: string, code: string): ErrorAnswer => ({
    status,
    headers,
    body: write({ error: { message: error.message, type, code, param: null, attempts } })
  })
  switch (reason._tag) {
    case "Rejected":
    case "ContentFiltered": {
      for (const name of kept) {
        const value = reason.headers[name]
        if (value !== undefined) headers[name] = value
      }
      if (reason.text !== undefined) {
        headers["content-type"] = reason.headers["content-type"] ?? "text/plain"
        return { status: reason.status, headers, body: reason.text }
      }
      // inside a stream with status 200 a refusal has no status of its own
      const status = reason.status < 400 ? 400 : reason.status
      return isRecord(reason.body) && isRecord(reason.body["error"])
        ? { status, headers, body: write(reason.body) }
        : own(status, "invalid_request_error", reason.code ?? "rejected")
    }
    case "UnknownModel":
      return own(404, "invalid_request_error", "model_not_found")
    case "Throttled":
      headers["retry-after-ms"] = String(reason.retryAfter)
      headers["retry-after"] = String(Math.ceil(reason.retryAfter / 1000))
      return own(429, "rate_limit_error", "rate_limit_exceeded")
    case "TimedOut":
      return own(504, "timeout", `timeout_${reason.stage.replace("-", "_")}`)
    case "Unavailable":
      if (reason.limitedBy === "missing") return own(404, "invalid_request_error", "model_not_found")
      return own(503, "service_unavailable_error", `unavailable_${reason.limitedBy.replace("-", "_")}`)
    case "StreamInterrupted":
      return own(502, "stream_interrupted", "stream_interrupted")
    case "InvalidConfig":
      return own(500, "invalid_config", "invalid_config")
  }
}
