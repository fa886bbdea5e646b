/**
 * Figures side by side, with a mark where Evenkeel is worse than the best.
 */
import type { Figures } from "./Figures.ts"
import type { Scenario } from "./Scenario.ts"

interface Column {
  readonly key: keyof Figures
  readonly title: string
  readonly print: (value: number) => string
  /** Differences below this mean nothing. */
  readonly floor: number
  readonly isMoreBetter?: boolean
}

const fixed = (digits: number) => (value: number): string => value === Infinity ? "never" : value.toFixed(digits)
const percent = (value: number): string => `${(100 * value).toFixed(1)}%`

export const columns: ReadonlyArray<Column> = [
  { key: "failures", title: "failures/100", print: fixed(2), floor: 0.05 },
  { key: "throttled", title: "429/100", print: fixed(2), floor: 0.1 },
  { key: "failed", title: "5xx/100", print: fixed(2), floor: 0.1 },
  { key: "firstTokenP50", title: "TTFT p50", print: fixed(0), floor: 20 },
  { key: "firstTokenP99", title: "TTFT p99", print: fixed(0), floor: 50 },
  { key: "attempts", title: "attempts", print: fixed(3), floor: 0.01 },
  { key: "spread", title: "spread", print: percent, floor: 0.02 },
  { key: "cacheHits", title: "cache hits", print: percent, floor: 0.01, isMoreBetter: true },
  { key: "goodput", title: "goodput", print: percent, floor: 0.005, isMoreBetter: true },
  { key: "firstTier", title: "tier 1", print: percent, floor: 0.01, isMoreBetter: true },
  { key: "least", title: "least served", print: percent, floor: 0.05, isMoreBetter: true },
  { key: "eject", title: "eject s", print: fixed(0), floor: 5 },
  { key: "recover", title: "recover s", print: fixed(0), floor: 5 }
]

/** Share by which a figure may be worse than the best. */
const TOLERANCE = 0.05

/** What was measured of one scenario, by contender. */
export interface Results {
  readonly scenario: Scenario
  readonly figures: Readonly<Record<string, Figures>>
}

/** Columns in which a contender is worse than the best of all by more than tolerance and floor. */
export const worseThanBest = ({ figures }: Results, contender: string): ReadonlyArray<keyof Figures> =>
  columns.filter(({ floor, isMoreBetter, key }) => {
    const own = figures[contender]?.[key]
    if (own === undefined) return false
    const others = Object.values(figures).flatMap((one) => one[key] ?? [])
    const best = isMoreBetter === true ? Math.max(...others) : Math.min(...others)
    if (best === Infinity) return false
    const behind = isMoreBetter === true ? best - own : own - best
    return behind > Math.max(floor, TOLERANCE * Math.abs(best))
  }).map(({ key }) => key)

const cellOf = ({ key, print }: Column, figures: Figures, isMarked: boolean): string => {
  const value = figures[key]
  return value === undefined ? "-" : `${isMarked ? "*" : ""}${print(value)}`
}

/** The table of one scenario, as text. `*` marks what is worse than the best. */
export const table = (results: Results, marked: string): string => {
  const { figures, scenario } = results
  const contenders = Object.keys(figures)
  const shown = columns.filter(({ key }) => contenders.some((name) => figures[name]![key] !== undefined))
  const worse = worseThanBest(results, marked)
  const rows = [
    ["", ...shown.map(({ title }) => title)],
    ...contenders.map((name) =>
      [name].concat(
        shown.map((column) => cellOf(column, figures[name]!, name === marked && worse.includes(column.key)))
      )
    )
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const lines = rows.map((row) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)).join("  ")
  )
  return [`${scenario.name}: ${scenario.about}`, ...lines].join("\n")
}
