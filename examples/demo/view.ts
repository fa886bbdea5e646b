/**
 * The live view: what the balancer knows now, as lines that fit the terminal.
 */
import type { DeploymentSnapshot, Snapshot } from "@evenkeel/core"
import { type Entry, inWords } from "./journal.ts"
import {
  bar,
  type Canvas,
  latency,
  left,
  line,
  percent,
  right,
  seconds,
  type Span,
  span,
  thousands,
  type Tone
} from "./text.ts"

/** One moment of the demo. Times in milliseconds. */
export interface Picture {
  readonly elapsed: number
  readonly duration: number
  readonly answered: number
  readonly perSecond: number
  /** Errors that callers saw. */
  readonly errors: number
  readonly snapshot: Snapshot
  readonly firstToken: (deployment: string) => number | undefined
  readonly log: ReadonlyArray<Entry>
}

/** The whole view, at most as many lines as the canvas has rows. */
export const renderView = (picture: Picture, canvas: Canvas): ReadonlyArray<string> => {
  const { deployments } = picture.snapshot
  const widths = widthsOf(deployments, canvas.columns)
  const models = new Set(deployments.map(({ model }) => model))
  const lines: Array<ReadonlyArray<Span>> = [
    [
      span(" Evenkeel", "bold"),
      span(`: ${deployments.length} simulated deployments of ${[...models].join(", ")}, real sockets, no credentials`)
    ],
    progress(picture, canvas.columns),
    [],
    ...heading(widths)
  ]
  for (const tier of new Set(deployments.map((deployment) => deployment.tier))) {
    const members = deployments.filter((deployment) => deployment.tier === tier)
    lines.push([span(` tier ${tier}${members.every((member) => member.provisioned) ? ", provisioned" : ""}`, "dim")])
    for (const member of members) lines.push(row(member, picture.firstToken(member.id), widths))
  }
  lines.push([])
  const room = canvas.rows - lines.length - 1
  if (room > 0) { for (const entry of picture.log.slice(-room)) lines.push(entryLine(entry)) }
  return lines.slice(0, Math.max(1, canvas.rows - 1)).map((spans) => line(spans, canvas))
}

/** The same in one line, for where nothing can be redrawn. */
export const renderStatus = (picture: Picture): string => {
  const { answered, duration, elapsed, errors, perSecond, snapshot } = picture
  const unwell = snapshot.deployments.filter(({ state }) => state !== "healthy")
  const state = unwell.length === 0
    ? `all ${snapshot.deployments.length} healthy`
    : unwell.map((deployment) => `${deployment.id} ${healthOf(deployment).short.slice(2)}`).join("; ")
  const time = elapsed > duration ? "last answers" : `${seconds(elapsed)} of ${seconds(duration)}`
  const seen = errors === 0 ? "no errors" : `${thousands(errors)} errors`
  return `${time}: ${thousands(answered)} answered, ${Math.round(perSecond)} a second, ${seen}; ${state}`
}

/** An entry of the log. */
export const entryLine = ({ at, text, tone }: Entry): ReadonlyArray<Span> => [
  span(right(seconds(at), 7), "dim"),
  span(`  ${text}`, tone)
]

const progress = (picture: Picture, columns: number): ReadonlyArray<Span> => {
  const { answered, duration, elapsed, errors, perSecond } = picture
  const facts = [
    span(elapsed > duration ? "  last answers" : `  ${right(seconds(elapsed), 5)} of ${seconds(duration)}`),
    span(`  ${Math.round(perSecond)} calls/s  ${thousands(answered)} answered  `),
    errors === 0 ? span("no errors", "green") : span(`${thousands(errors)} errors`, "red")
  ]
  const width = Math.max(0, columns - 2 - facts.reduce((sum, { text }) => sum + text.length, 0))
  const filled = Math.round(Math.min(1, elapsed / duration) * width)
  return [span(" "), span("━".repeat(filled), "cyan"), span("─".repeat(width - filled), "dim"), ...facts]
}

