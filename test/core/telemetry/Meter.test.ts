import { Meter } from "#core/telemetry/Meter"
import { type Attribute, attributes, counted, genAi, type Instrument, observed } from "#core/telemetry/Names"
import { assert, describe, it } from "@effect/vitest"
import { Deployments, LoadBalancer, Telemetry } from "@evenkeel/core"
import { Context, Effect, Exit, Fiber, Layer, Logger, Metric, Random, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { answer, fleet, type FleetConfig, hello, service, type ServiceOptions, settle } from "../../support/Balanced.ts"
import { check } from "../../support/Check.ts"

type Snapshots = ReadonlyArray<Metric.Metric.Snapshot>

type Labels = Partial<Record<Attribute, string>>

/** A registry of its own, and a meter of it. */
const made = (common: Metric.Metric.AttributeSet = {}) => {
  const context = Context.make(Metric.MetricRegistry, new Map()).pipe(
    Context.add(Metric.CurrentMetricAttributes, common)
  ) as Context.Context<never>
  return { context, meter: Meter.of(context), read: () => Metric.snapshotUnsafe(context) }
}

const seriesOf = (metrics: Snapshots, { name }: Instrument, labels: Labels = {}): Snapshots =>
  metrics.filter((metric) =>
    metric.id === name &&
    Object.entries(labels).every(([key, value]) => metric.attributes?.[attributes[key as Attribute]] === value)
  )

const numberOf = ({ state, type }: Metric.Metric.Snapshot): number =>
  type === "Counter"
    ? Number((state as Metric.CounterState<number>).count)
    : type === "Gauge"
    ? Number((state as Metric.GaugeState<number>).value)
    : (state as Metric.HistogramState).count

const sumOf = (metrics: Snapshots, instrument: Instrument, labels: Labels = {}): number =>
  seriesOf(metrics, instrument, labels).reduce((sum, metric) => sum + numberOf(metric), 0)

const overflowOf = (metrics: Snapshots, { name }: Instrument): Snapshots =>
  metrics.filter(({ attributes, id }) => id === name && attributes?.["otel.metric.overflow"] === "true")

/** Labels of the counter of failovers: deployment, model, error. */
const { failovers } = counted

describe("series", () => {
  it("has the labels that are given, the unit, and none that are left out or empty", () => {
    const { meter, read } = made()
    meter.count(failovers, ["east/gpt-4o", undefined, ""]).add(2)
    const [series, ...others] = read()
    assert.deepStrictEqual(others, [])
    assert.strictEqual(series!.id, "evenkeel.failovers")
    assert.strictEqual(series!.description, failovers.description)
    assert.deepStrictEqual(series!.attributes, { unit: "{failover}", "evenkeel.deployment": "east/gpt-4o" })
    assert.deepStrictEqual(series!.state, { count: 2, incremental: true })
  })

  it("is one for labels that are left out, empty, or not even listed", () => {
    const { meter, read } = made()
    meter.count(failovers, ["a", undefined, undefined]).add(1)
    meter.count(failovers, ["a", "", ""]).add(1)
    meter.count(failovers, ["a"]).add(1)
    assert.deepStrictEqual(read().map(numberOf), [3])
  })

  it("is never confused with another, whatever is in their labels", () => {
    const { meter, read } = made()
    const hostile = [
      "\u0000",
      "a\u0000b",
      "a",
      "b\u0000",
      "\"",
      "\\",
      "\n",
      "{}",
      "__proto__",
      "constructor",
      "é",
      "🚢"
    ]
    for (const one of hostile) for (const other of hostile) meter.count(failovers, [one, other, "x"]).add(1)
    assert.lengthOf(read(), hostile.length ** 2)
    assert.deepStrictEqual([...new Set(read().map(numberOf))], [1])
  })

  it("is one with another that exporters would write alike", () => {
    const { meter, read } = made()
    meter.count(failovers, ["\uD800", "gpt-4o", "x"]).add(1)
    meter.count(failovers, ["\uD801", "gpt-4o", "x"]).add(1)
    assert.deepStrictEqual(read().map(numberOf), [2])
    assert.strictEqual(read()[0]!.attributes?.[attributes.deployment], "\uFFFD")
  })

  it("holds no more of a label than 200 characters", () => {
    const { meter, read } = made()
    meter.count(failovers, ["x".repeat(1_000_000), "gpt-4o", "x"]).add(1)
    meter.count(failovers, ["x".repeat(1_000_001), "gpt-4o", "x"]).add(1)
    assert.deepStrictEqual(read().map(numberOf), [2])
    assert.strictEqual(read()[0]!.attributes?.[attributes.deployment], "x".repeat(200))
  })

  it("counts no less than nothing, and nothing that is no number", () => {
    const { meter, read } = made()
    const count = meter.count(failovers, ["a", "b", "c"])
    for (const amount of [1, -5, NaN, Infinity, -Infinity, 0, 2]) count.add(amount)
    assert.deepStrictEqual(read().map(numberOf), [3])
  })

  it("has the attributes that all metrics have, which do not overrule its own", () => {
    const common = { service: "api", unit: "bananas", "gen_ai.request.model": "none", "error.type": "none" }
    const { meter, read } = made(common)
    meter.count(failovers, ["east/gpt-4o", "gpt-4o", undefined]).add(1)
    meter.count(failovers, ["east/gpt-4o", "o4-mini", undefined]).add(1)
    assert.deepStrictEqual(read().map(({ attributes }) => attributes), [
      { service: "api", unit: "{failover}", "evenkeel.deployment": "east/gpt-4o", "gen_ai.request.model": "gpt-4o" },
      { service: "api", unit: "{failover}", "evenkeel.deployment": "east/gpt-4o", "gen_ai.request.model": "o4-mini" }
    ])
  })

  it("is shared by all who have a registry and say the same of all metrics", () => {
    const { context, read } = made({ service: "api", stage: "test" })
    const alike = Context.add(context, Metric.CurrentMetricAttributes, { stage: "test", service: "api" })
    const other = Context.add(context, Metric.CurrentMetricAttributes, { service: "batch" })
    for (const each of [context, alike, other]) Meter.of(each).count(failovers, ["a", "b", "c"]).add(1)
    const counts = read().map((metric) => [metric.attributes?.["service"], numberOf(metric)])
    assert.deepStrictEqual(counts, [["api", 2], ["batch", 1]])
  })

  it("is in its own registry alone", () => {
    const [one, other] = [made(), made()]
    one.meter.count(failovers, ["a", "b", "c"]).add(1)
    assert.lengthOf(one.read(), 1)
    assert.lengthOf(other.read(), 0)
  })
})

describe("histograms", () => {
  const values = Schema.Array(
    Schema.Union([
      Schema.Finite,
      Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 100 })),
      Schema.Literals([0, 0.01, 0.02, 0.32, 81.92, -1])
    ])
  )

  it.prop("are what Effect's own are for the same observations", { values }, ({ values }) => {
    const { context, meter, read } = made()
    const boundaries = counted.waits.boundaries!
    const own = Metric.histogram("own", { boundaries })
    const distribution = meter.distribution(counted.waits, ["gpt-4o"])
    for (const value of values) {
      own.updateUnsafe(value, context)
      distribution.record(value)
    }
    const state = read().find(({ id }) => id === counted.waits.name)!.state
    assert.deepStrictEqual(state, own.valueUnsafe(context))
  }, check())

  it("record a value so many times, and nothing that is no number", () => {
    const { context, meter, read } = made()
    const own = Metric.histogram("own", { boundaries: counted.waits.boundaries! })
    const distribution = meter.distribution(counted.waits, ["gpt-4o"])
    distribution.record(0.5, 3)
    distribution.record(0.25, 0)
    for (const value of [NaN, Infinity, -Infinity]) distribution.record(value)
    for (let i = 0; i < 3; i++) own.updateUnsafe(0.5, context)
    assert.deepStrictEqual(read().find(({ id }) => id === counted.waits.name)!.state, own.valueUnsafe(context))
  })
})

