/**
 * What `evenkeel top` shows: lines, made of a status alone.
 */
import type { DeploymentSnapshot } from "@evenkeel/core"
import type { Happening } from "../gateway/Activity.ts"
import type { BriefDecision } from "../gateway/Decisions.ts"
import type { Status } from "../gateway/OperatorPages.ts"
import {
  conditionOf,
  count,
  duration,
  healthOf,
  HOT,
  type Level,
  marks,
  millis,
  modelsOf,
  money,
  percent,
  ratesOf,
  reasonOf
} from "../gateway/page/model.js"
import { bar, type Canvas, fit, line, type Span, span, type Tone, widthOf } from "./TerminalText.ts"

/** What deployments may be sorted by. */
export const orders = ["state", "quota", "requests", "first token", "cost", "name"] as const

/** What is looked at. */
export interface TopState {
  readonly url: string
  /** `undefined` before it was heard. */
  readonly status: Status | undefined
  /** The newest first. */
  readonly decisions: ReadonlyArray<BriefDecision>
  /** Why it is not heard now. */
  readonly trouble: string | undefined
  readonly order: (typeof orders)[number]
  readonly filter: string
  /** Whether the filter is being typed. */
  readonly isTyping: boolean
  readonly isPaused: boolean
  readonly showsDecisions: boolean
  /** How many deployments are above the screen. */
  readonly offset: number
}

export const initial = (url: string): TopState => ({
  url,
  status: undefined,
  decisions: [],
  trouble: undefined,
  order: "state",
  filter: "",
  isTyping: false,
  isPaused: false,
  showsDecisions: false,
  offset: 0
})

type Line = ReadonlyArray<Span>

const tones: Readonly<Record<Level, Tone>> = { good: "green", warning: "yellow", bad: "red", neutral: "dim" }

const timeOf = (at: number): string => new Date(at).toLocaleTimeString("en-GB")

/** Lines that are left for what happened, and those of it that are printed where nothing is drawn over. */
const LOG = 4
const LOG_ONCE = 20
/** Models that have a bar of their own. */
const MODELS = 4

/** The whole view, of as many lines as the canvas has rows. */
export const render = (state: TopState, canvas: Canvas): ReadonlyArray<string> => {
  const rows = Math.max(1, canvas.rows - 1)
  const lines = [...headLines(state, canvas), ...tableLines(state, canvas)].slice(0, rows)
  lines.push(...logLines(state).slice(0, rows - lines.length))
  while (lines.length < rows) lines.push([])
  return [...lines, footOf(state)].map((spans) => line(spans, canvas))
}

/** The same once, for where nothing can be drawn over. */
export const renderOnce = (state: TopState, columns: number): ReadonlyArray<string> => {
  const canvas = { columns, rows: Infinity, color: false }
  const lines = [...headLines(state, canvas), ...tableLines(state, canvas), ...logLines(state).slice(0, LOG_ONCE)]
  return lines.map((spans) => line(spans, canvas))
}

/** Deployments that fit on a screen. */
export const roomFor = (state: TopState, canvas: Pick<Canvas, "columns" | "rows">): number =>
  Math.max(1, canvas.rows - headLines(state, canvas).length - LOG - 3)

// --- head and foot ----------------------------------------------------------------------------------------------------

const headLines = (state: TopState, { columns }: Pick<Canvas, "columns">): ReadonlyArray<Line> => {
  const { status, trouble, url } = state
  if (status === undefined) {
    return [headOf(state), [], trouble === undefined ? [span(` Asking ${url} …`)] : [span(` ${trouble}`, "red")]]
  }
  const old = trouble === undefined ? [] : [[span(` ✕ ${trouble} What is shown is old.`, "red")]]
  return [headOf(state), ...wrapped(figuresOf(status), columns), ...old, [], ...modelLines(status), []]
}

const headOf = ({ isPaused, status, trouble, url }: TopState): Line => {
  const head = [span(" Evenkeel ", "bold"), span(url.replace(/^https?:\/\/|\/$/g, ""), "dim")]
  if (isPaused) head.push(span("  paused", "yellow"))
  if (status === undefined) return head
  const { at, uptime } = status.gateway
  const { level, text } = trouble === undefined ? healthOf(status) : { level: "bad" as const, text: "Not connected" }
  return [
    ...head,
    span(`  ${marks[level]} ${text}`, tones[level]),
    span(`  up ${duration(uptime)}  ${timeOf(at)}`, "dim")
  ]
}

const figure = (label: string, value: string, per: string, tone: Tone = "bold"): Line => [
  span(`  ${label} `, "dim"),
  span(value, tone),
  span(per, "dim")
]

