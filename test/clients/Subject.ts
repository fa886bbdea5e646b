/**
 * A client of others, and what is done with it: each written once, in that client's own words.
 */
import type { Reach } from "./Reach.ts"

/** How a request fails, by the status that the client is answered. */
export type Failure = "not found" | "throttled" | "unavailable"

/** What a client can be asked for. What it cannot do is left out. */
export interface Subject {
  readonly name: string
  /** The text of an answer. */
  readonly chat: (reach: Reach, model?: string) => Promise<string>
  /** The pieces of a streamed answer. */
  readonly stream: (reach: Reach) => Promise<ReadonlyArray<string>>
  /** Offers the tool `weather`, and goes on with what it gives: the text in the end. */
  readonly tools: (reach: Reach, weather: Weather) => Promise<string>
  /** An answer that fits the schema of a city and its degrees. */
  readonly structured: (reach: Reach) => Promise<unknown>
  /** A vector. */
  readonly embed?: (reach: Reach) => Promise<ReadonlyArray<number>>
  /** Asks for a long stream with this signal. */
  readonly abort: (reach: Reach, signal: AbortSignal) => Promise<unknown>
  /** Whether an error is the client's own, of that kind. */
  readonly isOwn: (error: unknown, failure: Failure | "aborted") => boolean
  /** Its options that name a session, and whether we hear of it. */
  readonly sessions: Readonly<Record<string, SessionOption>>
}

/** The tool: it is told a city. */
export type Weather = (city: string) => string

export interface SessionOption {
  readonly ask: (reach: Reach, session: string) => Promise<unknown>
  /** Whether the session reaches us by it. */
  readonly isHeard: boolean
}
