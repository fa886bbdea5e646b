/**
 * Text for a terminal: spans with a tone, fitted to a width, so that no line wraps.
 */

export type Tone = "bold" | "dim" | "green" | "yellow" | "red" | "cyan"

export interface Span {
  readonly text: string
  readonly tone?: Tone | undefined
}

/** What may be drawn on. */
export interface Canvas {
  readonly columns: number
  readonly rows: number
  readonly color: boolean
}

const codes: Readonly<Record<Tone, number>> = { bold: 1, dim: 2, green: 32, yellow: 33, red: 31, cyan: 36 }

export const span = (text: string, tone?: Tone): Span => ({ text, tone })

/** A line of spans, cut where the canvas ends. */
export const line = (spans: ReadonlyArray<Span>, canvas: Canvas): string => {
  let room = canvas.columns
  let out = ""
  for (const { text, tone } of spans) {
    const shown = cut(text, room)
    room -= shown.length
    out += canvas.color && tone !== undefined && shown !== "" ? `\u001b[${codes[tone]}m${shown}\u001b[0m` : shown
  }
  return out.trimEnd()
}

/** At most so many characters, with an ellipsis for what is missing. */
export const cut = (text: string, width: number): string =>
  text.length <= width ? text : width < 1 ? "" : `${text.slice(0, width - 1)}…`

/** Exactly so many characters, with the text at the left. */
export const left = (text: string, width: number): string => cut(text, width).padEnd(Math.max(0, width))

/** Exactly so many characters, with the text at the right. */
export const right = (text: string, width: number): string => cut(text, width).padStart(Math.max(0, width))

const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]

/** A share as a bar of exactly so many characters. What is above 1 fills it. */
export const bar = (share: number, width: number): string => {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * width * 8)
  return ("█".repeat(Math.floor(filled / 8)) + eighths[filled % 8]!).padEnd(width, "·")
}

export const percent = (share: number): string => `${Math.round(share * 100)} %`

/** `0.4 s`, `12 s`. */
export const seconds = (millis: number): string =>
  millis < 9_950 ? `${(millis / 1000).toFixed(1)} s` : `${Math.round(millis / 1000)} s`

/** `210 ms`, `1.4 s`; a dash for what is not known. */
export const latency = (millis: number | undefined): string =>
  millis === undefined ? "–" : millis < 999.5 ? `${Math.round(millis)} ms` : seconds(millis)

export const thousands = (count: number): string => Math.round(count).toLocaleString("en-US")

/** `1 call`, `2 calls`. */
export const several = (count: number, what: string): string => `${thousands(count)} ${what}${count === 1 ? "" : "s"}`
