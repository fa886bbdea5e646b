import {
  type Attribute,
  attributes,
  counted,
  genAi,
  genAiNext,
  type Instrument,
  instruments,
  observed
} from "#core/telemetry/Names"
import { assert, describe, it } from "@effect/vitest"
import type { Event } from "@evenkeel/core"
import { Effect, Metric } from "effect"
import { once } from "../../support/Once.ts"
import { tour, type Toured } from "../../support/Tour.ts"

interface Read extends Toured {
  readonly metrics: ReadonlyArray<Metric.Metric.Snapshot>
}

const toured = once((options: Parameters<typeof tour>[1]) =>
  Effect.orDie(tour((toured) => Effect.map(Metric.snapshot, (metrics): Read => ({ ...toured, metrics })), options))
)

type Labels = Partial<Record<Attribute, string>>

/** The series of an instrument that have these labels. */
const seriesOf = ({ metrics }: Read, { name }: Instrument, labels: Labels = {}) =>
  metrics.filter((metric) =>
    metric.id === name &&
    Object.entries(labels).every(([key, value]) => metric.attributes?.[attributes[key as Attribute]] === value)
  )

/** What they come to: a sum of counts, of gauges, or of a histogram's observations. */
const valueOf = (read: Read, instrument: Instrument, labels: Labels = {}): number =>
  seriesOf(read, instrument, labels).reduce((sum, { state, type }) => {
    switch (type) {
      case "Counter":
        return sum + Number((state as Metric.CounterState<number>).count)
      case "Gauge":
        return sum + Number((state as Metric.GaugeState<number>).value)
      case "Histogram":
        return sum + (state as Metric.HistogramState).count
      default:
        throw new Error(`no metric of ours is a ${type}`)
    }
  }, 0)

const sumOf = (read: Read, instrument: Instrument, labels: Labels = {}): number =>
  seriesOf(read, instrument, labels).reduce((sum, { state }) => sum + (state as Metric.HistogramState).sum, 0)

const eventsOf = <Tag extends Event["_tag"]>({ events }: Toured, tag: Tag) =>
  events.filter((event): event is Extract<Event, { readonly _tag: Tag }> => event._tag === tag)

const isNext = (instrument: Instrument) => (Object.values(genAiNext) as ReadonlyArray<Instrument>).includes(instrument)

const isClassic = (instrument: Instrument) => (Object.values(genAi) as ReadonlyArray<Instrument>).includes(instrument)

