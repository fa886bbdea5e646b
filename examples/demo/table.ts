/**
 * The end: who served what, what was moved and why, and whether the callers noticed.
 */
import type { Snapshot } from "@evenkeel/core"
import { type Canvas, latency, left, line, percent, right, type Span, span, thousands } from "./text.ts"
import type { Verdict } from "./verdict.ts"

export interface Summary {
  readonly snapshot: Snapshot
  /** Mean time to the first token, in milliseconds. */
  readonly firstToken: (deployment: string) => number | undefined
  /** Calls that left a deployment for another, by deployment and reason. */
  readonly movedOn: ReadonlyMap<string, ReadonlyMap<string, number>>
  readonly verdict: ReadonlyArray<Verdict>
}

const columns: ReadonlyArray<readonly [label: string, width: number]> = [
  ["tier", 6],
  ["served", 9],
  ["share", 8],
  ["first token", 13],
  ["tokens in", 11],
  ["cached", 8],
  ["out", 8]
]

export const renderTable = (
  { firstToken, movedOn, snapshot, verdict }: Summary,
  canvas: Canvas
): ReadonlyArray<string> => {
  const { deployments } = snapshot
  const name = Math.max(10, ...deployments.map(({ id }) => id.length))
  const cells = (values: ReadonlyArray<string>) => values.map((value, i) => right(value, columns[i]![1])).join("")
  const total = (pick: (deployment: Snapshot["deployments"][number]) => number) =>
    deployments.reduce((sum, deployment) => sum + pick(deployment), 0)
  const served = total(({ totals }) => totals.succeeded)
  const prompt = total(({ totals }) => totals.promptTokens)
  const row = (title: string, values: ReadonlyArray<string>): ReadonlyArray<Span> => [
    span(` ${left(title, name)}${cells(values)}`)
  ]

  const lines: Array<ReadonlyArray<Span>> = [
    [],
    [span(" Who served what", "bold")],
    [span(` ${left("deployment", name)}${cells(columns.map(([label]) => label))}`, "dim")],
    ...deployments.map(({ cachedShare, id, tier, totals }) =>
      row(id, [
        String(tier),
        thousands(totals.succeeded),
        percent(served === 0 ? 0 : totals.succeeded / served),
        latency(firstToken(id)),
        thousands(totals.promptTokens),
        percent(cachedShare),
        thousands(totals.completionTokens)
      ])
    ),
    row("all", [
      "",
      thousands(served),
      "",
      "",
      thousands(prompt),
      percent(prompt === 0 ? 0 : total(({ totals }) => totals.cachedTokens) / prompt),
      thousands(total(({ totals }) => totals.completionTokens))
    ]),
    [],
    [span(" What was moved to another deployment, and why", "bold")]
  ]
  for (const [from, reasons] of movedOn) {
    for (const [reason, count] of reasons) {
      lines.push([span(`${right(thousands(count), 5)}  from ${left(from, name)}  ${reason}`)])
    }
  }
  if (movedOn.size === 0) lines.push([span("     nothing")])
  lines.push([])
  for (const { holds, more, text } of verdict) {
    lines.push([span(holds ? " ✓ " : " ✗ ", holds ? "green" : "red"), span(text)])
    if (more !== undefined) lines.push([span(`   ${more}`, "dim")])
  }
  return lines.map((spans) => line(spans, canvas))
}
