/**
 * Worlds with one deployment that is wrong in some way, beside well peers that have room for all.
 */
import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { Effect, Schema } from "effect"
import { integer } from "../support/Check.ts"
import { tellsOf } from "../support/Telling.ts"
import { callsOf, GIVEN_UP, noiseOf, play, type Seen, shareOf } from "./Crowd.ts"
import { faults } from "./Scenario.ts"

/** A way of being wrong. */
export interface Illness {
  readonly fault: SimulatedFault
  /**
   * - `none` (default): nothing of it has reached the caller when it shows, so that another can answer.
   * - `begun`: it shows after the first content, when no other can.
   * - `late`: all is answered, but later than by peers.
   * - `lie`: all is answered as well as by peers; only its headers are wrong.
   */
  readonly shows?: "none" | "begun" | "late" | "lie"
  /** Whether it is the whole resource, checks included. */
  readonly everywhere?: boolean
}

const status = (status: number, more: Partial<Extract<SimulatedFault, { kind: "status" }>> = {}): Illness => ({
  fault: { kind: "status", status, ...more }
})

const throttle = (more: Partial<Extract<SimulatedFault, { kind: "throttle" }>> = {}): Illness => ({
  fault: { kind: "throttle", ...more }
})

const lie = (headers: Readonly<Record<string, string>>): Illness => ({
  fault: { kind: "headers", headers },
  shows: "lie"
})

const boast = {
  "x-ratelimit-limit-tokens": "1000000000",
  "x-ratelimit-remaining-tokens": "1000000000",
  "x-ratelimit-limit-requests": "1000000",
  "x-ratelimit-remaining-requests": "1000000"
}

/** By name, all that a deployment may do wrong. */
export const illnesses = {
  "404 Resource not found": status(404, { error: "not-found" }),
  "404 DeploymentNotFound": status(404, { error: "deployment-not-found" }),
  "404 of HTML": status(404, { body: "<html>404 Not Found</html>", contentType: "text/html" }),
  "400 API version not supported": status(400, { error: "unsupported-api-version" }),
  "400 of other words": status(400, {
    body: "{\"error\":{\"message\":\"Bad Request\"}}",
    contentType: "application/json"
  }),
  "401": { ...status(401), everywhere: true },
  "403": { ...status(403), everywhere: true },
  "403 of a firewall": status(403, { error: "firewall-html-403" }),
  "405": status(405),
  "408": status(408),
  "409": status(409),
  "413": status(413, { body: "<html>413 Request Entity Too Large</html>", contentType: "text/html" }),
  "415": status(415, { body: "{\"detail\":\"Unsupported Media Type\"}", contentType: "application/json" }),
  "422": status(422, { body: "{\"detail\":[{\"msg\":\"field required\"}]}", contentType: "application/json" }),
  "431": status(431),
  "307 to a sign-in page": status(307, { body: "", headers: { location: "https://login.example.com/" } }),
  "429 without a time": throttle(),
  "429 with a time of 1 s": throttle({ retryAfterMs: 1_000 }),
  "429 with a time of 20 s": throttle({ retryAfterMs: 20_000 }),
  "429 with a time of nothing": throttle({ headers: { "retry-after": "0" } }),
  "429 beside boasts": throttle({ headers: boast }),
  "429 of an account that cannot pay": throttle({ error: "insufficient-quota" }),
  "500": status(500),
  "502": status(502),
  "503": status(503),
  "503 with a time": status(503, { headers: { "retry-after": "20" } }),
  "504": status(504),
  "no connection": { fault: { kind: "refused" }, everywhere: true },
  "no connection in time": {
    fault: { kind: "refused", because: "connect-timeout", afterMs: 3_000 },
    everywhere: true
  },
  "a reset": { fault: { kind: "reset" } },
  "silence": { fault: { kind: "hang" } },
  "silence after the first event": { fault: { kind: "hang", afterEvents: 1 } },
  "a 200 of HTML": { fault: { kind: "unreadable" } },
  "a 200 of nothing": { fault: { kind: "empty" } },
  "a 200 cut at once": { fault: faults.cutAtOnce },
  "an error in a 200": { fault: faults.errorInside },
  "a limit in a 200": { fault: faults.limitInside },
  "a cut in mid-stream": { fault: faults.cutLater, shows: "begun" },
  "silence in mid-stream": { fault: faults.stalledLater, shows: "begun" },
  "an error in mid-stream": { fault: { ...faults.errorInside, afterEvents: 5 }, shows: "begun" },
  "everything ten times slower": { fault: { kind: "slow", factor: 10 }, shows: "late" },
  "tokens thirty times slower": { fault: { kind: "slowDecoding", factor: 30 }, shows: "late" },
  "1 kB/s": { fault: { kind: "trickle", bytesPerSecond: 1_000 }, shows: "late" },
  "2 s of silence": { fault: { kind: "silence", forMs: 2_000 }, shows: "late" },
  "limits told that it does not keep: 60, none left": lie({
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "0",
    "x-ratelimit-reset-requests": "60"
  }),
  "limits told that it does not keep: 1 token": lie({
    "x-ratelimit-limit-tokens": "1",
    "x-ratelimit-remaining-tokens": "0"
  }),
  "limits told that are none": lie({
    "x-ratelimit-limit-tokens": "lots",
    "x-ratelimit-remaining-tokens": "-7",
    "x-ratelimit-reset-tokens": "NaN",
    "retry-after": "86400"
  }),
  "limits told that are absurd": lie(boast)
} satisfies Record<string, Illness>

