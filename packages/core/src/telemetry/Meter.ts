/**
 * Series of metrics in Effect's registry, where every exporter finds them.
 *
 * The registry only reads: a series is counted in place, without looking anything up in the fiber's context. What an
 * instrument has too many series for goes to one that says so, so that no word of a service or of a caller can make
 * memory grow. (OpenTelemetry's metrics SDK: cardinality limits, 2,000 series an instrument.)
 */
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import { type Labels, LabelTree } from "./LabelTree.ts"
import { attributes, type Instrument, overflow } from "./Names.ts"

/** Series that an instrument may have. */
const MAX_SERIES = 2000

/** Characters of a label's value: what a service or a caller says may be of any length. */
const MAX_LABEL = 200

/** A sum that only grows. */
export class Count {
  value = 0

  add(amount: number): void {
    if (amount > 0 && amount < Infinity) this.value += amount
  }

  get state(): Metric.CounterState<number> {
    return { count: this.value, incremental: true }
  }
}

/** A distribution. */
export class Distribution {
  private readonly boundaries: ReadonlyArray<number>
  /** One more than there are boundaries, for what is above all of them. */
  private readonly counts: Float64Array
  private count = 0
  private sum = 0
  // as Effect's own begin, because JSON knows no infinity
  private min = Number.MAX_VALUE
  private max = -Number.MAX_VALUE

  constructor(boundaries: ReadonlyArray<number>) {
    this.boundaries = boundaries
    this.counts = new Float64Array(boundaries.length + 1)
  }

  /** Records a value, so many times. What is no number is left out, because no sum would recover from it. */
  record(value: number, times = 1): void {
    if (!Number.isFinite(value) || times <= 0) return
    let bucket = 0
    while (bucket < this.boundaries.length && value > this.boundaries[bucket]!) bucket++
    this.counts[bucket]! += times
    this.count += times
    this.sum += value * times
    if (value < this.min) this.min = value
    if (value > this.max) this.max = value
  }

  get state(): Metric.HistogramState {
    let cumulative = 0
    const buckets = this.boundaries.map((boundary, i): [number, number] => {
      cumulative += this.counts[i]!
      return [boundary, cumulative]
    })
    return { buckets, count: this.count, min: this.min, max: this.max, sum: this.sum }
  }
}

/** What is read when someone looks, by one of several balancers: the one that came last. */
class Reading {
  private readonly readers: Array<() => number> = []
  private last = 0

  /** What cannot be read, or is no number, is as it was: one bad reader must not cost the others their export. */
  get state(): Metric.GaugeState<number> {
    try {
      const value = this.readers.at(-1)?.() ?? 0
      if (Number.isFinite(value)) this.last = value
    } catch {
      // as above
    }
    return { value: this.last }
  }

  get isRead(): boolean {
    return this.readers.length > 0
  }

  add(read: () => number): void {
    this.readers.push(read)
  }

  remove(read: () => number): void {
    const at = this.readers.indexOf(read)
    if (at !== -1) this.readers.splice(at, 1)
  }
}

/** One series: where it is counted, and where exporters find it. */
interface Series {
  /** `undefined` for the one of all that are too many. */
  readonly labels: Labels | undefined
  readonly state: Count | Distribution | Reading
  readonly registration: Metric.Registration
}

/** The series of one instrument. */
class Family {
  private readonly instrument: Instrument
  private readonly meter: Meter
  private readonly byLabels: LabelTree<Series>
  private readonly all = new Set<Series>()
  private overflowing: Series | undefined
  /** Departures of deployments up to which room was made. */
  private departures = 0

  constructor(instrument: Instrument, meter: Meter) {
    this.instrument = instrument
    this.meter = meter
    this.byLabels = new LabelTree(instrument.attributes.length)
  }

  of(labels: Labels): Series {
    return this.byLabels.find(labels) ?? this.findOrMake(labels.map(clean))
  }

  /** Forgets a series, wherever it is. */
  drop(series: Series): void {
    const { labels, registration } = series
    if (series === this.overflowing) this.overflowing = undefined
    else if (labels === undefined || !this.all.delete(series)) return
    else this.byLabels.delete(labels)
    registration.remove()
  }

  private findOrMake(labels: Labels): Series {
    const known = this.byLabels.find(labels)
    if (known !== undefined) return known
    if (this.all.size >= MAX_SERIES) this.makeRoom()
    if (this.all.size >= MAX_SERIES) return this.overflowing ??= this.meter.register(this.instrument, undefined)
    const series = this.meter.register(this.instrument, labels)
    this.all.add(series)
    this.byLabels.set(labels, series)
    return series
  }

  /** Forgets the series of deployments that are gone, where some went since it was last done. */
  private makeRoom(): void {
    const at = this.instrument.attributes.indexOf("deployment")
    if (at === -1 || this.departures === this.meter.departures) return
    this.departures = this.meter.departures
    this.meter.clearances++
    for (const series of this.all) {
      const deployment = series.labels?.[at]
      if (deployment !== undefined && !this.meter.hasDeployment(deployment)) this.drop(series)
    }
  }
}

