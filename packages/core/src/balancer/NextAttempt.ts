/**
 * A request's next attempt: where it goes, who is told why, and what is remembered when it answered.
 */
import * as Effect from "effect/Effect"
import type { Answer } from "../attempt/Answer.ts"
import { execute } from "../attempt/Attempt.ts"
import type { Accusation, AttemptFailure, AttemptPlan, AttemptRecord, Patience } from "../attempt/AttemptRecord.ts"
import { silence } from "../attempt/Deadlines.ts"
import type { Deployment, Permit } from "../deployment/Deployment.ts"
import { refusalOf } from "../deployment/Gate.ts"
import { HANG_FACTOR } from "../deployment/Latency.ts"
import { explain } from "../routing/Explain.ts"
import type { Explanation } from "../routing/Explanation.ts"
import { decide, type Decision, healthyShare, type NoCandidate, type Query } from "../routing/Router.ts"
import type { SessionMoveReason, SessionPlacement } from "../routing/SessionPlacement.ts"
import type { BalancerState } from "./BalancerState.ts"
import type { Call } from "./Call.ts"
import { hedge } from "./Hedge.ts"

/** Why a request's next attempt could not be begun, or how its last one ended. */
export type Trouble =
  | { readonly _tag: "Attempt"; readonly failure: AttemptFailure }
  | { readonly _tag: "NoCandidate" }
  | { readonly _tag: "NoBudget" }

/**
 * What an attempt is besides the next one: at the same deployment again, with a new credential or less asked of it; at the
 * best bet, where all are failing; or beside one that is slow to begin.
 */
export type Overruling = Deployment | "panic" | "hedge" | undefined

/**
 * Makes attempts.
 */
export class NextAttempt {
  private readonly state: BalancerState

  constructor(state: BalancerState) {
    this.state = state
  }

  /**
   * One attempt, where routing says. Decision and reservation are one synchronous block, so that concurrent requests see
   * each other.
   */
  attempt(
    call: Call,
    overruling: Overruling = undefined
  ): Effect.Effect<Answer, Trouble> {
    let none: Exclude<Trouble["_tag"], "Attempt"> = "NoCandidate"
    let startedAt = 0
    const begin = (): AttemptPlan | undefined => {
      const choosingSince = this.state.now
      const decision = this.choose(call, overruling)
      if (decision._tag === "NoCandidate") return undefined
      startedAt = this.state.now
      // in the moment in which it is spent, however long the request waited since it was planned
      if ((call.drawsOnBudget || overruling === "hedge") && !this.state.budget.withdraw(startedAt)) {
        none = "NoBudget"
        return undefined
      }
      call.drawsOnBudget = false
      return this.plan(call, decision, overruling, startedAt, startedAt - choosingSince)
    }
    return Effect.matchEffect(execute(begin, this.state.environment), {
      onFailure: (failed) =>
        Effect.fail<Trouble>(
          failed === undefined ? { _tag: none } : { _tag: "Attempt", failure: failed }
        ),
      onSuccess: (answer) => {
        call.judge(answer.deployment, this.state)
        this.remember(call, answer, startedAt)
        call.group.overload.answered(this.state.now)
        return Effect.succeed(answer)
      }
    })
  }

  /** Decides where the next attempt goes, what may overrule routing included, and says why to whoever wants to know. */
  private choose(call: Call, overruling: Overruling): Decision | NoCandidate {
    if (this.mustQueue(call)) return queued
    const tell = this.explainerOf(call)
    if (tell === undefined) return this.overrule(call, this.decide(call), overruling)
    const now = this.state.now
    const query = this.queryOf(call, call.tried, now)
    const { decision, explanation } = explain(query, this.state.routing, now, this.state.random, call.counted + 1)
    const chosen = this.overrule(call, decision, overruling)
    if (chosen._tag === "Decision" && overruling === "hedge") tell(explanation.with(chosen.deployment.id, "hedge"))
    else if (chosen === decision || chosen._tag === "NoCandidate") tell(explanation)
    else tell(explanation.with(chosen.deployment.id, overruling === "panic" ? "panic" : "renewed"))
    return chosen
  }

