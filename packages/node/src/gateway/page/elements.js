/**
 * Elements that are made once, and changed only where what they show does: what stays is neither drawn nor read out again.
 *
 * Names and reasons come from outside, so whatever is shown is text, and nothing of it becomes markup: the page's policy
 * lets no script do so either.
 *
 * @import { Level } from "./model.js"
 */
import { HOT } from "./model.js"

/** @param {string} id */
export const find = (id) => /** @type {HTMLElement} */ (document.getElementById(id))

/** @param {string} id */
export const field = (id) => /** @type {HTMLInputElement} */ (document.getElementById(id))

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [className]
 * @param {...(Node | string)} children
 */
export const make = (tag, className = "", ...children) => {
  const element = document.createElement(tag)
  if (className !== "") element.className = className
  element.append(...children)
  return element
}

/**
 * @param {Element} element
 * @param {string} text
 * @param {string} [className]
 */
export const say = (element, text, className = element.className) => {
  if (element.textContent !== text) element.textContent = text
  if (element.className !== className) element.className = className
}

/**
 * What a cell shows.
 *
 * @typedef {object} Shown
 * @property {string} text
 * @property {string | undefined} [small] below it
 * @property {Level | undefined} [level]
 * @property {number | undefined} [share] as a bar
 */

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} label
 * @property {string} [kind] a class of its cells
 * @property {boolean} [isName] whether it says which row it is
 * @property {(row: Row) => Shown} show
 * @property {(row: Row) => string | number} [by] what it is sorted by: numbers the largest first
 */

/**
 * A cell, and what changes it. Its role is said, since a table that is drawn as cards is one to a screen reader all the same.
 *
 * @template Row
 * @param {Column<Row>} column
 */
const cellOf = ({ isName = false, kind, label, show }) => {
  const cell = make(isName ? "th" : "td", kind)
  cell.setAttribute("role", isName ? "rowheader" : "cell")
  cell.dataset["label"] = label
  const text = make("span")
  const small = make("small")
  const filled = make("i")
  const bar = make("div", "bar", filled)
  bar.setAttribute("aria-hidden", "true")
  cell.append(bar, text, small)
  /** @param {Row} row */
  const draw = (row) => {
    const { level = "", share, small: more = "", text: main } = show(row)
    say(text, main, level)
    say(small, more)
    small.hidden = more === ""
    bar.hidden = share === undefined
    bar.classList.toggle("hot", share !== undefined && share >= HOT)
    filled.style.width = `${Math.min(100, 100 * (share ?? 0)).toFixed(1)}%`
  }
  return { cell, draw }
}

/** @param {ReadonlyArray<HTMLElement>} cells */
const rowOf = (cells) => {
  const row = make("tr", "", ...cells)
  row.setAttribute("role", "row")
  return row
}

/**
 * A table whose rows are kept for as long as they are shown.
 *
 * @template Row
 * @param {string} id
 * @param {ReadonlyArray<Column<Row>>} columns
 * @param {(row: Row) => string} keyOf
 * @param {(column: Column<Row>) => void} [onSort]
 */
export const tableOf = (id, columns, keyOf, onSort) => {
  const table = /** @type {HTMLTableElement} */ (document.getElementById(id))
  const body = table.createTBody()
  const head = table.createTHead()
  table.setAttribute("role", "table")
  for (const group of [head, body]) group.setAttribute("role", "rowgroup")
  const heads = columns.map((column) => {
    const cell = make("th", column.kind)
    cell.scope = "col"
    cell.setAttribute("role", "columnheader")
    const button = make("button", "", column.label)
    button.type = "button"
    button.addEventListener("click", () => onSort?.(column))
    cell.append(onSort === undefined ? column.label : button)
    return cell
  })
  head.append(rowOf(heads))

  /** @type {Map<string, { readonly row: HTMLElement, readonly cells: ReadonlyArray<ReturnType<typeof cellOf<Row>>> }>} */
  let known = new Map()
  /** @param {Row} given */
  const entryOf = (given) => {
    const kept = known.get(keyOf(given))
    if (kept !== undefined) return kept
    const cells = columns.map(cellOf)
    return { row: rowOf(cells.map(({ cell }) => cell)), cells }
  }
  return {
    heads,
    /** @param {ReadonlyArray<Row>} rows */
    draw: (rows) => {
      known = new Map(rows.map((row) => {
        const entry = entryOf(row)
        for (const { draw } of entry.cells) draw(row)
        return [keyOf(row), entry]
      }))
      const wanted = Array.from(known.values(), ({ row }) => row)
      // put in order only where that changed, so that what is selected stays so
      const isOther = wanted.length !== body.rows.length || wanted.some((row, i) => row !== body.rows[i])
      if (isOther) body.replaceChildren(...wanted)
    }
  }
}

/**
 * A curve from 0 to its highest value.
 *
 * @param {ReadonlyArray<number>} values
 */
const pathsOf = (values) => {
  const most = Math.max(...values, Number.MIN_VALUE)
  const points = values.map((value, i) =>
    `${(100 * i / Math.max(1, values.length - 1)).toFixed(2)} ${(32 - 28 * value / most).toFixed(2)}`
  ).join("L")
  return values.length < 2 ? ["", ""] : [`M${points}`, `M0 34L${points}L100 34Z`]
}

/**
 * A figure with a curve of its last minutes.
 *
 * @param {string} label
 */
export const tileOf = (label) => {
  const value = document.createTextNode("–")
  const unit = make("small")
  const note = make("dd", "note")
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  const paths = [0, 1].map(() => svg.appendChild(document.createElementNS(svg.namespaceURI, "path")))
  for (const [name, text] of [["class", "curve"], ["viewBox", "0 0 100 34"], ["preserveAspectRatio", "none"]]) {
    svg.setAttribute(/** @type {string} */ (name), /** @type {string} */ (text))
  }
  const curve = make("dd", "", svg)
  curve.setAttribute("aria-hidden", "true")
  const tile = make("div", "", make("dt", "", label), make("dd", "value", value, unit), note, curve)
  return {
    tile,
    /**
     * @param {string} text
     * @param {string} per
     * @param {string} more
     * @param {ReadonlyArray<number>} values
     */
    draw: (text, per, more, values) => {
      if (value.data !== text) value.data = text
      say(unit, per)
      say(note, more)
      pathsOf(values).forEach((path, i) => paths[i]?.setAttribute("d", path))
    }
  }
}
