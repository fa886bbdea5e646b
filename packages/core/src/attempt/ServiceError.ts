/**
 * What an answer with an error in it means: the service's words, read. The table is in docs/failures.md.
 */
import { parseWait } from "../deployment/RateLimitHeaders.ts"
import { recordOf, textOf } from "../request/Json.ts"
import type { HardPin } from "../request/StoredIds.ts"
import { withoutCookies } from "./AnswerFacts.ts"
import { type Failed, failed, type Refused, type Throttled, type Unanswered, wordOf } from "./Outcome.ts"
import { excerpt, firstWords, wordsOf } from "./RefusalWords.ts"

/** The service's error object, wherever in the body it was. */
interface ServiceError {
  readonly code: string | undefined
  readonly type: string | undefined
  /** The parameter that is wrong, where one is named. */
  readonly param: string | undefined
  readonly message: string
}

/** An account that cannot pay stays that way for a while: the whole resource is out. */
export const spendingCodes: ReadonlySet<string> = new Set([
  "insufficient_quota",
  "credit_balance_exhausted",
  "organization_spend_limit_exceeded",
  "project_spend_limit_exceeded",
  "organization_usage_limit_exceeded",
  "billing_hard_limit_reached",
  "billing_not_active"
])

/** Azure's word and OpenAI's, which comes with 404, or with 403 where a project may not use the model. */
const missingCodes = new Set(["deploymentnotfound", "model_not_found"])

/** Codes of an error inside a 200 that is a 429 in all but its status. */
export const throttleCodes: ReadonlySet<string> = new Set([
  "429",
  "rate_limit_exceeded",
  "too_many_requests",
  "slow_down",
  "toomanyrequests"
])

/** Reads an error body in any of the shapes that Azure, OpenAI and gateways use. */
const readError = (body: unknown): ServiceError => {
  const outer = recordOf(body)
  const inner = recordOf(outer?.["error"]) ?? outer
  const code = inner?.["code"]
  return {
    code: textOf(code) ?? (typeof code === "number" ? String(code) : undefined),
    type: textOf(inner?.["type"]),
    param: textOf(inner?.["param"]),
    message: textOf(inner?.["message"]) ?? textOf(outer?.["error"]) ?? wordsOf(outer?.["detail"])
      ?? wordsOf(outer?.["errors"]) ?? (typeof body === "string" ? excerpt(body) : "")
  }
}

/** Parses a body as JSON; one that is none stays text. */
export const parseBody = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/**
 * Decides what an answer with an error status means.
 *
 * @param wallNow milliseconds since 1970, for HTTP dates in `retry-after`
 */
export const fromStatus = (
  status: number,
  headers: Readonly<Record<string, string>>,
  body: unknown,
  wallNow: number
): Unanswered => fromError(status, headers, body, readError(body), wallNow)

const fromError = (
  status: number,
  headers: Readonly<Record<string, string>>,
  body: unknown,
  error: ServiceError,
  wallNow: number
): Unanswered => {
  const code = error.code?.toLowerCase()
  const reason = reasonOf(status, error)
  if (spendingCodes.has(code ?? "") || spendingCodes.has(error.type ?? "")) {
    return failed({ reason, status, scope: "resource", effect: "open", unprocessed: true, body })
  }
  if (missingCodes.has(code ?? "") && (status === 404 || status === 403)) {
    return failed({ reason, status, effect: "missing", unprocessed: true, body })
  }
  switch (status) {
    case 429:
      return isTooLarge(error)
        ? refused(status, headers, body, error, "larger")
        : throttled(reason, status, headers, body, error, wallNow)
    case 401:
    case 403:
      return refused(status, headers, body, error, isPolicy(error) ? "no" : "denied")
    case 408:
    case 409:
    case 424:
      return failed({ reason, status, body })
  }
  if (status >= 500) {
    const namesTime = headers["retry-after"] !== undefined || headers["retry-after-ms"] !== undefined
    return failed({ reason, status, body, wait: namesTime ? parseWait(headers, undefined, wallNow) : undefined })
  }
  if (status < 400) return failed({ reason, status, body })
  return refused(status, headers, body, error, elsewhereOf(status, error))
}

const throttled = (
  reason: string,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: unknown,
  error: ServiceError,
  wallNow: number
): Throttled => ({
  _tag: "Throttled",
  reason,
  status,
  wait: parseWait(headers, error.message, wallNow),
  isBusy: BUSY.test(error.message.slice(0, 2000)),
  body
})

/** Azure: "is currently experiencing high demand", "is temporarily unable to process your request". */
const BUSY = /high demand|temporarily unable|out of capacity/i

/** A request that is larger than the whole quota of a minute. (OpenAI: "Request too large for gpt-4o … must be reduced".) */
const isTooLarge = (error: ServiceError): boolean =>
  /request too large|tokens must be reduced/i.test(error.message.slice(0, 2000))

/** Rules that hold for content wherever it is sent. */
const policyCodes = new Set([
  "content_filter",
  "content_policy_violation",
  "contentfilter",
  "moderation_blocked",
  "invalid_prompt",
  "misalignment",
  "data_residency_mismatch",
  "bio_policy"
])

const isPolicy = ({ code, message, type }: ServiceError): boolean =>
  policyCodes.has(code?.toLowerCase() ?? "") || policyCodes.has(type?.toLowerCase() ?? "")
  || /content (?:safety|filter|management policy)/i.test(message.slice(0, 2000))

