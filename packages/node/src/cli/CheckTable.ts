/**
 * What a check found, as a table for people.
 */
import type { CheckReport, CheckResult } from "@evenkeel/core"
import { table, wrap } from "./Table.ts"

/** Where it is shown. */
export interface Screen {
  /** Columns; `Infinity` for what is no terminal. */
  readonly width: number
  readonly hasColor: boolean
}

const colors: Readonly<Record<CheckResult["state"], number>> = { ok: 32, throttled: 33, failed: 31, "not asked": 2 }

const STATE = 2

/** A line for each resource and deployment, what is wrong and what to do under it, and a last line that sums it up. */
export const render = (report: CheckReport, { hasColor, width }: Screen): string => {
  const { results } = report
  const color = (code: number, text: string) => hasColor ? `\u001B[${code}m${text}\u001B[0m` : text
  const head = ["DEPLOYMENT", "MODEL", "STATE", "LIMITS", "TOOK"]
  const lines = table([head, ...results.map(rowOf)], width, (cell, row, column) => {
    if (row === 0) return color(1, cell)
    return column === STATE ? color(colors[results[row - 1]!.state], cell) : cell
  })
  const shown = [lines[0]!]
  let ofResource: string | undefined
  results.forEach(({ cure, kind, problem, warnings }, i) => {
    shown.push(lines[i + 1]!)
    // what is wrong with a resource is wrong with all its deployments, and said once
    if (problem !== undefined && (kind === "resource" || problem !== ofResource)) {
      shown.push(...wrap(plain(`${problem}. ${cure}`), width, 4))
    }
    for (const warning of warnings) shown.push(...wrap(plain(`Warning: ${warning}`), width, 4))
    if (kind === "resource") ofResource = problem
  })
  return [...shown, "", ...wrap(summaryOf(report), width, 0)].join("\n")
}

const rowOf = ({ duration, host, kind, limits, model, name, state }: CheckResult): ReadonlyArray<string> => [
  // a deployment stands under its resource, whose name is the first part of its id
  plain(kind === "resource" ? `${name} (${host})` : `  ${name.slice(name.indexOf("/") + 1)}`),
  plain(model ?? ""),
  state,
  [limitOf(limits.tokens, "tpm"), limitOf(limits.requests, "rpm")].filter((limit) => limit !== "").join(", "),
  duration === undefined ? "" : `${Math.round(duration)} ms`
]

const limitOf = (limit: number | undefined, unit: string): string =>
  limit === undefined ? "" : `${limit.toLocaleString("en")} ${unit}`

/** What a service says of itself does not move the cursor. */
const plain = (text: string): string => text.replaceAll(/\p{Cc}/gu, " ")

/** What only a completion finds out. */
const isUnasked = ({ model, state }: CheckResult): boolean => state === "not asked" && model !== "*"

const summaryOf = ({ ok, results }: CheckReport): string => {
  const counted = (kind: CheckResult["kind"], holds: (result: CheckResult) => boolean) => {
    const count = results.filter((result) => result.kind === kind && holds(result)).length
    return `${count} ${kind}${count === 1 ? "" : "s"}`
  }
  const both = (holds: (result: CheckResult) => boolean) =>
    `${counted("resource", holds)} and ${counted("deployment", holds)}`
  const warnings = results.reduce((count, result) => count + result.warnings.length, 0)
  const warned = warnings === 0 ? "" : ` Warnings: ${warnings}.`
  const unasked = results.some(isUnasked)
    ? ` Not asked: ${counted("deployment", isUnasked)}; --completion asks each for a token.`
    : ""
  return `${
    ok ? `All is well: ${both(() => true)}.` : `Something is wrong with ${both((result) => !result.ok)}.`
  }${warned}${unasked}`
}
