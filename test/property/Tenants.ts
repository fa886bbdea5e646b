/**
 * Worlds with one tenant whose every request goes wrong, wherever it is asked, beside good ones who must not notice.
 */
import * as SeededRandom from "#core/simulation/SeededRandom"
import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Schema, Stream } from "effect"
import { integer } from "../support/Check.ts"
import { once } from "../support/Once.ts"
import { callsOf, gap, GIVEN_UP, noiseOf, percentile, play, type Reply, type Seen, shareOf } from "./Crowd.ts"
import { faults } from "./Scenario.ts"

/** What a tenant asks for, and what every service says to that. */
export interface Misdeed {
  /** What the services do to what has `MARK` in it; without any, what the simulated service does by itself. */
  readonly fault?: SimulatedFault
  /** Only as a stream, or as a whole; absent for both. */
  readonly how?: "stream" | "whole"
  /** What its body says besides. */
  readonly body?: Readonly<Record<string, unknown>>
  /** Characters of its prompt besides. */
  readonly characters?: number
  /** Another endpoint than chat. */
  readonly endpoint?: Endpoint
}

interface Endpoint {
  readonly path: string
  readonly body?: Readonly<Record<string, unknown>>
}

const MARK = "[bad tenant]"

const refusal = (
  status: number,
  code: string | null,
  message: string,
  param: string | null = null
): SimulatedFault => ({
  kind: "status",
  status,
  body: JSON.stringify({ error: { message, type: "invalid_request_error", param, code } }),
  contentType: "application/json"
})

const files = { path: "/files" }
const batches = { path: "/batches", body: { input_file_id: "file-1", endpoint: "/chat/completions", metadata: MARK } }
const images = { path: "/images/generations", body: { model: "gpt-4o", prompt: MARK } }

/** The limits of an endpoint of its own. */
const ownLimit = (path: string): SimulatedFault => ({
  kind: "throttle",
  retryAfterMs: 30_000,
  headers: {
    "x-ratelimit-limit-requests": "2",
    "x-ratelimit-remaining-requests": "0",
    "x-ratelimit-limit-tokens": "9"
  },
  when: { path }
})

/** By name, all that one request may be guilty of. */
export const misdeeds = {
  "that is answered well": {},
  // its own size, content and parameters
  "400 invalid": { fault: refusal(400, null, "Invalid 'tools': expected an array.", "tools") },
  "400 string_above_max_length, for a user of 80 characters": { body: { user: "u".repeat(80) } },
  "400 string_above_max_length, for a prompt_cache_key of 80": { body: { prompt_cache_key: "k".repeat(80) } },
  "400 context_length_exceeded, too long indeed": { characters: 40_000 },
  "400 content_filter": { fault: { kind: "status", error: "content-filter" } },
  "404 of a thing": { fault: refusal(404, null, "Item with id 'item_1' not found.", "input") },
  "404 Resource not found": { fault: { kind: "status", error: "not-found" } },
  "405": { fault: { kind: "status", status: 405 } },
  "413": { fault: { kind: "status", status: 413, body: "<html>413 Request Entity Too Large</html>" } },
  "422 of FastAPI": {
    fault: { kind: "status", status: 422, body: "{\"detail\":\"bad tools\"}", contentType: "application/json" }
  },
  // its rights
  "401 for want of a role": { fault: { kind: "status", error: "azure-permission-denied" } },
  "403 of a firewall, HTML": { fault: { kind: "status", error: "firewall-html-403" } },
  "403 of a firewall, JSON": { fault: { kind: "status", error: "firewall-json-403" } },
  // its size or tier, as 429
  "429 Request too large": { fault: { kind: "throttle", error: "openai-too-large-429" } },
  "429 Request too large, with a time": {
    fault: { kind: "throttle", error: "openai-too-large-429", retryAfterMs: 20_000 }
  },
  "429 of flex": {
    body: { service_tier: "flex" },
    fault: { kind: "throttle", error: "flex-unavailable-429", when: { serviceTier: "flex" } }
  },
  "429 of flex, with a time": {
    body: { service_tier: "flex" },
    fault: { kind: "throttle", error: "flex-unavailable-429", retryAfterMs: 20_000, when: { serviceTier: "flex" } }
  },
  "400 of flex": {
    body: { service_tier: "flex" },
    fault: { kind: "status", error: "flex-unsupported", when: { serviceTier: "flex" } }
  },
  "429 without words or time": { fault: { kind: "throttle", error: "azure-v1-429" } },
  // what looks like the service's own fault, but strikes nobody else
  "500": { fault: { kind: "status", status: 500 } },
  "502": { fault: { kind: "status", status: 502 } },
  "503": { fault: { kind: "status", status: 503 } },
  "503 with a time": { fault: { kind: "status", status: 503, headers: { "retry-after": "20" } } },
  "a reset": { fault: { kind: "reset" } },
  "silence until its limit": { fault: { kind: "hang" }, how: "stream" },
  "silence after its first event": { fault: { kind: "hang", afterEvents: 1 }, how: "stream" },
  "a 200 of HTML": { fault: { kind: "unreadable" } },
  "a 200 of other JSON": { fault: { kind: "status", status: 200, body: "{\"ok\":true}" }, how: "whole" },
  "a 200 cut in the middle": { fault: { kind: "truncated" }, how: "whole" },
  "a 200 without an event": { fault: { kind: "empty" }, how: "stream" },
  "a server error in a 200": { fault: faults.errorInside, how: "stream" },
  "a limit in a 200": { fault: faults.limitInside, how: "stream" },
  "a broken event": { fault: faults.malformed, how: "stream" },
  "a cut in mid-stream": { fault: faults.cutLater, how: "stream" },
  "an error in mid-stream": { fault: { ...faults.errorInside, afterEvents: 5 }, how: "stream" },
  "silence in mid-stream": { fault: faults.stalledLater, how: "stream" },
  // other endpoints
  "403 for files.list": { endpoint: files, fault: { kind: "status", status: 403, when: { path: "/files" } } },
  "401 for files.list": {
    endpoint: files,
    fault: { kind: "status", error: "azure-permission-denied", when: { path: "/files" } }
  },
  "404 for files.list": { endpoint: files },
  "429 for files.list, with limits": { endpoint: files, fault: ownLimit("/files") },
  "500 for files.list": { endpoint: files, fault: { kind: "status", status: 500, when: { path: "/files" } } },
  "a reset for files.list": { endpoint: files, fault: { kind: "reset", when: { path: "/files" } } },
  "429 for batches, with limits": { endpoint: batches, fault: ownLimit("/batches") },
  "429 for images, with limits": { endpoint: images, fault: ownLimit("/images") },
  "404 for images": { endpoint: images },
  "500 for images": { endpoint: images, fault: { kind: "status", status: 500, when: { path: "/images" } } },
  "403 for images": { endpoint: images, fault: { kind: "status", status: 403, when: { path: "/images" } } }
} satisfies Record<string, Misdeed>

