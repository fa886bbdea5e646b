/**
 * What went on at the gateway of late, out of the balancer's events: totals with their last minutes, times in milliseconds,
 * and what changed. The page and `evenkeel top` are drawn of it, and whoever looks first sees what was before.
 */
import type { Event } from "@evenkeel/core"
import type { EventHub } from "@evenkeel/core/internal"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

const nothing = {
  /** Requests that ended, however they did. */
  requests: 0,
  /** Of those: without an answer, though there was nothing wrong with them. */
  unanswered: 0,
  /** Of those: refused for what they asked. */
  rejected: 0,
  /** Of those: given up by their callers. */
  interrupted: 0,
  /** Attempts that went on to another, or to the same again. */
  failovers: 0,
  /** Attempts that were told to wait: 429s of the services. */
  throttled: 0,
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens: 0,
  /** USD, of what has a known price. */
  cost: 0,
  /** Attempts that billed tokens at a price that nobody knows. */
  unpriced: 0
}

/** Counters since the gateway started. */
export interface ActivityTotals extends Readonly<typeof nothing> {}

/** The totals as they were. */
export interface ActivityMark extends ActivityTotals {
  /** Milliseconds since 1970. */
  readonly at: number
  /** Median time to the first token, then, in milliseconds. */
  readonly firstToken: number | undefined
}

/** The median and the twentieth slowest of the times of late, in milliseconds. */
export interface Times {
  readonly p50: number
  readonly p95: number
}

/** Times of late; `undefined` where there were none. */
export interface Latencies {
  /** Of streams and embeddings: to their first content. */
  readonly firstToken: Times | undefined
  /** Of answers that come whole. */
  readonly answer: Times | undefined
}

/** Something that changed. Equal ones within a minute are one. */
export interface Happening {
  /** When it was last so, in milliseconds since 1970, and how often. */
  readonly at: number
  readonly count: number
  readonly level: "bad" | "warning" | "good" | "neutral"
  /** The deployment, resource, model or store. */
  readonly about: string
  readonly what: string
  /** What differs from one time to the next. */
  readonly more: string | undefined
}

/** All of it. */
export interface ActivitySnapshot {
  readonly totals: ActivityTotals
  /** The totals of the last minutes, the oldest first, at even distances. */
  readonly history: ReadonlyArray<ActivityMark>
  readonly latencies: Latencies
  /** By deployment. */
  readonly latenciesOf: Readonly<Record<string, Latencies>>
  /** The newest first. */
  readonly happenings: ReadonlyArray<Happening>
}

const MARK_EVERY = 5000
const MARKS = 60
const HAPPENINGS = 60
const LONGEST = 300
/** Within it, what happens again is told once. */
const SAME = 60_000
/** Times are of late for so long. */
const LATE = 300_000
/** So many times are kept of a deployment, and of all. */
const OF_ONE = 64
const OF_ALL = 512
/** Deployments of which times are kept; those that are gone make room. */
const DEPLOYMENTS = 2000

/** Outcomes that are no fault of the request. */
const unanswered: ReadonlySet<string> = new Set(["Throttled", "Unavailable", "TimedOut", "StreamInterrupted"])

/** Listens until its scope ends. */
export const listen = (events: EventHub): Effect.Effect<Activity, never, Scope.Scope> =>
  Effect.gen(function*() {
    const activity = new Activity(yield* Clock.currentTimeMillis)
    yield* Effect.acquireRelease(
      Effect.sync(() => events.listen((event: Event) => activity.take(event))),
      (stop) => Effect.sync(stop)
    )
    const mark = Effect.map(Clock.currentTimeMillis, (now) => activity.mark(now))
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(MARK_EVERY), mark)))
    return activity
  })

/**
 * A reader of events. Times are milliseconds since 1970.
 */
export class Activity {
  private readonly totals = { ...nothing }
  private readonly all = recent(OF_ALL)
  private readonly byDeployment = new Map<string, Recent>()
  private marks: ReadonlyArray<ActivityMark> = []
  private happenings: ReadonlyArray<Happening> = []

  constructor(now: number) {
    this.mark(now)
  }

  /** Remembers the totals of now. */
  mark(now: number): void {
    const firstToken = this.all.firstToken.times(now)?.p50
    this.marks = [...this.marks.slice(1 - MARKS), { at: now, ...this.totals, firstToken }]
  }

  take(event: Event): void {
    const { totals } = this
    switch (event._tag) {
      case "RequestEnded":
        totals.requests++
        if (unanswered.has(event.outcome)) totals.unanswered++
        else if (event.outcome === "interrupted") totals.interrupted++
        else if (event.outcome !== "success") totals.rejected++
        return
      case "AttemptEnded": {
        const { attempt: { deployment, outcome }, cost, firstByte, operation, streamed, usage } = event
        if (outcome === "throttled") totals.throttled++
        if (usage !== undefined) {
          totals.promptTokens += usage.promptTokens
          totals.cachedTokens += usage.cachedTokens
          totals.completionTokens += usage.completionTokens
          if (cost === undefined) totals.unpriced++
          else totals.cost += cost
        }
        if (outcome !== "success" || firstByte === undefined || operation === "other") return
        const kind = streamed || operation === "embeddings" ? "firstToken" : "answer"
        this.all[kind].add(firstByte, event.at)
        return this.recentOf(deployment)[kind].add(firstByte, event.at)
      }
      case "FailedOver":
        totals.failovers++
    }
    const told = tell(event)
    if (told !== undefined) this.happened(event.at, told)
  }

