/**
 * An answer of the simulated service, as data: what is sent, and when. Whoever holds it plays it, by a clock of its own.
 */

/**
 * Some bytes of a body. `at` is in ms after the request, like every time of an answer.
 */
export interface SimulatedPart {
  readonly at: number
  readonly data: string | Uint8Array
}

/**
 * How a body ends: properly, by a broken connection, or never.
 */
export type SimulatedEnding = "end" | "reset" | "hang"

/**
 * The parts of a body, made as they are asked for. What it returns says how the body ends, right after its last part.
 */
export type SimulatedParts = Iterator<SimulatedPart, SimulatedEnding, void>

/**
 * What the player of an answer tells the service. The first of them counts, later ones do nothing.
 */
interface Settling {
  /** The answer was played to its end, good or bad. */
  readonly finished: (now: number) => void
  /** The client went away before. */
  readonly abandoned: (now: number) => void
}

/**
 * An answer over HTTP.
 */
export interface HttpAnswer extends Settling {
  readonly _tag: "Http"
  readonly status: number
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  /** When status and headers are sent. */
  readonly headersAt: number
  readonly parts: SimulatedParts
}

/**
 * No answer: there is no connection at `at`, or it breaks then, or nothing ever comes.
 */
export interface BrokenAnswer extends Settling {
  readonly _tag: "Broken"
  readonly how: "refused" | "reset" | "hang"
  /** What kept the connection from being made, if it was refused. */
  readonly because: Refused
  readonly at: number
}

/**
 * What keeps a connection from being made.
 */
export type Refused = "connect" | "connect-timeout" | "dns" | "tls"

/**
 * What the service does with a request.
 */
export type SimulatedAnswer = HttpAnswer | BrokenAnswer

/**
 * A body that is there at once.
 */
export const whole = function*(
  body: string,
  at: number,
  ending: SimulatedEnding = "end"
): Generator<SimulatedPart, SimulatedEnding, void> {
  if (body !== "") yield { at, data: body }
  return ending
}

/**
 * An event of a chat stream.
 */
export const dataEvent = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`

/**
 * An event of a responses stream, which is named after its type.
 */
export const namedEvent = (value: { readonly type: string; readonly [key: string]: unknown }): string =>
  `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`

/**
 * What ends a chat stream.
 */
export const done = "data: [DONE]\n\n"
