/**
 * Text in columns, for people.
 */

/** Turns a cell, already padded, into what is shown of it: in colour, say. */
export type Paint = (cell: string, row: number, column: number) => string

/** Spaces between columns. */
const GAP = 2

/** What a column is not cut below. */
const NARROWEST = 6

/**
 * Rows in columns, no wider than that: where they do not fit, the widest column is cut.
 */
export const table = (
  rows: ReadonlyArray<ReadonlyArray<string>>,
  width: number,
  paint: Paint = (cell) => cell
): ReadonlyArray<string> => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const total = () => widths.reduce((sum, each) => sum + each + GAP, -GAP)
  const widest = () => widths.indexOf(Math.max(...widths))
  while (total() > width && widths[widest()]! > NARROWEST) widths[widest()]!--
  return rows.map((row, i) => {
    const last = row.findLastIndex((cell) => cell !== "")
    return row.slice(0, last + 1).map((cell, column) => {
      const room = widths[column]!
      const cut = cell.length > room ? `${cell.slice(0, room - 1)}…` : cell
      return paint(column === last ? cut : cut.padEnd(room), i, column)
    }).join(" ".repeat(GAP))
  })
}

/** A text in lines no longer than that, each indented. */
export const wrap = (text: string, width: number, indent: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const margin = " ".repeat(indent)
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && indent + line.length + 1 + word.length > width) {
      lines.push(margin + line)
      line = word
    } else line = line === "" ? word : `${line} ${word}`
  }
  return [...lines, margin + line]
}