const figuresOf = (status: Status): ReadonlyArray<Line> => {
  const { cachedShare, cost, failovers, requests, throttled, tokens, unanswered } = ratesOf(status)
  const { firstToken } = status.gateway.latencies
  return [
    figure("requests", count(requests / 60), "/s"),
    figure("tokens", count(tokens), "/min"),
    figure("first token", millis(firstToken?.p50), firstToken === undefined ? "" : `, p95 ${millis(firstToken.p95)}`),
    figure("unanswered", count(unanswered), "/min", unanswered > 0 ? "red" : "bold"),
    figure("failovers", count(failovers), "/min"),
    figure("429s", count(throttled), "/min"),
    figure("cost", money(cost), "/h"),
    figure("cached", percent(cachedShare), "")
  ]
}

/** Parts in as many lines as they need. */
const wrapped = (parts: ReadonlyArray<Line>, columns: number): ReadonlyArray<Line> => {
  const lines: Array<Array<Span>> = [[]]
  const width = (line: Line) => line.reduce((sum, { text }) => sum + widthOf(text), 0)
  for (const part of parts) {
    if (width(lines.at(-1)!) + width(part) > columns) lines.push([])
    lines.at(-1)!.push(...part)
  }
  return lines
}

const modelLines = (status: Status): ReadonlyArray<Line> => {
  const models = modelsOf(status)
  const width = Math.min(24, Math.max(...models.map(({ name }) => widthOf(name)), 4))
  return models.slice(0, MODELS).map(({ deployments, healthy, limit, name, used, usedOfLimit, waiting }) => {
    const share = limit === undefined ? undefined : usedOfLimit / Math.max(1, limit)
    return [
      span("  "),
      fit(span(name), width),
      span(` ${bar(share ?? 0, 24)}`, share !== undefined && share >= HOT ? "yellow" : "cyan"),
      fit(span(percent(share)), 7, "right"),
      span(
        limit === undefined ? `  ${count(used)} a minute` : `  ${count(usedOfLimit)} of ${count(limit)} a minute`,
        "dim"
      ),
      span(`  ${healthy} of ${deployments} healthy`, healthy === 0 ? "red" : healthy < deployments ? "yellow" : "dim"),
      span(waiting === 0 ? "" : `  ${waiting} in line`, "yellow")
    ]
  })
}

const key = (name: string, what: string): Line => [span(` ${name} `, "inverse"), span(` ${what} `)]

const footOf = ({ filter, isPaused, isTyping, order, showsDecisions }: TopState): Line => {
  if (isTyping) {
    return [span(` filter: ${filter}`, "bold"), span("▏", "bold"), span("  enter keeps it, esc drops it", "dim")]
  }
  return [
    ...key("q", "quit"),
    ...key("s", `sort: ${order}`),
    ...key("/", filter === "" ? "filter" : `filter: ${filter}`),
    ...key("p", isPaused ? "go on" : "pause"),
    ...key("d", showsDecisions ? "what changed" : "decisions"),
    ...key("↑↓", "scroll")
  ]
}

// --- deployments ------------------------------------------------------------------------------------------------------

const tableLines = (state: TopState, canvas: Canvas): ReadonlyArray<Line> => {
  if (state.status === undefined) return []
  const deployments = shownOf(state)
  const columns = columnsFor(deployments, canvas.columns)
  const head = columns.map(({ column: { label, side }, width }) =>
    fit(span(side === "left" ? ` ${label}` : label), width, side).text
  )
  const room = roomFor(state, canvas)
  const from = Math.min(state.offset, Math.max(0, deployments.length - room))
  const shown = deployments.slice(from, from + room)
  const below = deployments.length - from - shown.length
  return [
    [fit({ text: head.join(""), tone: "inverse" }, canvas.columns)],
    ...shown.map((one) => columns.map(({ column: { show, side }, width }) => fit(show(one), width, side))),
    [span(from + below === 0 ? "" : ` ${from} above, ${below} below`, "dim")]
  ]
}

/** Those that pass the filter, in their order. */
export const shownOf = ({ filter, order, status }: TopState): ReadonlyArray<Shown> => {
  if (status === undefined) return []
  const { deployments, gateway: { latenciesOf } } = status
  const wanted = filter.toLowerCase()
  const by = sortBy[order]
  return deployments
    .map((one): Shown =>
      Object.assign({ times: Object.hasOwn(latenciesOf, one.id) ? latenciesOf[one.id] : undefined }, one)
    )
    .filter((one) =>
      `${one.id} ${one.model} ${one.region ?? ""} ${conditionOf(one).word}`.toLowerCase().includes(wanted)
    )
    .toSorted((a, b) => by(b) - by(a) || a.model.localeCompare(b.model) || a.tier - b.tier || a.id.localeCompare(b.id))
}

/** A deployment, with its times in milliseconds. */
type Shown = DeploymentSnapshot & { readonly times: Status["gateway"]["latencies"] | undefined }

const firstOf = ({ times }: Shown) => times?.firstToken ?? times?.answer