/**
 * Schema for a world with one wrong deployment.
 */
export const World = Schema.Struct({
  seed: integer(0, 1_000_000),
  /** Well ones. */
  peers: integer(1, 3),
  known: Schema.Boolean,
  limited: Schema.Boolean,
  checks: Schema.Boolean,
  perSecond: integer(3, 5),
  /** Of its requests, in tenths: how many it is wrong for. */
  wrong: Schema.Literals([10, 10, 10, 9, 6]),
  /** When it begins to be: a mistake that was always there, or one that comes later. */
  from: Schema.Literals([0, 0, 12])
})

/** A world with one wrong deployment. */
export type World = typeof World.Type

/** Seconds until it must have lost what it does not deserve. */
const SETTLING = 30

/** Seconds in which its share is counted then. */
const COUNTED = 30

/** Seconds until people must have been told. */
const TOLD = 60

/** Calls that may be lost to it in all, before anything can be known of it. */
const LOST = 5

/** What may go there to see whether it is well again, as a share of all. */
const PROBES = 0.02

/** More than twice what a well one takes for its whole answer, in ms. */
const SLOW = 1_000

const SICK = "r0"

const AMPLE = 50_000_000

/** Plays a world in which the first deployment has an illness. */
export const watch = (world: World, { everywhere = false, fault }: Illness): Effect.Effect<Seen> => {
  const { checks, from, known, limited, peers, perSecond, seed, wrong } = world
  return play({
    seed,
    checks,
    known,
    members: Array.from({ length: peers + 1 }, (_, i) => ({
      name: `r${i}`,
      tier: 1,
      provisioned: false,
      tpm: limited ? AMPLE : undefined
    })),
    calls: callsOf({ seed, perSecond, seconds: from + SETTLING + COUNTED, embeds: false }),
    meanwhile: (services) =>
      Effect.gen(function*() {
        yield* Effect.sleep(from * 1_000)
        services[SICK]!.fault(everywhere ? "*" : "gpt-4o", { ...fault, probability: wrong / 10 })
      })
  })
}

/**
 * What is wrong with how a balancer treats a wrong deployment: it gets more than it answers as well as its peers, people
 * are not told within a minute, or callers lose what others would have given them.
 */
export const complaintsOf = (
  world: World,
  illness: Illness,
  { events, replies, sends }: Seen
): ReadonlyArray<string> => {
  const complaints: Array<string> = []
  const { from, peers, wrong } = world
  const { shows = "none" } = illness
  const fair = 1 / (peers + 1)
  const right = 1 - wrong / 10
  const since = (from + SETTLING) * 1_000

  // what it may keep of the calls, and get wrong
  const wronged = shows === "lie" ? 0 : fair * right * wrong / 10
  const lost = replies.filter(({ error }) => error !== undefined)
  const blind = illness.fault.kind === "hang" ? GIVEN_UP / 1_000 * world.perSecond * fair : 0
  // what began there could not be saved
  const bound = shows === "begun" ? LOST + blind + (wronged + PROBES) * replies.length : LOST
  if (lost.length > bound) {
    complaints.push(`${lost.length} of ${replies.length} lost, ${bound.toFixed(0)} at most: ${lost[0]!.error}`)
  }
  const counted = replies.filter(({ call }) => call.at >= since)
  const lostLater = counted.filter(({ error }) => error !== undefined)
  if (shows !== "begun" && lostLater.length > 0) {
    complaints.push(`${lostLater.length} lost after settling: ${lostLater[0]!.error}`)
  }

  const slow = shareOf(
    counted.filter(({ error, totalMs }) => error === undefined && totalMs > SLOW).length,
    counted.length
  )
  const mostSlow = wronged + PROBES + noiseOf(wronged, counted.length)
  if (slow > mostSlow) {
    complaints.push(`${slow.toFixed(3)} slower than ${SLOW} ms after settling, ${mostSlow.toFixed(3)} at most`)
  }

  // who answers all may say that it holds more than others, and get more
  if (shows === "lie") return complaints

  const calls = sends.filter(({ at, user }) => at >= since && user !== undefined)
  const share = shareOf(calls.filter(({ resource }) => resource === SICK).length, calls.length)
  const most = fair * right + PROBES + noiseOf(fair * right, calls.length)
  if (share > most) complaints.push(`share ${share.toFixed(3)} after settling, ${most.toFixed(3)} at most`)

  const told = events.some((event) => tellsOf(event, SICK) && event.at <= (from + TOLD) * 1_000)
  if (!told) complaints.push("no event within a minute")
  return complaints
}
