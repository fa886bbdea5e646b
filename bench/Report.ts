/**
 * The table: what was to be reached, what was measured, and whether that is enough.
 */
import type { Figure } from "./Measure.ts"

export interface Row {
  readonly what: string
  /** What the figure is: a ratio to the bare client, or a unit. */
  readonly unit: "x" | "us" | "ns" | "B" | "KB" | "MB"
  readonly figure: Figure
  /** Largest median that is good enough; rows without one are there to compare with. */
  readonly goal?: number | undefined
  /** Smallest median that is good enough, where more is better. */
  readonly least?: number | undefined
  /** CPU per call in microseconds, where the figure is a ratio. */
  readonly cpu?: Figure | undefined
}

export interface Section {
  readonly title: string
  readonly rows: ReadonlyArray<Row>
}

const verdictOf = ({ figure: { median }, goal, least }: Row): "pass" | "miss" | "" => {
  if (goal === undefined && least === undefined) return ""
  return median <= (goal ?? Infinity) && median >= (least ?? 0) ? "pass" : "miss"
}

const goalOf = ({ goal, least, unit }: Row): string =>
  goal !== undefined ? `<= ${withUnit(goal, unit)}` : least !== undefined ? `>= ${withUnit(least, unit)}` : ""

const digits = (value: number, unit: Row["unit"]): string => value.toFixed(unit === "x" ? 2 : unit === "ns" ? 0 : 1)

const withUnit = (value: number, unit: Row["unit"]): string => `${digits(value, unit)} ${unit}`

const cellsOf = (row: Row): ReadonlyArray<string> => {
  const { cpu, figure, unit, what } = row
  return [
    what,
    goalOf(row),
    withUnit(figure.median, unit),
    `${digits(figure.min, unit)} - ${digits(figure.max, unit)}`,
    cpu === undefined ? "" : `${cpu.median.toFixed(1)} us`,
    verdictOf(row)
  ]
}

const heads = ["", "goal", "median", "min - max", "CPU per call", ""]

export const print = ({ rows, title }: Section): void => {
  const table = [heads, ...rows.map(cellsOf)]
  const widths = heads.map((_, column) => Math.max(...table.map((cells) => cells[column]!.length)))
  const lines = table.map((cells) =>
    cells.map((cell, column) => column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)).join("  ")
  )
  console.log(`${title}\n${lines.map((line) => `  ${line.trimEnd()}`).join("\n")}\n`)
}
