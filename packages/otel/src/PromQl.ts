/**
 * PromQL made of instruments and attributes, so that no query can name what nobody measures.
 *
 * The names are those of the names module; only functions and operators are written by hand. Each expression is two texts
 * at once: as Prometheus takes it, for people and alerts, and as a panel of Grafana has it, which is narrowed by the
 * dashboard's variables and looks over as long as fits the width of the graph.
 */
import { type Attribute, type Instrument, prometheusLabel, prometheusName } from "@evenkeel/core/internal"

/** A piece of PromQL, and what it is made of. */
export interface Expression {
  /** As Prometheus takes it. */
  readonly text: string
  /** The same with Grafana's variables: `$job`, `$model`, `$region`, `$deployment` and `$__rate_interval`. */
  readonly panel: string
  readonly instruments: ReadonlyArray<Instrument>
  readonly attributes: ReadonlyArray<Attribute>
}

/** What an attribute must be: a value, one of several, or none of several. */
export type Matcher = string | ReadonlyArray<string> | { readonly not: ReadonlyArray<string> }

/** Any value: the dashboard's variable does not narrow it, as where what it is divided by has no such attribute. */
export const any: Matcher = { not: [] }

/** Which series of an instrument are meant. */
export type Matchers = { readonly [A in Attribute]?: Matcher }

/** A label that is Prometheus' own or its scraper's: it is taken as it is. */
export interface ForeignLabel {
  readonly label: string
}

/** What series are grouped by. */
export type Grouping = ReadonlyArray<Attribute | ForeignLabel>

/** Label of the process' name, which scrapers and OpenTelemetry's collector give to every series. */
export const job: ForeignLabel = { label: "job" }

/** Variables of the dashboard, by the attribute that they narrow. */
export const variables: { readonly [A in Attribute]?: string } = {
  model: "model",
  region: "region",
  deployment: "deployment"
}

/** PromQL as it is, for what no instrument has a part in. */
export const literal = (text: string): Expression => ({ text, panel: text, instruments: [], attributes: [] })

/** A length of time, as `5m`. */
export const window = (length: `${number}${"s" | "m" | "h" | "d"}`): Expression => literal(length)

/** Five minutes for people; in a panel, as long as fits it and a scrape interval that is not known here. */
export const interval: Expression = { ...literal("5m"), panel: "$__rate_interval" }

/** Functions and operators around expressions and numbers. */
export const promql = (
  parts: TemplateStringsArray,
  ...values: ReadonlyArray<Expression | number>
): Expression => {
  const made = values.map((value) => typeof value === "number" ? literal(String(value)) : value)
  const join = (read: (expression: Expression) => string) =>
    parts.map((part, i) => i < made.length ? `${part}${read(made[i]!)}` : part).join("")
  return {
    text: join(({ text }) => text),
    panel: join(({ panel }) => panel),
    instruments: [...new Set(made.flatMap(({ instruments }) => instruments))],
    attributes: [...new Set(made.flatMap(({ attributes }) => attributes))]
  }
}

/** Names of labels, with commas between them. */
export const labels = (grouping: Grouping): Expression => ({
  ...literal(grouping.map((one) => typeof one === "string" ? prometheusLabel(one) : one.label).join(", ")),
  attributes: grouping.filter((one) => typeof one === "string")
})

/** Of a histogram: its buckets, the sum of what was observed, or how often. */
export type Part = "bucket" | "sum" | "count"

/**
 * Series of an instrument.
 *
 * @param part a histogram has parts, and nothing else has
 */
export const series = (
  instrument: Instrument,
  matchers: Matchers = {},
  part?: Part
): Expression => {
  if ((instrument.kind === "histogram") !== (part !== undefined)) {
    throw new Error(`${instrument.name} is a ${instrument.kind}`)
  }
  const wanted = Object.entries(matchers) as ReadonlyArray<[Attribute, Matcher]>
  const fixed = wanted.flatMap(([attribute, matcher]) => {
    if (!instrument.attributes.includes(attribute)) throw new Error(`${instrument.name} has no ${attribute}`)
    return matcher === any ? [] : [`${prometheusLabel(attribute)}${conditionOf(matcher)}`]
  })
  const narrowed = instrument.attributes
    .filter((attribute) => attribute in variables && !(attribute in matchers))
    .map((attribute) => `${prometheusLabel(attribute)}=~"$${variables[attribute]}"`)
  const name = `${prometheusName(instrument)}${part === undefined ? "" : `_${part}`}`
  return {
    text: `${name}${fixed.length === 0 ? "" : `{${fixed.join(", ")}}`}`,
    panel: `${name}{${[`${job.label}=~"$job"`, ...narrowed, ...fixed].join(", ")}}`,
    instruments: [instrument],
    attributes: wanted.map(([attribute]) => attribute)
  }
}

const conditionOf = (matcher: Matcher): string => {
  if (typeof matcher === "string") return `=${JSON.stringify(matcher)}`
  const [isNot, values] = "not" in matcher ? [true, matcher.not] : [false, matcher]
  const operator = values.length === 1 ? (isNot ? "!=" : "=") : (isNot ? "!~" : "=~")
  return `${operator}${JSON.stringify(values.join("|"))}`
}

/** An aggregation, as `sum by (a, b) (x)`. */
export const aggregate = (
  operator: "sum" | "min" | "max" | "avg" | "count",
  of: Expression,
  by: Grouping = []
): Expression =>
  by.length === 0
    ? promql`${literal(operator)}(${of})`
    : promql`${literal(operator)} by (${labels(by)}) (${of})`

/** How fast a counter, or a part of a histogram, grows a second, over all processes. */
export const sumRate = (
  counted: Instrument,
  by: Grouping = [],
  matchers: Matchers = {},
  over: Expression = interval,
  part?: Part
): Expression => aggregate("sum", promql`rate(${series(counted, matchers, part)}[${over}])`, by)

/** A quantile of a histogram, as exact as its buckets are narrow. */
export const quantile = (
  q: number,
  instrument: Instrument,
  by: Grouping = [],
  matchers: Matchers = {},
  over: Expression = interval
): Expression =>
  promql`histogram_quantile(${q}, ${sumRate(instrument, [...by, { label: "le" }], matchers, over, "bucket")})`

/** The mean of what a histogram observed. */
export const mean = (instrument: Instrument, by: Grouping = [], matchers: Matchers = {}): Expression =>
  promql`${sumRate(instrument, by, matchers, interval, "sum")} / ${
    sumRate(instrument, by, matchers, interval, "count")
  }`

/**
 * A part as a share of the whole; 0, and not nothing, where there is a whole without this part. Both must be grouped alike.
 */
export const share = (part: Expression, whole: Expression): Expression => promql`(${part} or ${whole} * 0) / ${whole}`
