/**
 * What follows a failed attempt: what it says about the next one, how long to wait for that, and why a request ends.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Answer } from "../attempt/Answer.ts"
import type { AttemptFailure } from "../attempt/AttemptRecord.ts"
import { isNotHere, type Outcome, type Refused } from "../attempt/Outcome.ts"
import * as Errors from "../Errors.ts"
import { healthyShare } from "../routing/Router.ts"
import type { BalancerState } from "./BalancerState.ts"
import type { Call } from "./Call.ts"
import { type NextAttempt, noneTried, queued, type Trouble } from "./NextAttempt.ts"
import * as Failover from "./RetrySchedule.ts"

/** What a failed attempt itself says about the next: what ends the request, or an attempt that mends it. */
interface Repair {
  readonly stop?: Errors.LoadBalancerErrorReason
  readonly mend?: Effect.Effect<Answer, Trouble>
}

const failure = (reason: Errors.LoadBalancerErrorReason, attempts: ReadonlyArray<Errors.AttemptSummary>) =>
  new Errors.LoadBalancerError({ reason, attempts })

/**
 * Gets requests over failures, within attempts, deadline and retry budget.
 */
export class Recovery {
  private readonly state: BalancerState
  private readonly next: NextAttempt
  private readonly schedule: Schedule.Schedule<unknown, Failover.RetryContext>

  constructor(state: BalancerState, next: NextAttempt) {
    this.state = state
    this.next = next
    this.schedule = Failover.schedule(state.settings.failover)
  }

  readonly recover: (call: Call, first: Trouble) => Effect.Effect<Answer, Errors.LoadBalancerError> = Effect
    .fnUntraced(function*(this: Recovery, call: Call, first: Trouble) {
      const step = yield* Schedule.toStep(call.options?.schedule ?? this.schedule)
      let trouble = first
      while (true) {
        if (trouble._tag === "NoBudget") {
          return yield* this.end(call, this.finalReason(call, call.last, "budget"))
        }
        const last = trouble._tag === "Attempt" ? trouble.failure : undefined
        call.last = last ?? call.last
        let next: Effect.Effect<Answer, Trouble> | undefined
        if (last !== undefined) {
          call.attempts.push(last.summary)
          const { stop, mend } = this.repair(call, last)
          if (stop !== undefined) return yield* this.end(call, stop)
          next = mend
        }
        if (next === undefined) {
          const stop = yield* this.prepare(call, last, step)
          if (stop !== undefined) return yield* this.end(call, stop)
          next = this.next.attempt(call, "panic")
        }
        if (this.state.isClosed) return yield* this.end(call, call.unavailable("closed"))
        const exit = yield* Effect.exit(next)
        if (Exit.isSuccess(exit)) return exit.value
        const found = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
        if (found === undefined) return yield* Effect.failCause(exit.cause as Cause.Cause<never>)
        trouble = found
      }
    }).bind(this)

  /** The error of a request that would most likely be refused, as those before it were; nothing for any other. */
  refuse(call: Call): Errors.LoadBalancerError | undefined {
    if (!call.countsAsLoad || call.group.overload.admits(call.startedAt)) return undefined
    return failure(this.throttled(call, "overload"), [])
  }

  /** The error that a request ends with: what a service said of it comes before what became of further attempts. */
  private end(call: Call, reason: Errors.LoadBalancerErrorReason): Errors.LoadBalancerError {
    call.judge("unanswered", this.state)
    const { attempts, refusal } = call
    const isOwn = reason._tag === "Rejected" || reason._tag === "ContentFiltered" || this.state.isClosed
    // what one credential may not says little, where others fail for other reasons
    const isLast = refusal !== undefined
      && (refusal.elsewhere !== "denied"
        || ((attempts.length > 1 || call.maxAttempts === 1) &&
          attempts.every(({ outcome }) => outcome === "refused")))
    if (isLast && !isOwn) return failure(rejected(refusal), attempts)
    const isMissing = reason._tag === "Unavailable" && reason.limitedBy === "missing"
    return failure(refusal !== undefined && isMissing ? call.unavailable("denied") : reason, attempts)
  }

