/**
 * What a panel is: a question's answer as plain data, and short ways to write one down.
 *
 * The dashboard draws it, alerts name it as the place to look next, and docs/observability.md quotes it.
 */
import { type Attribute, type Instrument, prometheusLabel } from "@evenkeel/core/internal"
import { type Expression, type Matchers, quantile } from "./PromQl.ts"

/** Units of Grafana that are in use. */
export type Unit = "s" | "percentunit" | "currencyUSD" | "short" | "reqps" | "none"

/** Text of a value, and its colour. */
export interface Mapping {
  readonly value: number
  readonly text: string
  readonly color: string
}

/** From a value on, a colour. */
export interface Step {
  readonly from: number
  readonly color: string
}

/** A query of a panel. */
export interface PanelQuery {
  readonly expression: Expression
  /** As Grafana's templates have it. */
  readonly legend: string
}

/** One graph, table or figure. */
export interface Panel {
  readonly title: string
  /** How to read it, and what to do. */
  readonly description: string
  readonly kind: "timeseries" | "stat" | "table" | "state-timeline"
  readonly unit: Unit
  readonly queries: ReadonlyArray<PanelQuery>
  /** Of 24. */
  readonly width: number
  readonly stacked?: boolean
  /** The colour below the first step is green, where there are steps. */
  readonly steps?: ReadonlyArray<Step>
  readonly mappings?: ReadonlyArray<Mapping>
}

/** Panels that answer one question. */
export interface Row {
  readonly title: string
  readonly panels: ReadonlyArray<Panel>
}

/** A row of panels. */
export const row = (title: string, panels: ReadonlyArray<Panel>): Row => ({ title, panels })

/** Makes panels of one kind, of this width unless they have another. */
const panels =
  (kind: Panel["kind"], width: number) =>
  (title: string, unit: Unit, rest: Omit<Panel, "title" | "unit" | "kind" | "width"> & { readonly width?: number }) =>
    ({ kind, width, title, unit, ...rest }) satisfies Panel

/** Lines over time. */
export const graph = panels("timeseries", 8)

/** A number of now. */
export const figure = panels("stat", 4)

/** A line for each series of now. */
export const table = panels("table", 24)

/** A coloured band over time for each series. */
export const timeline = panels("state-timeline", 24)

/** A query with a name of its own. */
export const query = (legend: string, expression: Expression): PanelQuery => ({ legend, expression })

/** A legend of attributes and words. */
export const legend = (parts: TemplateStringsArray, ...attributes: ReadonlyArray<Attribute>): string =>
  parts.map((part, i) => i < attributes.length ? `${part}{{${prometheusLabel(attributes[i]!)}}}` : part).join("")

/** A query for each value of some attributes, named after these and whatever words there are besides. */
export const each = (
  by: ReadonlyArray<Attribute>,
  of: (by: ReadonlyArray<Attribute>) => Expression,
  words?: string
): PanelQuery => {
  const names = by.map((attribute) => legend`${attribute}`)
  return query([...names, ...(words === undefined ? [] : [words])].join(" "), of(by))
}

/** Quantiles of a histogram, each as a query. */
export const quantiles = (
  instrument: Instrument,
  by: ReadonlyArray<Attribute>,
  matchers: Matchers = {}
): ReadonlyArray<PanelQuery> =>
  [0.5, 0.99].map((q) => each(by, () => quantile(q, instrument, by, matchers), `p${q * 100}`))

/** Green, until it is above a step. */
export const bad = (yellow: number, red: number): ReadonlyArray<Step> => [
  { from: yellow, color: "yellow" },
  { from: red, color: "red" }
]

/** Red, until it is above a step. */
export const good = (yellow: number, green: number): ReadonlyArray<Step> => [
  { from: -Infinity, color: "red" },
  { from: yellow, color: "yellow" },
  { from: green, color: "green" }
]
