import { type Attribute, attributes, counted, genAi, type Instrument, observed } from "#core/telemetry/Names"
import { assert, describe, it } from "@effect/vitest"
import { type Event, type Snapshot } from "@evenkeel/core"
import { Effect, type Metric } from "effect"
import { runs, seed } from "../support/Check.ts"
import { once } from "../support/Once.ts"
import { drive, type Driven, priceOf, Traffic } from "./Billing.ts"

type Labels = Partial<Record<Attribute, string>>

const seriesOf = (metrics: ReadonlyArray<Metric.Metric.Snapshot>, { name }: Instrument, labels: Labels = {}) =>
  metrics.filter((metric) =>
    metric.id === name &&
    Object.entries(labels).every(([key, value]) => metric.attributes?.[attributes[key as Attribute]] === value)
  )

/** Sum of counts, of gauges, or of what histograms observed. */
const sumOf = (metrics: ReadonlyArray<Metric.Metric.Snapshot>, instrument: Instrument, labels: Labels = {}): number =>
  seriesOf(metrics, instrument, labels).reduce((sum, { state, type }) =>
    sum + (type === "Counter"
      ? Number((state as Metric.CounterState<number>).count)
      : type === "Gauge"
      ? Number((state as Metric.GaugeState<number>).value)
      : (state as Metric.HistogramState).sum), 0)

const countOf = (metrics: ReadonlyArray<Metric.Metric.Snapshot>, instrument: Instrument, labels: Labels = {}): number =>
  seriesOf(metrics, instrument, labels).reduce((sum, { state }) => sum + (state as Metric.HistogramState).count, 0)

const eventsOf = <Tag extends Event["_tag"]>({ events }: Driven, tag: Tag) =>
  events.filter((event): event is Extract<Event, { readonly _tag: Tag }> => event._tag === tag)

const total = <A>(all: ReadonlyArray<A>, of: (one: A) => number): number => all.reduce((sum, one) => sum + of(one), 0)

type Totals = Snapshot["deployments"][number]["totals"]

/** Kinds of tokens: in metrics, in usage, and in totals. */
const kinds = [
  ["input", "promptTokens"],
  ["cached", "cachedTokens"],
  ["cache_write", "cacheWriteTokens"],
  ["output", "completionTokens"],
  ["reasoning", "reasoningTokens"]
] as const

/** Each looks at all of the traffic, so that fewer runs find as much. */
const fewer = Math.ceil(runs / 4)

const properties = new Map<string, (driven: Driven) => void>()

/** By the name of each property that does not hold, how it fails: traffic is played once for all of them. */
const failures = once((traffic: Traffic) =>
  Effect.map(drive(traffic), (driven) => {
    const failures = new Map<string, unknown>()
    for (const [name, property] of properties) {
      try {
        property(driven)
      } catch (error) {
        failures.set(name, error)
      }
    }
    return failures
  })
)

/** A property of all traffic. */
const always = (name: string, property: (driven: Driven) => void) => {
  properties.set(name, property)
  it.effect.prop(
    name,
    { traffic: Traffic },
    ({ traffic }) =>
      Effect.map(failures(traffic), (failures) => {
        if (failures.has(name)) throw failures.get(name)
      }),
    { timeout: 60_000 + runs * 300, arbitrary: { runs: fewer, seed, size: 100 } }
  )
}