const sortBy: Readonly<Record<TopState["order"], (deployment: Shown) => number>> = {
  state: (one) => -conditionOf(one).rank,
  quota: ({ utilisation }) => utilisation,
  requests: ({ requests }) => requests.used,
  "first token": (one) => firstOf(one)?.p50 ?? 0,
  cost: ({ totals }) => totals.cost,
  name: () => 0
}

interface Column {
  readonly label: string
  readonly width: number
  readonly side: "left" | "right"
  /** The higher, the sooner it goes where there is no room. */
  readonly rank: number
  readonly show: (deployment: Shown) => Span
}

const right = (label: string, width: number, rank: number, show: (one: Shown) => string): Column => ({
  label,
  width,
  side: "right",
  rank,
  show: (one) => span(show(one))
})

const BAR = 10
const LONGEST_NAME = 32

const columns: ReadonlyArray<Column> = [
  {
    label: "STATE",
    width: 14,
    side: "left",
    rank: 0,
    show: (one) => {
      const { level, word } = conditionOf(one)
      return span(` ${marks[level]} ${word}`, tones[level])
    }
  },
  { label: "DEPLOYMENT", width: 0, side: "left", rank: 0, show: ({ id }) => span(` ${id}`) },
  right("TIER", 6, 6, ({ tier }) => String(tier)),
  {
    label: "QUOTA",
    width: BAR + 2,
    side: "left",
    rank: 2,
    show: ({ utilisation }) => span(` ${bar(utilisation, BAR)}`, utilisation >= HOT ? "yellow" : "cyan")
  },
  right(
    "",
    6,
    1,
    ({ tokens, utilisation }) => tokens.limit === undefined && utilisation === 0 ? "–" : percent(utilisation)
  ),
  right(
    "TOKENS/MIN",
    16,
    3,
    ({ tokens: { limit, used } }) => limit === undefined ? count(used) : `${count(used)}/${count(limit)}`
  ),
  right("REQ/MIN", 9, 4, ({ requests }) => count(requests.used)),
  right("NOW", 5, 2, ({ inFlight }) => String(inFlight)),
  right("FIRST", 8, 1, (one) => millis(firstOf(one)?.p50)),
  right("P95", 8, 5, (one) => millis(firstOf(one)?.p95)),
  right("CACHED", 8, 7, ({ cachedShare, totals }) => totals.promptTokens === 0 ? "–" : percent(cachedShare)),
  right("OK", 8, 8, ({ totals }) => count(totals.succeeded)),
  right("429", 7, 5, ({ totals }) => count(totals.throttled)),
  right("FAILED", 8, 4, ({ totals }) => count(totals.failed)),
  right("COST", 9, 6, ({ totals: { cost, unpriced } }) => money(cost === 0 && unpriced > 0 ? undefined : cost)),
  { label: "WHY", width: 20, side: "left", rank: 3, show: (one) => span(`  ${conditionOf(one).why}`, "dim") }
]

/** The columns that there is room for beside names; reasons take what is left. */
const columnsFor = (shown: ReadonlyArray<Shown>, room: number) => {
  const name = Math.min(LONGEST_NAME, Math.max(...shown.map(({ id }) => widthOf(id) + 2), 12))
  const widthIn = ({ label, width }: Column) => label === "DEPLOYMENT" ? name : width
  const usedBy = (some: ReadonlyArray<Column>) => some.reduce((sum, column) => sum + widthIn(column), 0)
  let kept = columns
  while (usedBy(kept) > room && kept.some(({ rank }) => rank > 0)) {
    const worst = Math.max(...kept.map(({ rank }) => rank))
    const last = kept.findLastIndex(({ rank }) => rank === worst)
    kept = kept.filter((_, i) => i !== last)
  }
  const rest = Math.max(0, room - usedBy(kept))
  return kept.map((column) => ({ column, width: widthIn(column) + (column.label === "WHY" ? rest : 0) }))
}

// --- what happened ----------------------------------------------------------------------------------------------------

const logLines = ({ decisions, showsDecisions, status }: TopState): ReadonlyArray<Line> =>
  showsDecisions ? decisions.map(decisionLine) : (status?.gateway.happenings ?? []).map(happeningLine)

const happeningLine = ({ about, at, count: times, level, more, what }: Happening): Line => [
  span(` ${timeOf(at)} `, "dim"),
  span(`${marks[level] ?? ""} `, tones[level]),
  span(about, "bold"),
  span(` ${what}${more === undefined ? "" : `, ${more}`}`),
  span(times === 1 ? "" : ` × ${count(times)}`, "dim")
]

const decisionLine = ({ at, attempt, because, model, winner }: BriefDecision): Line => [
  span(` ${timeOf(at)} `, "dim"),
  span(`${model} → `),
  span(winner ?? "nowhere", "bold"),
  span(`, ${attempt > 1 ? `attempt ${attempt}, ` : ""}${reasonOf(because)}`, "dim")
]
