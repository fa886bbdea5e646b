/**
 * The balancer's errors as answers of OpenAI's shape, for clients that read statuses and bodies.
 */
import { interrupted, type StreamBreak } from "../attempt/AnswerBody.ts"
import type { StreamEvent } from "../attempt/SseReader.ts"
import type { LoadBalancerError } from "../Errors.ts"
import { isRecord, textOf } from "../request/Json.ts"

/** An error as HTTP would say it. */
export interface ErrorResponse {
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

const tellWait = (headers: Record<string, string>, millis: number): void => {
  headers["retry-after-ms"] = String(millis)
  headers["retry-after"] = String(Math.ceil(millis / 1000))
}

/** Headers of a refusal that its caller may want for support. */
const kept = ["x-request-id", "apim-request-id", "x-ms-region"]

/**
 * Status, headers and body of an error: 404 for an unknown model, 429 with `retry-after`, 503, 504; a refusal of the
 * service keeps its own. `x-should-retry: false`, because retrying is done.
 */
export const make = (error: LoadBalancerError): ErrorResponse => {
  const { attempts, reason } = error
  const headers: Record<string, string> = { "content-type": "application/json", "x-should-retry": "false" }
  const lastId = attempts.at(-1)?.requestIds[0]
  if (lastId !== undefined) headers["x-request-id"] = lastId
  const own = (status: number, type: string, code: string): ErrorResponse => ({
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
      // one that was compressed unasked was not read
      const isRead = (reason.headers["content-encoding"] ?? "identity") === "identity"
      if (reason.text !== undefined && isRead) {
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
      tellWait(headers, reason.retryAfter)
      return own(429, "rate_limit_error", "rate_limit_exceeded")
    case "TimedOut":
      return own(504, "timeout", `timeout_${reason.stage.replace("-", "_")}`)
    case "Unavailable":
      if (reason.limitedBy === "missing") return own(404, "invalid_request_error", "model_not_found")
      if (reason.retryAfter !== undefined) tellWait(headers, reason.retryAfter)
      return own(503, "service_unavailable_error", `unavailable_${reason.limitedBy.replace("-", "_")}`)
    case "StreamInterrupted":
      return own(502, "stream_interrupted", "stream_interrupted")
    case "InvalidConfig":
      return own(500, "invalid_config", "invalid_config")
  }
}

/**
 * The last event of a stream that broke, as its protocol has it: a chunk with an `error` in a chat; in a stream of responses
 * an `error` event, flat as OpenAI's types have it, with the next `sequence_number`. The service's own words where it had
 * some, with all that was in them.
 */
export const eventOf = (broken: StreamBreak): StreamEvent =>
  ownEventOf(broken) ?? (broken.nextSequence === undefined
    ? chatEvent({ error: { type: "stream_interrupted", ...describe(broken), param: null } })
    : responsesEvent(describe(broken), broken.nextSequence))

/** The same, where the service itself said what broke it; `undefined` where it did not. */
export const ownEventOf = ({ failure: { outcome }, nextSequence }: StreamBreak): StreamEvent | undefined => {
  const body = "body" in outcome && isRecord(outcome.body) ? outcome.body : undefined
  if (body === undefined || !(isRecord(body["error"]) || typeof body["message"] === "string")) return undefined
  if (nextSequence !== undefined) return responsesEvent(body, nextSequence)
  return chatEvent(isRecord(body["error"]) ? body : { error: body })
}

const chatEvent = (chunk: Record<string, unknown>): StreamEvent => ({
  name: "message",
  data: write(chunk),
  json: undefined
})

const responsesEvent = (event: Record<string, unknown>, nextSequence: number): StreamEvent => {
  const error = isRecord(event["error"]) ? event["error"] : undefined
  const { code, message, param } = error ?? event
  const number = event["sequence_number"]
  const flat = {
    ...event,
    type: "error",
    code: textOf(code) ?? textOf(error?.["type"]) ?? "server_error",
    message: textOf(message) ?? "",
    param: textOf(param) ?? null,
    sequence_number: typeof number === "number" ? number : nextSequence
  }
  return { name: "error", data: write(flat), json: undefined }
}

const describe = (broken: StreamBreak): Record<string, unknown> => {
  const { attempts, message } = interrupted(broken)
  return { code: "stream_interrupted", message, attempts, delivered: broken.delivered }
}
