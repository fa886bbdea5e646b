/**
 * Server-sent events as bytes, whole or in pieces, and what a reader makes of them.
 */
import { type Batch, SseReader } from "#core/attempt/SseReader"

export interface Given {
  readonly name: string
  readonly data: string
}

const encoder = new TextEncoder()

/** Events as a service writes them: a string is the data of an event without a name. */
export const bytesOf = (events: ReadonlyArray<Given | string>, newline = "\n"): Uint8Array =>
  encoder.encode(
    events.map((event) => typeof event === "string" ? { name: "message", data: event } : event).map(({ data, name }) =>
      `${name === "message" ? "" : `event: ${name}${newline}`}data: ${data}${newline}${newline}`
    ).join("")
  )

/** An event of the responses API: its name is its type. */
export const named = (value: { readonly type: string; readonly [key: string]: unknown }): Given => ({
  name: value.type,
  data: JSON.stringify(value)
})

/** Cuts bytes at these places, wherever they fall. */
export const cut = (bytes: Uint8Array, places: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const at = places.map((place) => bytes.length === 0 ? 0 : place % (bytes.length + 1)).toSorted((a, b) => a - b)
  return [...at, bytes.length].map((end, i) => bytes.subarray(i === 0 ? 0 : at[i - 1]!, end))
}

export const concat = (pieces: ReadonlyArray<Uint8Array>): Uint8Array => {
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}

/** A parser as the standard says it, slow and plain: what an event's bytes mean to a client. */
export const parse = (bytes: Uint8Array): ReadonlyArray<Given> => {
  const events: Array<Given> = []
  let name = ""
  let data: Array<string> = []
  const lines = new TextDecoder().decode(bytes).split(/\r\n|\n|\r/)
  // what follows the last line break is no line yet
  for (const line of lines.slice(0, -1)) {
    if (line === "") {
      if (data.length > 0 && data.join("\n") !== "") events.push({ name: name || "message", data: data.join("\n") })
      name = ""
      data = []
      continue
    }
    const colon = line.indexOf(":")
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "")
    if (field === "event") name = value
    if (field === "data") data.push(value)
  }
  return events
}

export interface ReadOptions {
  readonly protocol?: "chat" | "responses"
  readonly hidesUsage?: boolean
  readonly parsesAll?: boolean
  readonly headers?: Readonly<Record<string, string>>
}

export const makeReader = (options: ReadOptions = {}): SseReader =>
  new SseReader(
    options.protocol ?? "chat",
    options.hidesUsage ?? false,
    options.parsesAll ?? false,
    options.headers ?? {},
    () => 0
  )

/** Everything that a reader says at the end of a stream. */
export interface Reading {
  readonly events: ReadonlyArray<Given>
  readonly batches: ReadonlyArray<Batch>
  readonly reader: SseReader
  /** What may not depend on where the bytes were cut. */
  readonly state: unknown
}

/** Reads a whole stream, until it ends or breaks. */
export const read = (pieces: ReadonlyArray<Uint8Array>, options: ReadOptions = {}): Reading => {
  const reader = makeReader(options)
  const batches = pieces.map((piece) => reader.feed(piece))
  batches.push(reader.end())
  const { events: seen, failure, ids, isCommitted, isComplete, isFailureDelivered, openItems, usage } = reader
  const events = batches.flatMap((batch) => batch.events.map(({ data, name }) => ({ name, data })))
  const state = { events, seen, failure, ids, isCommitted, isComplete, isFailureDelivered, openItems, usage }
  return { events, batches, reader, state }
}
