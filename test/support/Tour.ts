/**
 * A balancer driven through everything that telemetry tells of: each state, each ending, each reason.
 *
 * Its parts share one registry of metrics, as balancers of one process do. What is counted is left in it when a part is
 * over; gauges are those of the last one, which is left running while `look` looks.
 */
import {
  Deployments,
  type Event,
  HealthMonitor,
  LoadBalancer,
  Prices,
  type Snapshot,
  Telemetry,
  type TelemetryOptions
} from "@evenkeel/core"
import { Effect, Fiber, Metric, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  answer,
  type Fleet,
  fleet,
  type FleetConfig,
  hello,
  run,
  service,
  type ServiceOptions,
  settle
} from "./Balanced.ts"

/** Prices of the models that are asked; of those that are not named here, nobody knows. */
export const prices = Prices.layer({
  "gpt-4o": { input: 2, cachedInput: 1, output: 8 },
  "o4-mini": { input: 1, output: 4, reasoning: 4 }
})

const failing = { kind: "status", status: 500 } as const

/** What was seen while it was driven. */
export interface Toured {
  readonly events: ReadonlyArray<Event>
  readonly snapshot: Snapshot
  readonly fleets: ReadonlyArray<Fleet>
}

const listened = (options: TelemetryOptions) => ({ telemetry: Telemetry.layer({ logs: false, ...options }), prices })

const long = "Tell me of the sea. ".repeat(400)

const asking = (content: string) => ({ model: "gpt-4o", messages: [{ role: "user" as const, content }] })

/**
 * Drives a balancer through everything, and gives what `look` finds at the end of it.
 *
 * @param registry where its metrics are kept: one that was toured before counts on
 */