/**
 * Schema for a world of several tenants.
 */
export const World = Schema.Struct({
  seed: integer(0, 1_000_000),
  members: Schema.Array(Schema.Struct({ tier: integer(1, 2), provisioned: Schema.Boolean })).check(
    Schema.isMinLength(2),
    Schema.isMaxLength(5)
  ),
  /** Whether there is but the first of them: few worlds, since nothing can be compared there. */
  single: Schema.Literals([false, false, false, false, true]),
  /** Whether there are limits at all, and whether the balancer is told. */
  limited: Schema.Boolean,
  known: Schema.Boolean,
  checks: Schema.Boolean,
  /** Good calls in a second. */
  perSecond: integer(3, 5),
  /** The bad tenant's part of that, in tenths. */
  bad: integer(1, 10),
  /** How many of its calls come at once. */
  burst: Schema.Literals([1, 1, 1, 3, 10])
})

/** A world of several tenants. */
export type World = typeof World.Type

const SECONDS = 30

/** Above all that good and bad calls, and their repetitions, take of one deployment in a minute. */
const AMPLE = 50_000_000

/** What the good tenants get in a world with the bad one, or without any. */
export const watch = (world: World, misdeed: Misdeed | undefined): Effect.Effect<Seen> => {
  const { checks, known, limited, members, perSecond, seed, single } = world
  return play({
    seed,
    checks,
    known,
    members: (single ? members.slice(0, 1) : members).map(({ provisioned, tier }, i) => ({
      name: `r${i}`,
      tier,
      provisioned,
      tpm: limited ? AMPLE : undefined
    })),
    calls: callsOf({ seed, perSecond, seconds: SECONDS }),
    meanwhile: (services) =>
      Effect.gen(function*() {
        if (misdeed === undefined) return
        if (misdeed.fault !== undefined) {
          const fault = { when: { text: MARK }, ...misdeed.fault }
          for (const service of Object.values(services)) service.fault("*", fault)
        }
        return yield* misbehave(world, misdeed)
      })
  })
}

/** What the good tenants get in a world without the bad one: the same however often it is asked for. */
export const watchAlone = once((world: World) => watch(world, undefined))

/** The bad tenant: it asks all the time, and never again for what it did not get. */
const misbehave = ({ bad, burst, perSecond, seed }: World, misdeed: Misdeed) =>
  Effect.gen(function*() {
    const random = SeededRandom.make(seed + 1)
    const rate = perSecond * bad / 10 / burst
    for (let count = 0;;) {
      yield* Effect.sleep(gap(random, rate))
      for (let i = 0; i < burst; i++) {
        yield* Effect.forkChild(Effect.ignore(transgress(misdeed, count++)), { startImmediately: true })
      }
    }
  })