describe("too many series", () => {
  it("go to one more for each instrument, and every count is kept", () => {
    const { meter, read } = made()
    const each = 10_000
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < each; i++) {
        meter.count(failovers, ["east/gpt-4o", `model-${i}`, "429"]).add(1)
        meter.count(counted.attempts, ["d", "r", "e", "1", "m", "first", "failed", `error-${i}`]).add(1)
        meter.count(counted.cooldowns, [`r/${i}`, "429"]).add(1)
        meter.distribution(counted.attemptFirstChunk, [`r/${i}`, "region", "gpt-4o"]).record(1)
      }
    }
    for (const instrument of [failovers, counted.attempts, counted.cooldowns, counted.attemptFirstChunk]) {
      assert.lengthOf(seriesOf(read(), instrument), 2001, instrument.name)
      assert.deepStrictEqual(overflowOf(read(), instrument).map(numberOf), [2 * (each - 2000)], instrument.name)
      assert.strictEqual(sumOf(read(), instrument), 2 * each, instrument.name)
    }
  })

  it("of deployments that are gone make room for others, and only when it is needed", () => {
    const { meter, read } = made()
    const count = (deployment: string) => meter.count(counted.cooldowns, [deployment, "429"]).add(1)
    for (let i = 0; i < 2000; i++) meter.enter(`old-${i}`)
    for (let i = 0; i < 2000; i++) count(`old-${i}`)
    for (let i = 0; i < 1999; i++) meter.leave(`old-${i}`)
    // the last export after closing has them all
    assert.lengthOf(seriesOf(read(), counted.cooldowns), 2000)
    meter.enter("new")
    count("new")
    const left = seriesOf(read(), counted.cooldowns).map((metric) => metric.attributes?.[attributes.deployment])
    assert.deepStrictEqual(left, ["old-1999", "new"])
    assert.lengthOf(overflowOf(read(), counted.cooldowns), 0)
  })

  it("stay bounded where deployments come and go for ever", () => {
    const { meter, read } = made()
    for (let i = 0; i < 20_000; i++) {
      const id = `r/${i}`
      meter.enter(id)
      meter.count(counted.cooldowns, [id, "429"]).add(1)
      const stop = meter.observe(observed.active, [id, "region", "gpt-4o"], () => 1)
      stop()
      meter.leave(id)
    }
    assert.isAtMost(seriesOf(read(), counted.cooldowns).length, 2000)
    assert.lengthOf(seriesOf(read(), observed.active), 0)
    assert.lengthOf(overflowOf(read(), counted.cooldowns), 0)
  })

  it("of gauges take nobody's place when they end", () => {
    const { meter, read } = made()
    const stops = Array.from(
      { length: 2001 },
      (_, i) => meter.observe(observed.active, [`r/${i}`, undefined, "gpt-4o"], () => 1)
    )
    assert.lengthOf(overflowOf(read(), observed.active), 1)
    stops[0]!()
    const stop = meter.observe(observed.active, ["r/2000", undefined, "gpt-4o"], () => 2)
    stops[2000]!()
    stops[2000]!()
    assert.lengthOf(overflowOf(read(), observed.active), 0)
    assert.strictEqual(sumOf(read(), observed.active, { deployment: "r/2000" }), 2)
    stop()
    assert.lengthOf(seriesOf(read(), observed.active), 1999)
  })
})

