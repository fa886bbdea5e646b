/**
 * Where a request's next attempt goes, and who is told why.
 */
import type { Deployment } from "../deployment/Deployment.ts"
import { refusalOf } from "../deployment/Gate.ts"
import { explain } from "../routing/Explain.ts"
import type { Explanation } from "../routing/Explanation.ts"
import { ask, decide, type Decision, type NoCandidate, type Query, type Ready } from "../routing/Router.ts"
import type { SessionMoveReason } from "../routing/SessionPlacement.ts"
import type { BalancerState } from "./BalancerState.ts"
import type { Call } from "./Call.ts"

/**
 * Where an attempt goes: to the best that passes its gates; to the best bet, where all are failing; to the best beside one
 * that is slow to begin; or to the same again, with a new credential or less asked of it.
 */
export type Target = "best" | "panic" | "hedge" | Deployment

/**
 * Chooses deployments for requests.
 */
export class Choice {
  private readonly state: BalancerState

  constructor(state: BalancerState) {
    this.state = state
  }

  /** Decides where the next attempt goes, and says why to whoever wants to know. */
  choose(call: Call, target: Target, now: number): Decision | NoCandidate {
    if (this.mustQueue(call)) return queued
    const tell = this.explainerOf(call)
    const query = this.queryOf(call, call.tried, now)
    if (tell === undefined) {
      return this.resolve(call, decide(query, this.state.routing, now), target)
    }
    const { decision, explanation } = explain(query, this.state.routing, now, call.counted + 1)
    const chosen = this.resolve(call, decision, target)
    if (chosen._tag === "Decision" && target === "hedge") tell(explanation.with(chosen.deployment.id, "hedge"))
    else if (chosen === decision || chosen._tag === "NoCandidate") tell(explanation)
    else tell(explanation.with(chosen.deployment.id, target === "panic" ? "panic" : "renewed"))
    return chosen
  }

  private resolve(call: Call, decision: Decision | NoCandidate, target: Target): Decision | NoCandidate {
    if (typeof target === "object") return { _tag: "Decision", deployment: target, isRepeat: true }
    if (target !== "panic" || decision._tag === "Decision") return decision
    const { bestBet } = decision
    if (bestBet === undefined || !this.mayPanic(call, decision)) return decision
    this.state.narrator.panicked(call, bestBet)
    return { _tag: "Decision", deployment: bestBet, isRepeat: false }
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
  mustQueue({ group: { line }, options, place, request, skipsQueue, tried }: Call): boolean {
    return line.length > 0 && place === undefined && tried.size === 0 && request.model !== undefined
      && !(skipsQueue && line.isDue(options?.tenant))
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

  /** Whether the next attempt could go anywhere now. */
  ask(call: Call, tried: ReadonlySet<Deployment> = call.tried): Ready | NoCandidate {
    const now = this.state.now
    return ask(this.queryOf(call, tried, now), now)
  }

  /** Whether another request of its size, of the deployments' own traffic and told nothing yet, would be sent. */
  wouldSendAnother(call: Call): boolean {
    return this.askFor(call, undefined)._tag === "Ready"
  }

  /** Whether another would be sent, or sooner than this one: then it is for its own sake that this one waits for longer. */
  standsAside(call: Call): boolean {
    const another = this.askFor(call, undefined)
    if (another._tag === "Ready" || (another.isOutage && another.bestBet !== undefined)) return true
    if (call.told === undefined && call.request.scope === undefined) return false
    const own = this.askFor(call, call)
    return own._tag === "NoCandidate" && another.opensAt < own.opensAt - 1
  }

  /** The same of a request like this one that was not sent yet, with its own scope and times or without. */
  private askFor(call: Call, own: Call | undefined): Ready | NoCandidate {
    const now = this.state.now
    const query = this.queryOf(call, noneTried, now)
    return ask({ ...query, demand: { ...query.demand, scope: own?.request.scope, told: own?.told } }, now)
  }

  queryOf(call: Call, tried: ReadonlySet<Deployment>, now: number): Query {
    // its last deployment may be gone meanwhile, and a wildcard serve the model that was asked for
    if (call.group.deployments.length === 0) this.state.deployments.group(call.group.model)
    const { affinity } = this.state
    const key = call.sessionKey
    const warm = key === undefined ? undefined : affinity.recall(key, now)
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
      warm,
      isWarmSlow: key !== undefined && affinity.leaves(key)
    }
  }

  /** Why a session does not go where its cache is warm, but to the chosen one. */
  whyNot(call: Call, warm: Deployment, chosen: Deployment, now: number): SessionMoveReason {
    if (call.tried.has(warm)) return "failed"
    const { demand, isWarmSlow } = this.queryOf(call, call.tried, now)
    const refusal = refusalOf(warm, demand, now)
    if (refusal !== undefined) return refusal
    if (isWarmSlow === true || warm.isFarSlower(now)) return "slow"
    return chosen.tier < warm.tier ? "returned" : "busy"
  }
}

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
