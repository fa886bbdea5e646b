/**
 * What happened, from the balancer's events: the last of it in words, and what the tables count.
 */
import type { Event } from "@evenkeel/core"
import { seconds, several, type Tone } from "./text.ts"

/** Something that happened, once or several times in a short while. */
export interface Entry {
  /** Milliseconds since the start. */
  readonly at: number
  readonly text: string
  readonly tone: Tone | undefined
}

/** A call that was answered. Times in milliseconds since the start. */
export interface Served {
  readonly deployment: string
  readonly startedAt: number
  readonly endedAt: number
  readonly isSession: boolean
  /** From the start to the first token; known for streams. What a failed attempt took is part of it. */
  readonly firstToken: number | undefined
}

interface Repeated {
  readonly key: string
  readonly at: number
  readonly tone: Tone | undefined
  readonly describe: (times: number) => string
  times: number
}

/** Like events within this time make one entry. */
const MERGED_WITHIN = 4_000
const RECENT = 8
const RATE_WINDOW = 3_000

export class Journal {
  readonly served: Array<Served> = []
  /** Calls that left a deployment for another, by deployment and reason. */
  readonly movedOn = new Map<string, Map<string, number>>()
  readonly sessionsMoved: Array<string> = []
  private readonly startedAt: number
  private readonly ids: ReadonlyArray<string>
  private readonly log: Array<Repeated> = []
  private readonly failing = new Set<string>()

  /**
   * @param startedAt wall clock, as events have it
   * @param ids of all deployments
   */
  constructor(startedAt: number, ids: ReadonlyArray<string>) {
    this.startedAt = startedAt
    this.ids = ids
  }

  /** What was written so far, the oldest first. */
  entries(): ReadonlyArray<Entry> {
    return this.log.map(({ at, describe, times, tone }) => ({ at, text: describe(times), tone }))
  }

  /** Mean time to the first token of a deployment's streams. */
  firstToken(deployment: string): number | undefined {
    return mean(this.firstTokens(deployment))
  }

  /** The same of the last few. */
  recentFirstToken(deployment: string): number | undefined {
    return mean(this.firstTokens(deployment).slice(-RECENT))
  }

  /** Answers a second, over the last few seconds. */
  perSecond(now: number): number {
    const since = Math.max(0, now - this.startedAt - RATE_WINDOW)
    const recent = this.served.length - 1 - this.served.findLastIndex(({ endedAt }) => endedAt < since)
    return recent / Math.max(1, now - this.startedAt - since) * 1000
  }

  /** Writes down something that the demo itself did. */
  note(at: number, text: string): void {
    this.log.push({ key: text, at: at - this.startedAt, tone: "cyan", describe: () => `▸ ${text}`, times: 1 })
  }

  take(event: Event): void {
    switch (event._tag) {
      case "BreakerOpened": {
        const name = this.nameOf(event.name)
        const how = this.failing.has(name) ? "still fails" : "is failing"
        this.failing.add(name)
        const next = `next try in ${seconds(event.openFor)}`
        return this.write(event, `${name} ${how}`, "red", () => `${name} ${how}: ${inWords(event.reason)}; ${next}`)
      }
      case "BreakerClosed": {
        const name = this.nameOf(event.name)
        this.failing.delete(name)
        return this.write(
          event,
          `${name} is back`,
          "green",
          () => `${name} is back; it gets its share again, step by step`
        )
      }
      case "CooledDown": {
        const { coolFor, deployment } = event
        return this.write(event, `${deployment} is full`, "yellow", (times) =>
          times === 1
            ? `${deployment} is throttled: no call for ${seconds(coolFor)}, others take over`
            : `${deployment} is throttled, ${times} times: others take over`)
      }
      case "FailedOver":
        return this.moveOn(event)
      case "Waiting":
        return this.write(
          event,
          "waiting",
          "yellow",
          (times) => `${several(times, "call")} waited for a deployment to be free`
        )
      case "Panicked":
        return this.write(event, "panic", "red", () => `nothing is well: the likeliest is tried all the same`)
      case "SessionMoved":
        this.sessionsMoved.push(event.session)
        return
      case "DeploymentMissing":
        return this.write(
          event,
          "missing",
          "red",
          () => `${event.deployment} does not exist; look at the configuration`
        )
      case "MembershipChanged":
        return this.write(event, "member", undefined, () => `${event.deployment} is ${event.change}`)
      case "RequestEnded":
        return this.end(event)
      case "AttemptEnded":
        return
    }
  }

  private firstTokens(deployment: string): ReadonlyArray<number> {
    return this.served.flatMap((served) => served.deployment === deployment ? served.firstToken ?? [] : [])
  }

  private write(event: Event, key: string, tone: Tone | undefined, describe: Repeated["describe"]): void {
    const at = event.at - this.startedAt
    const known = this.log.findLast((entry) => entry.key === key)
    if (known !== undefined && at - known.at < MERGED_WITHIN) known.times++
    else this.log.push({ key, at, tone, describe, times: 1 })
  }

  private moveOn(event: Extract<Event, { readonly _tag: "FailedOver" }>): void {
    const { from, reason } = event
    const why = inWords(reason)
    const reasons = this.movedOn.get(from) ?? new Map<string, number>()
    reasons.set(why, (reasons.get(why) ?? 0) + 1)
    this.movedOn.set(from, reasons)
    // a throttled deployment has its entry already
    if (why === throttled) return
    this.write(event, `${from} ${why}`, "yellow", (times) => `${several(times, "call")} moved on from ${from}: ${why}`)
  }

  private end(event: Extract<Event, { readonly _tag: "RequestEnded" }>): void {
    if (event.outcome !== "success" || event.deployment === undefined) return
    const endedAt = event.at - this.startedAt
    this.served.push({
      deployment: event.deployment,
      startedAt: endedAt - event.duration,
      endedAt,
      isSession: event.session !== undefined,
      firstToken: event.streamed ? event.firstByte : undefined
    })
  }

  /** A resource of the demo has one deployment: that is what people look at. */
  private nameOf(name: string): string {
    return this.ids.find((id) => id.startsWith(`${name}/`)) ?? name
  }
}

export const mean = (values: ReadonlyArray<number>): number | undefined =>
  values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length

const throttled = "429, too many requests"

/** A reason as people say it. */
export const inWords = (reason: string): string => {
  if (reason.startsWith("http 429")) return throttled
  if (reason.includes("ECONNREFUSED")) return "connection refused"
  if (reason.startsWith("connect-timeout")) return "no connection in time"
  if (reason.startsWith("connect")) return "no connection"
  if (reason.startsWith("reset")) return "connection broken"
  return reason
}