  private overrule(
    call: Call,
    decision: Decision | NoCandidate,
    overruling: Overruling
  ): Decision | NoCandidate {
    if (overruling === undefined || overruling === "hedge") return decision
    if (overruling !== "panic") return { _tag: "Decision", deployment: overruling, isRepeat: true }
    if (decision._tag === "Decision" || decision.bestBet === undefined || !this.mayPanic(call, decision)) {
      return decision
    }
    this.state.narrator.panicked(call, decision.bestBet)
    return { _tag: "Decision", deployment: decision.bestBet, isRepeat: false }
  }

  /**
   * Whether to use a failing deployment rather than none: when all are failing; or when those that are not are told to
   * wait for longer than this request may.
   */
  mayPanic(call: Call, none: NoCandidate): boolean {
    if (none.bestBet === undefined) return false
    if (none.isOutage) return true
    const now = this.state.now
    const wait = none.opensAt - now
    const fits = call.waited + wait <= this.state.settings.failover.maxWait && now + wait < call.deadline
    return !fits && !call.tried.has(none.bestBet)
  }

  /** Whether others came before and still wait. A request that was sent already does not go to the end of the line. */
  mustQueue({ group, skipsQueue, place, request, tried }: Call): boolean {
    return group.line.length > 0 && place === undefined && !skipsQueue && tried.size === 0
      && request.model !== undefined
  }

  /** Whoever wants to know why: the caller, or telemetry. What they throw is their own affair. */
  private explainerOf({ options }: Call): ((explanation: Explanation) => void) | undefined {
    const own = options?.explain
    const { explain: all } = this.state
    if (own === undefined && all === undefined) return undefined
    return (explanation) => {
      for (const tell of [own, all]) {
        try {
          tell?.(explanation)
        } catch {
          // an explanation that nobody understands must not fail a request
        }
      }
    }
  }

  decide(call: Call, tried: ReadonlySet<Deployment> = call.tried): Decision | NoCandidate {
    const now = this.state.now
    return decide(this.queryOf(call, tried, now), this.state.routing, now, this.state.random)
  }

  /**
   * Whether another request of its size, of the deployments' own traffic and told nothing yet, would be sent, or sooner than
   * this one: then it is for its own sake that it waits.
   */
  wouldSendAnother(call: Call): boolean {
    const now = this.state.now
    const query = this.queryOf(call, noneTried, now)
    const another = { ...query, demand: { ...query.demand, scope: undefined, told: undefined } }
    const decision = decide(another, this.state.routing, now, this.state.random)
    if (decision._tag === "Decision" || (decision.isOutage && decision.bestBet !== undefined)) return true
    if (call.told === undefined && call.request.scope === undefined) return false
    const own = decide(query, this.state.routing, now, this.state.random)
    return own._tag === "NoCandidate" && decision.opensAt < own.opensAt - 1
  }

  queryOf(call: Call, tried: ReadonlySet<Deployment>, now: number): Query {
    // its last deployment may be gone meanwhile, and a wildcard serve the model that was asked for
    if (call.group.deployments.length === 0) this.state.deployments.group(call.group.model)
    const warm = call.sessionKey === undefined ? undefined : this.state.affinity.recall(call.sessionKey, now)
    call.warm = warm
    return {
      group: call.group,
      demand: {
        tokens: call.tokens,
        promptTokens: call.promptTokens,
        isStandardOnly: call.isStandardOnly,
        hasStandard: call.group.hasStandard,
        scope: call.request.scope,
        told: call.told,
        resources: call.resources
      },
      tried,
      session: call.request.session,
      shard: call.shard,
      warm
    }
  }