const transgress = (misdeed: Misdeed, count: number): Effect.Effect<void, unknown, LoadBalancer> =>
  Effect.gen(function*() {
    const { body, characters = 0, endpoint, how = count % 2 === 0 ? "stream" : "whole" } = misdeed
    const lb = yield* LoadBalancer
    if (endpoint !== undefined) {
      const answer = yield* lb.request({ ...endpoint, method: "body" in endpoint ? "POST" : "GET" })
      return yield* Effect.asVoid(answer.text)
    }
    const content = `${MARK} ${count} ${"many words ".repeat(characters / 11)}`
    const chat = { model: "gpt-4o", user: `bad-${count}`, ...body }
    const asked = { ...chat, messages: [{ role: "user" as const, content }] } as Parameters<typeof lb.chat>[0]
    yield* how === "stream"
      ? Stream.runDrain(lb.chatStream(asked))
      : Effect.timeout(lb.chat(asked), 2 * GIVEN_UP)
  })

const successes = (replies: ReadonlyArray<Reply>) => replies.filter(({ error }) => error === undefined)

/** How much of all that answered each resource did, of what belongs to no session. */
const sharesOf = (replies: ReadonlyArray<Reply>): ReadonlyMap<string, number> => {
  const free = replies.filter(({ call, error }) => call.session === undefined && error === undefined)
  const shares = new Map<string, number>()
  for (const { served } of free) shares.set(served!, (shares.get(served!) ?? 0) + 1 / free.length)
  return shares
}

const most = (of: ReadonlyMap<string, number>): string => [...of].toSorted(([, a], [, b]) => b - a)[0]![0]

/** Where most requests of each session were served. */
const homesOf = (replies: ReadonlyArray<Reply>): ReadonlyMap<string, string> => {
  const counts = new Map<string, Map<string, number>>()
  for (const { call: { session }, served } of replies) {
    if (session === undefined || served === undefined) continue
    const of = counts.get(session) ?? new Map<string, number>()
    counts.set(session, of.set(served, (of.get(served) ?? 0) + 1))
  }
  return new Map([...counts].map(([session, of]) => [session, most(of)]))
}

const homeShare = (replies: ReadonlyArray<Reply>, homes: ReadonlyMap<string, string>): number => {
  const ofSessions = replies.filter(({ call }) => call.session !== undefined)
  return shareOf(ofSessions.filter(({ call, served }) => homes.get(call.session!) === served).length, ofSessions.length)
}

const cacheShare = (replies: ReadonlyArray<Reply>): number =>
  shareOf(
    replies.reduce((sum, { cachedTokens }) => sum + cachedTokens, 0),
    replies.reduce((sum, { promptTokens }) => sum + promptTokens, 0)
  )

/**
 * What good tenants lost by the bad one, beyond noise: nothing of their answers; of speed, 15 % of the median and 30 %
 * of the slowest hundredth; of each resource's share, three standard deviations; and of sessions at home and tokens out
 * of the cache, 15 % of all.
 */
export const lossesOf = (alone: Seen, beside: Seen): ReadonlyArray<string> => {
  const losses: Array<string> = []
  const [before, after] = [alone.replies, beside.replies]
  const [answered, stillAnswered] = [successes(before).length, successes(after).length]
  if (stillAnswered < answered) {
    const words = new Map<string, number>()
    for (const { error } of after) if (error !== undefined) words.set(error, (words.get(error) ?? 0) + 1)
    const told = [...words].toSorted(([, a], [, b]) => b - a).slice(0, 3).map(([error, count]) => `${count} x ${error}`)
    losses.push(`${stillAnswered} of ${after.length} answered, ${answered} without it: ${told.join("; ")}`)
  }
  for (const [name, of] of [["first content", "firstMs"], ["whole answers", "totalMs"]] as const) {
    for (const [share, factor, floor] of [[0.5, 1.15, 20], [0.99, 1.3, 150]] as const) {
      const was = percentile(successes(before).map((reply) => reply[of]), share)
      const is = percentile(successes(after).map((reply) => reply[of]), share)
      if (is > was * factor + floor) losses.push(`p${share * 100} of ${name}: ${is} ms, ${was} without it`)
    }
  }
  const [shares, sharesBeside] = [sharesOf(before), sharesOf(after)]
  const count = before.filter(({ call }) => call.session === undefined).length
  for (const resource of new Set([...shares.keys(), ...sharesBeside.keys()])) {
    const was = shares.get(resource) ?? 0
    const is = sharesBeside.get(resource) ?? 0
    if (Math.abs(is - was) > noiseOf(was, count) * Math.SQRT2) {
      losses.push(`share of ${resource}: ${is.toFixed(2)}, ${was.toFixed(2)} without it`)
    }
  }
  const homes = homesOf(before)
  const [home, homeBeside] = [homeShare(before, homes), homeShare(after, homes)]
  if (homeBeside < home - 0.15) losses.push(`at home: ${homeBeside.toFixed(2)}, ${home.toFixed(2)} without it`)
  const [cached, cachedBeside] = [cacheShare(before), cacheShare(after)]
  if (cachedBeside < cached - 0.15) losses.push(`cached: ${cachedBeside.toFixed(2)}, ${cached.toFixed(2)} without it`)
  return losses
}
