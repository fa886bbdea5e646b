/**
 * What follows a failed attempt: what it says about the next one, and how long to wait for that.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import type { AttemptFailure, Patience } from "../attempt/AttemptRecord.ts"
import { silence } from "../attempt/Deadlines.ts"
import type { Outcome, Refused } from "../attempt/Outcome.ts"
import { isNotHere } from "../attempt/ServiceError.ts"
import type { Permit } from "../deployment/Deployment.ts"
import { HANG_FACTOR } from "../deployment/Latency.ts"
import type * as Errors from "../Errors.ts"
import { healthyShare } from "../routing/Router.ts"
import type { BalancerState } from "./BalancerState.ts"
import type { Call } from "./Call.ts"
import { type Choice, queued, type Target } from "./Choice.ts"
import { type Ending, rejected } from "./Ending.ts"
import * as Failover from "./RetrySchedule.ts"
import { Waiting } from "./Waiting.ts"

/** Why nothing was sent: no deployment takes it now, or the retry budget is spent. */
export type NotSent = "NoCandidate" | "NoBudget"

/** How an attempt ended without an answer, or why there was none. */
export type Trouble = AttemptFailure | NotSent

/** What a failed attempt itself says about the next one: where it goes, or why there is none; otherwise any may do. */
type Repair = {
  readonly stop?: Errors.LoadBalancerErrorReason
  readonly target?: Target
} | undefined

type Step = Effect.Success<ReturnType<typeof Schedule.toStep<unknown, Failover.RetryContext, never, never>>>

/**
 * Gets requests over failures, within attempts, deadline and retry budget.
 */
export class Retry {
  private readonly state: BalancerState
  private readonly choice: Choice
  private readonly ending: Ending
  private readonly waiting: Waiting
  private readonly schedule: Schedule.Schedule<unknown, Failover.RetryContext>

  constructor(state: BalancerState, choice: Choice, ending: Ending) {
    this.state = state
    this.choice = choice
    this.ending = ending
    this.waiting = new Waiting(state, choice, ending)
    this.schedule = Failover.schedule(state.settings.failover)
  }

  /** Says, after each failure of a request, where it is tried next, when that is due; or fails with what ends it. */
  of(call: Call): Effect.Effect<(trouble: Trouble) => Effect.Effect<Target, Errors.LoadBalancerError>> {
    const steps = Schedule.toStep(call.options?.schedule ?? this.schedule)
    return Effect.map(steps, (step) => (trouble) => this.next(call, trouble, step))
  }

  private readonly next = Effect.fnUntraced(function*(this: Retry, call: Call, trouble: Trouble, step: Step) {
    if (trouble === "NoBudget") return yield* this.stop(call, this.ending.finalReason(call, call.last, "budget"))
    const last = trouble === "NoCandidate" ? undefined : trouble
    let repair: Repair
    if (last !== undefined) {
      call.last = last
      call.attempts.push(last.summary)
      repair = this.repair(call, last)
    }
    const stop = repair === undefined ? yield* this.prepare(call, last, step) : repair.stop
    if (stop !== undefined) return yield* this.stop(call, stop)
    if (this.state.isClosed) return yield* this.stop(call, call.unavailable("closed"))
    return repair?.target ?? "panic"
  }).bind(this)