  /** Reserves, and says what the attempt is to do. */
  private plan(
    call: Call,
    { deployment }: Decision,
    overruling: Overruling,
    now: number,
    selection: number
  ): AttemptPlan {
    const { configured, deadline, group, onOpen, promptTokens, request, timeouts, tokens } = call
    const { narrator } = this.state
    this.place(call, deployment, now, overruling)
    const { breaker, resource } = deployment
    const { epoch } = breaker
    const { epoch: resourceEpoch } = resource.breaker
    const permit = deployment.enter(now, tokens, call.expected, call.latencyKind, request.scope)
    // a breaker changes its state on entry only where this is its probe
    if (breaker.epoch !== epoch) narrator.halfOpened("deployment", deployment.id)
    if (resource.breaker.epoch !== resourceEpoch) narrator.halfOpened("resource", resource.name)
    // in the same moment, so that nobody overtakes
    call.leaveLine()
    const isAgain = call.tried.has(deployment)
    const again = isAgain ? "retry" : "failover"
    const role = overruling === "hedge" ? "hedge" : call.tried.size === 0 ? "first" : again
    call.tried.add(deployment)
    call.counted++
    call.enterAttempt(now)
    const isWhole = !request.stream && request.operation !== "other"
    const onEnd = (attempt: AttemptRecord) => {
      call.leaveAttempt(this.state.now)
      if (attempt.isAccusing) call.accuse(attempt as Accusation)
      if (isWhole) return
      if (attempt.ids.length > 0) this.state.owners.remember(attempt.ids, deployment.resource.name)
      narrator.streamEnded(call, attempt)
    }
    return {
      request,
      permit,
      group,
      promptTokens,
      timeouts,
      configured,
      patience: request.operation === "other" ? undefined : this.patienceOf(call, permit),
      deadline,
      asksUsage: request.openStreamOptions !== undefined && deployment.asksUsage(now),
      isRenewal: typeof overruling === "object",
      onOpen,
      source: call.source,
      isRepeat: isAgain && group.deployments.length > 1,
      wasTold: call.told !== undefined,
      role,
      placement: call.placement,
      selection,
      trace: narrator.trace(call, deployment, role),
      onEnd
    }
  }

  /** Notes whether a session goes where its cache is warm, and why not, if it does not. */
  private place(call: Call, deployment: Deployment, now: number, overruling: Overruling): void {
    const { warm } = call
    if (call.sessionKey === undefined) return
    call.placement = placementOf(warm, deployment)
    if (call.placement !== "moved") return
    // where the first is only late, it has not failed
    call.moveReason = overruling === "hedge" ? "slow" : this.whyNot(call, warm!, deployment, now)
  }

  private whyNot(call: Call, warm: Deployment, chosen: Deployment, now: number): SessionMoveReason {
    if (call.tried.has(warm)) return "failed"
    const refusal = refusalOf(warm, this.queryOf(call, call.tried, now).demand, now)
    if (refusal !== undefined) return refusal
    if (warm.isFarSlower(now)) return "slow"
    return chosen.tier < warm.tier ? "returned" : "busy"
  }

  /**
   * An answer, or a stream's content, of which nothing is heard for several times as long as the slowest of its kind take may
   * never come. It is given up once, for another deployment; the second time it may take as long as it likes.
   */
  private patienceOf(call: Call, permit: Permit): Patience | undefined {
    const { group, maxAttempts, options, request: { hasSideEffects }, timeouts } = call
    const slowest = group.expected.slowest(permit.kind)
    if (maxAttempts === 1 || hasSideEffects || options?.schedule !== undefined || slowest === undefined) {
      return undefined
    }
    const least = timeouts.firstEvent ?? (group.reasons ? silence.reasoning : silence.usual)
    const millis = Math.max(least, HANG_FACTOR * slowest * permit.expected)
    if (millis === Infinity) return undefined
    return {
      millis,
      hasAnother: () => {
        if (call.timedOut > 0 || call.counted >= maxAttempts || !call.isAlone) return false
        const isFree = call.counted === 1 && healthyShare(group) >= 0.5
        if (!isFree && this.state.budget.left(this.state.now) < 1) return false
        try {
          const decision = this.decide(call)
          return decision._tag === "Decision" && !decision.isRepeat
        } catch {
          // a selector of the caller's own; it will be heard of when it is asked to choose
          return false
        }
      }
    }
  }

