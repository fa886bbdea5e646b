/**
 * A crowd of good callers over a simulated fleet, under virtual time: when each of them asks, and what it gets from whom.
 */
import * as SeededRandom from "#core/simulation/SeededRandom"
import type { DeploymentOptions } from "#core/simulation/SimulatedDeployment"
import type { SimulatedService } from "#core/simulation/SimulatedService"
import { type Event, HealthMonitor, LoadBalancer } from "@evenkeel/core"
import { Clock, Effect, Exit, Fiber, Random, Stream } from "effect"
import { TestClock } from "effect/testing"
import { fleet, type FleetConfig, listen, run } from "../support/Balanced.ts"

/** A request of the crowd. */
export interface Call {
  /** Milliseconds after the beginning. */
  readonly at: number
  readonly how: "whole" | "stream" | "embeddings"
  readonly session: string | undefined
}

/** What a call got. */
export interface Reply {
  readonly call: Call
  /** Why it got nothing, or not all of it. */
  readonly error: string | undefined
  /** Until the first content of a stream, or the whole of another answer. */
  readonly firstMs: number
  readonly totalMs: number
  /** The resource of its last send. */
  readonly served: string | undefined
  readonly promptTokens: number
  readonly cachedTokens: number
}

/** One send, to chat or to embed, whoever asked. */
export interface Send {
  readonly at: number
  readonly resource: string
  /** Who asked: `good-12`; undefined for a check. */
  readonly user: string | undefined
}

/** All that was seen. */
export interface Seen {
  readonly replies: ReadonlyArray<Reply>
  readonly sends: ReadonlyArray<Send>
  readonly events: ReadonlyArray<Event>
}

/** A resource with a deployment of gpt-4o and one that embeds. */
export interface Member {
  readonly name: string
  readonly tier: number
  readonly provisioned: boolean
  /** Tokens that gpt-4o holds in a minute; absent for any number. */
  readonly tpm: number | undefined
}

/** A world to play. */
export interface Stage {
  readonly seed: number
  readonly members: ReadonlyArray<Member>
  /** Whether the balancer is told the limits. */
  readonly known: boolean
  /** Whether the balancer looks at what is idle. */
  readonly checks: boolean
  readonly calls: ReadonlyArray<Call>
  /** What happens meanwhile; it ends with the last good call. */
  readonly meanwhile: (
    services: Readonly<Record<string, SimulatedService>>
  ) => Effect.Effect<void, never, LoadBalancer>
}

/** When a stream or an answer is given up in these worlds, in ms. */
export const GIVEN_UP = 5_000

const settings = {
  timeouts: { total: 20_000, firstEvent: GIVEN_UP, firstContent: GIVEN_UP, idle: GIVEN_UP }
} satisfies FleetConfig

const latency = { baseMs: 200, perPromptTokenMs: 0.05, perOutputTokenMs: 10, tokensPerEvent: 4, jitter: 0.15 }

const memberOptions = ({ name, provisioned, tpm }: Member) => {
  const chat: DeploymentOptions = {
    name: "gpt-4o",
    provisioned,
    tpm,
    contextTokens: 8_000,
    latency,
    reply: () => "Twelve words or so, which is what most people need of an answer."
  }
  const embedder = { name: "embed", model: "text-embedding-3-small", dimensions: 2, latency }
  return { name, deployments: [chat, embedder] }
}

/** Calls at random times, `perSecond` of them on average; a fourth of those that chat are of one of a few sessions. */
export const callsOf = (
  { embeds = true, perSecond, seconds, seed }: {
    readonly seed: number
    readonly perSecond: number
    readonly seconds: number
    readonly embeds?: boolean
  }
): ReadonlyArray<Call> => {
  const random = SeededRandom.make(seed)
  const calls: Array<Call> = []
  for (let at = gap(random, perSecond); at < seconds * 1_000; at += gap(random, perSecond)) {
    const drawn = random()
    const how = embeds && drawn < 0.2 ? "embeddings" : drawn < 0.6 ? "stream" : "whole"
    const session = how !== "embeddings" && random() < 0.25 ? `session-${Math.floor(random() * SESSIONS)}` : undefined
    calls.push({ at, how, session })
  }
  return calls
}

/** So many that none of them is hot. */
const SESSIONS = 10

