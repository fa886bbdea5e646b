/**
 * How a call ended, told by what its door gave or threw: only what the library documents has a name.
 */
import { LoadBalancerError } from "@evenkeel/core"
import { APIConnectionError, APIError, APIUserAbortError } from "openai"

/** An error that `fetch` told, as a status with a body or as an event of a stream. */
export class ToldError extends Error {
  readonly code: string | undefined
  constructor(body: unknown) {
    const told = body as { readonly error?: { readonly code?: unknown }; readonly code?: unknown } | null
    const code = told?.error?.code ?? told?.code
    super(`told: ${JSON.stringify(body)}`)
    this.code = typeof code === "string" ? code : undefined
  }
}

/** What a stored response needs was there when it was made, and was removed since: nobody else has it. */
export class OwnerLeft extends Error {}

/** An event that is no JSON, which the doors that give bytes leave to their client to notice. */
export class UnreadableEvent extends Error {}

/** What the simulated service says inside of a stream. */
export const SERVICE_CODE = "server_error"

/** The name of a documented error, or nothing for one that must not reach a caller. */
export const nameOf = (error: unknown): string | undefined => {
  if (isDenied(error)) return "denied"
  if (error instanceof LoadBalancerError) return documented.has(error.reason._tag) ? error.reason._tag : undefined
  if (error instanceof UnreadableEvent) return "unreadable event"
  if (error instanceof OwnerLeft) return "the owner left"
  if (error instanceof APIUserAbortError || error instanceof APIConnectionError) return undefined
  if (error instanceof APIError) return nameOfCode(error.code ?? undefined)
  return error instanceof ToldError ? nameOfCode(error.code) : undefined
}

/** Where the one resource that may serve it has a wrong key, or all that answered have, it is the service's own word. */
const isDenied = (error: unknown): boolean =>
  error instanceof LoadBalancerError
    ? error.reason._tag === "Rejected" && error.reason.status === 401
    : error instanceof APIError
    ? error.status === 401
    : error instanceof ToldError && error.code === "401"

/** What may be the answer to a good request that meets nothing but faults. */
const documented = new Set(["Throttled", "Unavailable", "TimedOut", "StreamInterrupted"])

const nameOfCode = (code: string | undefined): string | undefined => {
  if (code === undefined) return undefined
  if (code === "rate_limit_exceeded") return "Throttled"
  if (code.startsWith("timeout_")) return "TimedOut"
  if (code.startsWith("unavailable_")) return "Unavailable"
  // after the first content the service's own words are given on
  return code === "stream_interrupted" || code === SERVICE_CODE ? "StreamInterrupted" : undefined
}

/** Whether a door says that the caller left. */
export const isAbort = (error: unknown, reason: unknown): boolean =>
  error === reason || error instanceof APIUserAbortError
