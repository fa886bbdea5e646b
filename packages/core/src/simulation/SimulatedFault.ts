/**
 * What can go wrong: each fault is plain data, so that it can be set in a test, over HTTP or from a file.
 */
import * as Schema from "effect/Schema"
import type { SimulatedEnding, SimulatedPart, SimulatedParts } from "./SimulatedAnswer.ts"
import * as Errors from "./SimulatedErrors.ts"

/**
 * Schema for which requests a fault strikes: those of which everything holds that is named here.
 */
export const FaultTarget = Schema.Struct({
  /** What the body has in it somewhere: a marker in a prompt, as JSON writes it. */
  text: Schema.optional(Schema.String),
  /** What the path has in it: `/batches`, `/chat/completions`. */
  path: Schema.optional(Schema.String),
  /** The `service_tier` that the body asks for. */
  serviceTier: Schema.optional(Schema.String)
})

/**
 * Which requests a fault strikes.
 */
export type FaultTarget = typeof FaultTarget.Type

const fault = <const Kind extends string, Fields extends Schema.Struct.Fields>(kind: Kind, fields: Fields) =>
  Schema.Struct({
    kind: Schema.Literal(kind),
    /** How likely it is, for each request; 1 if not given. */
    probability: Schema.optional(Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: 1 }))),
    /** How many requests it strikes before it is gone; absent for all. */
    times: Schema.optional(Schema.Int.check(Schema.isGreaterThan(0))),
    /** Which requests it strikes; absent for all. */
    when: Schema.optional(FaultTarget),
    ...fields
  })

/**
 * Schema for the documented bodies of errors, by name.
 */
export const ErrorName = Schema.Literals(Object.keys(Errors.bodies) as Array<Errors.ErrorName>)
const headers = Schema.Record(Schema.String, Schema.String)
const count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const factor = Schema.Number.check(Schema.isGreaterThan(0))

/**
 * Schema for one fault.
 *
 * - `status`: an error status; its body is a documented one (`error`), any text (`body`), or what goes with the status.
 * - `throttle`: a 429 whose wait is given in any form: `retryAfterMs`, or raw `headers`.
 * - `slow`, `slowDecoding`: everything, or only the tokens after the first, takes `factor` times as long.
 * - `trickle`: no more than so many bytes of a body in a second, as over a sick network path.
 * - `silence`: no event of a stream before so many ms have passed, headers aside; what is late by then comes at once.
 * - `hang`: no answer ever; or, with `afterEvents`, a stream that stalls.
 * - `refused`: no connection, for any reason below HTTP. `reset`: it breaks before the headers.
 * - `cut`: the answer ends after some events, properly (`end`) or by a broken connection (`reset`).
 * - `errorInStream`: a 200 whose stream tells of an error. `flat` is OpenAI's shape, `nested` is Azure's.
 * - `empty`: a 200 with no event, or with nothing but `[DONE]`.
 * - `malformed`: an event that is no JSON, half a UTF-8 character, or one without its blank line.
 * - `truncated`: half of the body. `unreadable`: a 200 that is not what was asked for.
 * - `headers`: added to every answer. `spillover`: another deployment served it. `unknownLimits`: `-1` rate limits.
 */
