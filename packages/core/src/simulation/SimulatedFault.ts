/**
 * What can go wrong: each fault is plain data, so that it can be set in a test, over HTTP or from a file.
 */
import * as Schema from "effect/Schema"
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
