/**
 * Metrics as each exporter tells them, in one form, so that they can be held beside each other.
 */
import { instruments, prometheusName } from "#core/telemetry/Names"
import { DataPointType, type ResourceMetrics } from "@opentelemetry/sdk-metrics"
import type { Metric } from "effect"

/** One series, as someone downstream of an exporter sees it. */
export interface Point {
  readonly name: string
  /** Without the unit, and sorted by name. */
  readonly labels: string
  /** `undefined` where the format has no units. */
  readonly unit: string | undefined
  /** A number, or count, sum and the cumulative counts of a histogram's buckets. */
  readonly value: string
}

const isOurs = new Set(instruments.map(({ name }) => name))

const labelsOf = (labels: Iterable<readonly [name: string, value: unknown]>): string =>
  [...labels].filter(([name]) => name !== "unit").map(([name, value]) => `${name}=${String(value)}`).toSorted().join(
    ","
  )

const histogramOf = (count: number, sum: number, cumulative: ReadonlyArray<number>): string =>
  `${count} ${sum.toPrecision(12)} ${cumulative.join(" ")}`

const numberOf = (value: number): string => value.toPrecision(12)

const byName = (points: ReadonlyArray<Point>): ReadonlyArray<Point> =>
  points.toSorted((a, b) => `${a.name} ${a.labels}`.localeCompare(`${b.name} ${b.labels}`))

/** What is in Effect's registry: what all exporters read. */
export const fromSnapshot = (metrics: ReadonlyArray<Metric.Metric.Snapshot>): ReadonlyArray<Point> =>
  byName(
    metrics.filter(({ id }) => isOurs.has(id)).map((metric) => {
      const { attributes = {}, id: name, state, type } = metric
      const value = type === "Histogram"
        ? histogramOf(state.count, state.sum, state.buckets.map(([, count]) => count))
        : type === "Counter"
        ? numberOf(Number(state.count))
        : type === "Gauge"
        ? numberOf(Number(state.value))
        : type
      return { name, labels: labelsOf(Object.entries(attributes)), unit: attributes["unit"], value }
    })
  )

const cumulate = (counts: ReadonlyArray<number>): ReadonlyArray<number> => {
  let sum = 0
  // the last one is what is above all bounds, which the count tells
  return counts.slice(0, -1).map((count) => sum += count)
}

/** What OpenTelemetry's SDK is given. */
export const fromOtel = ({ scopeMetrics }: ResourceMetrics): ReadonlyArray<Point> =>
  byName(
    scopeMetrics.flatMap(({ metrics }) => metrics).filter(({ descriptor }) => isOurs.has(descriptor.name)).flatMap((
      metric
    ) => {
      const { descriptor: { name, unit } } = metric
      return metric.dataPointType === DataPointType.HISTOGRAM
        ? metric.dataPoints.map(({ attributes, value: { buckets, count, sum } }) => ({
          name,
          labels: labelsOf(Object.entries(attributes)),
          unit,
          value: histogramOf(count, sum ?? 0, cumulate(buckets.counts))
        }))
        : metric.dataPoints.map(({ attributes, value }) => ({
          name,
          labels: labelsOf(Object.entries(attributes)),
          unit,
          value: numberOf(Number(value))
        }))
    })
  )

interface OtlpAttribute {
  readonly key: string
  readonly value: { readonly stringValue?: string }
}

interface OtlpPoint {
  readonly attributes: ReadonlyArray<OtlpAttribute>
  readonly asDouble?: number
  readonly asInt?: number
  readonly count?: number
  readonly sum?: number
  readonly bucketCounts?: ReadonlyArray<number>
}

interface OtlpMetric {
  readonly name: string
  readonly unit: string
  readonly sum?: { readonly isMonotonic: boolean; readonly dataPoints: ReadonlyArray<OtlpPoint> }
  readonly gauge?: { readonly dataPoints: ReadonlyArray<OtlpPoint> }
  readonly histogram?: { readonly dataPoints: ReadonlyArray<OtlpPoint> }
}

/** The body of an export by OTLP, as JSON. */
export interface OtlpBody {
  readonly resourceMetrics: ReadonlyArray<{
    readonly scopeMetrics: ReadonlyArray<{ readonly metrics: ReadonlyArray<OtlpMetric> }>
  }>
}

/** What a collector is sent. */
export const fromOtlp = ({ resourceMetrics }: OtlpBody): ReadonlyArray<Point> =>
  byName(
    resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics).flatMap(({ metrics }) => metrics)
      .filter(({ name }) => isOurs.has(name))
      .flatMap(({ gauge, histogram, name, sum, unit }) =>
        (histogram ?? gauge ?? sum)!.dataPoints.map((point) => ({
          name,
          labels: labelsOf(point.attributes.map(({ key, value }) => [key, value.stringValue])),
          unit,
          value: histogram === undefined
            ? numberOf(point.asDouble ?? point.asInt ?? NaN)
            : histogramOf(point.count!, point.sum!, cumulate(point.bucketCounts!))
        }))
      )
  )

interface Sample {
  readonly name: string
  readonly labels: ReadonlyMap<string, string>
  readonly value: number
}

/** The samples of a page of Prometheus' text format. */
export const samplesOf = (page: string): ReadonlyArray<Sample> =>
  page.split("\n").filter((line) => line !== "" && !line.startsWith("#")).map((line) => {
    const [, name, labels = "", value] = /^([a-zA-Z0-9_:]+)(?:\{(.*)\})? (\S+)$/.exec(line)!
    const pairs = [...labels.matchAll(/([a-zA-Z0-9_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) =>
      [key!, text!.replaceAll(/\\(.)/g, (_, escaped: string) => escaped === "n" ? "\n" : escaped)] as const
    )
    return { name: name!, labels: new Map(pairs), value: value === "+Inf" ? Infinity : Number(value) }
  })

/** What Prometheus reads, under the names that it has there; the units are part of them. */
export const fromPrometheus = (page: string): ReadonlyArray<Point> => {
  const samples = samplesOf(page)
  const points: Array<Point> = []
  for (const instrument of instruments) {
    const name = prometheusName(instrument)
    const isHistogram = instrument.kind === "histogram"
    for (
      const { labels, value } of samples.filter((sample) => sample.name === (isHistogram ? `${name}_count` : name))
    ) {
      const text = labelsOf(labels)
      const sumAndBuckets = (): string => {
        const sum = samples.find((sample) => sample.name === `${name}_sum` && labelsOf(sample.labels) === text)!
        const buckets = samples.filter((sample) => {
          const others = [...sample.labels].filter(([key]) => key !== "le")
          return sample.name === `${name}_bucket` && sample.labels.get("le") !== "+Inf" && labelsOf(others) === text
        })
        return histogramOf(value, sum.value, buckets.map((bucket) => bucket.value))
      }
      points.push({ name, labels: text, unit: undefined, value: isHistogram ? sumAndBuckets() : numberOf(value) })
    }
  }
  return byName(points)
}

/** Points as Prometheus would name them. */
export const asPrometheus = (points: ReadonlyArray<Point>): ReadonlyArray<Point> =>
  byName(points.map(({ labels, name, value }) => ({
    name: prometheusName(instruments.find((instrument) => instrument.name === name)!),
    labels: labels.split(",").filter((label) => label !== "").map((label) => {
      const at = label.indexOf("=")
      return `${label.slice(0, at).replaceAll(".", "_")}${label.slice(at)}`
    }).toSorted().join(","),
    unit: undefined,
    value
  })))
