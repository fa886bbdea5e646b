/**
 * Traffic of every kind on simulated services, with all that they billed and told, and all that telemetry said of it.
 */
import { readUsage } from "#core/attempt/AnswerFacts"
import type { PriceList } from "#core/config/Prices"
import type { Usage } from "#core/Errors"
import * as SimulatedService from "#core/simulation/SimulatedService"
import * as SimulatedTransport from "#core/simulation/SimulatedTransport"
import { Transport, type TransportResponse } from "#core/transport/Transport"
import {
  type ConfigInput,
  Deployments,
  type Event,
  LoadBalancer,
  Prices,
  type Snapshot,
  Telemetry
} from "@evenkeel/core"
import { Context, Effect, Exit, Fiber, Layer, Metric, Random, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { steady } from "../support/Balanced.ts"
import { integer } from "../support/Check.ts"
import { type FaultName, faults } from "./Scenario.ts"

const list = <S extends Schema.Constraint>(item: S, minimum: number, maximum: number) =>
  Schema.Array(item).check(Schema.isMinLength(minimum), Schema.isMaxLength(maximum))

/** Of two models that are asked. Of the third, which embeds, nobody knows the price. */
const prices = {
  talker: { input: 2, cachedInput: 1, output: 8 },
  thinker: { input: 1, cachedInput: 0.5, output: 4 }
} satisfies Record<string, PriceList>

/**
 * Schema for traffic. `seed` is for everything that is random.
 */
export const Traffic = Schema.Struct({
  seed: integer(0, 1_000_000),
  deployments: list(
    Schema.Struct({
      resource: integer(0, 1),
      model: Schema.Literals(["talker", "talker", "thinker", "embedding"]),
      provisioned: Schema.Boolean,
      tier: integer(1, 2),
      /** 0 for no limit. */
      tpm: Schema.Literals([0, 0, 0, 500, 2000])
    }),
    1,
    5
  ),
  faults: list(
    Schema.Struct({
      deployment: integer(0, 4),
      what: Schema.Literals(Object.keys(faults) as Array<FaultName>),
      from: integer(0, 8000),
      times: integer(1, 4)
    }),
    0,
    8
  ),
  requests: list(
    Schema.Struct({
      at: integer(0, 10_000),
      /** That of one of the deployments, or in the last place one that nobody serves. */
      model: integer(0, 5),
      how: Schema.Literals(["chat", "chatStream", "chatStream", "responses", "responsesStream", "responsesStream"]),
      /** 0 for none. */
      session: integer(0, 2),
      includeUsage: Schema.Boolean,
      hedge: Schema.Boolean,
      isLong: Schema.Boolean,
      fate: Schema.Literals(["waits", "waits", "waits", "givesUp", "stopsEarly", "hurries"]),
      /** When it gives up, or its deadline, in ms; its thousandth is the number of events that it stops after. */
      patience: integer(1, 9000)
    }),
    1,
    30
  ),
  attempts: integer(1, 4),
  maxWait: integer(0, 5000),
  /** Closes the balancer under way; 0 for when all is over. */
  closesAt: Schema.Literals([0, 0, 0, 500, 1300, 4700])
})

/**
 * Some traffic.
 */
export type Traffic = typeof Traffic.Type

/** What a service billed for one send. */
export interface Billed {
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly completionTokens: number
}

/** One send. */
export interface Send {
  readonly deployment: string
  billed: Billed
  /** The usage that came over the wire, as far as someone read it. */
  told: Usage | undefined
}

/** What telemetry says at one moment, and the snapshot of the same. */
export interface Look {
  readonly metrics: ReadonlyArray<Metric.Metric.Snapshot>
  readonly snapshot: Snapshot
  readonly isAtRest: boolean
}

/** What became of the traffic. */
export interface Driven {
  readonly traffic: Traffic
  readonly sends: ReadonlyArray<Send>
  readonly events: ReadonlyArray<Event>
  /** Requests that were begun. */
  readonly begun: number
  readonly looks: ReadonlyArray<Look>
  /** When everything is over, and the balancer closed. */
  readonly final: Snapshot
  readonly metrics: ReadonlyArray<Metric.Metric.Snapshot>
  /** The same once more, after all callers have gone. */
  readonly closed: ReadonlyArray<Metric.Metric.Snapshot>
}

const names = ["east", "west"]

const zero: Billed = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 }

/** The price of a deployment's tokens. */
export const priceOf = (traffic: Traffic, id: string, model: string) => ({
  price: model === "embedding" ? undefined : prices[model as keyof typeof prices],
  provisioned: traffic.deployments[Number(id.slice(id.indexOf("/d") + 2))]!.provisioned
})

