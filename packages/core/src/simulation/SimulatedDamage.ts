/**
 * What faults do to an answer that would have been a good one.
 */
import type { SimulatedEnding, SimulatedPart, SimulatedParts } from "./SimulatedAnswer.ts"
import * as Errors from "./SimulatedErrors.ts"
import { type FaultOf, find, type SimulatedFault } from "./SimulatedFault.ts"

/**
 * The error that a `status` fault answers with.
 */
export const errorOf = (
  fault: FaultOf<"status">,
  azure: boolean,
  context: Errors.ErrorContext
): Errors.ErrorResponse => {
  const named = Errors.make(fault.error ?? Errors.nameFor(fault.status ?? 500, azure), context)
  return {
    status: fault.status ?? named.status,
    body: fault.body ?? named.body,
    contentType: fault.contentType ?? (fault.body === undefined ? named.contentType : "text/plain")
  }
}

/**
 * The headers that faults add to an answer.
 */
export const addedHeaders = (
  faults: ReadonlyArray<SimulatedFault>,
  deployment: string | undefined
): Record<string, string> => {
  const added: Record<string, string> = {}
  for (const fault of faults) {
    switch (fault.kind) {
      case "headers":
      case "errorInStream":
        Object.assign(added, fault.headers)
        break
      case "spillover":
        added["x-ms-spillover-from-deployment"] = deployment ?? ""
        added["x-ms-spillover-error"] = String(fault.status ?? 429)
        added["x-ms-deployment-name"] = fault.to ?? `${deployment ?? ""}-spillover`
        break
      case "unknownLimits":
        added["x-ratelimit-limit-tokens"] = "-1"
        added["x-ratelimit-remaining-tokens"] = "-1"
        added["x-ratelimit-reset-tokens"] = "0"
        break
    }
  }
  return added
}

/**
 * Makes the stream of a good answer go wrong. `errorEvents` are what an error looks like in it.
 */
export const damage = (
  parts: SimulatedParts,
  faults: ReadonlyArray<SimulatedFault>,
  startsAt: number,
  errorEvents: (fault: FaultOf<"errorInStream">) => ReadonlyArray<string>
): SimulatedParts =>
  faults.some(({ kind }) => damaging.has(kind)) ? damaged(parts, faults, startsAt, errorEvents) : parts

const damaging = new Set<SimulatedFault["kind"]>(["empty", "errorInStream", "cut", "hang", "malformed"])

const damaged = function*(
  ...[parts, faults, startsAt, errorEvents]: Parameters<typeof damage>
): Generator<SimulatedPart, SimulatedEnding, void> {
  const empty = find(faults, "empty")
  if (empty !== undefined) {
    if (empty.done === true) yield { at: startsAt, data: "data: [DONE]\n\n" }
    return "end"
  }
  const error = find(faults, "errorInStream")
  const cut = find(faults, "cut")
  const hang = find(faults, "hang")
  const malformed = find(faults, "malformed")
  let at = startsAt
  for (let events = 0;; events++) {
    if (error !== undefined && events >= (error.afterEvents ?? 0)) {
      for (const data of errorEvents(error)) yield { at, data }
      return "end"
    }
    if (cut !== undefined && events >= cut.afterEvents) return cut.ending
    if (hang !== undefined && events >= (hang.afterEvents ?? 0)) return "hang"
    const next = parts.next()
    if (next.done === true) return next.value
    at = next.value.at
    if (malformed !== undefined && events === (malformed.afterEvents ?? 0)) {
      yield { at, data: spoil(String(next.value.data), malformed.how) }
      if (malformed.how === "utf8") return "end"
    } else yield next.value
  }
}

/**
 * Sends a body late: nothing of it before the end of a silence, and then no faster than it trickles.
 */
export const delay = (parts: SimulatedParts, faults: ReadonlyArray<SimulatedFault>): SimulatedParts => {
  const silence = find(faults, "silence")
  const trickle = find(faults, "trickle")
  if (silence === undefined && trickle === undefined) return parts
  return delayed(parts, silence?.forMs ?? 0, trickle?.bytesPerSecond ?? Infinity)
}

/** How often some bytes of a trickle come. */
const trickleMs = 250

const delayed = function*(
  parts: SimulatedParts,
  silentMs: number,
  bytesPerSecond: number
): Generator<SimulatedPart, SimulatedEnding, void> {
  const size = Math.max(1, Math.floor(bytesPerSecond * trickleMs / 1_000))
  let freeAt = silentMs
  for (;;) {
    const next = parts.next()
    if (next.done === true) return next.value
    const { at, data } = next.value
    freeAt = Math.max(freeAt, at)
    if (bytesPerSecond === Infinity) {
      yield { at: freeAt, data }
      continue
    }
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data
    for (let from = 0; from < bytes.length; from += size) {
      const piece = bytes.subarray(from, from + size)
      freeAt += piece.length / bytesPerSecond * 1_000
      yield { at: freeAt, data: piece }
    }
  }
}

/**
 * The error that a stream tells of.
 */
export const errorBody = (fault: FaultOf<"errorInStream">): { readonly [key: string]: unknown } => ({
  type: fault.type ?? "too_many_requests",
  code: fault.code ?? "rate_limit_exceeded",
  message: fault.message ?? "Your requests to the deployment have exceeded rate limit.",
  param: null
})

/**
 * Makes a body that is not streamed go wrong.
 */
export const spoilWhole = (
  body: string,
  faults: ReadonlyArray<SimulatedFault>
): { readonly body: string; readonly contentType: string; readonly ending: SimulatedEnding } => {
  const half = body.slice(0, Math.ceil(body.length / 2))
  const contentType = "application/json"
  for (const fault of faults) {
    switch (fault.kind) {
      case "unreadable":
        return {
          body: fault.body ?? "<html><body>Sign in to continue</body></html>",
          contentType: "text/html",
          ending: "end"
        }
      case "truncated":
      case "malformed":
        return { body: half, contentType, ending: "end" }
      case "cut":
        return { body: half, contentType, ending: fault.ending }
      case "hang":
        return { body: half, contentType, ending: "hang" }
      case "empty":
        return { body: "", contentType, ending: "end" }
      case "errorInStream":
        return { body: JSON.stringify({ error: errorBody(fault) }), contentType, ending: "end" }
    }
  }
  return { body, contentType, ending: "end" }
}

const spoil = (event: string, how: FaultOf<"malformed">["how"]): string | Uint8Array => {
  switch (how) {
    case "json":
      return event.replace(/\}\n\n$/, "\n\n")
    case "blankLine":
      return event.slice(0, -1)
    case "utf8": {
      const bytes = new TextEncoder().encode(event.replace(/\}\n\n$/, "\"€"))
      return bytes.subarray(0, bytes.length - 1)
    }
  }
}
