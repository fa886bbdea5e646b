/**
 * Waiting in line where every deployment is throttled, within a request's patience.
 */
import * as Effect from "effect/Effect"
import { isFull } from "../deployment/Gate.ts"
import type * as Errors from "../Errors.ts"
import type { NoCandidate, Ready } from "../routing/Router.ts"
import type { BalancerState } from "./BalancerState.ts"
import type { Call } from "./Call.ts"
import type { Choice } from "./Choice.ts"
import type { Ending } from "./Ending.ts"

/**
 * Lets requests wait.
 */
export class Waiting {
  private readonly state: BalancerState
  private readonly choice: Choice
  private readonly ending: Ending

  constructor(state: BalancerState, choice: Choice, ending: Ending) {
    this.state = state
    this.choice = choice
    this.ending = ending
  }

  /**
   * Waits in line for as long as it is told to, or less where a deployment is back sooner. Returns why the request ends,
   * if its patience does first.
   */
  readonly inLine = Effect.fnUntraced(function*(this: Waiting, call: Call, delay: number) {
    const { line } = call.group
    const { maxWait, maxWaiting } = this.state.settings.failover
    const began = this.state.now
    const isPinned = call.resources !== undefined
    const isAside = isPinned || this.choice.standsAside(call)
    if (isAside && !this.choice.mustQueue(call)) {
      // nobody else waits for just this resource, or was told just this, so it holds nobody up
      call.stepAside(began)
      yield* this.state.pause(delay)
      return undefined
    }
    const tenant = call.options?.tenant
    if (call.place === undefined && !line.makeRoom(began, maxWaiting, tenant)) return this.overtake(call)
    if (call.place === undefined) {
      const isStanding = line.isStanding(began, tenant)
      call.longestWait = isStanding ? Math.min(maxWait, call.waited + STANDING_PATIENCE * maxWait) : maxWait
      call.place = line.enter(began, maxWait, tenant, call.tokens)
    }
    const patience = Math.max(0, Math.min(call.longestWait - call.waited, call.deadline - began))
    const isFirst = yield* this.state.waitFor(call.place.turn, patience)
    let now = this.state.now
    if (call.place.isTaken) {
      call.leaveLine(now)
      return this.overtake(call)
    }
    if (isPinned && (isFirst || line.isDue(tenant))) {
      call.stepAside(now)
      call.skipsQueue = true
      return undefined
    }
    if (isFirst) {
      while (!this.state.isClosed && now < began + delay && !this.isBackSooner(call)) {
        // what others may use is not what it waits for
        if (this.choice.standsAside(call)) call.stepAside(now)
        yield* this.state.pause(Math.min(LOOK_EVERY, began + delay - now))
        now = this.state.now
      }
    }
    if (isFirst || this.state.isClosed) return undefined
    return now >= call.deadline ? call.deadlinePassed : this.overtake(call)
  }).bind(this)

  /** Whether a deployment can be asked before it was told to be: any, or after a failure one that was not asked yet. */
  private isBackSooner(call: Call): boolean {
    call.group.hurry()
    const next = this.look(call)
    return next._tag === "Ready" && (call.last === undefined || !next.isRepeat)
  }

  /** Whether it could go anywhere now. Where only room is missing, the fleet is asked for it, until its next exchange. */
  look(call: Call): Ready | NoCandidate {
    const next = this.choice.ask(call)
    if (next._tag === "Ready") return next
    for (const { deployment, refusal } of next.refusals) if (isFull(refusal)) deployment.quota.want(call.tokens)
    return next
  }

  /**
   * It can wait no longer. Where those before it wait for more than it needs, it goes ahead of them, if none is of a tenant
   * that was let through less; else it ends.
   */
  private overtake(call: Call): Errors.LoadBalancerErrorReason | undefined {
    call.skipsQueue = true
    const next = this.look(call)
    if (next._tag === "Ready") {
      if (call.group.line.isDue(call.options?.tenant)) return undefined
    } else if (next.isMissing) return call.unavailable("missing")
    return call.last?.outcome._tag === "Failed"
      ? this.ending.finalReason(call, call.last, this.ending.ownLimit(call) ?? "waiting")
      : this.ending.throttled(call)
  }
}

/**
 * Share of the longest wait that is left to those who come to a line that has stood for longer than that. A standing line
 * adds its length to every answer, and serves no more; a short one serves as many. (The rule of controlled delay, CoDel.)
 */
const STANDING_PATIENCE = 0.03

/** How often the first in line looks whether a deployment is back before it was told to be, in milliseconds. */
const LOOK_EVERY = 100