describe("gauges", () => {
  it("that cannot be read, or are no number, are as they were, and cost no other its export", () => {
    const { meter, read } = made()
    let value: number | Error = 7
    meter.observe(observed.active, ["bad"], () => {
      if (value instanceof Error) throw value
      return value
    })
    meter.observe(observed.active, ["good"], () => 1)
    const active = () => seriesOf(read(), observed.active).map(numberOf)
    assert.deepStrictEqual(active(), [7, 1])
    value = new Error("unreadable")
    assert.deepStrictEqual(active(), [7, 1])
    for (const none of [NaN, Infinity, -Infinity]) {
      value = none
      assert.deepStrictEqual(active(), [7, 1])
    }
    value = 8
    assert.deepStrictEqual(active(), [8, 1])
  })

  it("are those of the one that came last, then of the one that is left", () => {
    const { meter, read } = made()
    const stops = [1, 2, 3].map((value) => meter.observe(observed.active, ["a"], () => value))
    const active = () => seriesOf(read(), observed.active).map(numberOf)
    assert.deepStrictEqual(active(), [3])
    stops[2]!()
    assert.deepStrictEqual(active(), [2])
    stops[0]!()
    assert.deepStrictEqual(active(), [2])
    stops[1]!()
    assert.deepStrictEqual(active(), [])
  })
})

