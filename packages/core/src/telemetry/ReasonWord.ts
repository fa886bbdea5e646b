/**
 * Reasons are for people, and as many as there are services; a metric needs a few.
 */

/**
 * A reason as one word of few: a status (`503`), a time limit (`timeout_first-event`), what broke below HTTP (`reset`),
 * `credential`, `hang`, `told`, or `other`.
 */
export const reasonWord = (reason: string): string => {
  const [first = "", second = ""] = reason.split(" ", 2)
  if (first === "http" && /^\d{3}$/.test(second)) return second
  if (first === "timeout") return second === "" ? "timeout" : `timeout_${second}`
  if (reason.startsWith("no credential")) return "credential"
  if (reason.endsWith(" in a 200")) return "error-event"
  return words.has(first) ? first : "other"
}

const words: ReadonlySet<string> = new Set([
  "dns",
  "connect",
  "connect-timeout",
  "tls",
  "reset",
  "protocol",
  "hang",
  "told"
])