  /** What followed its first attempt has ended, one way or another. */
  ended(call: Call, exit: Exit.Exit<unknown, Errors.LoadBalancerError>): void {
    call.leaveLine()
    if (Exit.isSuccess(exit) || !call.countsAsLoad) return
    // one that was not sent to as many as usual, or could not wait for as long, says nothing of the others
    const { attempts, maxWait } = this.state.settings.failover
    const isHurried = call.deadline - call.startedAt < maxWait
    if (isHurried || call.attempts.length < Math.min(attempts, call.group.deployments.length)) return
    const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
    // where another request would be sent, it was this one that was refused
    if (error?.reason._tag !== "Throttled" || this.next.wouldSendAnother(call)) return
    call.group.overload.refused(this.state.now)
  }

  /** Reads what only this failure can say; where it says nothing, any deployment may do. */
  private repair(call: Call, last: AttemptFailure): Repair {
    const { group, request } = call
    const { deployment, outcome } = last
    // what began may be done, whatever its end says
    const mayBeDone = request.hasSideEffects && last.summary.status !== undefined && last.summary.status < 300
    if (mayBeDone && outcome._tag !== "Abandoned") {
      return { stop: outcome._tag === "Refused" ? rejected(outcome) : call.unavailable("side-effects") }
    }
    switch (outcome._tag) {
      case "Abandoned":
        return { stop: this.state.isClosed ? call.unavailable("closed") : call.deadlinePassed }
      case "Refused": {
        if (call.strangers !== undefined && isNotHere(outcome, request.pin!)) {
          // asking whose it is costs nothing
          call.counted--
          call.strangers.add(deployment.resource.name)
          // what is not its own it need not know
          call.judge("unknown", this.state, deployment)
          if (call.searchOn()) {
            const next = this.next.decide(call)
            // a deployment that failed before is retried like any other
            return next._tag === "Decision" && !next.isRepeat ? { mend: this.next.attempt(call) } : {}
          }
        }
        if (outcome.elsewhere === "without-usage") {
          call.counted--
          return { mend: this.next.attempt(call, deployment) }
        }
        const standard = outcome.elsewhere === "context-length" && deployment.provisioned
          ? group.deployments.filter((other) => !other.provisioned && !call.tried.has(other))
          : []
        if (standard.length > 0) {
          call.isStandardOnly = true
          return {}
        }
        call.refusal = outcome
        // where the credential may not, another resource's may
        if (outcome.elsewhere === "denied") {
          return call.exclude(deployment.resource) ? {} : { stop: rejected(outcome) }
        }
        return this.mayAskAnother(call, last, outcome)
          ? { mend: this.next.attempt(call) }
          : { stop: rejected(outcome) }
      }
      case "Failed": {
        if (outcome.effect === "renew" && !call.renewed.has(deployment.resource.name)) {
          call.renewed.add(deployment.resource.name)
          deployment.resource.credential.renew()
          call.counted--
          return { mend: this.next.attempt(call, deployment) }
        }
        if (request.hasSideEffects && !outcome.unprocessed) {
          return { stop: call.unavailable("side-effects") }
        }
        if (outcome.timeout !== undefined && outcome.timeout !== "connect" && ++call.timedOut > 1) {
          return { stop: this.finalReason(call, last, "attempts") }
        }
        this.widen(call)
        return {}
      }
      case "Throttled":
        this.widen(call)
        return {}
    }
  }

  /**
   * Whether to ask another deployment, at once: where that one may have a larger quota; and once, to hear whether a refusal
   * is the request's own fault, where it does not say so itself or where this deployment refuses more than one.
   */
  private mayAskAnother(call: Call, last: AttemptFailure, { elsewhere }: Refused): boolean {
    const { deployment } = last
    if (elsewhere === "no" || elsewhere === "context-length" || elsewhere === "not-here") return false
    if (elsewhere !== "larger") {
      const hasNeverAnswered = deployment.lastSuccessAt === -Infinity
      const { now } = this.state
      const isSuspect = deployment.refusedInARow > 1 || now - deployment.refutedAt < SUSPECTED_FOR
        || (hasNeverAnswered && call.group.hasHealthyPeer(deployment, now))
      if (call.hasSecondOpinion || (elsewhere === "worded" && !isSuspect)) return false
      call.hasSecondOpinion = true
    }
    if (call.counted >= call.maxAttempts) return false
    const decision = this.next.decide(call)
    if (decision._tag === "NoCandidate" || decision.isRepeat) return false
    call.drawsOnBudget = !this.isFree(call, last, true)
    return !call.drawsOnBudget || this.state.budget.left(this.state.now) >= 1
  }