/** Milliseconds until the next of `perSecond`. */
export const gap = (random: () => number, perSecond: number): number => -Math.log(1 - random()) * 1_000 / perSecond

/** The prefix that the requests of a session share: enough for the prompt cache. */
const prefixOf = (session: string): string => `You help with ${session}. `.repeat(175)

const nameOf = (index: number): string => `good-${index}`

/** Plays a world. */
export const play = ({ calls, checks, known, meanwhile, members, seed }: Stage): Effect.Effect<Seen> => {
  const perTier = Object.fromEntries(members.map(({ name, tier }) => [name, tier]))
  const several = fleet(
    members.map(memberOptions),
    { ...settings, tiers: perTier, unlimited: !known },
    checks ? { healthMonitor: HealthMonitor.layer } : {},
    (transport) => ({
      // what a service draws for a call does not depend on who else asks
      send: (request) => Random.withSeed(transport.send(request), `${seed} ${userOf(request.body) ?? request.path}`)
    })
  )
  const test = Effect.gen(function*() {
    const events = yield* listen
    const others = yield* Effect.forkChild(meanwhile(several.services), { startImmediately: true })
    const callers = yield* Effect.forEach(calls, (call, i) => Effect.forkChild(caller(call, i)))
    const isOver = () => callers.every((fiber) => fiber.pollUnsafe() !== undefined)
    for (let waited = 0; !isOver() && waited < 300_000; waited += 1_000) yield* TestClock.adjust(1_000)
    if (!isOver()) return yield* Effect.die(new Error("a call never ended"))
    yield* Fiber.interrupt(others)
    const replies = yield* Fiber.joinAll(callers)
    const sends = several.sends.flatMap(({ at, request, resource }): ReadonlyArray<Send> =>
      /chat|embeddings/.test(request.path) ? [{ at, resource, user: userOf(request.body) }] : []
    )
    const last = new Map(sends.map(({ resource, user }) => [user, resource]))
    return {
      replies: replies.map((reply, i): Reply => Object.assign(reply, { served: last.get(nameOf(i)) })),
      sends,
      events
    }
  })
  return Effect.scoped(run(several, test, seed)).pipe(Effect.orDie)
}

const userOf = (body: unknown): string | undefined => /"user":"([^"]{1,64})/.exec(String(body ?? ""))?.[1]

interface Usage {
  readonly prompt_tokens: number
  readonly prompt_tokens_details?: { readonly cached_tokens?: number | undefined } | undefined
}

/** Asks when its time has come, and tells what came of it. */
const caller = (call: Call, index: number): Effect.Effect<Omit<Reply, "served">, never, LoadBalancer> =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    const { at, how, session } = call
    yield* Effect.sleep(at)
    const from = yield* Clock.currentTimeMillis
    let firstAt: number | undefined
    let usage: Usage | undefined
    const user = nameOf(index)
    const content = `${session === undefined ? "" : prefixOf(session)}Question ${index}: what is it?`
    const chat = { model: "gpt-4o", user, max_completion_tokens: 60, messages: [{ role: "user" as const, content }] }
    const ask: Effect.Effect<void, unknown> = how === "embeddings"
      ? Effect.asVoid(lb.embeddings({ model: "text-embedding-3-small", user, input: content }))
      : how === "whole"
      ? Effect.map(lb.chat(chat, { session }), (answer) => void (usage = answer.usage))
      : Stream.runForEach(
        lb.chatStream({ ...chat, stream_options: { include_usage: true } }, { session }),
        (chunk) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            firstAt ??= now
            usage = chunk.usage ?? usage
          })
      )
    const exit = yield* Effect.exit(ask)
    const now = yield* Clock.currentTimeMillis
    return {
      call,
      error: Exit.isSuccess(exit) ? undefined : String(exit.cause).slice(0, 300),
      firstMs: (firstAt ?? now) - from,
      totalMs: now - from,
      promptTokens: usage?.prompt_tokens ?? 0,
      cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0
    }
  })

/** A part of all, 0 of none. */
export const shareOf = (part: number, all: number): number => all === 0 ? 0 : part / all

/** The smallest value that so large a share of all do not exceed. */
export const percentile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}

/** Three standard deviations of a share that was counted in so many; a policy spreads better than dice. */
export const noiseOf = (share: number, count: number): number =>
  3 * Math.sqrt(Math.max(share * (1 - share), 1 / Math.max(1, count)) / Math.max(1, count))