export const tour = <A, E>(
  look: (toured: Toured) => Effect.Effect<A, E, LoadBalancer>,
  options: TelemetryOptions = {},
  registry: Metric.MetricRegistry = new Map()
) =>
  Effect.gen(function*() {
    const events: Array<Event> = []
    const fleets: Array<Fleet> = []

    const part = <B, F, S extends LoadBalancer | Deployments | Scope.Scope>(
      services: ReadonlyArray<ServiceOptions>,
      config: FleetConfig,
      drive: (fleet: Fleet, lb: LoadBalancer["Service"]) => Effect.Effect<B, F, S>,
      replace: Parameters<typeof fleet>[2] = {}
    ) => {
      const made = fleet(services, config, { ...listened(options), ...replace })
      fleets.push(made)
      const whole = Effect.gen(function*() {
        const { events: hub } = yield* Deployments
        hub.listen((event) => events.push(event))
        return yield* drive(made, yield* LoadBalancer)
      })
      return Effect.scoped(run(made, whole))
    }

    // every operation, and sessions that are new, at home and moved
    yield* part(
      [
        service("east", {}, { region: "eastus" }),
        service("west", { billsCacheWrites: true }, { region: "westus" }),
        service("reasoning", { name: "o4-mini", reasoningTokens: 200, reply: undefined }),
        service("vectors", { name: "text-embedding-3-small", model: "text-embedding-3-small" })
      ],
      { tiers: { east: 1, west: 2 }, failover: { attempts: 2 } },
      ({ services }, lb) =>
        Effect.gen(function*() {
          yield* answer(lb.chat(hello))
          yield* answer(Stream.runDrain(lb.chatStream(asking(long), { session: "a" })))
          yield* answer(Stream.runDrain(lb.chatStream(asking(long), { session: "a" })))
          yield* answer(lb.responses({ model: "o4-mini", input: "Think." }))
          yield* answer(Stream.runDrain(lb.responsesStream({ model: "o4-mini", input: "Think." })))
          yield* answer(lb.embeddings({ model: "text-embedding-3-small", input: "words" }))
          yield* answer(Effect.flatMap(lb.request({ path: "/models" }), ({ text }) => text))
          services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 20_000 })
          yield* answer(lb.chat(asking(long), { session: "a" }))
          yield* answer(Effect.flip(lb.chat({ ...hello, model: "nothing" })))
          yield* answer(Effect.flip(lb.chat({ ...hello, temperature: 9 })))
          yield* settle(Effect.timeout(lb.chat(hello), 30))
          yield* answer(Stream.runDrain(Stream.take(lb.chatStream(hello), 2)))
        })
    )

    // a breaker opens, is probed, closes; a resource is out; a deployment does not exist; everything fails
    yield* part(
      [service("east"), service("west")],
      { tiers: { east: 1, west: 2 }, health: { slowStart: 0 } },
      ({ services }, lb) =>
        Effect.gen(function*() {
          services["east"]!.fault("gpt-4o", { ...failing, times: 5 })
          for (let i = 0; i < 5; i++) yield* answer(lb.chat(hello))
          yield* TestClock.adjust("10 seconds")
          yield* answer(lb.chat(hello))
          services["east"]!.fault("*", { kind: "status", status: 401, times: 5 })
          for (let i = 0; i < 5; i++) yield* answer(lb.chat(hello))
          yield* TestClock.adjust("10 seconds")
          yield* answer(lb.chat(hello))
          services["east"]!.fault("*", { kind: "status", status: 404, error: "deployment-not-found", times: 1 })
          yield* answer(lb.chat(hello))
          yield* TestClock.adjust("1 minute")
          for (const { fault } of Object.values(services)) fault("gpt-4o", failing)
          for (let i = 0; i < 10; i++) yield* settle(lb.chat(hello))
          for (const { clear } of Object.values(services)) clear()
        })
    )

    // nothing comes in time; and a late first token is asked for a second time
    yield* part(
      [service("east"), service("west")],
      { tiers: { east: 1, west: 1 }, timeouts: { firstEvent: 3000, idle: 2000 } },
      ({ services }, lb) =>
        Effect.gen(function*() {
          for (let i = 0; i < 40; i++) yield* answer(Stream.runDrain(lb.chatStream(hello)))
          services["east"]!.fault("*", { kind: "hang", times: 1 })
          for (let i = 0; i < 6; i++) yield* answer(Stream.runDrain(lb.chatStream(hello)))
        })
    )
    yield* part(
      [service("east"), service("west")],
      {},
      ({ services }, lb) =>
        Effect.gen(function*() {
          for (let i = 0; i < 40; i++) yield* answer(Stream.runDrain(lb.chatStream(hello)))
          services["east"]!.fault("*", { kind: "hang", times: 1 })
          for (let i = 0; i < 6; i++) yield* answer(Stream.runDrain(lb.chatStream(hello, { hedge: true })))
        })
    )

    // what a provisioned deployment cannot take is spilled over; requests wait; checks are made
    yield* part(
      [service("ptu", { provisioned: true, tpm: 1000 })],
      { health: { check: { interval: 10_000 } } },
      ({ services }, lb) =>
        Effect.gen(function*() {
          services["ptu"]!.fault("*", { kind: "spillover", times: 1 })
          yield* answer(lb.chat(hello))
          services["ptu"]!.fault("*", { kind: "throttle", retryAfterMs: 3000, times: 1 })
          yield* answer(lb.chat(hello))
          yield* TestClock.adjust("1 minute")
          services["ptu"]!.fault("*", { kind: "refused" })
          yield* TestClock.adjust("2 minutes")
        }),
      { healthMonitor: HealthMonitor.layer }
    )

    // and one that is left as it is: each state, quota in use, a line
    return yield* part(
      [
        service("healthy", { tpm: 10_000, rpm: 60 }, { region: "eastus" }),
        service("cooling"),
        service("opened"),
        service("draining"),
        service("spent", { name: "o4-mini", rpm: 6 })
      ],
      { failover: { maxWait: 30_000 } },
      ({ services }, lb) =>
        Effect.gen(function*() {
          const deployments = yield* Deployments
          for (const name of ["cooling", "opened"]) yield* deployments.drain(`${name}/gpt-4o`)
          yield* deployments.drain("draining/gpt-4o")
          yield* answer(lb.chat(hello, { session: "b" }))
          yield* deployments.observe("healthy/gpt-4o", { usage: { tokens: 500, requests: 5 } })
          for (const name of ["cooling", "opened"]) yield* deployments.add(services[name]!.config())
          services["cooling"]!.fault("*", { kind: "throttle", retryAfterMs: 60_000 })
          services["opened"]!.fault("*", failing)
          for (let i = 0; i < 40; i++) yield* answer(lb.chat(hello))
          const waiting = yield* Effect.forkChild(
            Effect.forEach([1, 2, 3], () => lb.chat({ ...hello, model: "o4-mini" }), {
              concurrency: "unbounded"
            }),
            { startImmediately: true }
          )
          const busy = yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
          yield* TestClock.adjust(10)
          const found = yield* look({ events: [...events], fleets, snapshot: yield* lb.snapshot })
          yield* Fiber.interrupt(busy)
          yield* Fiber.interrupt(waiting)
          return found
        })
    )
  }).pipe(Effect.provideService(Metric.MetricRegistry, registry))
