/**
 * Text for a terminal: spans with a tone, fitted to so many cells. Whatever is shown passes `span`, which leaves nothing in it
 * that a terminal would obey: names and reasons come from outside.
 */
import { stripVTControlCharacters } from "node:util"

export type Tone = "bold" | "dim" | "green" | "yellow" | "red" | "cyan" | "inverse"

export interface Span {
  readonly text: string
  readonly tone: Tone | undefined
}

/** What is drawn on. */
export interface Canvas {
  readonly columns: number
  readonly rows: number
  readonly color: boolean
}

const codes: Readonly<Record<Tone, number>> = { bold: 1, dim: 2, green: 32, yellow: 33, red: 31, cyan: 36, inverse: 7 }

/** Controls, what turns text round, what joins others and what is no character: nothing that has a width of its own. */
const unseen = /[\p{C}\p{M}\p{Zl}\p{Zp}]/gu

/** Characters of two cells. */
const wide =
  /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60]/u

/** Nobody's terminal is wider than what is left of it. */
const LONGEST = 1000

const ascii = /^[ -~]*$/

export const span = (text: string, tone?: Tone): Span => ({
  text: stripVTControlCharacters(text.slice(0, LONGEST)).normalize("NFC").replace(unseen, ""),
  tone
})

/** Cells that a text takes. */
export const widthOf = (text: string): number => {
  if (ascii.test(text)) return text.length
  let width = 0
  for (const character of text) width += wide.test(character) ? 2 : 1
  return width
}

/** At most so many cells, with an ellipsis for what is missing. */
const cut = (text: string, width: number): string => {
  if (widthOf(text) <= width) return text
  let kept = ""
  let left = width - 1
  for (const character of text) {
    left -= widthOf(character)
    if (left < 0) break
    kept += character
  }
  return width < 1 ? "" : `${kept}…`
}

/** Exactly so many cells. */
export const fit = ({ text, tone }: Span, width: number, side: "left" | "right" = "left"): Span => {
  const shown = cut(text, width)
  const rest = " ".repeat(Math.max(0, width - widthOf(shown)))
  return { text: side === "left" ? shown + rest : rest + shown, tone }
}

/** A line, cut where the canvas ends. */
export const line = (spans: ReadonlyArray<Span>, { color, columns }: Canvas): string => {
  let room = columns
  let out = ""
  for (const { text, tone } of spans) {
    const shown = cut(text, room)
    room -= widthOf(shown)
    out += color && tone !== undefined && shown !== "" ? `\u001b[${codes[tone]}m${shown}\u001b[0m` : shown
  }
  return out.trimEnd()
}

const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]

/** A share as a bar of exactly so many cells. */
export const bar = (share: number, width: number): string => {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * width * 8)
  return ("█".repeat(Math.floor(filled / 8)) + eighths[filled % 8]!).padEnd(width, "·")
}

const at = (row: number): string => `\u001b[${row + 1};1H`

/** What changes lines that are shown into others: only those that differ are drawn. */
export const redraw = (before: ReadonlyArray<string>, after: ReadonlyArray<string>): string => {
  const changed = after.flatMap((line, row) => line === before[row] ? [] : [`${at(row)}${line}\u001b[K`])
  if (before.length > after.length) changed.push(`${at(after.length)}\u001b[J`)
  return changed.join("")
}
