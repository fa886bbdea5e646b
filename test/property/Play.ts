/**
 * Plays a scenario on the simulated service under virtual time, and shows whoever watches what happens.
 */
import type { Deployment } from "#core/deployment/Deployment"
import * as SimulatedService from "#core/simulation/SimulatedService"
import * as SimulatedTransport from "#core/simulation/SimulatedTransport"
import { Transport as TransportService } from "#core/transport/Transport"
import {
  type ConfigInput,
  Deployments,
  type Event,
  type FleetStore,
  LoadBalancer,
  Telemetry,
  type Transport
} from "@evenkeel/core"
import { Cause, Clock, Context, Effect, Exit, Fiber, Layer, Random, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { steady } from "../support/Balanced.ts"
import { countSleepers } from "../support/Interleaving.ts"
import { faults, type Scenario, TOTAL, USUAL } from "./Scenario.ts"

/** What a watcher may look at while a scenario runs. */
export interface Live {
  readonly lb: LoadBalancer["Service"]
  readonly deployments: ReadonlyArray<Deployment>
  readonly services: ReadonlyArray<SimulatedService.SimulatedService>
  readonly scenario: Scenario
  readonly now: () => number
}

/** One send, at the moment when it was decided and reserved. */
export interface Sent {
  /** Index of the request; undefined for a check. */
  readonly request: number | undefined
  readonly deployment: Deployment
  readonly at: number
  /** Whether it was sent because everything is failing. */
  readonly isPanic: boolean
  /** Whether it was sent beside another that is under way. */
  readonly isHedge: boolean
}

/** One request as it ended. */
export interface Ended {
  readonly request: number
  readonly at: number
  readonly exit: Exit.Exit<unknown, unknown>
  /** What reached the caller. */
  readonly text: string
}

/** What one property watches. Each of these may write what is wrong into `wrong`. */
export interface Watcher {
  readonly onSend?: (sent: Sent, live: Live) => void
  readonly onResponse?: (sent: Sent, status: number, headers: Readonly<Record<string, string>>, live: Live) => void
  readonly onEnd?: (ended: Ended, live: Live) => Effect.Effect<void>
  readonly onEvent?: (event: Event) => void
  readonly onTick?: (live: Live) => void
  /** When all requests have ended. */
  readonly onQuiet?: (live: Live) => Effect.Effect<void>
  /** When the balancer was closed, and its callers may still be there. */
  readonly onClosed?: (live: Live) => void
  /** When its callers are gone too. */
  readonly onOver?: (live: Live, asleep: number) => void
}

const TICK = 500

/** Resources by their number. */
export const resourceNames = ["east", "west", "north"]

/** Key of a resource, of which no other may hear. */
export const keyOf = (name: string): string => `secret-of-${name}`

/** Plays a scenario, and closes the balancer at the end: or before it, `closeAt` ms after the beginning. */
export const play = (
  scenario: Scenario,
  watcher: Watcher,
  closeAt = Infinity,
  fleet?: Layer.Layer<FleetStore>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const sleepers = yield* countSleepers
    let live: Live | undefined
    yield* Effect.gen(function*() {
      const services = makeServices(scenario)
      const clock = yield* Clock.Clock
      const scope = yield* Scope.make()
      const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
      const watched = watch(SimulatedTransport.make(services), watcher, () => live, now)
      const layer = LoadBalancer.layer(configOf(scenario, services), { telemetry: Telemetry.layerNoop, fleet }).pipe(
        Layer.provide(Layer.succeed(TransportService, watched.transport))
      )
      const context = yield* Layer.buildWithScope(layer, scope).pipe(Effect.orDie)
      const lb = Context.get(context, LoadBalancer)
      const set = Context.get(context, Deployments)
      const stop = set.events.listen((event) => {
        watched.onEvent(event)
        watcher.onEvent?.(event)
      })
      live = { lb, deployments: set.all(), services, scenario, now }

      const weather = yield* Effect.forkChild(changeFaults(scenario, services))
      const callers = yield* Effect.forEach(scenario.requests, (_, i) => Effect.forkChild(caller(live!, i, watcher)))
      const everyone = Effect.sync(() => callers.every((fiber) => fiber.pollUnsafe() !== undefined))
      for (let at = 0; at < Math.min(closeAt, 40_000) && !(yield* everyone); at += TICK) {
        yield* TestClock.adjust(TICK)
        watcher.onTick?.(live)
      }
      for (const fiber of callers) {
        const exit = fiber.pollUnsafe()
        if (exit !== undefined) yield* Effect.orDie(exit)
      }
      if (closeAt === Infinity) {
        if (!(yield* everyone)) return yield* Effect.die(new Error("a request never ended"))
        if (watcher.onQuiet !== undefined) yield* watcher.onQuiet(live)
      }
      stop()
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust(0)
      watcher.onClosed?.(live)
      // half of the callers stay, to show that nothing is sent for them; the others go, to show what else is asleep
      if (closeAt !== Infinity && scenario.seed % 2 === 0) yield* TestClock.adjust(TOTAL)
      yield* Fiber.interruptAll([weather, ...callers])
    }).pipe(Effect.provideService(Clock.Clock, sleepers.clock))
    watcher.onOver?.(live!, sleepers.asleep())
  }).pipe(Random.withSeed(scenario.seed))