/** A balancer in the registry in use, until its scope ends. */
const balancer = (services: ReadonlyArray<ServiceOptions>, config: FleetConfig = {}) =>
  Effect.gen(function*() {
    const several = fleet(services, config, { telemetry: Telemetry.layer({ spans: false, logs: false }) })
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(several.layer, scope).pipe(Random.withSeed(1))
    return {
      services: several.services,
      lb: Context.get(context, LoadBalancer),
      deployments: Context.get(context, Deployments),
      close: Scope.close(scope, Exit.void)
    }
  })

const inRegistry = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provideService(effect, Metric.MetricRegistry, new Map())

const gaugesOf = (metrics: Snapshots, labels: Labels = {}): ReadonlyArray<string> =>
  Object.values(observed).flatMap((instrument) => seriesOf(metrics, instrument, labels).map(({ id }) => id))

describe("two balancers in one registry", () => {
  it.effect("with the same deployments: counts are the sum, gauges are those of the one that lives", () =>
    inRegistry(Effect.gen(function*() {
      const one = yield* balancer([service("east", { tpm: 1000 })])
      const other = yield* balancer([service("east", { tpm: 2000 })])
      for (const { lb } of [one, one, other]) yield* answer(lb.chat(hello))
      const deployment = "east/gpt-4o"
      assert.strictEqual(sumOf(yield* Metric.snapshot, counted.attempts, { deployment }), 3)
      assert.strictEqual(sumOf(yield* Metric.snapshot, observed.tokenLimit, { deployment }), 2000)
      yield* other.close
      assert.strictEqual(sumOf(yield* Metric.snapshot, counted.attempts, { deployment }), 3)
      assert.strictEqual(sumOf(yield* Metric.snapshot, observed.tokenLimit, { deployment }), 1000)
      assert.strictEqual(sumOf(yield* Metric.snapshot, observed.state, { deployment, state: "healthy" }), 1)
      yield* one.close
      assert.deepStrictEqual(gaugesOf(yield* Metric.snapshot), [])
      assert.strictEqual(sumOf(yield* Metric.snapshot, counted.attempts, { deployment }), 3)
    })))

  it.effect("with deployments of their own: each has its own series, and those of one go with it", () =>
    inRegistry(Effect.gen(function*() {
      const one = yield* balancer([service("east")])
      const other = yield* balancer([service("west")])
      yield* answer(one.lb.chat(hello))
      yield* answer(other.lb.chat(hello))
      yield* one.close
      const metrics = yield* Metric.snapshot
      assert.deepStrictEqual(gaugesOf(metrics, { deployment: "east/gpt-4o" }), [])
      assert.isAbove(gaugesOf(metrics, { deployment: "west/gpt-4o" }).length, 0)
      assert.strictEqual(sumOf(metrics, counted.attempts, { deployment: "east/gpt-4o" }), 1)
      assert.strictEqual(sumOf(metrics, genAi.duration), 2)
      yield* other.close
    })))
})

describe("a balancer that closes", () => {
  it.effect("leaves what it counted, its last attempts and requests included, and no gauge", () =>
    inRegistry(Effect.gen(function*() {
      const { close, deployments, lb } = yield* balancer([service("east", { tpm: 100_000, rpm: 1000 })])
      let begun = 0
      const fork = <A, E>(effect: Effect.Effect<A, E>) => {
        begun++
        return Effect.forkChild(Effect.ignore(effect), { startImmediately: true })
      }
      const fibers = [
        yield* fork(lb.chat(hello)),
        yield* fork(Stream.runDrain(lb.chatStream(hello))),
        yield* fork(Stream.runForEach(lb.responsesStream({ model: "gpt-4o", input: "x" }), () => Effect.sleep(10_000)))
      ]
      yield* TestClock.adjust(104)
      fibers.push(yield* fork(Stream.runDrain(lb.chatStream(hello, { hedge: true }))))
      yield* close
      yield* TestClock.adjust(1)
      const metrics = yield* Metric.snapshot
      yield* Fiber.interruptAll(fibers)
      assert.deepStrictEqual(gaugesOf(metrics), [])
      assert.strictEqual(sumOf(metrics, counted.attempts), begun)
      assert.strictEqual(sumOf(metrics, counted.requests), begun)
      assert.strictEqual(deployments.all()[0]!.totals.attempts, begun)
    })))

  it.effect("counts requests that wait in its line, or back off", () =>
    inRegistry(Effect.gen(function*() {
      const { close, lb, services } = yield* balancer([service("east")], { failover: { maxWait: 60_000 } })
      services["east"]!.fault("*", { kind: "throttle", retryAfterMs: 20_000 })
      const fibers = yield* Effect.forEach([1, 2, 3], () =>
        Effect.forkChild(Effect.ignore(lb.chat(hello)), { startImmediately: true }))
      yield* TestClock.adjust(1000)
      yield* close
      yield* TestClock.adjust(1)
      for (const fiber of fibers) {
        yield* Fiber.await(fiber)
      }
      assert.strictEqual(sumOf(yield* Metric.snapshot, counted.requests), 3)
    })))
})

