/**
 * Changes of state as log lines: who, why, and until when. Requests are not logged; metrics and spans tell of them.
 */
import * as Effect from "effect/Effect"
import type { Event } from "../Event.ts"

/** While a deployment is told to wait again and again, and all are failing, one line in so many milliseconds says it. */
const QUIET = 60_000

interface Line {
  readonly level: "Info" | "Warn" | "Error"
  readonly message: string
  readonly annotations: Readonly<Record<string, unknown>>
}

/**
 * Writes events through a logger.
 */
export class Logs {
  private readonly write: (line: Effect.Effect<void>) => void
  private readonly said = new Map<string, number>()

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
        return { level: "Warn", message, annotations: { [target]: name, reason, until: timeOf(at + openFor) } }
      }
      case "BreakerClosed": {
        const { name, target } = event
        return { level: "Info", message: `${target} ${name} is back`, annotations: { [target]: name } }
      }
      case "CooledDown": {
        const { at, coolFor, deployment, reason } = event
        if (!this.isNews(`cooldown ${deployment}`, at, Math.max(coolFor, QUIET))) return undefined
        const message = `${deployment} is to be left alone for ${seconds(coolFor)} (${reason})`
        return { level: "Info", message, annotations: { deployment, reason, until: timeOf(at + coolFor) } }
      }
      case "DeploymentMissing": {
        const { deployment } = event
        const message = `${deployment} does not exist; check its name and its resource`
        return { level: "Error", message, annotations: { deployment } }
      }
      case "MembershipChanged": {
        const { change, deployment } = event
        const message = `${deployment} ${change === "draining" ? "is draining" : `was ${change}`}`
        return { level: "Info", message, annotations: { deployment, change } }
      }
      case "Panicked": {
        const { at, deployment, model } = event
        if (!this.isNews(`panic ${model}`, at, QUIET)) return undefined
        const message = `every deployment of ${model} is failing; requests go to ${deployment} all the same`
        return { level: "Warn", message, annotations: { model, deployment } }
      }
      default:
        return undefined
    }
  }

  /** Whether something was not said for so long. */
  private isNews(what: string, at: number, quiet: number): boolean {
    const until = this.said.get(what)
    if (until !== undefined && at < until) return false
    this.said.set(what, at + quiet)
    return true
  }
}

const seconds = (millis: number): string => `${Math.round(millis / 100) / 10} s`

/** The last time that a date can tell: services have been known to ask for longer. */
const LAST = 8.64e15

const timeOf = (at: number): string => new Date(Math.min(at, LAST)).toISOString()
