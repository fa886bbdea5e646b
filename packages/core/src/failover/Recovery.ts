/**
 * What follows a failed attempt: what it says about the next one, how long to wait for that, and why a request ends.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { AttemptFailure } from "../attempt/GivenStream.ts"
import { isNotHere, type Outcome, type Refused } from "../attempt/Outcome.ts"
import * as Errors from "../LoadBalancerError.ts"
import { healthyShare } from "../routing/Router.ts"
import type { BalancerState } from "./BalancerState.ts"
import * as Failover from "./Failover.ts"
import type { Journey } from "./Journey.ts"
import { type Answered, type NextAttempt, noneTried, queued, type Trouble } from "./NextAttempt.ts"

/** What a failed attempt itself says about the next: what ends the request, or an attempt that mends it. */
interface Repair {
  readonly stop?: Errors.LoadBalancerErrorReason
  readonly mend?: Effect.Effect<Answered, Trouble>
}

const failure = (reason: Errors.LoadBalancerErrorReason, attempts: ReadonlyArray<Errors.AttemptSummary>) =>
  new Errors.LoadBalancerError({ reason, attempts })

/**
 * Gets requests over failures, within attempts, deadline and retry budget.
 */
export class Recovery {
  private readonly state: BalancerState
  private readonly next: NextAttempt
  private readonly schedule: Schedule.Schedule<unknown, Failover.Setback>

  constructor(state: BalancerState, next: NextAttempt) {
    this.state = state
    this.next = next
    this.schedule = Failover.schedule(state.settings.failover)
  }

  readonly recover: (journey: Journey, first: Trouble) => Effect.Effect<Answered, Errors.LoadBalancerError> = Effect
    .fnUntraced(function*(this: Recovery, journey: Journey, first: Trouble) {
      const step = yield* Schedule.toStep(journey.request.schedule ?? this.schedule)
      let trouble = first
      while (true) {
        if (trouble._tag === "NoBudget") {
          return yield* this.end(journey, this.finalReason(journey, journey.last, "budget"))
        }
        const last = trouble._tag === "Attempt" ? trouble.failure : undefined
        journey.last = last ?? journey.last
        let next: Effect.Effect<Answered, Trouble> | undefined
        if (last !== undefined) {
          journey.attempts.push(last.summary)
          const { stop, mend } = this.repair(journey, last)
          if (stop !== undefined) return yield* this.end(journey, stop)
          next = mend
        }
        if (next === undefined) {
          const stop = yield* this.prepare(journey, last, step)
          if (stop !== undefined) return yield* this.end(journey, stop)
          next = this.next.attempt(journey, "panic")
        }
        if (this.state.isClosed) return yield* this.end(journey, journey.unavailable("closed"))
        const exit = yield* Effect.exit(next)
        if (Exit.isSuccess(exit)) return exit.value
        const found = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
        if (found === undefined) return yield* Effect.failCause(exit.cause as Cause.Cause<never>)
        trouble = found
      }
    }).bind(this)

  /** The error of a request that would most likely be refused, as those before it were; nothing for any other. */
  refuse(journey: Journey): Errors.LoadBalancerError | undefined {
    if (!journey.countsAsLoad || journey.group.overload.admits(journey.startedAt)) return undefined
    return failure(this.throttled(journey, "overload"), [])
  }

  /** The error that a request ends with: what a service said of it comes before what became of further attempts. */
  private end(journey: Journey, reason: Errors.LoadBalancerErrorReason): Errors.LoadBalancerError {
    journey.judge("unanswered", this.state)
    const { attempts, refusal } = journey
    const isOwn = reason._tag === "Rejected" || reason._tag === "ContentFiltered" || this.state.isClosed
    // what one credential may not says little, where others fail for other reasons
    const isLast = refusal !== undefined
      && (refusal.elsewhere !== "denied"
        || ((attempts.length > 1 || journey.maxAttempts === 1) &&
          attempts.every(({ outcome }) => outcome === "refused")))
    if (isLast && !isOwn) return failure(rejected(refusal), attempts)
    const isMissing = reason._tag === "Unavailable" && reason.limitedBy === "missing"
    return failure(refusal !== undefined && isMissing ? journey.unavailable("denied") : reason, attempts)
  }

  /** What followed its first attempt has ended, one way or another. */
  ended(journey: Journey, exit: Exit.Exit<unknown, Errors.LoadBalancerError>): void {
    journey.leaveLine()
    if (Exit.isSuccess(exit) || !journey.countsAsLoad) return
    // one that was not sent to as many as usual, or could not wait for as long, says nothing of the others
    const { attempts, maxWait } = this.state.settings.failover
    const isHurried = journey.deadline - journey.startedAt < maxWait
    if (isHurried || journey.attempts.length < Math.min(attempts, journey.group.deployments.length)) return
    const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
    // where another request would be sent, it was this one that was refused
    if (error?.reason._tag !== "Throttled" || this.next.wouldSendAnother(journey)) return
    journey.group.overload.refused(this.state.now)
  }