/** A test with one balancer in a registry of its own. */
const driven = (
  services: ReadonlyArray<ServiceOptions>,
  test: (parts: Effect.Success<ReturnType<typeof balancer>>) => Generator<Effect.Effect<any, any>, void, never>
) =>
  inRegistry(
    Effect.flatMap(balancer(services), (parts) => Effect.ensuring(Effect.gen(() => test(parts)), parts.close))
  )

/** Whether a deployment is out for a reason, as the metrics say. */
const isOut = (deployment: string, reason: string) =>
  Effect.map(Metric.snapshot, (metrics) => sumOf(metrics, observed.outage, { deployment, reason }) === 1)

describe("gauges of a live set that changes", () => {
  it.effect("a deployment that is removed and added again is there once, and goes on where it was", () =>
    driven([service("east"), service("west")], function*({ deployments, lb, services }) {
      const deployment = "east/gpt-4o"
      yield* deployments.drain("west/gpt-4o")
      yield* answer(lb.chat(hello))
      yield* deployments.drain(deployment)
      assert.strictEqual(sumOf(yield* Metric.snapshot, observed.state, { deployment, state: "draining" }), 1)
      yield* deployments.remove(deployment)
      assert.deepStrictEqual(gaugesOf(yield* Metric.snapshot, { deployment }), [])
      assert.strictEqual(sumOf(yield* Metric.snapshot, counted.attempts, { deployment }), 1)
      yield* deployments.add(services["east"]!.config())
      yield* answer(lb.chat(hello))
      const metrics = yield* Metric.snapshot
      assert.strictEqual(sumOf(metrics, observed.state, { deployment }), 1)
      assert.strictEqual(sumOf(metrics, observed.state, { deployment, state: "healthy" }), 1)
      assert.strictEqual(sumOf(metrics, counted.attempts, { deployment }), 2)
    }))

  it.effect("another tier is another label, and a limit that is not known any more is gone", () =>
    driven([service("east", { tpm: 1000, rpm: 60 })], function*({ deployments }) {
      const deployment = "east/gpt-4o"
      yield* deployments.update(deployment, { tier: 3, rpm: undefined, tpm: 500 })
      const metrics = yield* Metric.snapshot
      assert.lengthOf(seriesOf(metrics, observed.state, { deployment }), 5)
      assert.lengthOf(seriesOf(metrics, observed.state, { deployment, tier: "3" }), 5)
      assert.lengthOf(seriesOf(metrics, observed.requestLimit), 0)
      assert.lengthOf(seriesOf(metrics, observed.requestUtilisation), 0)
      assert.strictEqual(sumOf(metrics, observed.tokenLimit), 500)
    }))

  it.effect("an outage is told on through an update, and of what is added while its resource is out", () =>
    driven([service("east")], function*({ deployments, lb, services }) {
      services["east"]!.fault("*", { kind: "status", status: 401 })
      for (let i = 0; i < 5; i++) yield* settle(lb.chat(hello))
      assert.isTrue(yield* isOut("east/gpt-4o", "401"))
      yield* deployments.update("east/gpt-4o", { tier: 2 })
      assert.isTrue(yield* isOut("east/gpt-4o", "401"))
      const { deployments: _, ...east } = services["east"]!.config()
      yield* deployments.add({ ...east, deployments: [{ name: "o4-mini" }] })
      assert.isTrue(yield* isOut("east/o4-mini", "401"))
    }))

  it.effect("a wait without end is an outage, in the log as in the metrics, and no gauge is without a number", () =>
    inRegistry(Effect.gen(function*() {
      const lines: Array<unknown> = []
      const logger = Logger.layer([Logger.make(({ message }) => lines.push(message))])
      const layers = { telemetry: Layer.provide(Telemetry.layer({ spans: false }), logger) }
      const ptu = service("ptu", { provisioned: true, name: "gpt-4o" })
      const { layer, services } = fleet([service("east"), ptu], { tiers: { ptu: 2 } }, layers)
      const test = Effect.gen(function*() {
        const headers = { "retry-after": "9999999999999" }
        services["east"]!.fault("*", { kind: "status", status: 429, headers })
        yield* answer((yield* LoadBalancer).chat(hello))
        assert.isTrue(yield* isOut("east/gpt-4o", "429"))
        assert.lengthOf(lines, 1)
        for (const { id, state, type } of yield* Metric.snapshot) {
          if (type === "Gauge") assert.isTrue(Number.isFinite((state as Metric.GaugeState<number>).value), id)
        }
      })
      yield* Effect.scoped(Effect.provide(test, layer)).pipe(Random.withSeed(1))
    })))

  it.effect("an outage that another process told of is told", () =>
    driven([service("east")], function*({ deployments }) {
      assert.isFalse(yield* isOut("east/gpt-4o", "told"))
      yield* deployments.observe("east/gpt-4o", { health: "failing" })
      assert.isTrue(yield* isOut("east/gpt-4o", "told"))
    }))

  it.effect("what a wildcard became has gauges of its own; what nobody serves makes no wildcard become anything", () =>
    driven([service("east", {}, { provider: "openai" })], function*({ deployments, lb, services }) {
      yield* deployments.remove("east/gpt-4o")
      const { deployments: _, ...east } = services["east"]!.config()
      yield* deployments.add({ ...east, deployments: [{ name: "*" }] })
      yield* answer(lb.chat(hello))
      const labels = { deployment: "east/gpt-4o", model: "gpt-4o" }
      assert.strictEqual(sumOf(yield* Metric.snapshot, observed.state, { ...labels, state: "healthy" }), 1)
      const healthy = { model: "gpt-4o", state: "healthy" }
      assert.strictEqual(sumOf(yield* Metric.snapshot, observed.deployments, healthy), 1)
      // a mistake in the call, so that its model is never looked for
      yield* answer(Effect.flip(lb.chat({ ...hello, model: "no-such-model" }, { attempts: 0 })))
      assert.deepStrictEqual(deployments.all().map(({ id }) => id), ["east/*", "east/gpt-4o"])
      const named = (yield* Metric.snapshot).filter((metric) =>
        metric.attributes?.[attributes.model] === "no-such-model"
      )
      assert.deepStrictEqual(named.map(({ id }) => id), [])
      yield* deployments.remove("east/*")
      assert.deepStrictEqual(gaugesOf(yield* Metric.snapshot, labels), [])
    }))
})

describe("services that make words up", () => {
  it.effect("cannot use up the series of others by the models that they name, or by their errors", () =>
    inRegistry(Effect.gen(function*() {
      const { close, lb, services } = yield* balancer([service("east")])
      for (let i = 0; i < 150; i++) {
        const error = { error: { code: `timeout_${i}`, message: "x" } }
        const fault = {
          kind: "status",
          status: 422,
          body: JSON.stringify(error),
          contentType: "application/json"
        } as const
        services["east"]!.fault("*", { ...fault, times: 1 })
        yield* settle(lb.chat(hello))
      }
      yield* close
      const metrics = yield* Metric.snapshot
      assert.strictEqual(sumOf(metrics, counted.attempts), 150)
      assert.isAtMost(seriesOf(metrics, counted.attempts).length, 101)
      assert.strictEqual(sumOf(metrics, counted.attempts, { errorType: "other" }), 50)
      assert.strictEqual(sumOf(metrics, counted.stalls), 0)
    })))
})