describe("telemetry of any traffic", () => {
  always(
    "tokens are those that the service told, in metrics, events and totals, by deployment and by model",
    (driven) => {
      const { final, metrics, sends } = driven
      const attempts = eventsOf(driven, "AttemptEnded")
      const told = sends.flatMap(({ told }) => told === undefined ? [] : [told])
      assert.strictEqual(attempts.filter(({ usage }) => usage !== undefined).length, told.length)
      for (const [tokenType, field] of kinds) {
        const sum = total(told, (usage) => usage[field])
        assert.strictEqual(total(attempts, ({ usage }) => usage?.[field] ?? 0), sum, `${field} of events`)
        assert.strictEqual(sumOf(metrics, counted.tokens, { tokenType }), sum, `${field} of metrics`)
        assert.strictEqual(sumOf(metrics, genAi.tokens, { tokenType }), sum, `${field} of the conventions' metrics`)
        assert.strictEqual(total(final.deployments, ({ totals }) => totals[field]), sum, `${field} of the snapshot`)
        for (const { id, model, totals } of final.deployments) {
          assert.strictEqual(
            sumOf(metrics, counted.tokens, { deployment: id, tokenType }),
            totals[field],
            `${field}: ${id}`
          )
          const ofModel = total(final.deployments.filter((one) => one.model === model), ({ totals }) => totals[field])
          assert.strictEqual(sumOf(metrics, counted.tokens, { model, tokenType }), ofModel, `${field}: ${model}`)
          assert.strictEqual(sumOf(metrics, genAi.tokens, { model, tokenType }), ofModel, `${field}: ${model}`)
        }
      }
    }
  )

  always("what the service billed is what it told, but where it never came to say", ({ final, sends }) => {
    for (const { billed, told } of sends) {
      if (told === undefined) continue
      const { cachedTokens, completionTokens, promptTokens } = told
      assert.strictEqual(
        `${promptTokens} ${cachedTokens} ${completionTokens}`,
        `${billed.promptTokens} ${billed.cachedTokens} ${billed.completionTokens}`
      )
    }
    for (const { id, totals } of final.deployments) {
      const its = sends.filter((send) => send.deployment === id)
      const untold = total(its.filter(({ told }) => told === undefined), ({ billed }) => billed.promptTokens)
      assert.strictEqual(total(its, ({ billed }) => billed.promptTokens), totals.promptTokens + untold, id)
    }
  })

  always("cost is tokens times prices, and adds up", (driven) => {
    const { final, metrics } = driven
    const billed = eventsOf(driven, "AttemptEnded").filter(({ usage }) => usage !== undefined)
    let sum = 0
    let unpriced = 0
    for (const { attempt, cost, model, usage } of billed) {
      const { price, provisioned } = priceOf(driven.traffic, attempt.deployment, model)
      const expected = provisioned ? 0 : price === undefined ? undefined : (
        (usage!.promptTokens - usage!.cachedTokens) * price.input + usage!.cachedTokens * price.cachedInput! +
        usage!.completionTokens * price.output
      ) / 1e6
      if (expected === undefined) assert.isUndefined(cost)
      else assert.approximately(cost!, expected, 1e-12)
      if (cost === undefined) unpriced++
      sum += cost ?? 0
    }
    assert.approximately(sumOf(metrics, counted.cost), sum, 1e-9)
    assert.strictEqual(sumOf(metrics, counted.unpriced), unpriced)
    assert.approximately(total(final.deployments, ({ totals }) => totals.cost), sum, 1e-9)
    assert.strictEqual(total(final.deployments, ({ totals }) => totals.unpriced), unpriced)
    for (const { id, totals } of final.deployments) {
      assert.approximately(sumOf(metrics, counted.cost, { deployment: id }), totals.cost, 1e-9)
    }
  })

  always("attempts and requests are counted once each, however they end", (driven) => {
    const { begun, final, metrics, sends } = driven
    const attempts = eventsOf(driven, "AttemptEnded")
    const requests = eventsOf(driven, "RequestEnded")
    assert.strictEqual(requests.length, begun, "requests")
    assert.strictEqual(sumOf(metrics, counted.requests), begun)
    assert.strictEqual(countOf(metrics, genAi.duration), begun)
    assert.strictEqual(countOf(metrics, counted.overhead), begun)
    assert.strictEqual(attempts.length, sends.length, "attempts")
    assert.strictEqual(countOf(metrics, counted.attemptDuration), sends.length)
    const outcomes = [
      ["success", "succeeded"],
      ["throttled", "throttled"],
      ["failed", "failed"],
      ["refused", "refused"],
      ["abandoned", "abandoned"]
    ] as const
    for (const { id, totals } of final.deployments) {
      assert.strictEqual(sumOf(metrics, counted.attempts, { deployment: id }), totals.attempts, id)
      for (const [outcome, field] of outcomes) {
        const labels = { deployment: id, outcome }
        assert.strictEqual(sumOf(metrics, counted.attempts, labels), (totals as Totals)[field], `${id} ${outcome}`)
        assert.strictEqual(countOf(metrics, counted.attemptDuration, labels), totals[field], `${id} ${outcome}`)
      }
    }
    for (const role of ["first", "failover", "retry", "hedge"] as const) {
      assert.strictEqual(sumOf(metrics, counted.attempts, { role }), attempts.filter((one) => one.role === role).length)
    }
    assert.isAtMost(sumOf(metrics, counted.hedgeWins), sumOf(metrics, counted.hedges))
    const waited = requests.filter(({ waited }) => waited > 0)
    assert.strictEqual(countOf(metrics, counted.waits), waited.length)
    const begunStreams = requests.filter(({ firstByte, streamed }) => streamed && firstByte !== undefined)
    assert.strictEqual(countOf(metrics, genAi.firstChunk), begunStreams.length)
  })

  always("no time is below zero, or counted twice", (driven) => {
    for (const event of eventsOf(driven, "RequestEnded")) {
      const { duration, firstByte, overhead, waited } = event
      assert.isAtLeast(Math.min(duration, overhead, waited, firstByte ?? 0), 0)
      assert.isAtMost(overhead + waited, duration + 1e-6)
      assert.isAtMost(firstByte ?? 0, duration + 1e-6)
      // in virtual time, the balancer itself takes none
      assert.isAtMost(overhead, 1e-6, JSON.stringify(event))
    }
    for (const { attempt, firstByte } of eventsOf(driven, "AttemptEnded")) {
      assert.isAtLeast(Math.min(attempt.duration, firstByte ?? 0), 0)
      assert.isAtMost(firstByte ?? 0, attempt.duration)
    }
    for (const instrument of Object.values({ ...counted, ...genAi })) {
      if (instrument.kind !== "histogram") continue
      for (const { state } of seriesOf(driven.metrics, instrument)) {
        const { buckets, count, max, min, sum } = state as Metric.HistogramState
        assert.isAtLeast(min, 0, instrument.name)
        assert.isAtLeast(max, min)
        assert.isAtMost(sum, max * count + 1e-6)
        assert.isAtLeast(sum, min * count - 1e-6)
        assert.isAtMost(buckets.at(-1)![1], count)
        for (let i = 1; i < buckets.length; i++) assert.isAtLeast(buckets[i]![1], buckets[i - 1]![1])
      }
    }
  })

  always(
    "gauges say what the snapshot says, at any time; at rest nothing is under way; and none is left after closing",
    (
      { closed, looks, metrics }
    ) => {
      for (const look of looks) {
        const { deployments, models } = look.snapshot
        for (const { id, inFlight, state, utilisation, waiting } of deployments) {
          const labels = { deployment: id }
          assert.strictEqual(sumOf(look.metrics, observed.active, labels), inFlight, id)
          assert.strictEqual(sumOf(look.metrics, observed.waiting, labels), waiting, id)
          assert.strictEqual(sumOf(look.metrics, observed.utilisation, labels), utilisation, id)
          assert.strictEqual(sumOf(look.metrics, observed.state, { ...labels, state }), 1, `${id} ${state}`)
          assert.strictEqual(sumOf(look.metrics, observed.state, labels), 1, id)
          const isOut = state !== "healthy" && state !== "draining"
          assert.strictEqual(sumOf(look.metrics, observed.outage, labels), isOut ? 1 : 0, `${id} is ${state}`)
          if (look.isAtRest) assert.strictEqual(inFlight + waiting, 0)
        }
        for (const { name, waiting } of models) {
          const its = deployments.filter(({ model }) => model === name)
          for (const state of ["healthy", "cooling-down", "open", "half-open", "draining"]) {
            const many = its.filter((one) => one.state === state).length
            assert.strictEqual(
              sumOf(look.metrics, observed.deployments, { model: name, state }),
              many,
              `${name} ${state}`
            )
          }
          assert.strictEqual(sumOf(look.metrics, observed.queue, { model: name }), waiting)
        }
        for (const { id, state, type } of look.metrics) {
          if (type === "Gauge") assert.isTrue(Number.isFinite((state as Metric.GaugeState<number>).value), id)
        }
      }
      assert.deepStrictEqual(closed.filter(({ type }) => type === "Gauge"), [])
      const counts = (all: typeof metrics) => all.filter(({ type }) => type !== "Gauge")
      assert.deepStrictEqual(counts(closed), counts(metrics))
    }
  )
})