  private stop(call: Call, reason: Errors.LoadBalancerErrorReason): Effect.Effect<never, Errors.LoadBalancerError> {
    return Effect.fail(this.ending.end(call, reason))
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
            const next = this.choice.ask(call)
            // a deployment that failed before is retried like any other
            return next._tag === "Ready" && !next.isRepeat ? { target: "best" } : undefined
          }
        }
        if (outcome.elsewhere === "without-usage") {
          call.counted--
          return { target: deployment }
        }
        const standard = outcome.elsewhere === "context-length" && deployment.provisioned
          ? group.deployments.filter((other) => !other.provisioned && !call.tried.has(other))
          : []
        if (standard.length > 0) {
          call.isStandardOnly = true
          return undefined
        }
        call.refusal = outcome
        // where the credential may not, another resource's may
        if (outcome.elsewhere === "denied") {
          return call.exclude(deployment.resource) ? undefined : { stop: rejected(outcome) }
        }
        return this.mayAskAnother(call, last, outcome)
          ? { target: "best" }
          : { stop: rejected(outcome) }
      }
      case "Failed": {
        if (outcome.effect === "renew" && !call.renewed.has(deployment.resource.name)) {
          call.renewed.add(deployment.resource.name)
          deployment.resource.credential.renew()
          call.counted--
          return { target: deployment }
        }
        if (request.hasSideEffects && !outcome.unprocessed) {
          return { stop: call.unavailable("side-effects") }
        }
        if (outcome.timeout !== undefined && outcome.timeout !== "connect" && ++call.timedOut > 1) {
          return { stop: this.ending.finalReason(call, last, "attempts") }
        }
        this.widen(call)
        return undefined
      }
      case "Throttled":
        this.widen(call)
        return undefined
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
    const next = this.choice.ask(call)
    if (next._tag === "NoCandidate" || next.isRepeat) return false
    call.drawsOnBudget = !this.isFree(call, last, true)
    return !call.drawsOnBudget || this.state.budget.left(this.state.now) >= 1
  }

  /** A search that began at the default resource goes on elsewhere, where that fails. */
  private widen(call: Call): void {
    if (call.isSearching && call.resources !== undefined) call.searchOn()
  }

  /** Waits for as long as the schedule says, within what bounds it. Returns why the request ends, if it does. */
  private readonly prepare = Effect.fnUntraced(function*(
    this: Retry,
    call: Call,
    last: AttemptFailure | undefined,
    step: Step
  ) {
    const now = this.state.now
    if (now >= call.deadline) return call.deadlinePassed
    const next = this.choice.mustQueue(call) ? queued : this.choice.ask(call)
    if (next._tag === "NoCandidate") call.group.hurry()
    const bestBet = next._tag === "NoCandidate" && this.choice.mayPanic(call, next)
      ? next.bestBet
      : undefined
    if (next._tag === "NoCandidate" || next.isRepeat) {
      // nobody is left to ask who could answer it, a failing one included
      if (bestBet === undefined || call.tried.has(bestBet)) call.judge("unanswered", this.state)
      if (call.refusal !== undefined && call.refusal.elsewhere !== "denied") return rejected(call.refusal)
    }
    // at least a moment, so that a request that finds nothing never goes round without waiting
    const wait = next._tag === "Ready" ? 0 : Math.max(1, next.opensAt - now)
    if (wait === Infinity && bestBet === undefined) {
      return this.ending.finalReason(call, last, this.ending.ownLimit(call) ?? "no-deployment")
    }
    const hasAnother = next._tag === "Ready"
      ? !next.isRepeat
      : bestBet !== undefined && !call.tried.has(bestBet)
    if (last !== undefined && call.counted >= call.maxAttempts) return this.ending.finalReason(call, last, "attempts")
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
      if (Exit.isFailure(stepped)) return this.ending.finalReason(call, last, "schedule")
      delay = Duration.toMillis(stepped.value[1])
      call.drawsOnBudget = !this.isFree(call, last, hasAnother && bestBet === undefined)
      if (call.drawsOnBudget && this.state.budget.left(now) < 1) return this.ending.finalReason(call, last, "budget")
    }
    const isToldToWait = wait > 0 && bestBet === undefined
    // even where it cannot wait for so long: the room is there for whoever comes next
    if (isToldToWait) this.waiting.look(call)
    if (delay > 0) {
      const isTooLong = isToldToWait && next !== queued && call.waited + delay > this.state.settings.failover.maxWait
      if (isTooLong || now + delay >= call.deadline) {
        if (!isToldToWait || next === queued) return call.deadlinePassed
        if (next._tag === "NoCandidate" && next.isMissing) return call.unavailable("missing")
        // what failed last is no throttling, even where others are
        return last?.outcome._tag === "Failed"
          ? this.ending.finalReason(call, last, this.ending.ownLimit(call) ?? "no-deployment")
          : call.throttledFor(wait, this.ending.ownLimit(call))
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
    return yield* Effect.ensuring(this.waiting.inLine(call, delay), waited)
  }).bind(this)

  /**
   * Retries that cost no budget: away from a throttled deployment, and each request's first to a deployment with quota,
   * while at least half of the candidates are healthy.
   */
  private isFree(call: Call, last: AttemptFailure, hasAnother: boolean): boolean {
    if (!hasAnother || healthyShare(call.group) < 0.5) return false
    return last.outcome._tag === "Throttled" || call.counted === 1
  }

  /**
   * An answer, or a stream's content, of which nothing is heard for several times as long as the slowest of its kind take may
   * never come. It is given up once, for another deployment; the second time it may take as long as it likes.
   */
  patienceOf(call: Call, permit: Permit): Patience | undefined {
    const { group, maxAttempts, options, request: { hasSideEffects }, timeouts } = call
    const slowest = group.expected.slowest(permit.kind)
    if (maxAttempts === 1 || hasSideEffects || options?.schedule !== undefined || slowest === undefined) {
      return undefined
    }
    const least = timeouts.firstEvent ?? (group.reasons ? silence.reasoning : silence.usual)
    const millis = Math.max(least, HANG_FACTOR * slowest * permit.expected)
    if (millis === Infinity) return undefined
    const hasAnother = () => {
      if (call.timedOut > 0 || call.counted >= maxAttempts || !call.isAlone) return false
      const isFree = call.counted === 1 && healthyShare(group) >= 0.5
      if (!isFree && this.state.budget.left(this.state.now) < 1) return false
      const next = this.choice.ask(call)
      return next._tag === "Ready" && !next.isRepeat
    }
    return { millis, hasAnother }
  }
}

/** How long the refusals of a deployment are asked of another, after one that a peer answered, in milliseconds. */
const SUSPECTED_FOR = 60_000

const isTimeout = (outcome: Outcome): boolean => outcome._tag === "Failed" && outcome.timeout !== undefined
