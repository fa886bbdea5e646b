/**
 * Plays a scenario through a contender under virtual time, and writes down what happened.
 */
import { Clock, Effect, Exit, Random } from "effect"
import { TestClock } from "effect/testing"
import type { Client, Contender } from "./Client.ts"
import { type Ask, demandOf } from "./Demand.ts"
import { measuredSpan, type Scenario, timeOf } from "./Scenario.ts"
import { makeWorld, type Sent, type Totals, type World } from "./World.ts"

/** How a request went for its caller. */
export interface Asked {
  readonly index: number
  readonly at: number
  readonly streamed: boolean
  /** Which of the balancers it was given to. */
  readonly balancer: number
  /** ms until the first content of a stream. */
  firstToken: number | undefined
  /** What the caller was told instead of an answer. */
  failure: string | undefined
  hasEnded: boolean
}

/** What happened in a run, from its very beginning. */
export interface Recording {
  readonly scenario: Scenario
  readonly contender: string
  readonly asked: ReadonlyArray<Asked>
  readonly sends: ReadonlyArray<Sent>
  /** Each place's utilisation, every few seconds of the measured time. */
  readonly levels: ReadonlyArray<{ readonly at: number; readonly of: Readonly<Record<string, number>> }>
  /** What all places did in the measured time. */
  readonly done: Totals
}

const SAMPLE = 5000

/** Real time that a step may take before the clock goes on without it, which would make it another run. */
const PATIENCE = "1 hour"

/** Past every time limit, so that all requests have ended. */
const AFTERWARDS = 2_000_000

export const play = (scenario: Scenario, contender: Contender, seed: number): Promise<Recording> =>
  Effect.runPromise(
    Effect.gen(function*() {
      const world = makeWorld(scenario, seed)
      const clients = yield* Effect.forEach(
        Array.from({ length: scenario.balancers }),
        (_, i) => contender.make(scenario, world, seed * 1000 + i)
      )
      const asked: Array<Asked> = []
      const levels: Array<Recording["levels"][number]> = []
      const { from, to } = measuredSpan(scenario)
      const clock = yield* Clock.Clock

      yield* Effect.forkChild(callers(scenario, clients, seed, asked))
      yield* Effect.forkChild(changes(scenario, clients, world))
      yield* TestClock.adjust(from)
      const before = world.totals()
      for (let at = from; at < to; at += SAMPLE) {
        yield* TestClock.adjust(Math.min(SAMPLE, to - at))
        const now = clock.currentTimeMillisUnsafe()
        levels.push({ at: now, of: world.utilisations(now) })
      }
      const after = world.totals()
      yield* TestClock.adjust(AFTERWARDS)
      if (asked.some(({ hasEnded }) => !hasEnded)) return yield* Effect.die(new Error("a request never ended"))
      const done = {
        chargedTokens: after.chargedTokens - before.chargedTokens,
        promptTokens: after.promptTokens - before.promptTokens,
        cachedTokens: after.cachedTokens - before.cachedTokens,
        firstTierTokens: after.firstTierTokens - before.firstTierTokens
      }
      return { scenario, contender: contender.name, asked, sends: world.sends, levels, done }
    }).pipe(Effect.scoped, Effect.provide(TestClock.layer({ warningDelay: PATIENCE })), Random.withSeed(seed))
  )

/** Asks each request at its time, until the measured time is over; and stays, because its requests end with it. */
const callers = (scenario: Scenario, clients: ReadonlyArray<Client>, seed: number, asked: Array<Asked>) =>
  Effect.gen(function*() {
    const { to } = measuredSpan(scenario)
    let now = 0
    for (const ask of demandOf(scenario, seed)) {
      if (ask.at >= to) return yield* Effect.never
      if (ask.at > now) yield* Effect.sleep(ask.at - now)
      now = ask.at
      yield* Effect.forkChild(caller(clients[ask.balancer]!, ask, asked))
    }
  })

const caller = (client: Client, ask: Ask, asked: Array<Asked>) =>
  Effect.clockWith((clock) => {
    const { at, balancer, index, streamed } = ask
    const mine: Asked = { index, at, streamed, balancer, firstToken: undefined, failure: undefined, hasEnded: false }
    asked.push(mine)
    const onFirst = (): void => {
      if (streamed) mine.firstToken ??= clock.currentTimeMillisUnsafe() - at
    }
    return Effect.map(Effect.exit(client.ask(ask, onFirst)), (exit) => {
      mine.hasEnded = true
      if (Exit.isFailure(exit)) mine.failure = nameOf(exit)
    })
  })

const nameOf = (exit: Exit.Failure<unknown, unknown>): string => {
  const text = String(exit.cause.reasons.map((reason) => "error" in reason ? reason.error : reason))
  return text.slice(0, 120)
}

/** Lets happen what happens to places. */
const changes = (scenario: Scenario, clients: ReadonlyArray<Client>, world: World) =>
  Effect.gen(function*() {
    let now = 0
    for (const change of scenario.changes.toSorted((a, b) => a.at - b.at)) {
      const at = timeOf(scenario, change.at)
      if (at > now) yield* Effect.sleep(at - now)
      now = at
      world.change(change)
      for (const place of scenario.places.filter(({ name }) => change.places.includes(name))) {
        if (change.kind === "join") yield* Effect.forEach(clients, ({ join }) => join(place), { discard: true })
        if (change.kind === "leave") yield* Effect.forEach(clients, ({ leave }) => leave(place), { discard: true })
      }
    }
  })