  /** A search that began at the default resource goes on elsewhere, where that fails. */
  private widen(call: Call): void {
    if (call.isSearching && call.resources !== undefined) call.searchOn()
  }

  /** Waits for as long as the schedule says, within what bounds it. Returns why the request ends, if it does. */
  private readonly prepare = Effect.fnUntraced(function*(
    this: Recovery,
    call: Call,
    last: AttemptFailure | undefined,
    step: Effect.Success<ReturnType<typeof Schedule.toStep<unknown, Failover.RetryContext, never, never>>>
  ) {
    const now = this.state.now
    if (now >= call.deadline) return call.deadlinePassed
    const decision = this.next.mustQueue(call) ? queued : this.next.decide(call)
    if (decision._tag === "NoCandidate") call.group.hurry()
    const bestBet = decision._tag === "NoCandidate" && this.next.mayPanic(call, decision)
      ? decision.bestBet
      : undefined
    if (decision._tag === "NoCandidate" || decision.isRepeat) {
      // nobody is left to ask who could answer it, a failing one included
      if (bestBet === undefined || call.tried.has(bestBet)) call.judge("unanswered", this.state)
      if (call.refusal !== undefined && call.refusal.elsewhere !== "denied") return rejected(call.refusal)
    }
    // at least a moment, so that a request that finds nothing never goes round without waiting
    const wait = decision._tag === "Decision" ? 0 : Math.max(1, decision.opensAt - now)
    if (wait === Infinity && bestBet === undefined) {
      return this.finalReason(call, last, this.ownLimit(call) ?? "no-deployment")
    }
    const hasAnother = decision._tag === "Decision"
      ? !decision.isRepeat
      : bestBet !== undefined && !call.tried.has(bestBet)
    if (last !== undefined && call.counted >= call.maxAttempts) return this.finalReason(call, last, "attempts")
    let delay = bestBet === undefined ? wait : 0
    if (last !== undefined) {
      const context: Failover.RetryContext = {
        kind: last.outcome._tag === "Throttled" ? "throttled" : isTimeout(last.outcome) ? "timed-out" : "failed",
        reason: last.outcome.reason,
        attempts: call.counted,
        maxAttempts: call.maxAttempts,
        hasAnother,
        wait: delay
      }
      const stepping = step(this.state.wallNow, context)
      const stepped = yield* Effect.exit(Effect.timeout(stepping, Math.ceil(call.deadline - now)))
      if (this.state.now >= call.deadline) return call.deadlinePassed
      if (Exit.isFailure(stepped)) return this.finalReason(call, last, "schedule")
      delay = Duration.toMillis(stepped.value[1])
      call.drawsOnBudget = !this.isFree(call, last, hasAnother && bestBet === undefined)
      if (call.drawsOnBudget && this.state.budget.left(now) < 1) return this.finalReason(call, last, "budget")
    }
    const isToldToWait = wait > 0 && bestBet === undefined
    if (delay > 0) {
      const isTooLong = isToldToWait && call.waited + delay > this.state.settings.failover.maxWait
      if (isTooLong || now + delay >= call.deadline) {
        if (!isToldToWait || decision === queued) return call.deadlinePassed
        if (decision._tag === "NoCandidate" && decision.isMissing) return call.unavailable("missing")
        // what failed last is no throttling, even where others are
        return last?.outcome._tag === "Failed"
          ? this.finalReason(call, last, this.ownLimit(call) ?? "no-deployment")
          : call.throttledFor(wait, this.ownLimit(call))
      }
    }
    // only now is it known that it goes on
    if (last !== undefined) this.state.narrator.failedOver(call, last, delay)
    if (delay === 0) return undefined
    // whoever is interrupted waited too
    if (!isToldToWait) {
      const backedOff = Effect.sync(() => void (call.backedOff += this.state.now - now))
      yield* Effect.ensuring(this.state.pause(delay), backedOff)
      return undefined
    }
    this.state.narrator.waiting(call, delay)
    const began = this.state.now
    const waited = Effect.sync(() => void (call.waited += this.state.now - began))
    return yield* Effect.ensuring(this.waitInLine(call, delay), waited)
  }).bind(this)

