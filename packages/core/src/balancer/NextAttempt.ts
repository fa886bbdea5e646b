/**
 * A request's next attempt: where it goes, who is told why, and what is remembered when it answered.
 */
import * as Effect from "effect/Effect"
import type { Answer } from "../attempt/Answer.ts"
import { execute } from "../attempt/Attempt.ts"
import type { AttemptPlan, Ended, Patience } from "../attempt/AttemptPlan.ts"
import type { AttemptFailure } from "../attempt/CommittedStream.ts"
import { silence } from "../config/ConfigDefaults.ts"
import type { Deployment, Permit } from "../deployment/Deployment.ts"
import { refusalOf } from "../deployment/Gate.ts"
import { HANG_FACTOR } from "../deployment/Latency.ts"
import type { SessionMoveReason, SessionPlacement } from "../Event.ts"
import { explain } from "../routing/Explain.ts"
import type { Explanation } from "../routing/Explanation.ts"
import { decide, type Decision, healthyShare, type NoCandidate, type Query } from "../routing/Router.ts"
import type { BalancerState } from "./BalancerState.ts"
import type { Journey } from "./Call.ts"
import { hedge } from "./Hedge.ts"

/** An answer, and how many attempts it took. */
export interface Answered {
  readonly answer: Answer
  readonly attempts: number
}

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
    journey: Journey,
    overruling: Overruling = undefined
  ): Effect.Effect<Answered, Trouble> {
    let none: Exclude<Trouble["_tag"], "Attempt"> = "NoCandidate"
    let startedAt = 0
    const begin = (): AttemptPlan | undefined => {
      const choosingSince = this.state.now
      const decision = this.choose(journey, overruling)
      if (decision._tag === "NoCandidate") return undefined
      startedAt = this.state.now
      // in the moment in which it is spent, however long the request waited since it was planned
      if ((journey.owesRetry || overruling === "hedge") && !this.state.budget.withdraw(startedAt)) {
        none = "NoBudget"
        return undefined
      }
      journey.owesRetry = false
      return this.plan(journey, decision, overruling, startedAt, startedAt - choosingSince)
    }
    return Effect.matchEffect(execute(begin, this.state.environment), {
      onFailure: (failed) =>
        Effect.fail<Trouble>(
          failed === undefined ? { _tag: none } : { _tag: "Attempt", failure: failed }
        ),
      onSuccess: (answer) => {
        journey.judge(answer.deployment, this.state)
        this.remember(journey, answer, startedAt)
        journey.group.overload.answered(this.state.now)
        return Effect.succeed({ answer, attempts: journey.counted })
      }
    })
  }

  /** Decides where the next attempt goes, what may overrule routing included, and says why to whoever wants to know. */
  private choose(journey: Journey, overruling: Overruling): Decision | NoCandidate {
    if (this.mustQueue(journey)) return queued
    const tell = this.explainerOf(journey)
    if (tell === undefined) return this.overrule(journey, this.decide(journey), overruling)
    const now = this.state.now
    const query = this.queryOf(journey, journey.tried, now)
    const { decision, explanation } = explain(query, this.state.routing, now, this.state.random, journey.counted + 1)
    const chosen = this.overrule(journey, decision, overruling)
    if (chosen._tag === "Decision" && overruling === "hedge") tell(explanation.with(chosen.deployment.id, "hedge"))
    else if (chosen === decision || chosen._tag === "NoCandidate") tell(explanation)
    else tell(explanation.with(chosen.deployment.id, overruling === "panic" ? "panic" : "renewed"))
    return chosen
  }

  private overrule(
    journey: Journey,
    decision: Decision | NoCandidate,
    overruling: Overruling
  ): Decision | NoCandidate {
    if (overruling === undefined || overruling === "hedge") return decision
    if (overruling !== "panic") return { _tag: "Decision", deployment: overruling, isRepeat: true }
    if (decision._tag === "Decision" || decision.bestBet === undefined || !this.mayPanic(journey, decision)) {
      return decision
    }
    this.state.narrator.panicked(journey, decision.bestBet)
    return { _tag: "Decision", deployment: decision.bestBet, isRepeat: false }
  }

  /**
   * Whether to use a failing deployment rather than none: when all are failing; or when those that are not are told to
   * wait for longer than this request may.
   */
  mayPanic(journey: Journey, none: NoCandidate): boolean {
    if (none.bestBet === undefined) return false
    if (none.isOutage) return true
    const now = this.state.now
    const wait = none.opensAt - now
    const fits = journey.waited + wait <= this.state.settings.failover.maxWait && now + wait < journey.deadline
    return !fits && !journey.tried.has(none.bestBet)
  }

  /** Whether others came before and still wait. A request that was sent already does not go to the end of the line. */
  mustQueue({ group, mayOvertake, place, request, tried }: Journey): boolean {
    return group.line.length > 0 && place === undefined && !mayOvertake && tried.size === 0
      && request.model !== undefined
  }

  /** Whoever wants to know why: the caller, or telemetry. What they throw is their own affair. */
  private explainerOf({ request }: Journey): ((explanation: Explanation) => void) | undefined {
    const { explain: own } = request
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

  decide(journey: Journey, tried: ReadonlySet<Deployment> = journey.tried): Decision | NoCandidate {
    const now = this.state.now
    return decide(this.queryOf(journey, tried, now), this.state.routing, now, this.state.random)
  }

  /** Whether another request of its size, of the deployments' own traffic and told nothing yet, would be sent. */
  wouldSendAnother(journey: Journey): boolean {
    const now = this.state.now
    const query = this.queryOf(journey, noneTried, now)
    const another = { ...query, demand: { ...query.demand, scope: undefined, told: undefined } }
    return decide(another, this.state.routing, now, this.state.random)._tag === "Decision"
  }

  queryOf(journey: Journey, tried: ReadonlySet<Deployment>, now: number): Query {
    // its last deployment may be gone meanwhile, and a wildcard serve the model that was asked for
    if (journey.group.deployments.length === 0) this.state.deployments.group(journey.group.model)
    const warm = journey.sessionKey === undefined ? undefined : this.state.affinity.recall(journey.sessionKey, now)
    journey.warm = warm
    return {
      group: journey.group,
      demand: {
        tokens: journey.tokens,
        promptTokens: journey.promptTokens,
        isStandardOnly: journey.isStandardOnly,
        hasStandard: journey.group.hasStandard,
        scope: journey.request.scope,
        told: journey.told,
        resources: journey.resources
      },
      tried,
      session: journey.request.session,
      shard: journey.shard,
      warm
    }
  }

  /** Reserves, and says what the attempt is to do. */
  private plan(
    journey: Journey,
    { deployment }: Decision,
    overruling: Overruling,
    now: number,
    selection: number
  ): AttemptPlan {
    const { configured, deadline, group, onOpen, promptTokens, request, timeouts, tokens } = journey
    const { narrator } = this.state
    this.place(journey, deployment, now, overruling)
    const { breaker, resource } = deployment
    const { epoch } = breaker
    const { epoch: resourceEpoch } = resource.breaker
    const permit = deployment.enter(now, tokens, journey.expected, journey.latencyKind, request.scope)
    // a breaker changes its state on entry only where this is its probe
    if (breaker.epoch !== epoch) narrator.halfOpened("deployment", deployment.id)
    if (resource.breaker.epoch !== resourceEpoch) narrator.halfOpened("resource", resource.name)
    // in the same moment, so that nobody overtakes
    journey.leaveLine()
    const isAgain = journey.tried.has(deployment)
    const again = isAgain ? "retry" : "failover"
    const role = overruling === "hedge" ? "hedge" : journey.tried.size === 0 ? "first" : again
    journey.tried.add(deployment)
    journey.counted++
    journey.enterAttempt(now)
    const isWhole = !request.stream && request.operation !== "other"
    const onEnd = (ended: Ended) => {
      journey.leaveAttempt(this.state.now)
      if (isWhole) return
      if (ended.ids.length > 0) this.state.owners.remember(ended.ids, deployment.resource.name)
      narrator.streamEnded(journey, permit, ended)
    }
    return {
      request,
      permit,
      group,
      promptTokens,
      timeouts,
      configured,
      patience: request.operation === "other" ? undefined : this.patienceOf(journey, permit),
      deadline,
      asksUsage: request.openStreamOptions !== undefined && deployment.asksUsage(now),
      isRenewal: typeof overruling === "object",
      onOpen,
      source: journey.source,
      isRepeat: isAgain && group.deployments.length > 1,
      wasTold: journey.told !== undefined,
      onCharge: (charge) => journey.accuse(charge),
      onEnd,
      story: narrator.attempt(journey, permit, role, selection)
    }
  }

  /** Notes whether a session goes where its cache is warm, and why not, if it does not. */
  private place(journey: Journey, deployment: Deployment, now: number, overruling: Overruling): void {
    const { warm } = journey
    if (journey.sessionKey === undefined) return
    journey.placement = placementOf(warm, deployment)
    if (journey.placement !== "moved") return
    // where the first is only late, it has not failed
    journey.moveReason = overruling === "hedge" ? "slow" : this.whyNot(journey, warm!, deployment, now)
  }

  private whyNot(journey: Journey, warm: Deployment, chosen: Deployment, now: number): SessionMoveReason {
    if (journey.tried.has(warm)) return "failed"
    const refusal = refusalOf(warm, this.queryOf(journey, journey.tried, now).demand, now)
    if (refusal !== undefined) return refusal
    if (warm.isFarSlower(now)) return "slow"
    return chosen.tier < warm.tier ? "returned" : "busy"
  }

  /**
   * An answer, or a stream's content, of which nothing is heard for several times as long as the slowest of its kind take may
   * never come. It is given up once, for another deployment; the second time it may take as long as it likes.
   */
  private patienceOf(journey: Journey, permit: Permit): Patience | undefined {
    const { group, maxAttempts, request: { hasSideEffects, schedule }, timeouts } = journey
    const slowest = group.expected.slowest(permit.kind)
    if (maxAttempts === 1 || hasSideEffects || schedule !== undefined || slowest === undefined) return undefined
    const least = timeouts.firstEvent ?? (group.reasons ? silence.reasoning : silence.usual)
    const millis = Math.max(least, HANG_FACTOR * slowest * permit.expected)
    if (millis === Infinity) return undefined
    return {
      millis,
      hasAnother: () => {
        if (journey.timedOut > 0 || journey.counted >= maxAttempts || !journey.isAlone) return false
        const isFree = journey.counted === 1 && healthyShare(group) >= 0.5
        if (!isFree && this.state.budget.left(this.state.now) < 1) return false
        try {
          const decision = this.decide(journey)
          return decision._tag === "Decision" && !decision.isRepeat
        } catch {
          // a selector of the caller's own; it will be heard of when it is asked to choose
          return false
        }
      }
    }
  }

  private remember(journey: Journey, answer: Answer, startedAt: number): void {
    const { request, sessionKey } = journey
    if (answer.ids.length > 0) this.state.owners.remember(answer.ids, answer.deployment.resource.name)
    // found: what else it refers to is there too
    if (journey.isSearching) this.state.owners.remember(request.pin!.ids, answer.deployment.resource.name)
    if (sessionKey === undefined || this.isAwayInDoubt(journey, answer.deployment)) return
    const from = this.state.affinity.commit(sessionKey, answer.deployment, startedAt, this.state.now)
    if (from === undefined) return
    this.state.narrator.sessionMoved(journey, from, answer.deployment, journey.moveReason ?? "other")
  }

  /** Whether its place is closed by a word that is in doubt: it is away for a moment, and has not moved. */
  private isAwayInDoubt({ group, warm }: Journey, deployment: Deployment): boolean {
    if (warm === deployment) return false
    const now = this.state.now
    if (warm !== undefined) return warm.cooldown.isDoubtful(now)
    return group.deployments.some((other) => other !== deployment && other.cooldown.isDoubtful(now))
  }

  mayHedge({ maxAttempts, request, resources }: Journey): boolean {
    return (request.hedge ?? this.state.settings.failover.hedge) && request.stream && maxAttempts > 1 &&
      !request.hasSideEffects
      && resources === undefined
  }

  /** The first attempt, and another beside it when its first token is late. */
  hedged(journey: Journey): Effect.Effect<Answered, Trouble> {
    const after = journey.lateAfter
    if (after === undefined) return this.attempt(journey)
    journey.openSeveral()
    const answer = hedge<Answered, Trouble>({
      first: this.attempt(journey),
      after: Math.ceil(after),
      second: () => {
        const decision = this.decide(journey)
        if (journey.counted === 0 || decision._tag === "NoCandidate" || decision.isRepeat) return undefined
        if (this.state.budget.left(this.state.now) < 1) return undefined
        this.state.narrator.hedged(journey, after)
        return this.attempt(journey, "hedge")
      },
      release: ({ answer }) => {
        if (answer._tag !== "Whole") answer.stream.close()
      },
      onFailure: (trouble) => {
        if (trouble._tag !== "Attempt") return true
        const { outcome, summary } = trouble.failure
        // a refusal is for those who know what follows from it; and a credential is renewed at once
        if (outcome._tag === "Refused" || (outcome._tag === "Failed" && outcome.effect === "renew")) return false
        journey.attempts.push(summary)
        if (outcome._tag === "Failed" && outcome.timeout !== undefined && outcome.timeout !== "connect") {
          journey.timedOut++
        }
        return true
      }
    })
    return Effect.map(answer, (answered) => {
      // of two that were under way, it is the one that answered
      if (journey.sessionKey !== undefined) {
        journey.placement = placementOf(journey.warm, answered.answer.deployment)
      }
      return answered
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
