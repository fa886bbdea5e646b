/**
 * Series of metrics in Effect's registry, where every exporter finds them.
 *
 * The registry only reads: a series is counted in place, without looking anything up in the fiber's context. What an
 * instrument has too many series for goes to one that says so, so that no word of a service or of a caller can make
 * memory grow. (OpenTelemetry's metrics SDK: cardinality limits, 2,000 series an instrument.)
 */
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import { attributes, type Instrument, overflow } from "./Names.ts"

/** Series that an instrument may have. */
const MAX_SERIES = 2000

/** Values of an instrument's attributes, in its order. What is `undefined` is left out. */
export type Labels = ReadonlyArray<string | undefined>

/** A sum that only grows. */
export class Count {
  value = 0

  add(amount: number): void {
    if (amount > 0) this.value += amount
  }
}

/** A distribution. */
export class Distribution {
  private readonly boundaries: ReadonlyArray<number>
  /** One more than there are boundaries, for what is above all of them. */
  private readonly counts: Float64Array
  private count = 0
  private sum = 0
  private min = Infinity
  private max = -Infinity

  constructor(boundaries: ReadonlyArray<number>) {
    this.boundaries = boundaries
    this.counts = new Float64Array(boundaries.length + 1)
  }

  /** Records a value, so many times. */
  record(value: number, times = 1): void {
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

  get value(): number {
    return this.readers.at(-1)?.() ?? 0
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
interface Series<S> {
  readonly labels: Labels
  readonly state: S
  readonly registration: Metric.Registration
}

/** The series of one instrument. */
class Family<S> {
  readonly instrument: Instrument
  private readonly series = new Map<string, Series<S>>()
  private readonly register: (labels: Labels | undefined) => readonly [state: S, registration: Metric.Registration]
  private overflowing: S | undefined

  constructor(instrument: Instrument, register: Family<S>["register"]) {
    this.instrument = instrument
    this.register = register
  }

  get size(): number {
    return this.series.size
  }

  of(labels: Labels): S {
    const key = labels.join("\u0000")
    const known = this.series.get(key)
    if (known !== undefined) return known.state
    if (this.series.size >= MAX_SERIES) return this.overflowing ??= this.register(undefined)[0]
    const [state, registration] = this.register(labels)
    this.series.set(key, { labels, state, registration })
    return state
  }

  /** Forgets series, wherever they are. */
  drop(isStale: (series: Series<S>) => boolean): void {
    for (const [key, series] of this.series) {
      if (!isStale(series)) continue
      this.series.delete(key)
      series.registration.remove()
    }
  }

  dropOne(labels: Labels): void {
    const key = labels.join("\u0000")
    this.series.get(key)?.registration.remove()
    this.series.delete(key)
  }
}

const noop = (): void => {}

/**
 * Meter of one registry, shared by all balancers that use it.
 */
export class Meter {
  private static readonly meters = new WeakMap<Metric.MetricRegistry, WeakMap<object, Meter>>()
  private readonly context: Context.Context<never>
  private readonly families = new Map<Instrument, Family<unknown>>()
  /** Deployments that there are, by how many balancers have them. */
  private readonly deployments = new Map<string, number>()

  private constructor(context: Context.Context<never>) {
    this.context = context
  }

  /** The meter of a context: of its registry, and of the attributes that it gives to all metrics. */
  static of(context: Context.Context<never>): Meter {
    const registry = Context.get(context, Metric.MetricRegistry)
    const common = Context.get(context, Metric.CurrentMetricAttributes)
    let meters = Meter.meters.get(registry)
    if (meters === undefined) Meter.meters.set(registry, meters = new WeakMap())
    let meter = meters.get(common)
    if (meter === undefined) meters.set(common, meter = new Meter(context))
    return meter
  }

  /** A counter's series. */
  count(instrument: Instrument, labels: Labels): Count {
    return this.family(instrument, (labels) => {
      const count = new Count()
      const metric = Metric.counter(instrument.name, { ...metadata(instrument, labels), incremental: true })
      const get = () => ({ count: count.value, incremental: true })
      return [count, Metric.registerUnsafe(metric, this.context, { get, update: noop, modify: noop })]
    }).of(labels)
  }

  /** A histogram's series. */
  distribution(instrument: Instrument, labels: Labels): Distribution {
    return this.family(instrument, (labels) => {
      const boundaries = instrument.boundaries ?? []
      const distribution = new Distribution(boundaries)
      const metric = Metric.histogram(instrument.name, { ...metadata(instrument, labels), boundaries })
      const get = () => distribution.state
      return [distribution, Metric.registerUnsafe(metric, this.context, { get, update: noop, modify: noop })]
    }).of(labels)
  }

  /** Reads a gauge's series whenever someone looks, until what is returned is called. */
  observe(instrument: Instrument, labels: Labels, read: () => number): () => void {
    const family = this.family(instrument, (labels) => {
      const reading = new Reading()
      const metric = Metric.gauge(instrument.name, metadata(instrument, labels))
      const get = () => ({ value: reading.value })
      return [reading, Metric.registerUnsafe(metric, this.context, { get, update: noop, modify: noop })]
    })
    const reading = family.of(labels)
    reading.add(read)
    return () => {
      reading.remove(read)
      if (!reading.isRead) family.dropOne(labels)
    }
  }

  /** A balancer has a deployment. */
  enter(deployment: string): void {
    this.deployments.set(deployment, (this.deployments.get(deployment) ?? 0) + 1)
  }

  /**
   * A balancer has it no more. What was counted of it stays, for the exports to come; but where series are many, those of
   * deployments that are gone make room.
   */
  leave(deployment: string): void {
    const others = (this.deployments.get(deployment) ?? 0) - 1
    if (others > 0) {
      this.deployments.set(deployment, others)
      return
    }
    this.deployments.delete(deployment)
    for (const family of this.families.values()) {
      const at = family.instrument.attributes.indexOf("deployment")
      if (at === -1 || family.size <= MAX_SERIES / 2) continue
      family.drop(({ labels }) => labels[at] !== undefined && !this.deployments.has(labels[at]))
    }
  }

  private family<S>(instrument: Instrument, register: Family<S>["register"]): Family<S> {
    let family = this.families.get(instrument)
    if (family === undefined) this.families.set(instrument, family = new Family(instrument, register))
    return family as Family<S>
  }
}

/** Exporters read the unit from an attribute, because Effect's metrics have none. */
const metadata = (instrument: Instrument, labels: Labels | undefined) => {
  const set: Record<string, string> = { unit: instrument.unit }
  if (labels === undefined) Object.assign(set, overflow)
  else {
    instrument.attributes.forEach((attribute, i) => {
      const value = labels[i]
      if (value !== undefined && value !== "") set[attributes[attribute]] = value
    })
  }
  return { description: instrument.description, attributes: set }
}