  /** Reads what only this failure can say; where it says nothing, any deployment may do. */
  private repair(journey: Journey, last: AttemptFailure): Repair {
    const { group, request } = journey
    const { deployment, outcome } = last
    // what began may be done, whatever its end says
    const mayBeDone = request.hasSideEffects && last.summary.status !== undefined && last.summary.status < 300
    if (mayBeDone && outcome._tag !== "Abandoned") {
      return { stop: outcome._tag === "Refused" ? rejected(outcome) : journey.unavailable("side-effects") }
    }
    switch (outcome._tag) {
      case "Abandoned":
        return { stop: this.state.isClosed ? journey.unavailable("closed") : journey.deadlinePassed }
      case "Refused": {
        if (journey.strangers !== undefined && isNotHere(outcome, request.pin!)) {
          // asking whose it is costs nothing
          journey.counted--
          journey.strangers.add(deployment.resource.name)
          // what is not its own it need not know
          journey.judge("unknown", this.state, deployment)
          if (journey.searchOn()) {
            const next = this.next.decide(journey)
            // a deployment that failed before is retried like any other
            return next._tag === "Decision" && !next.isRepeat ? { mend: this.next.attempt(journey) } : {}
          }
        }
        if (outcome.elsewhere === "without-usage") {
          journey.counted--
          return { mend: this.next.attempt(journey, deployment) }
        }
        const standard = outcome.elsewhere === "context-length" && deployment.provisioned
          ? group.deployments.filter((other) => !other.provisioned && !journey.tried.has(other))
          : []
        if (standard.length > 0) {
          journey.isStandardOnly = true
          return {}
        }
        journey.refusal = outcome
        // where the credential may not, another resource's may
        if (outcome.elsewhere === "denied") {
          return journey.exclude(deployment.resource) ? {} : { stop: rejected(outcome) }
        }
        return this.mayAskAnother(journey, last, outcome)
          ? { mend: this.next.attempt(journey) }
          : { stop: rejected(outcome) }
      }
      case "Failed": {
        if (outcome.effect === "renew" && !journey.renewed.has(deployment.resource.name)) {
          journey.renewed.add(deployment.resource.name)
          deployment.resource.credential.renew()
          journey.counted--
          return { mend: this.next.attempt(journey, deployment) }
        }
        if (request.hasSideEffects && !outcome.unprocessed) {
          return { stop: journey.unavailable("side-effects") }
        }
        if (outcome.timeout !== undefined && outcome.timeout !== "connect" && ++journey.timedOut > 1) {
          return { stop: this.finalReason(journey, last, "attempts") }
        }
        this.widen(journey)
        return {}
      }
      case "Throttled":
        this.widen(journey)
        return {}
    }
  }

  /**
   * Whether to ask another deployment, at once: where that one may have a larger quota; and once, to hear whether a refusal
   * is the request's own fault, where it does not say so itself or where this deployment refuses more than one.
   */
  private mayAskAnother(journey: Journey, last: AttemptFailure, { elsewhere }: Refused): boolean {
    const { deployment } = last
    if (elsewhere === "no" || elsewhere === "context-length" || elsewhere === "not-here") return false
    if (elsewhere !== "larger") {
      const hasNeverAnswered = deployment.lastSuccessAt === -Infinity
      const { now } = this.state
      const isSuspect = deployment.refusedInARow > 1 || now - deployment.refutedAt < SUSPECTED_FOR
        || (hasNeverAnswered && journey.group.hasHealthyPeer(deployment, now))
      if (journey.hasSecondOpinion || (elsewhere === "worded" && !isSuspect)) return false
      journey.hasSecondOpinion = true
    }
    if (journey.counted >= journey.maxAttempts) return false
    const decision = this.next.decide(journey)
    if (decision._tag === "NoCandidate" || decision.isRepeat) return false
    journey.owesRetry = !this.isFree(journey, last, true)
    return !journey.owesRetry || this.state.budget.left(this.state.now) >= 1
  }

  /** A search that began at the default resource goes on elsewhere, where that fails. */
  private widen(journey: Journey): void {
    if (journey.isSearching && journey.resources !== undefined) journey.searchOn()
  }