const makeServices = (scenario: Scenario): ReadonlyArray<SimulatedService.SimulatedService> => {
  let generation = 0
  return resourceNames.flatMap((name, resource) => {
    const deployments = scenario.deployments.flatMap((deployment, i) =>
      deployment.resource !== resource ? [] : [{
        name: `d${i}`,
        model: "model",
        provisioned: deployment.provisioned,
        tpm: deployment.holds === 0 ? undefined : deployment.holds * USUAL,
        latency: { ...steady, perOutputTokenMs: 25, tokensPerEvent: 4 },
        // every generation has a word of its own
        reply: () => `<${name}:${generation++}>`.repeat(4)
      }]
    )
    return deployments.length === 0 ? [] : [SimulatedService.make({ name, apiKey: keyOf(name), deployments })]
  })
}

const configOf = (
  scenario: Scenario,
  services: ReadonlyArray<SimulatedService.SimulatedService>
): ConfigInput => ({
  resources: services.map((service) => service.config()).map(({ apiKey, deployments, endpoint, name, provider }) => ({
    name,
    provider,
    endpoint,
    apiKey,
    deployments: deployments!.map(({ model, name, provisioned, tpm }) => ({
      name,
      model,
      provisioned,
      tpm,
      tier: scenario.deployments[Number(name.slice(1))]!.tier
    }))
  })),
  failover: {
    attempts: scenario.attempts,
    maxWait: scenario.maxWait,
    budgetRatio: scenario.budgetRatio / 10,
    budgetPerSecond: scenario.budgetPerSecond,
    hedge: scenario.hedges
  },
  health: {
    consecutiveFailures: scenario.consecutiveFailures,
    openFor: scenario.openFor,
    check: { kind: scenario.checks, interval: "1 second", timeout: "500 millis" }
  },
  timeouts: {
    total: TOTAL,
    firstEvent: scenario.firstEvent,
    firstContent: scenario.firstEvent * 2,
    idle: scenario.idle
  }
})

/** Switches faults on and off as the scenario says. */
const changeFaults = (scenario: Scenario, services: ReadonlyArray<SimulatedService.SimulatedService>) => {
  const changes = [...new Set(scenario.faults.flatMap(({ from, lasts }) => [from, from + lasts]))].toSorted((a, b) =>
    a - b
  )
  return Effect.gen(function*() {
    let now = 0
    for (const change of changes) {
      yield* Effect.sleep(change - now)
      now = change
      for (const service of services) service.clear()
      for (const { deployment, everywhere, from, lasts, sometimes, what } of scenario.faults) {
        if (now < from || now >= from + lasts) continue
        const index = deployment % scenario.deployments.length
        const resource = resourceNames[scenario.deployments[index]!.resource]
        const target = services.find(({ name }) => name === resource)!
        target.fault(everywhere ? "*" : `d${index}`, { ...faults[what], ...(sometimes ? { probability: 0.5 } : {}) })
      }
    }
  })
}