  snapshot(deployments: ReadonlyArray<{ readonly id: string }>, now: number): ActivitySnapshot {
    const latenciesOf: Record<string, Latencies> = {}
    for (const { id } of deployments) {
      const own = this.byDeployment.get(id)
      if (own !== undefined) latenciesOf[id] = latencies(own, now)
    }
    const { all, happenings, marks: history, totals } = this
    return { totals: { ...totals }, history, latencies: latencies(all, now), latenciesOf, happenings }
  }

  private recentOf(deployment: string): Recent {
    const known = this.byDeployment.get(deployment)
    if (known !== undefined) return known
    if (this.byDeployment.size >= DEPLOYMENTS) this.byDeployment.delete(this.byDeployment.keys().next().value!)
    const own = recent(OF_ONE)
    this.byDeployment.set(deployment, own)
    return own
  }

  private happened(at: number, told: Told): void {
    const { about, level, more } = told
    // a service's own word may be of any length
    const what = told.what.slice(0, LONGEST)
    const same = this.happenings.find((one) => one.about === about && one.what === what && at - one.at < SAME)
    const others = this.happenings.filter((one) => one !== same)
    this.happenings = [{ at, count: 1 + (same?.count ?? 0), level, about, what, more }, ...others].slice(0, HAPPENINGS)
  }
}

/** The last times of one kind. */
class Ring {
  private readonly size: number
  private readonly millis: Array<number> = []
  private readonly at: Array<number> = []
  private next = 0

  constructor(size: number) {
    this.size = size
  }

  add(millis: number, now: number): void {
    const place = this.next++ % this.size
    this.millis[place] = millis
    this.at[place] = now
  }

  times(now: number): Times | undefined {
    const late = this.millis.filter((_, i) => now - this.at[i]! < LATE).toSorted((a, b) => a - b)
    const quantile = (share: number) => late[Math.ceil(share * late.length) - 1]!
    return late.length === 0 ? undefined : { p50: quantile(0.5), p95: quantile(0.95) }
  }
}

/** The last times of a deployment, or of all. */
type Recent = Readonly<Record<keyof Latencies, Ring>>

const recent = (size: number): Recent => ({ firstToken: new Ring(size), answer: new Ring(size) })

const latencies = ({ answer, firstToken }: Recent, now: number): Latencies => ({
  firstToken: firstToken.times(now),
  answer: answer.times(now)
})

type Told = Pick<Happening, "level" | "about" | "what"> & { readonly more?: string }

const seconds = (millis: number): string => `${Math.ceil(millis / 1000)} s`

/** An event in words, where it is news: sessions' keys are not for here. */
const tell = (event: Event): Told | undefined => {
  switch (event._tag) {
    case "BreakerOpened": {
      const { name: about, openFor, reason, target } = event
      const what = `${target === "resource" ? "resource out" : "out"}: ${reason}`
      return { level: "bad", about, what, more: `tried again in ${seconds(openFor)}` }
    }
    case "BreakerClosed":
      return { level: "good", about: event.name, what: "back" }
    case "CooledDown": {
      const { coolFor, deployment: about, pool, reason } = event
      const what = `told to wait: ${reason}${pool === undefined ? "" : `, pool ${pool}`}`
      return { level: "warning", about, what, more: `for ${seconds(coolFor)}` }
    }
    case "DeploymentMissing":
      return { level: "bad", about: event.deployment, what: "the service does not know it" }
    case "Outlier":
      return { level: "warning", about: event.deployment, what: `worse than its peers: ${event.reason}` }
    case "FailedOver":
      return { level: "neutral", about: event.from, what: `failed over: ${event.reason}` }
    case "Panicked":
      return { level: "bad", about: event.deployment, what: "tried as the best bet: all are failing" }
    case "PoolChanged": {
      const { joined, left, pool: about } = event
      const changes = [...joined.map((id) => `${id} joined`), ...left.map((id) => `${id} left`)]
      return { level: "neutral", about, what: `shared quota: ${changes.join(", ")}` }
    }
    case "MembershipChanged":
      return { level: "neutral", about: event.deployment, what: event.change }
    case "Checked":
      return event.problem === undefined
        ? undefined
        : { level: "warning", about: event.resource, what: `check: ${event.problem}` }
    case "FleetJoined":
      return { level: "good", about: "fleet", what: "heard", more: `${event.members} members` }
    case "FleetLost":
      return { level: "warning", about: "fleet", what: `not heard: ${event.reason}` }
    default:
      return undefined
  }
}