export const SimulatedFault = Schema.Union([
  fault("status", {
    status: Schema.optional(Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 599 }))),
    error: Schema.optional(ErrorName),
    body: Schema.optional(Schema.String),
    contentType: Schema.optional(Schema.String),
    headers: Schema.optional(headers)
  }),
  fault("throttle", {
    retryAfterMs: Schema.optional(Schema.Number),
    error: Schema.optional(ErrorName),
    headers: Schema.optional(headers)
  }),
  fault("slow", { factor }),
  fault("slowDecoding", { factor }),
  fault("trickle", { bytesPerSecond: factor }),
  fault("silence", { forMs: count }),
  fault("hang", { afterEvents: Schema.optional(count) }),
  fault("refused", {
    because: Schema.optional(Schema.Literals(["connect", "connect-timeout", "dns", "tls"])),
    afterMs: Schema.optional(Schema.Number)
  }),
  fault("reset", {}),
  fault("cut", { afterEvents: count, ending: Schema.Literals(["end", "reset"]) }),
  fault("errorInStream", {
    afterEvents: Schema.optional(count),
    shape: Schema.optional(Schema.Literals(["nested", "flat"])),
    type: Schema.optional(Schema.String),
    code: Schema.optional(Schema.String),
    message: Schema.optional(Schema.String),
    headers: Schema.optional(headers)
  }),
  fault("empty", { done: Schema.optional(Schema.Boolean) }),
  fault("malformed", { how: Schema.Literals(["json", "utf8", "blankLine"]), afterEvents: Schema.optional(count) }),
  fault("truncated", {}),
  fault("unreadable", { body: Schema.optional(Schema.String) }),
  fault("headers", { headers }),
  fault("spillover", { to: Schema.optional(Schema.String), status: Schema.optional(Schema.Int) }),
  fault("unknownLimits", {})
])

/**
 * One fault.
 */
export type SimulatedFault = typeof SimulatedFault.Type

/**
 * The fault of one kind.
 */
export type FaultOf<Kind extends SimulatedFault["kind"]> = Extract<SimulatedFault, { readonly kind: Kind }>

/** What a fault looks at to tell whether it strikes. */
interface Struck {
  readonly path: string
  readonly body: string
}

/**
 * Faults that were switched on, and how often each may still strike.
 */
export interface FaultSet {
  readonly add: (fault: SimulatedFault) => void
  readonly clear: () => void
  /** Those that are still on. `times` is what is left. */
  readonly list: () => ReadonlyArray<SimulatedFault>
  /** Those that strike this request. */
  readonly draw: (request: Struck, random: () => number) => ReadonlyArray<SimulatedFault>
}

/** Plain JavaScript, or a file, may give anything. */
const check = Schema.decodeUnknownSync(SimulatedFault, { onExcessProperty: "error" })

/**
 * Creates a set of faults that are on from the start.
 */
export const makeSet = (faults: ReadonlyArray<SimulatedFault> = []): FaultSet => {
  const entryOf = (fault: SimulatedFault) => ({ fault: check(fault), left: fault.times ?? Infinity })
  let on: Array<{ readonly fault: SimulatedFault; left: number }> = faults.map(entryOf)
  return {
    add: (fault) => void on.push(entryOf(fault)),
    clear: () => void (on = []),
    list: () => on.map(({ fault, left }) => left === Infinity ? fault : { ...fault, times: left }),
    draw: (request, random) => {
      if (on.length === 0) return []
      const struck = on.filter(({ fault: { probability, when } }) =>
        (when === undefined || matches(when, request)) && (probability === undefined || random() < probability)
      )
      for (const entry of struck) entry.left--
      on = on.filter((entry) => entry.left > 0)
      return struck.map(({ fault }) => fault)
    }
  }
}

const matches = ({ path, serviceTier, text }: FaultTarget, request: Struck): boolean =>
  (text === undefined || request.body.includes(text)) &&
  (path === undefined || request.path.includes(path)) &&
  (serviceTier === undefined || serviceTierOf(request.body) === serviceTier)

const serviceTierOf = (body: string): unknown => {
  try {
    return (JSON.parse(body) as { readonly service_tier?: unknown } | null)?.service_tier
  } catch {
    return undefined
  }
}

/**
 * The first fault of one kind among those that strike.
 */
export const find = <Kind extends SimulatedFault["kind"]>(
  faults: ReadonlyArray<SimulatedFault>,
  kind: Kind
): FaultOf<Kind> | undefined => faults.find((fault): fault is FaultOf<Kind> => fault.kind === kind)

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