interface Widths {
  readonly name: number
  readonly health: number
  readonly bar: number
}

const NUMBERS = { percent: 6, flight: 7, token: 8, served: 7, cached: 7 }
const numbersWidth = Object.values(NUMBERS).reduce((sum, width) => sum + width, 0)

/** Width from which on health is told in full. */
const LONGEST = 48

const widthsOf = (deployments: ReadonlyArray<DeploymentSnapshot>, columns: number): Widths => {
  const name = Math.min(24, Math.max(10, ...deployments.map(({ id }) => id.length)))
  const room = columns - numbersWidth - name - 4
  const bar = room < 25 ? 0 : Math.max(7, Math.min(24, room - LONGEST))
  return { name, bar, health: Math.max(0, Math.min(room - bar, LONGEST)) }
}

const heading = ({ bar, health, name }: Widths): ReadonlyArray<ReadonlyArray<Span>> => {
  const labels = (a: string, b: string, quota: string, numbers: ReadonlyArray<string>) => [
    span(
      ` ${left(a, name)} ${left(b, health)} ${left(quota, bar + NUMBERS.percent)}` +
        Object.values(NUMBERS).slice(1).map((width, i) => right(numbers[i]!, width)).join(""),
      "dim"
    )
  ]
  return [
    labels("", "", "quota", ["in", "first", "", ""]),
    labels("deployment", "health", "in use", ["flight", "token", "served", "cached"])
  ]
}

const row = (
  deployment: DeploymentSnapshot,
  firstToken: number | undefined,
  widths: Widths
): ReadonlyArray<Span> => {
  const { cachedShare, id, inFlight, totals, utilisation } = deployment
  const { long, short, tone } = healthOf(deployment)
  return [
    span(` ${left(id, widths.name)} `),
    span(`${left(long.length <= widths.health ? long : short, widths.health)} `, tone),
    span(bar(utilisation, widths.bar), utilisation > 0.85 ? "yellow" : "cyan"),
    span(right(percent(utilisation), NUMBERS.percent)),
    span(right(String(inFlight), NUMBERS.flight)),
    span(right(latency(firstToken), NUMBERS.token), isSlow(deployment) ? "yellow" : undefined),
    span(right(thousands(totals.succeeded), NUMBERS.served)),
    span(right(totals.promptTokens === 0 ? "–" : percent(cachedShare), NUMBERS.cached))
  ]
}

/** Times its peers' latency from which on a deployment is called slow. */
const SLOW = 2.5

const isSlow = ({ latency }: DeploymentSnapshot): boolean => latency >= SLOW

/** Health in words, in two lengths: what it is, why, and until when. */
export const healthOf = (
  deployment: DeploymentSnapshot
): { readonly short: string; readonly long: string; readonly tone: Tone } => {
  const { latency, opensIn = 0, reason, state, warmth } = deployment
  const why = inWords(reason ?? "")
  switch (state) {
    case "healthy": {
      const text = isSlow(deployment)
        ? `● slow, ${latency.toFixed(1)} x peers`
        : warmth < 1
        ? `● back, at ${percent(warmth)}`
        : "● healthy"
      return { short: text, long: text, tone: isSlow(deployment) ? "yellow" : "green" }
    }
    case "cooling-down":
      return {
        short: `◐ throttled, ${seconds(opensIn)}`,
        long: `◐ throttled for ${seconds(opensIn)}: ${why}`,
        tone: "yellow"
      }
    case "open": {
      const what = why.startsWith("connection ") ? why.slice("connection ".length) : "failing"
      return {
        short: `✗ ${what}, next ${seconds(opensIn)}`,
        long: `✗ failing: ${why}; next try in ${seconds(opensIn)}`,
        tone: "red"
      }
    }
    case "half-open":
      return { short: "◌ being tried", long: `◌ being tried with one call (${why})`, tone: "yellow" }
    case "draining":
      return { short: "◌ draining", long: "◌ draining: takes no new call", tone: "dim" }
  }
}