/** Plays traffic until it is over, in a registry of its own. */
export const drive = (traffic: Traffic): Effect.Effect<Driven> =>
  Effect.gen(function*() {
    const sends: Array<Send> = []
    const events: Array<Event> = []
    const looks: Array<Look> = []
    let begun = 0
    const services = makeServices(traffic)
    const scope = yield* Scope.make()
    const layer = LoadBalancer.layer(configOf(traffic, services), {
      telemetry: Telemetry.layer({ logs: false }),
      prices: Prices.layer(prices)
    }).pipe(Layer.provide(Layer.succeed(Transport, watched(services, sends))))
    const context = yield* Layer.buildWithScope(layer, scope).pipe(Effect.orDie)
    const lb = Context.get(context, LoadBalancer)
    const deployments = Context.get(context, Deployments)
    deployments.events.listen((event) => events.push(event))
    // as if it had run for a while, since nothing is hedged before it is known what is late
    for (const model of deployments.models()) {
      for (let i = 0; i < 20; i++) deployments.group(model)!.expected.ratio("first-token", 100, 1)
    }

    const weather = yield* Effect.forkChild(Effect.forEach(
      traffic.faults,
      ({ deployment, from, times, what }) =>
        Effect.delay(
          Effect.sync(() => {
            const index = deployment % traffic.deployments.length
            const target = services.find(({ name }) => name === names[traffic.deployments[index]!.resource])!
            target.fault(`d${index}`, { ...faults[what], times })
          }),
          from
        ),
      { concurrency: "unbounded" }
    ))
    const count = Effect.sync(() => void begun++)
    const callers = yield* Effect.forEach(traffic.requests, (request) =>
      Effect.forkChild(Effect.delay(Effect.andThen(count, caller(lb, request, modelOf(traffic, request))), request.at)))
    const look = (isAtRest: boolean) =>
      Effect.gen(function*() {
        looks.push({ metrics: yield* Metric.snapshot, snapshot: yield* lb.snapshot, isAtRest })
      })
    const isOver = () =>
      callers.every((fiber) =>
        fiber.pollUnsafe() !== undefined
      )
    const until = traffic.closesAt === 0 ? 60_000 : traffic.closesAt
    for (let at = 0; at < until && !isOver(); at += 250) {
      yield* TestClock.adjust(250)
      yield* look(false)
    }
    if (traffic.closesAt === 0) {
      if (!isOver()) return yield* Effect.die(new Error("a request never ended"))
      yield* look(true)
    }
    // those who come later come to a closed door, of which nobody is told
    const seen = begun
    yield* Scope.close(scope, Exit.void)
    yield* TestClock.adjust(0)
    const metrics = yield* Metric.snapshot
    const final = yield* lb.snapshot
    yield* Fiber.interruptAll([weather, ...callers])
    yield* TestClock.adjust(0)
    return { traffic, sends, events, begun: seen, looks, final, metrics, closed: yield* Metric.snapshot }
  }).pipe(Random.withSeed(traffic.seed), Effect.provideService(Metric.MetricRegistry, new Map()))

const makeServices = (traffic: Traffic): ReadonlyArray<SimulatedService.SimulatedService> =>
  names.flatMap((name, resource) => {
    const deployments = traffic.deployments.flatMap(({ model, provisioned, tpm, ...deployment }, i) =>
      deployment.resource !== resource ? [] : [{
        name: `d${i}`,
        model,
        provisioned,
        tpm: tpm === 0 ? undefined : tpm,
        reasoningTokens: model === "thinker" ? 20 : 0,
        outputTokens: 20,
        dimensions: 2,
        latency: { ...steady, perOutputTokenMs: 20, tokensPerEvent: 3, jitter: 0.3 }
      }]
    )
    return deployments.length === 0 ? [] : [SimulatedService.make({ name, deployments })]
  })

const configOf = (traffic: Traffic, services: ReadonlyArray<SimulatedService.SimulatedService>): ConfigInput => ({
  resources: services.map((service) => service.config()).map(({ apiKey, deployments, endpoint, name, provider }) => ({
    name,
    provider,
    endpoint,
    apiKey,
    deployments: deployments!.map(({ model, name, provisioned, tpm }) => {
      const { tier } = traffic.deployments[Number(name.slice(1))]!
      return { name, model, provisioned, tpm, tier }
    })
  })),
  failover: { attempts: traffic.attempts, maxWait: traffic.maxWait, budgetPerSecond: 5 },
  health: { openFor: 2000, check: { kind: "none" } },
  timeouts: { total: 20_000, firstEvent: 3000, firstContent: 6000, idle: 2000 }
})