  /** Waits for as long as the schedule says, within what bounds it. Returns why the request ends, if it does. */
  private readonly prepare = Effect.fnUntraced(function*(
    this: Recovery,
    journey: Journey,
    last: AttemptFailure | undefined,
    step: Effect.Success<ReturnType<typeof Schedule.toStep<unknown, Failover.Setback, never, never>>>
  ) {
    const now = this.state.now
    if (now >= journey.deadline) return journey.deadlinePassed
    const decision = this.next.mustQueue(journey) ? queued : this.next.decide(journey)
    if (decision._tag === "NoCandidate") journey.group.hurry()
    const bestBet = decision._tag === "NoCandidate" && this.next.mayPanic(journey, decision)
      ? decision.bestBet
      : undefined
    if (decision._tag === "NoCandidate" || decision.isRepeat) {
      // nobody is left to ask who could answer it, a failing one included
      if (bestBet === undefined || journey.tried.has(bestBet)) journey.judge("unanswered", this.state)
      if (journey.refusal !== undefined && journey.refusal.elsewhere !== "denied") return rejected(journey.refusal)
    }
    // at least a moment, so that a request that finds nothing never goes round without waiting
    const wait = decision._tag === "Decision" ? 0 : Math.max(1, decision.opensAt - now)
    if (wait === Infinity && bestBet === undefined) {
      return this.finalReason(journey, last, this.ownLimit(journey) ?? "no-deployment")
    }
    const hasAnother = decision._tag === "Decision"
      ? !decision.isRepeat
      : bestBet !== undefined && !journey.tried.has(bestBet)
    if (last !== undefined && journey.counted >= journey.maxAttempts) return this.finalReason(journey, last, "attempts")
    let delay = bestBet === undefined ? wait : 0
    if (last !== undefined) {
      const setback: Failover.Setback = {
        kind: last.outcome._tag === "Throttled" ? "throttled" : isTimeout(last.outcome) ? "timed-out" : "failed",
        reason: last.outcome.reason,
        attempts: journey.counted,
        maxAttempts: journey.maxAttempts,
        hasAnother,
        wait: delay
      }
      const stepping = step(this.state.wallNow, setback)
      const stepped = yield* Effect.exit(Effect.timeout(stepping, Math.ceil(journey.deadline - now)))
      if (this.state.now >= journey.deadline) return journey.deadlinePassed
      if (Exit.isFailure(stepped)) return this.finalReason(journey, last, "schedule")
      delay = Duration.toMillis(stepped.value[1])
      journey.owesRetry = !this.isFree(journey, last, hasAnother && bestBet === undefined)
      if (journey.owesRetry && this.state.budget.left(now) < 1) return this.finalReason(journey, last, "budget")
    }
    const isToldToWait = wait > 0 && bestBet === undefined
    if (delay > 0) {
      const isTooLong = isToldToWait && journey.waited + delay > this.state.settings.failover.maxWait
      if (isTooLong || now + delay >= journey.deadline) {
        if (!isToldToWait || decision === queued) return journey.deadlinePassed
        if (decision._tag === "NoCandidate" && decision.isMissing) return journey.unavailable("missing")
        // what failed last is no throttling, even where others are
        return last?.outcome._tag === "Failed"
          ? this.finalReason(journey, last, this.ownLimit(journey) ?? "no-deployment")
          : journey.throttledFor(wait, this.ownLimit(journey))
      }
    }
    // only now is it known that it goes on
    if (last !== undefined) this.state.narrator.failedOver(journey, last, delay)
    if (delay === 0) return undefined
    // whoever is interrupted waited too
    if (!isToldToWait) {
      const backedOff = Effect.sync(() => void (journey.backedOff += this.state.now - now))
      yield* Effect.ensuring(this.state.pause(delay), backedOff)
      return undefined
    }
    this.state.narrator.waiting(journey, delay)
    const began = this.state.now
    const waited = Effect.sync(() => void (journey.waited += this.state.now - began))
    return yield* Effect.ensuring(this.waitInLine(journey, delay), waited)
  }).bind(this)

  /**
   * Waits in line for as long as it is told to, or less where a deployment is back sooner. Returns why the request ends,
   * if its patience does first.
   */
  private readonly waitInLine = Effect.fnUntraced(function*(this: Recovery, journey: Journey, delay: number) {
    const { line } = journey.group
    const { maxWait, maxWaiting } = this.state.settings.failover
    const began = this.state.now
    const isPinned = journey.resources !== undefined
    const isAside = isPinned || this.next.wouldSendAnother(journey)
    if (isAside && !this.next.mustQueue(journey)) {
      // nobody else waits for just this resource, or was told just this, so it holds nobody up
      yield* this.state.pause(delay)
      return undefined
    }
    if (journey.place === undefined && line.length >= maxWaiting) return this.overtake(journey)
    if (journey.place === undefined) {
      const isStanding = line.standingFor(began) > maxWait
      journey.longestWait = isStanding ? Math.min(maxWait, journey.waited + STANDING_PATIENCE * maxWait) : maxWait
      journey.place = line.enter(began)
    }
    const patience = Math.max(0, Math.min(journey.longestWait - journey.waited, journey.deadline - began))
    const isFirst = yield* this.state.waitFor(journey.place.turn, patience)
    let now = this.state.now
    if (isPinned) {
      journey.leaveLine()
      journey.mayOvertake = true
      return undefined
    }
    if (isFirst) {
      while (!this.state.isClosed && now < began + delay && !this.isBackSooner(journey)) {
        // what others may use is not what it waits for
        if (this.next.wouldSendAnother(journey)) journey.leaveLine()
        yield* this.state.pause(Math.min(LOOK_EVERY, began + delay - now))
        now = this.state.now
      }
    }
    if (isFirst || this.state.isClosed) return undefined
    return now >= journey.deadline ? journey.deadlinePassed : this.overtake(journey)
  }).bind(this)