const elsewhereOf = (status: number, error: ServiceError): Refused["elsewhere"] => {
  if (isPolicy(error)) return "no"
  const code = error.code?.toLowerCase() ?? ""
  if (code === "context_length_exceeded") return "context-length"
  if (code === "" || code === "invalid_request_error" || code === "400") {
    if (/maximum context length|context window/i.test(error.message)) return "context-length"
  }
  if (code === "invalid_encrypted_content" || /encrypted content .{0,80}could not be/i.test(error.message)) {
    return "not-here"
  }
  if (isStoredReference(error)) return "not-here"
  return status !== 404 && status !== 405 && isWorded(status, error) ? "worded" : "perhaps"
}

/** Whether a refusal says that the request itself is wrong: by its status, its parameter, or a code of the API's own kind. */
const isWorded = (status: number, { code, param, type }: ServiceError): boolean =>
  ownFaults.has(status) || param !== undefined || type === "invalid_request_error" ||
  /^[a-z]+(?:_[a-z]+)+$/.test(code ?? "")

/** Too large, of the wrong type, unprocessable, with too many headers. */
const ownFaults: ReadonlySet<number> = new Set([413, 415, 422, 431])

/** "This model's maximum context length is 128000 tokens. However, your messages resulted in 150000 tokens." */
const contextLimitOf = (error: ServiceError): number | undefined => {
  const said = /maximum context length (?:is|of) (\d{1,9}) tokens/i.exec(error.message.slice(0, 2000))
  return said === null ? undefined : Number(said[1])
}

/** A stored response, conversation or item that another resource may own. */
const isStoredReference = (error: ServiceError): boolean => {
  const code = error.code?.toLowerCase() ?? ""
  return code === "previous_response_not_found" || code === "response_not_found" || code === "conversation_not_found"
    || /(?:response|conversation|item) with id .{0,120}not found/i.test(error.message)
}

/** Words of services about a stored thing that they do not have. */
const ABSENT = /not found|not be found|no such|not exist|found with id/i

/**
 * Whether a refusal says that what its request refers to is not on this resource: by its code, in words that name it, or
 * by a 404 where the path names it.
 */
export const isNotHere = ({ elsewhere, message, status }: Refused, { ids, isInPath }: HardPin): boolean =>
  elsewhere === "not-here" || (status === 404 && isInPath)
  || ((status === 404 || status === 400) && ABSENT.test(message) && ids.some((id) => message.includes(id)))
/** Whether what is refused is to be asked for a stream's usage. */
export const refusesUsage = ({ body, message, status }: Refused): boolean => {
  if (status !== 400 && status !== 422) return false
  const param = recordOf(recordOf(body)?.["error"])?.["param"]
  return /stream_options|include_usage/.test(`${textOf(param) ?? ""} ${message}`)
}

/**
 * Decides what an error event inside a stream with status 200 means: `error` events, `response.failed`, and chat chunks
 * that carry an `error`.
 */
export const fromErrorEvent = (
  headers: Readonly<Record<string, string>>,
  event: unknown,
  wallNow: number
): Unanswered => {
  const outer = recordOf(event)
  const error = readError(recordOf(outer?.["response"]) ?? outer)
  const code = (error.code ?? error.type ?? "").toLowerCase()
  const type = (error.type ?? "").toLowerCase()
  const highDemand = /high demand|exceeds the maximum usage size/i.test(error.message)
  if (throttleCodes.has(code) || throttleCodes.has(type) || highDemand) {
    return throttled(`${wordOf(error.code) ?? "throttled"} in a 200`, 200, headers, event, error, wallNow)
  }
  // a code that nobody knows may be of a type that says whose fault it is
  const status = statusOfCode(code) ?? statusOfCode(type) ?? 500
  const outcome = fromError(status, headers, event, error, wallNow)
  if (outcome._tag !== "Failed") return outcome
  const word = wordOf(error.code) ?? wordOf(error.type) ?? "error"
  return { ...outcome, status: 200, kind: "error-event", reason: `${word} in a 200` }
}

/** Codes and types of errors that come inside a stream, where no status tells whose fault it is. */
const statusOfCode = (code: string): number | undefined => {
  switch (code) {
    case "bio_policy":
    case "invalid_prompt":
    case "invalid_request_error":
    case "misalignment":
    case "invalid_encrypted_content":
    case "context_length_exceeded":
    case "content_filter":
    case "data_residency_mismatch":
    case "previous_response_not_found":
      return 400
    case "invalid_api_key":
    case "authentication_error":
      return 401
    case "deploymentnotfound":
    case "model_not_found":
      return 404
  }
  return undefined
}

/** A failure that is the caller's own after all. */
export const refusedAsIs = (outcome: Failed, headers: Readonly<Record<string, string>>): Refused =>
  refused(outcome.status ?? 400, headers, outcome.body, readError(outcome.body), "no")

/** A status and the code behind it, where that is one. */
export const reasonOf = (status: number, { code }: { readonly code: string | undefined }): string => {
  const word = wordOf(code)
  return word === undefined || word === String(status) ? `http ${status}` : `http ${status} ${word}`
}

const refused = (
  status: number,
  headers: Readonly<Record<string, string>>,
  body: unknown,
  error: ServiceError,
  elsewhere: Refused["elsewhere"]
): Refused => ({
  _tag: "Refused",
  reason: elsewhere === "denied" ? reasonOf(status, error) : wordOf(error.code) ?? `http ${status}`,
  status,
  code: error.code,
  message: error.message === "" ? firstWords(body) : error.message,
  body,
  headers: withoutCookies(headers),
  elsewhere,
  contextLimit: elsewhere === "context-length" ? contextLimitOf(error) : undefined
})
