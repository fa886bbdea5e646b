import { type PriceList } from "#core/config/Prices"
import { counted, genAi, type Instrument } from "#core/telemetry/Names"
import { assert, describe, it } from "@effect/vitest"
import { Deployments, type Event, LoadBalancer, Prices, Telemetry } from "@evenkeel/core"
import { Effect, Metric, Stream } from "effect"
import { azure, type Canned, scripted } from "../../support/Scripted.ts"

const usage = { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 }

const chunk = (fields: object) => `data: ${JSON.stringify({ id: "x", model: "gpt-4o-2024-11-20", ...fields })}\n\n`

const said = (content: string) => chunk({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })

const opening = chunk({ choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }] })
const ending = chunk({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })
const billing = chunk({ choices: [], usage })
const done = "data: [DONE]\n\n"

const event = (type: string, fields: object) => `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`

/** What a balancer tells of streams that come like this, one after the other. */
const told = (
  body: ReadonlyArray<string>,
  ask: (lb: LoadBalancer["Service"]) => Stream.Stream<unknown, unknown>,
  prices: Record<string, PriceList> = { "gpt-4o": { input: 1, output: 2 } }
) => {
  const reply: Canned = { status: 200, headers: { "content-type": "text/event-stream" }, body }
  const replace = { telemetry: Telemetry.layer({ logs: false }), prices: Prices.layer(prices) }
  const { layer } = scripted([azure("east")], () => reply, {}, replace)
  return Effect.gen(function*() {
    const events: Array<Event> = []
    const deployments = yield* Deployments
    deployments.events.listen((event) => events.push(event))
    yield* Effect.exit(Stream.runDrain(ask(yield* LoadBalancer)))
    return { metrics: yield* Metric.snapshot, totals: deployments.all()[0]!.totals, events }
  }).pipe(Effect.provide(layer), Effect.provideService(Metric.MetricRegistry, new Map()))
}

const chat = (lb: LoadBalancer["Service"]) => lb.chatStream({ model: "gpt-4o", messages: [] })

const stateOf = (metrics: ReadonlyArray<Metric.Metric.Snapshot>, { name }: Instrument) =>
  metrics.filter(({ id }) => id === name).map(({ state }) => state)

const pieces = (metrics: ReadonlyArray<Metric.Metric.Snapshot>) =>
  (stateOf(metrics, genAi.perChunk) as ReadonlyArray<Metric.HistogramState>).map(({ count }) => count)

describe("time per output chunk", () => {
  const expected = [3]

  it.effect("is recorded once for each piece after the first, however they arrive; the end's mark is none", () =>
    Effect.gen(function*() {
      const parts = [opening, said("a"), said("b"), said("c"), ending, billing, done]
      const apart = yield* told(parts, chat)
      assert.deepStrictEqual(pieces(apart.metrics), expected)
      const together = yield* told([parts.join("")], chat)
      assert.deepStrictEqual(pieces(together.metrics), expected)
      const halves = yield* told([parts.slice(0, 3).join(""), parts.slice(3).join("")], chat)
      assert.deepStrictEqual(pieces(halves.metrics), expected)
    }))

  it.effect("is not recorded where nothing follows the first piece", () =>
    Effect.gen(function*() {
      const { metrics } = yield* told([opening + ending, done], chat)
      assert.deepStrictEqual(pieces(metrics), [])
    }))
})

describe("what the service says that it billed", () => {
  it.effect("is counted where it then refuses to go on", () =>
    Effect.gen(function*() {
      const error = { code: "content_filter", message: "The response was filtered." }
      const response = { id: "resp_1", model: "gpt-4o", usage: { input_tokens: 5, output_tokens: 3 } }
      const body = [
        event("response.created", { response: { id: "resp_1", model: "gpt-4o" } }),
        event("response.failed", { response: { ...response, status: "failed", error } })
      ]
      const { events, metrics, totals } = yield* told(body, (lb) => lb.responsesStream({ model: "gpt-4o", input: "x" }))
      const ended = events.filter((event) => event._tag === "AttemptEnded")
      assert.deepStrictEqual(ended.map(({ attempt, usage }) => [attempt.outcome, usage?.promptTokens]), [[
        "refused",
        5
      ]])
      assert.strictEqual(totals.promptTokens, 5)
      assert.strictEqual(totals.completionTokens, 3)
      assert.approximately(totals.cost, 11e-6, 1e-12)
      const tokens = stateOf(metrics, counted.tokens) as ReadonlyArray<Metric.CounterState<number>>
      assert.strictEqual(tokens.reduce((sum, { count }) => sum + Number(count), 0), 8)
    }))
})

describe("counts of tokens that no answer can have", () => {
  it.effect("are none: no sum would recover from them", () =>
    Effect.gen(function*() {
      for (const absurd of [1e308, 1e10, -1, NaN, "5"]) {
        const usage = { prompt_tokens: absurd, completion_tokens: 1 }
        const parts = [opening, said("a"), ending, chunk({ choices: [], usage }), done]
        const { metrics, totals } = yield* told(parts, chat)
        assert.strictEqual(totals.promptTokens, 0, String(absurd))
        assert.deepStrictEqual(stateOf(metrics, counted.tokens), [])
      }
    }))
})

describe("prices that are no prices", () => {
  it.effect("leave an attempt unpriced, and harm nothing", () =>
    Effect.gen(function*() {
      const parts = [opening, said("a"), ending, billing, done]
      const broken: ReadonlyArray<unknown> = [{ input: NaN, output: 1 }, { input: "1", output: {} }, null, {
        input: -1,
        output: 0
      }]
      for (const price of broken) {
        const { events, metrics, totals } = yield* told(parts, chat, { "gpt-4o": price as PriceList })
        assert.strictEqual(totals.unpriced, 1, JSON.stringify(price))
        assert.strictEqual(totals.cost, 0)
        assert.strictEqual(totals.succeeded, 1)
        assert.deepStrictEqual(stateOf(metrics, counted.cost), [])
        assert.deepStrictEqual(stateOf(metrics, counted.unpriced), [{ count: 1, incremental: true }])
        assert.lengthOf(events.filter(({ _tag }) => _tag === "RequestEnded"), 1)
      }
    }))
})