describe("metrics", () => {
  it.effect("every instrument is there, with its unit, its description and no attribute but its own", () =>
    Effect.gen(function*() {
      const read = yield* toured({})
      const missing = instruments.filter((instrument) => !isNext(instrument) && seriesOf(read, instrument).length === 0)
      assert.deepStrictEqual(missing.map(({ name }) => name), [])
      for (const metric of read.metrics) {
        const instrument = instruments.find(({ name }) => name === metric.id)
        if (instrument === undefined) throw new Error(`${metric.id} is not declared`)
        const { unit, ...labels } = metric.attributes ?? {}
        assert.strictEqual(unit, instrument.unit)
        assert.strictEqual(metric.description, instrument.description)
        const known: ReadonlyArray<string> = instrument.attributes.map((attribute) => attributes[attribute])
        for (const label in labels) assert.include(known, label, metric.id)
        const type = { counter: "Counter", gauge: "Gauge", histogram: "Histogram" }[instrument.kind]
        assert.strictEqual(metric.type, type, metric.id)
      }
    }))

  it.effect("with the names in development, every one of those is there, and none that they replace", () =>
    Effect.gen(function*() {
      const read = yield* toured({ genAi: "latest" })
      const there = (instrument: Instrument) => seriesOf(read, instrument).length > 0
      const missing = instruments.filter((instrument) => !isClassic(instrument) && !there(instrument))
      assert.deepStrictEqual(missing.map(({ name }) => name), [])
      assert.deepStrictEqual(instruments.filter((instrument) => isClassic(instrument) && there(instrument)), [])
      assert.strictEqual(
        valueOf(read, genAiNext.input) + sumOf(read, genAiNext.embeddingsInputEach),
        eventsOf(read, "AttemptEnded").reduce((sum, { usage }) => sum + (usage?.promptTokens ?? 0), 0)
      )
    }))

  it.effect("tokens are those that the services billed, whichever way they are added up", () =>
    Effect.gen(function*() {
      const read = yield* toured({})
      const stats = read.fleets.flatMap(({ services }) => Object.values(services)).flatMap((service) =>
        Object.values(service.stats(0).deployments)
      )
      const sum = (field: "promptTokens" | "cachedTokens" | "completionTokens") =>
        stats.reduce((sum, stats) => sum + stats[field], 0)
      const answered = eventsOf(read, "AttemptEnded").filter(({ usage }) => usage !== undefined)
      const told = answered.reduce((sum, { usage }) => sum + usage!.promptTokens, 0)
      assert.isAbove(told, 0)
      // what a service billed of a stream that was given up before its end, it did not say
      assert.isAtMost(told, sum("promptTokens"))
      assert.strictEqual(valueOf(read, counted.tokens, { tokenType: "input" }), told)
      assert.strictEqual(sumOf(read, genAi.tokens, { tokenType: "input" }), told)
      assert.strictEqual(
        valueOf(read, counted.tokens, { tokenType: "output" }),
        sumOf(read, genAi.tokens, { tokenType: "output" })
      )
      assert.strictEqual(valueOf(read, counted.tokens, { tokenType: "cached" }), sum("cachedTokens"))
      assert.strictEqual(
        valueOf(read, counted.tokens, { tokenType: "reasoning" }),
        answered.reduce((sum, { usage }) => sum + usage!.reasoningTokens, 0)
      )
    }))

  it.effect("attempts, requests, failovers and incidents are as many as happened", () =>
    Effect.gen(function*() {
      const read = yield* toured({})
      const attempts = eventsOf(read, "AttemptEnded")
      const requests = eventsOf(read, "RequestEnded")
      assert.strictEqual(valueOf(read, counted.attempts), attempts.length)
      assert.strictEqual(valueOf(read, counted.attemptDuration), attempts.length)
      assert.strictEqual(valueOf(read, counted.requests), requests.length)
      assert.strictEqual(
        valueOf(read, genAi.duration),
        requests.filter(({ operation }) => operation !== "other").length
      )
      for (const role of ["first", "failover", "retry", "hedge"] as const) {
        const made = attempts.filter((attempt) => attempt.role === role).length
        assert.isAbove(made, 0, role)
        assert.strictEqual(valueOf(read, counted.attempts, { role }), made, role)
      }
      for (const outcome of ["success", "throttled", "failed", "refused", "abandoned"] as const) {
        const ended = attempts.filter(({ attempt }) => attempt.outcome === outcome).length
        assert.isAbove(ended, 0, outcome)
        assert.strictEqual(valueOf(read, counted.attempts, { outcome }), ended, outcome)
      }
      for (const [instrument, tag] of incidents) {
        assert.isAbove(eventsOf(read, tag).length, 0, tag)
        assert.strictEqual(valueOf(read, instrument), eventsOf(read, tag).length, tag)
      }
      assert.strictEqual(valueOf(read, counted.hedgeWins), 1)
      assert.isAbove(valueOf(read, counted.hedgeTokens), 0)
      assert.strictEqual(valueOf(read, counted.spillovers), 1)
      assert.isAtLeast(valueOf(read, counted.stalls, { stage: "first-event" }), 1)
    }))

  it.effect("breakers, ejections and checks are told by what they were for", () =>
    Effect.gen(function*() {
      const read = yield* toured({})
      const east = { target: "deployment", name: "east/gpt-4o" } as const
      assert.isAtLeast(valueOf(read, counted.transitions, { ...east, state: "open", reason: "500" }), 1)
      assert.isAtLeast(valueOf(read, counted.transitions, { ...east, state: "half-open" }), 1)
      assert.isAtLeast(valueOf(read, counted.transitions, { ...east, state: "closed" }), 1)
      assert.strictEqual(valueOf(read, counted.transitions, { target: "resource", name: "east", reason: "401" }), 1)
      assert.strictEqual(valueOf(read, counted.ejections, { deployment: "east/gpt-4o", reason: "resource_401" }), 1)
      assert.strictEqual(valueOf(read, counted.ejections, { deployment: "east/gpt-4o", reason: "missing" }), 1)
      assert.isAtLeast(valueOf(read, counted.checks, { resource: "ptu", outcome: "ok" }), 1)
      assert.isAtLeast(valueOf(read, counted.checks, { resource: "ptu", outcome: "failed", reason: "connect" }), 1)
    }))

  it.effect("sessions are new, at home, or moved for a reason", () =>
    Effect.gen(function*() {
      const read = yield* toured({})
      assert.strictEqual(valueOf(read, counted.placements, { session: "new" }), 2)
      assert.strictEqual(valueOf(read, counted.placements, { session: "home" }), 1)
      assert.strictEqual(valueOf(read, counted.placements, { session: "moved" }), 1)
      assert.strictEqual(valueOf(read, counted.moves, { deployment: "east/gpt-4o", moveReason: "failed" }), 1)
      const cached = valueOf(read, counted.tokens, { tokenType: "cached", session: "home" })
      assert.isAbove(cached, 0)
      assert.strictEqual(valueOf(read, counted.tokens, { tokenType: "cached", session: "none" }), 0)
    }))

  it.effect("cost is what tokens cost at known prices; what nobody knows is counted as that; provisioned costs nothing", () =>
    Effect.gen(function*() {
      const read = yield* toured({})
      const attempts = eventsOf(read, "AttemptEnded")
      const priced = attempts.filter(({ cost }) => cost !== undefined)
      const total = priced.reduce((sum, { cost }) => sum + cost!, 0)
      assert.isAbove(total, 0)
      assert.approximately(valueOf(read, counted.cost), total, 1e-12)
      const first = attempts.find(({ attempt, usage }) => attempt.deployment === "east/gpt-4o" && usage !== undefined)
      const { cachedTokens, completionTokens, promptTokens } = first!.usage!
      assert.approximately(
        first!.cost!,
        (2 * (promptTokens - cachedTokens) + cachedTokens + 8 * completionTokens) / 1e6,
        1e-15
      )
      const unknown = attempts.filter(({ cost, usage }) => usage !== undefined && cost === undefined)
      assert.isAbove(unknown.length, 0)
      assert.strictEqual(valueOf(read, counted.unpriced), unknown.length)
      assert.strictEqual(valueOf(read, counted.unpriced, { model: "text-embedding-3-small" }), unknown.length)
      const provisioned = priced.filter(({ attempt }) => attempt.deployment === "ptu/gpt-4o")
      // the one that was spilled over is billed by the token
      assert.deepStrictEqual(provisioned.map(({ cost }) => cost! > 0), [true, false])
    }))

  it.effect("gauges say what the snapshot says", () =>
    Effect.gen(function*() {
      const read = yield* toured({})
      const { snapshot } = read
      const states = new Map<string, number>()
      for (const one of snapshot.deployments) {
        const labels = { deployment: one.id }
        for (const state of ["healthy", "cooling-down", "open", "half-open", "draining"]) {
          assert.strictEqual(valueOf(read, observed.state, { ...labels, state }), one.state === state ? 1 : 0, one.id)
        }
        states.set(one.state, (states.get(one.state) ?? 0) + (one.model === "gpt-4o" ? 1 : 0))
        assert.strictEqual(valueOf(read, observed.active, labels), one.inFlight)
        assert.strictEqual(valueOf(read, observed.waiting, labels), one.waiting)
        assert.strictEqual(valueOf(read, observed.utilisation, labels), one.utilisation)
        assert.strictEqual(valueOf(read, observed.recovery, labels), (one.opensIn ?? 0) / 1000)
        assert.strictEqual(valueOf(read, observed.tokensUsed, labels), one.tokens.used)
        assert.strictEqual(valueOf(read, observed.tokensUsed, { ...labels, client: "others" }), one.tokens.byOthers)
        assert.strictEqual(valueOf(read, observed.requestsUsed, labels), one.requests.used)
        assert.strictEqual(seriesOf(read, observed.tokenLimit, labels).length, one.tokens.limit === undefined ? 0 : 1)
        assert.strictEqual(valueOf(read, observed.tokenLimit, labels), one.tokens.limit ?? 0)
        assert.strictEqual(valueOf(read, observed.requestLimit, labels), one.requests.limit ?? 0)
        assert.strictEqual(valueOf(read, observed.warmth, labels), one.warmth)
      }
      assert.deepStrictEqual([...states.keys()].toSorted(), ["cooling-down", "draining", "healthy", "open"])
      for (const [state, count] of states) {
        assert.strictEqual(valueOf(read, observed.deployments, { model: "gpt-4o", state }), count, state)
      }
      assert.strictEqual(valueOf(read, observed.outage, { deployment: "opened/gpt-4o", reason: "500" }), 1)
      assert.strictEqual(valueOf(read, observed.outage, { deployment: "cooling/gpt-4o", reason: "429" }), 1)
      assert.strictEqual(valueOf(read, observed.queue, { model: "o4-mini" }), 2)
      assert.strictEqual(valueOf(read, observed.sessions), 1)
      assert.strictEqual(valueOf(read, observed.retriesLeft), snapshot.retriesLeft)
      assert.isAbove(valueOf(read, observed.tokensRemaining, { deployment: "healthy/gpt-4o" }), 0)
      assert.isAbove(valueOf(read, observed.requestsRemaining, { deployment: "healthy/gpt-4o" }), 0)
    }))

  it.effect("no label holds a session, a request's id or a prompt", () =>
    Effect.gen(function*() {
      const read = yield* toured({})
      const ids = new Set<string>()
      for (const { answer, attempt } of eventsOf(read, "AttemptEnded")) {
        for (const id of [answer?.id, ...attempt.requestIds]) ids.add(id ?? "?")
      }
      for (const { attributes: labels, id } of read.metrics) {
        for (const value of Object.values(labels ?? {})) {
          assert.isFalse(ids.has(value), `${id}: ${value}`)
          assert.isFalse(value === "a" || value === "b" || value.includes("sea"), `${id}: ${value}`)
        }
      }
    }))
})

const incidents = [
  [counted.failovers, "FailedOver"],
  [counted.hedges, "Hedged"],
  [counted.panics, "Panicked"],
  [counted.cooldowns, "CooledDown"],
  [counted.moves, "SessionMoved"],
  [counted.checkDuration, "Checked"]
] as const
