/**
 * What the service says about its limits, read from headers that are late, missing, negative or junk.
 *
 * Azure writes whole seconds, OpenAI writes Go durations (`6m0s`, `120ms`); both have been seen on either. `-1` means
 * "unknown", never "exhausted". Whatever cannot be read is left out: a header never raises an error.
 */

/**
 * The limits of one answer. Absent fields were not sent, or were no non-negative numbers.
 */
export interface RateLimits {
  readonly limitTokens: number | undefined
  readonly limitRequests: number | undefined
  readonly remainingTokens: number | undefined
  readonly remainingRequests: number | undefined
  /** `azure-openai-deployment-utilization` of a provisioned deployment, as a share: `87%` is 0.87. */
  readonly utilisation: number | undefined
  /**
   * Why the service spilled the request over to a standard deployment (`x-ms-spillover-from-deployment`), whose limits
   * these are then: `full` when the provisioned one could take no more, `unfit` when it was too long for it.
   */
  readonly spilled: "full" | "unfit" | undefined
}

type Headers = Readonly<Record<string, string>>

const count = (value: string | undefined): number | undefined => {
  if (value === undefined || !/^\d+(?:\.\d*)?$|^\.\d+$/.test(value)) return undefined
  const number = Number(value)
  return number < Number.MAX_SAFE_INTEGER ? number : undefined
}

/** A limit of zero is the "unknown" of a service that sent `-1, -1, 0`, not a closed door. */
const limit = (value: string | undefined): number | undefined => {
  const number = count(value)
  return number === 0 ? undefined : number
}

/**
 * Reads the rate-limit headers of any answer, whatever its status.
 */
export const parseRateLimits = (headers: Headers): RateLimits => {
  const utilisation = headers["azure-openai-deployment-utilization"]
  const percent = utilisation === undefined || !utilisation.endsWith("%") ? undefined : count(utilisation.slice(0, -1))
  return {
    limitTokens: limit(headers["x-ratelimit-limit-tokens"]),
    limitRequests: limit(headers["x-ratelimit-limit-requests"]),
    remainingTokens: count(headers["x-ratelimit-remaining-tokens"]),
    remainingRequests: count(headers["x-ratelimit-remaining-requests"]),
    utilisation: percent === undefined ? undefined : percent / 100,
    spilled: spilledBecause(headers)
  }
}

/** The header that says why is for information, and its meaning has changed: only what is clear is taken from it. */
const spilledBecause = (headers: Headers): RateLimits["spilled"] =>
  headers["x-ms-spillover-from-deployment"] === undefined
    ? undefined
    : headers["x-ms-spillover-error"] === "400"
    ? "unfit"
    : "full"

const unitMillis: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, us: 0.001, "µs": 0.001 }

/**
 * Milliseconds of a Go duration (`1m2.5s`, `120ms`) or of a bare number of seconds. Anything else is `undefined`.
 */
export const parseDuration = (value: string | undefined): number | undefined => {
  if (value === undefined) return undefined
  const text = value.trim()
  if (text === "") return undefined
  const seconds = count(text)
  if (seconds !== undefined) return seconds * 1000
  const part = /(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|m|s)/gy
  let millis = 0
  while (part.lastIndex < text.length) {
    const match = part.exec(text)
    if (match === null) return undefined
    millis += Number(match[1]) * unitMillis[match[2]!]!
  }
  return Number.isFinite(millis) ? millis : undefined
}

/** Milliseconds since 1970 of an HTTP date. `Date.parse` finds a date in almost anything; this one begins with its weekday. */
const parseDate = (value: string | undefined): number | undefined => {
  if (value === undefined || !/^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? /i.test(value.trim())) return undefined
  const at = Date.parse(value)
  return Number.isNaN(at) ? undefined : at
}

/** `retry-after`: seconds, or an HTTP date, which is counted from the answer's own `date` and not from a clock of ours. */
const parseRetryAfter = (headers: Headers, wallNow: number): number | undefined => {
  const value = headers["retry-after"]
  const duration = parseDuration(value)
  if (duration !== undefined) return duration
  const at = parseDate(value)
  return at === undefined ? undefined : Math.max(0, at - (parseDate(headers["date"]) ?? wallNow))
}

const retryHint =
  /(?:retry|try again) (?:after|in) (?:((?:\d+(?:\.\d+)?(?:h|ms|us|µs|m|s))+)(?![a-z\d])|(\d+(?:\.\d+)?) ?(ms|milliseconds?|s|seconds?|minutes?|hours?)\b)/i

const wordMillis = (word: string): number =>
  word.startsWith("h") ? 3_600_000 : word.startsWith("mi") && word[2] === "n" ? 60_000 : word.startsWith("m") ? 1 : 1000

/** What a message says: `Please retry after 24 seconds` (Azure), `Please try again in 1m30.5s` (OpenAI). */
const parseHint = (message: string | undefined): number | undefined => {
  const hint = message === undefined ? null : retryHint.exec(message.slice(0, 2000))
  if (hint === null) return undefined
  const [, duration, count, word] = hint
  return duration === undefined
    ? Number(count) * wordMillis(word!.toLowerCase())
    : parseDuration(duration.toLowerCase())
}

/**
 * How long a throttled answer asks to wait, in milliseconds: `retry-after-ms`, else `retry-after`, else what the message
 * says, else the later of the `x-ratelimit-reset-*` whose counter is used up (either, when no counter was sent).
 *
 * @param wallNow milliseconds since 1970, for HTTP dates of answers that have no date of their own
 */
export const parseWait = (headers: Headers, message: string | undefined, wallNow: number): number | undefined =>
  count(headers["retry-after-ms"]) ?? parseRetryAfter(headers, wallNow) ?? parseHint(message)
    ?? latest(resetOf(headers, "tokens"), resetOf(headers, "requests"))

const resetOf = (headers: Headers, what: "tokens" | "requests"): number | undefined => {
  const remaining = headers[`x-ratelimit-remaining-${what}`]
  if (remaining !== undefined && (count(remaining) ?? 0) > 0) return undefined
  const text = headers[`x-ratelimit-reset-${what}`]
  const reset = parseDuration(text)
  if (reset === undefined || reset === 0) return undefined
  const size = what === "requests" ? limit(headers["x-ratelimit-limit-requests"]) : undefined
  return size === undefined || count(text!.trim()) !== undefined ? reset : Math.min(reset, slotOf(size, reset))
}

/** Time in which a bucket fills: OpenAI limits requests per minute, and some per day. */
const periods = [60_000, 86_400_000]

/**
 * Time until there is room for one request, where `reset` is the time until an empty bucket of so many is full, as
 * OpenAI's Go durations are. An empty one needs its whole period for that, or less by the part of a request that it
 * holds; any other time is that of a window's end, as Azure's whole seconds are, and is taken as it is.
 */
const slotOf = (size: number, reset: number): number => {
  for (const period of periods) {
    const slot = period / size
    if (reset <= period && reset >= period - slot) return slot
  }
  return reset
}

const latest = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.max(a, b)
