/**
 * What differs between what the bare client shows and what a door shows, and which of it is known.
 */
import type { Door } from "./Doors.ts"

/** One place where the two differ. */
export interface Found {
  readonly case: string
  readonly door: Door
  /** Keys from the root, joined by dots: `threw.headers.retry-after`, `given.$stream.items.3`. */
  readonly at: string
  readonly bare: unknown
  readonly balanced: unknown
}

/** A difference that is known, and why it is there. */
export interface Difference {
  /** What differs, for a reader of the docs. */
  readonly what: string
  readonly why: string
  readonly doors: ReadonlyArray<Door>
  /** Names of cases. `*` stands for anything. Each must show it. */
  readonly cases: ReadonlyArray<string>
  /** Where. `*` stands for anything. Each must show it. */
  readonly at: ReadonlyArray<string>
}

type Plain = Readonly<Record<string, unknown>>

const isPlain = (value: unknown): value is Plain => typeof value === "object" && value !== null

/** Every place where two plain values differ. */
export const differ = (bare: unknown, balanced: unknown, at = ""): ReadonlyArray<Omit<Found, "case" | "door">> => {
  if (Object.is(bare, balanced)) return []
  if (!isPlain(bare) || !isPlain(balanced) || Array.isArray(bare) !== Array.isArray(balanced)) {
    return [{ at, bare, balanced }]
  }
  const keys = new Set([...Object.keys(bare), ...Object.keys(balanced)])
  return [...keys].flatMap((key) => differ(bare[key], balanced[key], at === "" ? key : `${at}.${key}`))
}

const fits = (pattern: string, text: string): boolean => {
  const [first = "", ...rest] = pattern.split("*")
  if (rest.length === 0) return first === text
  if (!text.startsWith(first)) return false
  let from = first.length
  for (const part of rest.slice(0, -1)) {
    const found = text.indexOf(part, from)
    if (found === -1) return false
    from = found + part.length
  }
  const last = rest.at(-1)!
  return text.length - last.length >= from && text.endsWith(last)
}

const isKnown = ({ at, cases, doors }: Difference, found: Found): boolean =>
  doors.includes(found.door) && at.some((pattern) => fits(pattern, found.at))
  && cases.some((pattern) => fits(pattern, found.case))

/** What of the found is in no entry of the list. */
export const unlisted = (found: ReadonlyArray<Found>, list: ReadonlyArray<Difference>): ReadonlyArray<Found> =>
  found.filter((one) => !list.some((difference) => isKnown(difference, one)))

/** What of the list was not found: an entry's door, case or place that shows nothing any more. */
export const outdated = (found: ReadonlyArray<Found>, list: ReadonlyArray<Difference>): ReadonlyArray<string> =>
  list.flatMap((difference) => {
    const { at, cases, doors, what } = difference
    const of = found.filter((one) => isKnown(difference, one))
    const missing = [
      ...doors.filter((door) => !of.some((one) => one.door === door)),
      ...cases.filter((pattern) => !of.some((one) => fits(pattern, one.case))),
      ...at.filter((pattern) => !of.some((one) => fits(pattern, one.at)))
    ]
    return missing.map((part) => `"${what}" is listed for ${part}, where it does not occur`)
  })