/** A transport that notes what each send was billed, and what of it was told. */
const watched = (services: ReadonlyArray<SimulatedService.SimulatedService>, sends: Array<Send>) => {
  const byHeaders = new WeakMap<object, Send>()
  const billing = services.map((service): SimulatedService.SimulatedService => ({
    ...service,
    handle: (request, now, random) => {
      const answer = service.handle(request, now, random)
      const send = byHeaders.get(request.headers)!
      const settled = (settle: (now: number) => void) => (at: number): void => {
        const before = sum(service)
        settle(at)
        const after = sum(service)
        send.billed = {
          promptTokens: send.billed.promptTokens + after.promptTokens - before.promptTokens,
          cachedTokens: send.billed.cachedTokens + after.cachedTokens - before.cachedTokens,
          completionTokens: send.billed.completionTokens + after.completionTokens - before.completionTokens
        }
      }
      return { ...answer, finished: settled(answer.finished), abandoned: settled(answer.abandoned) }
    }
  }))
  const transport = SimulatedTransport.make(billing)
  return Transport.of({
    send: (request) =>
      Effect.suspend(() => {
        const { model } = JSON.parse(String(request.body)) as { readonly model: string }
        const send: Send = { deployment: `${request.resource}/${model}`, billed: zero, told: undefined }
        sends.push(send)
        byHeaders.set(request.headers, send)
        return Effect.map(transport.send(request), (response) => reading(response, send))
      })
  })
}

const sum = (service: SimulatedService.SimulatedService): Billed => {
  const all = Object.values(service.stats(0).deployments)
  return {
    promptTokens: all.reduce((sum, { promptTokens }) => sum + promptTokens, 0),
    cachedTokens: all.reduce((sum, { cachedTokens }) => sum + cachedTokens, 0),
    completionTokens: all.reduce((sum, { completionTokens }) => sum + completionTokens, 0)
  }
}

/** Reads the usage off the wire, with nothing of the balancer's but how its fields are called. */
const reading = (response: TransportResponse, send: Send): TransportResponse => ({
  ...response,
  text: Effect.tap(response.text, (text) => Effect.sync(() => hear(text, send))),
  pull: Effect.tap(response.pull, (bytes) =>
    Effect.sync(() => {
      for (const line of new TextDecoder().decode(bytes).split("\n")) {
        if (line.startsWith("data: ")) hear(line.slice(6), send)
      }
    }))
})

const hear = (json: string, send: Send): void => {
  if (!json.includes("\"usage\":{")) return
  try {
    const value = JSON.parse(json) as { readonly usage?: unknown; readonly response?: { readonly usage?: unknown } }
    send.told = readUsage(value.usage ?? value.response?.usage) ?? send.told
  } catch {
    // cut short
  }
}

const modelOf = ({ deployments }: Traffic, { model }: Traffic["requests"][number]): string =>
  model === 5 ? "unheard-of" : deployments[model % deployments.length]!.model

const caller = (
  lb: LoadBalancer["Service"],
  request: Traffic["requests"][number],
  model: string
): Effect.Effect<void> => {
  const { fate, hedge, how, includeUsage, isLong, patience, session } = request
  const options = {
    hedge,
    session: session === 0 ? undefined : `session-${session}`,
    timeout: fate === "hurries" ? patience : undefined
  }
  const content = isLong ? "Tell me of the sea. ".repeat(300) : "Say a word."
  const chat = { model, messages: [{ role: "user" as const, content }] }
  const streamed = { ...chat, ...(includeUsage ? { stream_options: { include_usage: true } } : {}) }
  const drain = <A, E>(stream: Stream.Stream<A, E>) =>
    Stream.runDrain(fate === "stopsEarly" ? Stream.take(stream, 1 + Math.floor(patience / 1000)) : stream)
  const asked: Effect.Effect<unknown, unknown> = model === "embedding"
    ? lb.embeddings({ model, input: content })
    : how === "chat"
    ? lb.chat(chat, options)
    : how === "chatStream"
    ? drain(lb.chatStream(streamed, options))
    : how === "responses"
    ? lb.responses({ model, input: content }, options)
    : drain(lb.responsesStream({ model, input: content }, options))
  return Effect.exit(fate === "givesUp" ? Effect.timeout(asked, patience) : asked).pipe(
    Effect.flatMap((exit) => Exit.hasDies(exit) ? Effect.orDie(exit as Exit.Exit<never>) : Effect.void)
  )
}
