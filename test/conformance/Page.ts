/**
 * The list of differences as the table of `docs/conformance.md`.
 */
import type { Difference } from "./Compare.ts"
import { doors } from "./Doors.ts"

/** Cells of one row: what differs, through which doors, why. */
type Row = readonly [what: string, doors: string, why: string]

const rowOf = (difference: Difference): Row => [
  difference.what,
  difference.doors.length === doors.length ? "all" : difference.doors.map((door) => `\`${door}\``).join(", "),
  difference.why
]

/** Rows of the table. */
export const rowsOf = (list: ReadonlyArray<Difference>): ReadonlyArray<Row> => list.map(rowOf)

/** Rows that a page has, whatever its columns are padded with. */
export const rowsIn = (page: string): ReadonlyArray<ReadonlyArray<string>> =>
  page.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| -") && !/^\| what +\|/.test(line))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()))