const watch = (
  transport: Transport["Service"],
  watcher: Watcher,
  live: () => Live | undefined,
  now: () => number
) => {
  let panicked: string | undefined
  let isHedge = false
  const watched: Transport["Service"] = {
    send: (request) => {
      const seen = live()
      const { model, user } = JSON.parse(String(request.body ?? "{}")) as { model?: string; user?: string }
      const deployment = seen?.deployments.find(({ id }) => id === `${request.resource}/${model}`)
      if (seen === undefined || deployment === undefined) return transport.send(request)
      const isPanic = panicked === deployment.id
      panicked = undefined
      const asked = user === undefined ? undefined : Number(user)
      const sent = { request: asked, deployment, at: now(), isPanic, isHedge }
      isHedge = false
      watcher.onSend?.(sent, seen)
      return Effect.tap(
        transport.send(request),
        ({ headers, status }) => Effect.sync(() => watcher.onResponse?.(sent, status, headers, seen))
      )
    }
  }
  return {
    transport: watched,
    onEvent: (event: Event) => {
      if (event._tag === "Panicked") panicked = event.deployment
      if (event._tag === "Hedged") isHedge = true
    }
  }
}

/** One caller: asks when its time has come, and keeps what reaches it. */
const caller = (live: Live, index: number, watcher: Watcher): Effect.Effect<void, unknown> =>
  Effect.gen(function*() {
    const { lb, scenario } = live
    const { at, fate, how, patience, session } = scenario.requests[index]!
    const user = String(index)
    const options = {
      session: session === 0 ? undefined : `session-${session}`,
      timeout: fate === "hurries" ? patience : undefined
    }
    const said: Array<string> = []
    const keep = (text: string | null | undefined) => Effect.sync(() => void said.push(text ?? ""))
    const pieces = <A, E>(stream: Stream.Stream<A, E>, textOf: (event: A) => string | null | undefined) => {
      const taken = fate === "stopsEarly" ? Stream.take(stream, 1 + Math.floor(patience / 1000)) : stream
      return Stream.runForEach(taken, (event) => keep(textOf(event)))
    }
    const chat = {
      model: "model",
      user,
      max_completion_tokens: 40,
      messages: [{ role: "user" as const, content: "Say a word of your own." }]
    }
    const response = {
      model: "model",
      user,
      max_output_tokens: 40,
      input: "Say a word of your own.",
      store: fate === "stores"
    }
    const ask: Effect.Effect<void, unknown> = how === "whole"
      ? Effect.flatMap(lb.chat(chat, options), ({ choices }) => keep(choices[0]?.message.content))
      : how === "stream"
      ? pieces(lb.chatStream(chat, options), ({ choices }) => choices[0]?.delta.content)
      : how === "responses"
      ? pieces(
        lb.responsesStream(response, options),
        (event) => event.type === "response.output_text.delta" ? event.delta : ""
      )
      : Effect.flatMap(lb.responses(response, options), ({ output }) => keep(JSON.stringify(output)))
    yield* Effect.sleep(at)
    const patient = fate === "givesUp" ? Effect.timeout(ask, patience) : ask
    const exit = yield* Effect.exit(patient)
    // whatever the service does, nothing may throw
    if (Exit.isFailure(exit) && Cause.hasDies(exit.cause)) return yield* exit
    if (watcher.onEnd !== undefined) {
      yield* watcher.onEnd({ request: index, at: live.now(), exit, text: said.join("") }, live)
    }
  })
