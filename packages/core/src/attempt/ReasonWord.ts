/**
 * Reasons are for people, and as many as there are services; a metric needs a few.
 */
import { throttleCodes } from "./ServiceError.ts"

/**
 * A reason as one word of few, as an attempt's `errorType` is: a status (`503`), a time limit (`timeout_first-event`), what
 * broke below HTTP (`reset`) or in an answer (`protocol`, `error-event`), `throttled`, `credential`, `hang`, `slow`, `told`, or `other`.
 */
export const reasonWord = (reason: string): string => {
  const [first = "", second = ""] = reason.split(" ", 2)
  if (first === "http" && /^\d{3}$/.test(second)) return second
  if (first === "connect-timeout") return "timeout_connect"
  if (first === "timeout") return second === "" ? "timeout" : `timeout_${second}`
  if (reason.startsWith("no credential")) return "credential"
  if (reason.endsWith(" in a 200")) {
    return first === "throttled" || throttleCodes.has(first.toLowerCase()) ? "throttled" : "error-event"
  }
  // an answer that is none
  if (/^(?:an answer|an event|empty stream|stream cut)/.test(reason)) return "protocol"
  return words.has(first) ? first : "other"
}

const words: ReadonlySet<string> = new Set([
  "dns",
  "connect",
  "tls",
  "local",
  "reset",
  "stale",
  "protocol",
  "hang",
  "missing",
  "slow",
  "told"
])