  /**
   * Waits in line for as long as it is told to, or less where a deployment is back sooner. Returns why the request ends,
   * if its patience does first.
   */
  private readonly waitInLine = Effect.fnUntraced(function*(this: Recovery, call: Call, delay: number) {
    const { line } = call.group
    const { maxWait, maxWaiting } = this.state.settings.failover
    const began = this.state.now
    const isPinned = call.resources !== undefined
    const isAside = isPinned || this.next.wouldSendAnother(call)
    if (isAside && !this.next.mustQueue(call)) {
      // nobody else waits for just this resource, or was told just this, so it holds nobody up
      yield* this.state.pause(delay)
      return undefined
    }
    if (call.place === undefined && line.length >= maxWaiting) return this.overtake(call)
    if (call.place === undefined) {
      const isStanding = line.standingFor(began) > maxWait
      call.longestWait = isStanding ? Math.min(maxWait, call.waited + STANDING_PATIENCE * maxWait) : maxWait
      call.place = line.enter(began)
    }
    const patience = Math.max(0, Math.min(call.longestWait - call.waited, call.deadline - began))
    const isFirst = yield* this.state.waitFor(call.place.turn, patience)
    let now = this.state.now
    if (isPinned) {
      call.leaveLine()
      call.skipsQueue = true
      return undefined
    }
    if (isFirst) {
      while (!this.state.isClosed && now < began + delay && !this.isBackSooner(call)) {
        // what others may use is not what it waits for
        if (this.next.wouldSendAnother(call)) call.leaveLine()
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
    const decision = this.next.decide(call)
    return decision._tag === "Decision" && (call.last === undefined || !decision.isRepeat)
  }

  /** It can wait no longer. Where those before it wait for more than it needs, it goes ahead of them; else it ends. */
  private overtake(call: Call): Errors.LoadBalancerErrorReason | undefined {
    call.skipsQueue = true
    const decision = this.next.decide(call)
    if (decision._tag === "Decision") return undefined
    if (decision.isMissing) return call.unavailable("missing")
    return call.last?.outcome._tag === "Failed"
      ? this.finalReason(call, call.last, this.ownLimit(call) ?? "waiting")
      : this.throttled(call)
  }

  /**
   * Retries that cost no budget: away from a throttled deployment, and each request's first to a deployment with quota,
   * while at least half of the candidates are healthy.
   */
  private isFree(call: Call, last: AttemptFailure, hasAnother: boolean): boolean {
    if (!hasAnother || healthyShare(call.group) < 0.5) return false
    return last.outcome._tag === "Throttled" || call.counted === 1
  }

  /** Why others would be sent, where it is for its own sake that it is told to wait. */
  private ownLimit(call: Call): Errors.LimitedBy | undefined {
    if (call.refusal?.elsewhere === "denied") return "denied"
    return call.told !== undefined && this.next.wouldSendAnother(call) ? "told" : undefined
  }

  private finalReason(
    call: Call,
    last: AttemptFailure | undefined,
    limitedBy: Errors.LimitedBy
  ): Errors.LoadBalancerErrorReason {
    const timeout = last?.outcome._tag === "Failed" ? last.outcome.timeout : undefined
    if (timeout !== undefined && timeout !== "answer") return call.timedOutIn(timeout)
    return last?.outcome._tag === "Throttled"
      ? this.throttled(call, limitedBy)
      : call.unavailable(limitedBy, this.state.now)
  }

  /** It was throttled, and told when to come back, as far as anybody knows. */
  private throttled(call: Call, limitedBy: Errors.LimitedBy = "waiting"): Errors.LoadBalancerErrorReason {
    const decision = this.next.decide(call, noneTried)
    if (decision._tag === "Decision") return call.throttledFor(SHORTEST_RETRY_AFTER, limitedBy)
    const wait = Math.max(SHORTEST_RETRY_AFTER, decision.opensAt - this.state.now)
    return wait === Infinity ? call.unavailable(limitedBy) : call.throttledFor(wait, this.ownLimit(call))
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
