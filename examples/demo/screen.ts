/**
 * A terminal: redrawn in place where it can be, and lines one after the other where it is a pipe or a file.
 */
import type { Canvas } from "./text.ts"

export interface Screen {
  readonly canvas: () => Canvas
  /** Whether it is redrawn in place. */
  readonly isLive: boolean
  readonly draw: (lines: ReadonlyArray<string>) => void
  readonly print: (lines: ReadonlyArray<string>) => void
  /** Gives the terminal back as it was. Idempotent, and safe to call while the process ends. */
  readonly close: () => void
}

const ENTER = "\u001b[?1049h\u001b[?25l\u001b[?7l"
const LEAVE = "\u001b[?7h\u001b[?25h\u001b[?1049l"
// a terminal that knows this shows a frame as a whole; the others ignore it
const BEGIN = "\u001b[?2026h\u001b[H"
const END = "\u001b[J\u001b[?2026l"
const REST_OF_LINE = "\u001b[K"

/**
 * @param environment `NO_COLOR` and `TERM` are read
 */
export const openScreen = (out: NodeJS.WriteStream, environment: NodeJS.ProcessEnv): Screen => {
  const isLive = out.isTTY && environment["TERM"] !== "dumb"
  const color = isLive && (environment["NO_COLOR"] ?? "") === ""
  let isOpen = isLive
  if (isLive) out.write(ENTER)
  return {
    isLive,
    canvas: () => ({ columns: isLive ? out.columns : 100, rows: isLive ? out.rows : 40, color }),
    draw: (lines) => {
      if (isOpen) out.write(BEGIN + lines.map((line) => line + REST_OF_LINE).join("\n") + END)
    },
    print: (lines) => {
      out.write(lines.map((line) => `${line}\n`).join(""))
    },
    close: () => {
      if (isOpen) out.write(LEAVE)
      isOpen = false
    }
  }
}