  /** Whether a deployment can be asked before it was told to be: any, or after a failure one that was not asked yet. */
  private isBackSooner(journey: Journey): boolean {
    journey.group.hurry()
    const decision = this.next.decide(journey)
    return decision._tag === "Decision" && (journey.last === undefined || !decision.isRepeat)
  }

  /** It can wait no longer. Where those before it wait for more than it needs, it goes ahead of them; else it ends. */
  private overtake(journey: Journey): Errors.LoadBalancerErrorReason | undefined {
    journey.mayOvertake = true
    const decision = this.next.decide(journey)
    if (decision._tag === "Decision") return undefined
    if (decision.isMissing) return journey.unavailable("missing")
    return journey.last?.outcome._tag === "Failed"
      ? this.finalReason(journey, journey.last, this.ownLimit(journey) ?? "waiting")
      : this.throttled(journey)
  }

  /**
   * Retries that cost no budget: away from a throttled deployment, and each request's first to a deployment with quota,
   * while at least half of the candidates are healthy.
   */
  private isFree(journey: Journey, last: AttemptFailure, hasAnother: boolean): boolean {
    if (!hasAnother || healthyShare(journey.group) < 0.5) return false
    return last.outcome._tag === "Throttled" || journey.counted === 1
  }

  /** Why others would be sent, where it is for its own sake that it is told to wait. */
  private ownLimit(journey: Journey): Errors.LimitedBy | undefined {
    if (journey.refusal?.elsewhere === "denied") return "denied"
    return journey.told !== undefined && this.next.wouldSendAnother(journey) ? "told" : undefined
  }

  private finalReason(
    journey: Journey,
    last: AttemptFailure | undefined,
    limitedBy: Errors.LimitedBy
  ): Errors.LoadBalancerErrorReason {
    const timeout = last?.outcome._tag === "Failed" ? last.outcome.timeout : undefined
    if (timeout !== undefined && timeout !== "answer") return journey.timedOutIn(timeout)
    return last?.outcome._tag === "Throttled"
      ? this.throttled(journey, limitedBy)
      : journey.unavailable(limitedBy, this.state.now)
  }

  /** It was throttled, and told when to come back, as far as anybody knows. */
  private throttled(journey: Journey, limitedBy: Errors.LimitedBy = "waiting"): Errors.LoadBalancerErrorReason {
    const decision = this.next.decide(journey, noneTried)
    if (decision._tag === "Decision") return journey.throttledFor(SHORTEST_RETRY_AFTER, limitedBy)
    const wait = Math.max(SHORTEST_RETRY_AFTER, decision.opensAt - this.state.now)
    return wait === Infinity ? journey.unavailable(limitedBy) : journey.throttledFor(wait, this.ownLimit(journey))
  }
}

/** What a throttled caller is told to wait, in milliseconds, even where a deployment has just come back. */
const SHORTEST_RETRY_AFTER = 1000

/**
 * Share of the longest wait that is left to those who come to a line that has stood for longer than that. A standing line
 * adds its length to every answer, and serves no more; a short one serves as many. (The rule of controlled delay, CoDel.)
 */
const STANDING_PATIENCE = 0.1

/** How long the refusals of a deployment are asked of another, after one that a peer answered, in milliseconds. */
const SUSPECTED_FOR = 60_000

/** How often the first in line looks whether a deployment is back before it was told to be, in milliseconds. */
const LOOK_EVERY = 100

/** The service's refusal as the caller's error. */
const rejected = ({ body, code, headers, message, status, text }: Refused): Errors.LoadBalancerErrorReason => {
  const fields = { status, code, description: message, body, text, headers }
  return code === "content_filter"
    ? new Errors.ContentFiltered(fields)
    : new Errors.Rejected({ ...fields, by: "service" })
}

const isTimeout = (outcome: Outcome): boolean => outcome._tag === "Failed" && outcome.timeout !== undefined