  private remember(call: Call, answer: Answer, startedAt: number): void {
    const { request, sessionKey } = call
    if (answer.ids.length > 0) this.state.owners.remember(answer.ids, answer.deployment.resource.name)
    // found: what else it refers to is there too
    if (call.isSearching) this.state.owners.remember(request.pin!.ids, answer.deployment.resource.name)
    if (sessionKey === undefined || this.isAwayInDoubt(call, answer.deployment)) return
    const from = this.state.affinity.commit(sessionKey, answer.deployment, startedAt, this.state.now)
    if (from === undefined) return
    this.state.narrator.sessionMoved(call, from, answer.deployment, call.moveReason ?? "other")
  }

  /** Whether its place is closed by a word that is in doubt: it is away for a moment, and has not moved. */
  private isAwayInDoubt({ group, warm }: Call, deployment: Deployment): boolean {
    if (warm === deployment) return false
    const now = this.state.now
    if (warm !== undefined) return warm.cooldown.isDoubtful(now)
    return group.deployments.some((other) => other !== deployment && other.cooldown.isDoubtful(now))
  }

  mayHedge({ maxAttempts, options, request, resources }: Call): boolean {
    return (options?.hedge ?? this.state.settings.failover.hedge) && request.stream && maxAttempts > 1 &&
      !request.hasSideEffects
      && resources === undefined
  }

  /** The first attempt, and another beside it when its first token is late. */
  hedged(call: Call): Effect.Effect<Answer, Trouble> {
    const after = call.lateAfter
    if (after === undefined) return this.attempt(call)
    call.openSeveral()
    const answer = hedge<Answer, Trouble>({
      first: this.attempt(call),
      after: Math.ceil(after),
      second: () => {
        const decision = this.decide(call)
        if (call.counted === 0 || decision._tag === "NoCandidate" || decision.isRepeat) return undefined
        if (this.state.budget.left(this.state.now) < 1) return undefined
        this.state.narrator.hedged(call, after)
        return this.attempt(call, "hedge")
      },
      release: (answer) => {
        if (answer._tag !== "Whole") answer.stream.close()
      },
      onFailure: (trouble) => {
        if (trouble._tag !== "Attempt") return true
        const { outcome, summary } = trouble.failure
        // a refusal is for those who know what follows from it; and a credential is renewed at once
        if (outcome._tag === "Refused" || (outcome._tag === "Failed" && outcome.effect === "renew")) return false
        call.attempts.push(summary)
        if (outcome._tag === "Failed" && outcome.timeout !== undefined && outcome.timeout !== "connect") {
          call.timedOut++
        }
        return true
      }
    })
    return Effect.map(answer, (answer) => {
      // of two that were under way, it is the one that answered
      if (call.sessionKey !== undefined) call.placement = placementOf(call.warm, answer.deployment)
      return answer
    })
  }
}

const placementOf = (warm: Deployment | undefined, deployment: Deployment): SessionPlacement =>
  warm === undefined ? "new" : warm === deployment ? "home" : "moved"

/** Others came before, and still wait. */
export const queued: NoCandidate = {
  _tag: "NoCandidate",
  opensAt: -Infinity,
  isOutage: false,
  isMissing: false,
  bestBet: undefined,
  refusals: []
}

/** For what is asked of a request that has not been sent. */
export const noneTried: ReadonlySet<Deployment> = new Set()
