/**
 * Records the demo's terminal as an animated SVG, which GitHub shows: `node scripts/record-demo.ts > docs/images/demo.svg`.
 *
 * The demo runs in a pseudo terminal of `script` (util-linux). It draws whole frames, so a frame is what stands between two
 * beginnings; one in so many is kept, and CSS shows one after the other.
 */
import { spawnSync } from "node:child_process"

const COLUMNS = 100
const ROWS = 30

/** One frame in so many is kept, and shown for so many seconds; the last one for longer. */
const KEEP = 5
const LASTS = 1
const LAST_LASTS = 6

const CHARACTER = 8.4
const LINE = 18
const PADDING = 14

const BEGIN = "\u001b[?2026h\u001b[H"

/** Colours of the codes that the demo uses, on a dark ground. */
const colours: Readonly<Record<string, string>> = {
  "2": "#7d8590",
  "31": "#ff7b72",
  "32": "#7ee787",
  "33": "#e3b341",
  "34": "#79c0ff",
  "35": "#d2a8ff",
  "36": "#76e3ea",
  "90": "#7d8590"
}

const { status, stdout } = spawnSync(
  "script",
  ["-qec", `stty cols ${COLUMNS} rows ${ROWS}; node examples/demo.ts`, "/dev/null"],
  { encoding: "utf8", env: { ...process.env, TERM: "xterm-256color" }, maxBuffer: 1e9 }
)
if (status !== 0) throw new Error(`the demo ended with ${status}`)

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

/** A line with its codes as spans of colour. */
const spansOf = (line: string): string => {
  let colour = ""
  let isBold = false
  // oxlint-disable-next-line no-control-regex -- an escape is what is looked for
  return line.split(/(\u001b\[[\d;?]*[A-Za-z])/).map((part) => {
    if (!part.startsWith("\u001b")) {
      if (part === "") return ""
      const fill = colour === "" ? "" : ` fill="${colour}"`
      const weight = isBold ? " font-weight=\"bold\"" : ""
      return fill + weight === "" ? escaped(part) : `<tspan${fill}${weight}>${escaped(part)}</tspan>`
    }
    for (const code of /\[([\d;]*)m$/.exec(part)?.[1]?.split(";") ?? []) {
      if (code === "0" || code === "") [colour, isBold] = ["", false]
      else if (code === "1") isBold = true
      else if (code === "22") [colour, isBold] = [colour === colours["2"] ? "" : colour, false]
      else if (code === "39") colour = ""
      else colour = colours[code] ?? colour
    }
    return ""
  }).join("")
}

const linesOf = (frame: string): ReadonlyArray<string> =>
  frame.split(/\r?\n/).slice(0, ROWS).map((line) => spansOf(line))

const [, ...frames] = stdout.split(BEGIN)
const rest = stdout.slice(stdout.lastIndexOf("\u001b[?1049l")).replace("\u001b[?1049l", "")
const shown = frames.filter((_, i) => i % KEEP === 0).map((frame) => linesOf(frame.split("\u001b[J")[0]!))
const all = [...shown, linesOf(rest)]
const total = shown.length * LASTS + LAST_LASTS
const width = Math.ceil(COLUMNS * CHARACTER) + 2 * PADDING
const height = ROWS * LINE + 2 * PADDING

const percent = (seconds: number): string => `${((100 * seconds) / total).toFixed(3)}%`
const styles = all.map((_, i) => {
  const from = i * LASTS
  const to = i === all.length - 1 ? total : from + LASTS
  return `@keyframes f${i}{0%{visibility:${i === 0 ? "visible" : "hidden"}}${
    i === 0 ? "" : `${percent(from)}{visibility:visible}`
  }${to === total ? "" : `${percent(to)}{visibility:hidden}`}}#f${i}{animation:f${i} ${total}s step-end infinite}`
})
const groups = all.map((lines, i) => {
  const texts = lines.map((line, row) =>
    line === "" ? "" : `<text x="${PADDING}" y="${PADDING + (row + 0.8) * LINE}">${line}</text>`
  )
  return `<g id="f${i}">${texts.join("")}</g>`
})
process.stdout.write(
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="14" fill="#e6edf3" xml:space="preserve"><title>The demo of Evenkeel in a terminal</title><style>text{white-space:pre}g{visibility:hidden}${
    styles.join("")
  }</style><rect width="100%" height="100%" rx="8" fill="#0d1117"/>${groups.join("")}</svg>\n`
)