/** A label's value as exporters can write it: two that they would write alike are one. */
const clean = (label: string | undefined): string | undefined => {
  if (label === undefined) return undefined
  // pieced together anew, so that it does not hold on to the text that it was part of
  const short = label.length > MAX_LABEL ? label.slice(0, MAX_LABEL).split("").join("") : label
  return short.toWellFormed()
}

const noop = (): void => {}

/**
 * Meter of one registry, shared by all balancers that use it.
 */
export class Meter {
  private static readonly meters = new WeakMap<Metric.MetricRegistry, Map<string, Meter>>()
  private readonly context: Context.Context<never>
  private readonly common: Metric.Metric.AttributeSet
  private readonly families = new Map<Instrument, Family>()
  /** Deployments that there are, by how many balancers have them. */
  private readonly deployments = new Map<string, number>()
  /** How often one left. */
  departures = 0
  /** How often room was made: a counter or a histogram that was found before may be nobody's any more. */
  clearances = 0

  private constructor(registry: Metric.MetricRegistry, common: Metric.Metric.AttributeSet) {
    // without the attributes of all metrics, which must not overrule those of a series
    this.context = Context.make(Metric.MetricRegistry, registry) as Context.Context<never>
    this.common = common
  }

  /** The meter of a context: of its registry, and of the attributes that it gives to all metrics. */
  static of(context: Context.Context<never>): Meter {
    const registry = Context.get(context, Metric.MetricRegistry)
    const common = Context.get(context, Metric.CurrentMetricAttributes)
    let meters = Meter.meters.get(registry)
    if (meters === undefined) Meter.meters.set(registry, meters = new Map())
    // by what they say, because two that say the same have the same series
    const key = JSON.stringify(Object.entries(common).toSorted(([a], [b]) => a < b ? -1 : 1))
    let meter = meters.get(key)
    if (meter === undefined) meters.set(key, meter = new Meter(registry, common))
    return meter
  }

  /** A counter's series. */
  count(instrument: Instrument, labels: Labels): Count {
    return this.familyOf(instrument).of(labels).state as Count
  }

  /** A histogram's series. */
  distribution(instrument: Instrument, labels: Labels): Distribution {
    return this.familyOf(instrument).of(labels).state as Distribution
  }

  /** Reads a gauge's series whenever someone looks, until what is returned is called. */
  observe(instrument: Instrument, labels: Labels, read: () => number): () => void {
    const family = this.familyOf(instrument)
    const series = family.of(labels)
    const reading = series.state as Reading
    reading.add(read)
    return () => {
      reading.remove(read)
      if (!reading.isRead) family.drop(series)
    }
  }

  /** A balancer has a deployment. */
  enter(deployment: string): void {
    this.deployments.set(deployment, (this.deployments.get(deployment) ?? 0) + 1)
  }

  /**
   * A balancer has it no more. What was counted of it stays, for the exports to come; but where an instrument has too many
   * series, those of deployments that are gone make room.
   */
  leave(deployment: string): void {
    const others = (this.deployments.get(deployment) ?? 0) - 1
    if (others > 0) {
      this.deployments.set(deployment, others)
      return
    }
    this.deployments.delete(deployment)
    this.departures++
  }

  hasDeployment(deployment: string): boolean {
    return this.deployments.has(deployment)
  }

  private familyOf(instrument: Instrument): Family {
    let family = this.families.get(instrument)
    if (family === undefined) this.families.set(instrument, family = new Family(instrument, this))
    return family
  }

  /** A new series of an instrument, where exporters find it. */
  register(instrument: Instrument, labels: Labels | undefined): Series {
    const { boundaries = [], kind, name } = instrument
    const metadata = this.metadata(instrument, labels)
    switch (kind) {
      case "counter":
        return this.series(labels, new Count(), Metric.counter(name, { ...metadata, incremental: true }))
      case "histogram":
        return this.series(labels, new Distribution(boundaries), Metric.histogram(name, { ...metadata, boundaries }))
      case "gauge":
        return this.series(labels, new Reading(), Metric.gauge(name, metadata))
    }
  }

  private series<State>(
    labels: Labels | undefined,
    state: Series["state"] & { readonly state: State },
    metric: Metric.Metric<number, State>
  ): Series {
    const hooks = { get: () => state.state, update: noop, modify: noop }
    return { labels, state, registration: Metric.registerUnsafe(metric, this.context, hooks) }
  }

  /** Exporters read the unit from an attribute, because Effect's metrics have none. */
  private metadata(instrument: Instrument, labels: Labels | undefined) {
    const set: Record<string, string> = { ...this.common, unit: instrument.unit }
    if (labels === undefined) Object.assign(set, overflow)
    instrument.attributes.forEach((attribute, i) => {
      const name = attributes[attribute]
      const value = labels?.[i]
      if (value === undefined || value === "") delete set[name]
      else set[name] = value
    })
    return { description: instrument.description, attributes: set }
  }
}
