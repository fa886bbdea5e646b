/**
 * What docs/observability.md must say: its queries, and its tables of alerts and instruments.
 */
import { attributes, counted, gateway, genAi, genAiNext, type Instrument, observed } from "#core/telemetry/Names"
import { alerts } from "#otel/Alerts"

/** A table as dprint leaves it: columns as wide as their widest cell. */
const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: ReadonlyArray<string>) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n")
}

const code = (text: string): string => `\`${text}\``

const instrumentTable = (instruments: Readonly<Record<string, Instrument>>): string =>
  table(
    ["name", "kind", "unit", "attributes", "meaning"],
    Object.values(instruments).map((instrument) => [
      code(instrument.name),
      instrument.kind,
      code(instrument.unit),
      instrument.attributes.map((attribute) => code(attributes[attribute])).join(", ") || "none",
      instrument.description
    ])
  )

/** Sections of the page that are made, by the comment that begins them. */
export const sections = (): Readonly<Record<string, string>> => ({
  alerts: table(
    ["alert", "severity", "for", "panel to look at"],
    alerts({ costPerHour: 50 }).map(({ for: length, name, panel, severity }) => [code(name), severity, length, panel])
  ),
  instruments: [
    "### Requests, attempts and what happens to them",
    instrumentTable(counted),
    "### State, as it is when someone looks",
    instrumentTable(observed),
    "### The gateway",
    instrumentTable(gateway),
    "### GenAI conventions 1.41.1",
    instrumentTable(genAi),
    "### GenAI conventions that will follow, with `genAi: \"latest\"` instead of those",
    instrumentTable(genAiNext)
  ].join("\n\n")
})

/** What a page has between `<!-- name -->` and `<!-- /name -->`. */
export const sectionOf = (page: string, name: string): string | undefined =>
  new RegExp(`<!-- ${name} -->\\n([\\s\\S]*?)<!-- /${name} -->`).exec(page)?.[1]?.trim()

/** The page with its made sections as they must be. */
export const filled = (page: string): string =>
  Object.entries(sections()).reduce(
    (page, [name, text]) =>
      page.replace(
        new RegExp(`(<!-- ${name} -->\\n)[\\s\\S]*?(<!-- /${name} -->)`),
        (_, begin: string, end: string) => `${begin}\n${text}\n\n${end}`
      ),
    page
  )

/** Queries of a page, on one line each. */
export const queriesOf = (page: string): ReadonlyArray<string> =>
  [...page.matchAll(/```promql\n([\s\S]*?)```/g)].map(([, query]) => query!.trim().replaceAll(/\s+/g, " "))
