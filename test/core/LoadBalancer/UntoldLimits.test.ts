import * as SimulatedService from "#core/simulation/SimulatedService"
import * as SimulatedTransport from "#core/simulation/SimulatedTransport"
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Layer, Random } from "effect"
import { TestClock } from "effect/testing"
import { steady } from "../../support/Balanced.ts"

const question = (words: number) => ({
  model: "gpt-4o",
  messages: [{ role: "user" as const, content: "word ".repeat(words) }],
  max_completion_tokens: 20
})

/** Two resources, of which the second takes what the first cannot. The balancer is told of no limit. */
const unlimited = (first: Partial<SimulatedService.SimulatedServiceOptions["deployments"][number]>) => {
  const services = [
    SimulatedService.make({ name: "first", deployments: [{ name: "gpt-4o", latency: steady, ...first }] }),
    SimulatedService.make({ name: "second", deployments: [{ name: "gpt-4o", latency: steady }] })
  ]
  const resources = services.map((service, i) => ({
    ...service.config(),
    deployments: [{ name: "gpt-4o", provisioned: i === 0 && first.provisioned, tier: i + 1 }]
  }))
  const layer = LoadBalancer.layer({ resources, health: { check: { kind: "none" } } }).pipe(
    Layer.provide(SimulatedTransport.layer(services))
  )
  return { first: services[0]!, layer }
}

const firstOf = Effect.map(Effect.flatMap(LoadBalancer, (lb) => lb.snapshot), ({ deployments }) => deployments[0]!)

const ask = (words: number) =>
  Effect.flatMap(LoadBalancer, (lb) => Effect.forkChild(Effect.ignore(lb.chat(question(words)))))

/** Asks once a second, and returns how many of the answers came from the first. */
const askEverySecond = Effect.fnUntraced(function*(seconds: number) {
  const before = (yield* firstOf).totals.succeeded
  for (let second = 0; second < seconds; second++) {
    yield* ask(100)
    yield* TestClock.adjust("1 second")
  }
  return (yield* firstOf).totals.succeeded - before
})

describe("a deployment whose limit nobody told", () => {
  it.effect("serves again as soon as its bucket has drained, where it is provisioned", () => {
    const { layer } = unlimited({ provisioned: true, tpm: 60_000 })
    return Effect.gen(function*() {
      // fills its bucket of 10,000 tokens within a second, so that the last is told to wait
      for (let i = 0; i < 12; i++) yield* ask(900)
      yield* TestClock.adjust("1 second")
      yield* ask(900)
      yield* TestClock.adjust("10 seconds")
      const { state, totals } = yield* firstOf
      assert.isAtLeast(totals.throttled, 1)
      assert.strictEqual(state, "healthy")
      // an eighth of what it drains
      assert.strictEqual(yield* askEverySecond(30), 30)
    }).pipe(Effect.provide(layer), Random.withSeed("provisioned"))
  })

  it.effect("goes on after the wait that it asked for, however much was sent in the moment before", () => {
    const { first, layer } = unlimited({})
    return Effect.gen(function*() {
      first.fault("gpt-4o", { kind: "unknownLimits" })
      for (let i = 0; i < 20; i++) yield* ask(100)
      yield* TestClock.adjust("1 second")
      first.fault("gpt-4o", { kind: "throttle", retryAfterMs: 2000, times: 1 })
      yield* ask(100)
      yield* TestClock.adjust("2 seconds")
      // one a second, which is all that is asked for
      assert.isAtLeast(yield* askEverySecond(20), 19)
    }).pipe(Effect.provide(layer), Random.withSeed("burst"))
  })

  it.effect("is found to have none, after one passing refusal in a quiet minute", () => {
    const { first, layer } = unlimited({})
    return Effect.gen(function*() {
      first.fault("gpt-4o", { kind: "unknownLimits" })
      for (let i = 0; i < 12; i++) {
        yield* ask(20)
        yield* TestClock.adjust("4 seconds")
      }
      first.fault("gpt-4o", { kind: "throttle", retryAfterMs: 100, times: 1 })
      yield* ask(20)
      yield* TestClock.adjust("1 second")
      const before = (yield* firstOf).totals.succeeded
      const shares: Array<number> = []
      for (let minute = 1; minute <= 3; minute++) {
        for (let i = 0; i < 600; i++) {
          yield* ask(20)
          yield* TestClock.adjust(100)
        }
        shares.push(((yield* firstOf).totals.succeeded - before) / (600 * minute))
      }
      assert.isAtLeast(shares[2]!, 0.9)
    }).pipe(Effect.provide(layer), Random.withSeed("quiet"))
  })

  it.effect("is not starved for long after other clients, who had used its quota up, stop", () => {
    const { first, layer } = unlimited({ tpm: 300_000 })
    return Effect.gen(function*() {
      first.fault("gpt-4o", { kind: "unknownLimits" })
      first.consume("gpt-4o", 300_000, 0, 0)
      yield* ask(100)
      yield* TestClock.adjust("7 minutes")
      assert.strictEqual((yield* firstOf).totals.throttled, 1)
      // a thirtieth of its quota
      assert.isAtLeast(yield* askEverySecond(60), 50)
    }).pipe(Effect.provide(layer), Random.withSeed("standard"))
  })
})
