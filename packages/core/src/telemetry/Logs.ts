/**
 * Changes of state as log lines: who, why, and until when. Requests are not logged; metrics and spans tell of them.
 */
import * as Effect from "effect/Effect"
import { cureOf } from "../attempt/Cure.ts"
import { reasonWord } from "../attempt/ReasonWord.ts"
import type { Event } from "../Event.ts"
import { remember } from "../Remember.ts"

/** While a deployment is told to wait again and again, and all are failing, one line in so many milliseconds says it. */
const QUIET = 60_000

/** Most things that were said which are remembered. */
const MAX_SAID = 2048

interface Line {
  readonly level: "Info" | "Warn" | "Error"
  readonly message: string
  readonly annotations: Readonly<Record<string, unknown>>
}

/** What was said, until when it holds, and until when it is not said again. */
interface Said {
  readonly endsAt: number
  readonly quietUntil: number
}

/**
 * Writes events through a logger.
 */
export class Logs {
  private readonly write: (line: Effect.Effect<void>) => void
  private readonly said = new Map<string, Said>()

  /** @param write runs an effect that logs */
  constructor(write: (line: Effect.Effect<void>) => void) {
    this.write = write
  }

  observe(event: Event): void {
    const line = this.lineOf(event)
    if (line === undefined) return
    const log = line.level === "Info" ? Effect.logInfo : line.level === "Warn" ? Effect.logWarning : Effect.logError
    this.write(Effect.annotateLogs(log(`Evenkeel: ${line.message}`), line.annotations))
  }

  private lineOf(event: Event): Line | undefined {
    switch (event._tag) {
      case "BreakerOpened": {
        const { at, name, openFor, reason, target } = event
        const message = `${target} ${name} is failing (${reason}); next try in ${seconds(openFor)}`
        const annotations = { [target]: name, reason, cure: cureOf(reason), until: timeOf(at + openFor) }
        return { level: "Warn", message, annotations }
      }
      case "BreakerClosed": {
        const { name, target } = event
        return { level: "Info", message: `${target} ${name} is back`, annotations: { [target]: name } }
      }
      case "CooledDown": {
        const { at, coolFor, deployment, reason } = event
        // another reason is news, but not another wording of it
        if (!this.isNews(`cooldown ${deployment} ${reasonWord(reason)}`, at, coolFor)) return undefined
        const message = `${deployment} is to be left alone for ${seconds(coolFor)} (${reason})`
        return { level: "Info", message, annotations: { deployment, reason, until: timeOf(at + coolFor) } }
      }
      case "DeploymentMissing": {
        const { at, deployment } = event
        // those that were under way together all find out
        if (!this.isNews(`missing ${deployment}`, at, 0)) return undefined
        const message = `${deployment} does not exist; check its name and its resource`
        return { level: "Error", message, annotations: { deployment, reason: "missing" } }
      }
      case "Outlier": {
        const { deployment, reason, share } = event
        const message = `${deployment} does worse than its peers (${reason}): ${
          Math.round(share * 100)
        } % of its requests fared well of late`
        return { level: "Warn", message, annotations: { deployment, reason, cure: cureOf(reason) } }
      }
      case "PoolChanged": {
        const { joined, left, model, pool } = event
        const message = joined.length > 0
          ? `${joined.join(", ")} of ${model} share one quota, of the pool ${pool}; give them the same \`pool\``
          : `${left.join(", ")} of ${model} did not share the quota of the pool ${pool} after all`
        return { level: "Warn", message, annotations: { model, pool } }
      }
      case "FleetJoined": {
        const { members } = event
        const message = `the fleet is heard: ${members} ${members === 1 ? "member" : "members"}`
        return { level: "Info", message, annotations: { members } }
      }
      case "FleetLost": {
        const { at, reason } = event
        // a store that comes and goes is said of once a while
        if (!this.isNews("fleet", at, 0)) return undefined
        const message = `the fleet's store does not answer (${reason}); this process goes on alone, and tries again`
        return { level: "Warn", message, annotations: { reason } }
      }
      case "MembershipChanged": {
        const { change, deployment } = event
        const message = `${deployment} ${change === "draining" ? "is draining" : `was ${change}`}`
        return { level: "Info", message, annotations: { deployment, change } }
      }
      case "Panicked": {
        const { at, deployment, model } = event
        if (!this.isNews(`panic ${model}`, at, 0)) return undefined
        const message = `every deployment of ${model} is failing; requests go to ${deployment} all the same`
        return { level: "Warn", message, annotations: { model, deployment, reason: "panic" } }
      }
      default:
        return undefined
    }
  }

  /** Whether something was not said of late, or holds for much longer than was said. */
  private isNews(what: string, at: number, holdsFor: number): boolean {
    const before = this.said.get(what)
    const endsAt = at + holdsFor
    if (before !== undefined && at < before.quietUntil && endsAt <= before.endsAt + QUIET) return false
    remember(this.said, what, { endsAt, quietUntil: at + Math.max(holdsFor, QUIET) }, MAX_SAID)
    return true
  }
}

const seconds = (millis: number): string => `${Math.round(millis / 100) / 10} s`

/** The last time that a date can tell: services have been known to ask for longer. */
const LAST = 8.64e15

const timeOf = (at: number): string => new Date(Math.min(at, LAST)).toISOString()
