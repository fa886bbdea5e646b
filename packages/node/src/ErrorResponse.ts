/**
 * The balancer's errors as answers of OpenAI's shape, for clients that read statuses and bodies.
 */
import type { LoadBalancerError } from "@evenkeel/core/LoadBalancerError"
import { isRecord } from "@evenkeel/core/request/LlmRequest"
import { make as leanResponse } from "./LeanResponse.ts"

/** Status, body and headers of an error. A refusal of the service keeps its own. */
export const describe = (
  error: LoadBalancerError
): { readonly status: number; readonly body: unknown; readonly headers: Record<string, string> } => {
  const { attempts, reason } = error
  const headers: Record<string, string> = { "content-type": "application/json", "x-should-retry": "false" }
  const last = attempts.at(-1)
  if (last?.requestIds[0] !== undefined) headers["x-request-id"] = last.requestIds[0]
  const own = (type: string, code: string) => ({
    error: { message: error.message, type, code, param: null, attempts }
  })
  switch (reason._tag) {
    case "Rejected":
    case "ContentFiltered": {
      for (const name of ["x-request-id", "apim-request-id", "x-ms-region"]) {
        const value = reason.headers[name]
        if (value !== undefined) headers[name] = value
      }
      const body = isRecord(reason.body) ? reason.body : own("invalid_request_error", reason.code ?? "rejected")
      return { status: reason.status < 400 ? 400 : reason.status, body, headers }
    }
    case "UnknownModel":
      return { status: 404, body: own("invalid_request_error", "model_not_found"), headers }
    case "Throttled":
      headers["retry-after-ms"] = String(reason.retryAfter)
      headers["retry-after"] = String(Math.ceil(reason.retryAfter / 1000))
      return { status: 429, body: own("rate_limit_error", "rate_limit_exceeded"), headers }
    case "TimedOut":
      return { status: 504, body: own("timeout", `timeout_${reason.stage.replace("-", "_")}`), headers }
    case "Unavailable":
      return { status: 503, body: own("service_unavailable_error", `unavailable_${reason.limitedBy.replace("-", "_")}`), headers }
    case "StreamInterrupted":
      return { status: 502, body: own("stream_interrupted", "stream_interrupted"), headers }
    case "InvalidConfig":
      return { status: 500, body: own("invalid_config", "invalid_config"), headers }
  }
}

/** An error as a response. */
export const errorResponse = (error: LoadBalancerError, url: string): Response => {
  const { body, headers, status } = describe(error)
  return leanResponse(JSON.stringify(body), status, headers, url)
}
