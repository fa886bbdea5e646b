/**
 * The one straight way of a request:
 *
 *     ask -> gate -> choose -> reserve -> send -> observe -> settle
 *              ^________________ fail over __________|
 *
 * The first attempt is the whole of it for almost every request; what follows a failure is in `recover`.
 */
import * as Cause from "effect/Cause"
import type { Clock } from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Answer } from "./attempt/Answer.ts"
import {
  type AttemptEnvironment,
  type AttemptPlan,
  type Ended,
  execute,
  type OnOpen,
  type Patience
} from "./attempt/Attempt.ts"
import type { Deadlines } from "./attempt/Deadlines.ts"
import type { AttemptFailure } from "./attempt/GivenStream.ts"
import type { Outcome } from "./attempt/Outcome.ts"
import type { Config } from "./Config.ts"
import type { Deployment, Permit } from "./deployment/Deployment.ts"
import type { Deployments } from "./deployment/Deployments.ts"
import type { ModelGroup } from "./deployment/ModelGroup.ts"
import * as Failover from "./failover/Failover.ts"
import { hedge } from "./failover/Hedge.ts"
import { Journey } from "./failover/Journey.ts"
import { Narrator } from "./failover/Narrator.ts"
import { RetryBudget } from "./failover/RetryBudget.ts"
import * as Errors from "./LoadBalancerError.ts"
import { type LlmRequest, problemOf } from "./request/LlmRequest.ts"
import { explain } from "./routing/Explain.ts"
import type { Explanation } from "./routing/Explanation.ts"
import type { Policy } from "./routing/Policy.ts"
import { ResourceOwners } from "./routing/ResourceOwners.ts"
import { decide, type Decision, healthyShare, type NoCandidate, type Query } from "./routing/Router.ts"
import { SessionAffinity } from "./routing/SessionAffinity.ts"
import { monotonicMillis } from "./Time.ts"

export type { OnOpen }

/** What a dispatcher is made of. */
export interface DispatcherOptions {
  readonly deployments: Deployments["Service"]
  readonly policy: Policy
  readonly transport: AttemptEnvironment["transport"]
  readonly clock: Clock
  readonly random: () => number
  readonly deadlines: Deadlines
  /** Told why each attempt goes where it goes. */
  readonly explain: ((explanation: Explanation) => void) | undefined
}

/** An answer, and how many attempts it took. */
export interface Answered {
  readonly answer: Answer
  readonly attempts: number
}

const failure = (reason: Errors.LoadBalancerErrorReason, attempts: ReadonlyArray<Errors.AttemptSummary>) =>
  new Errors.LoadBalancerError({ reason, attempts })

/** Why a request's next attempt could not be begun, or how its last one ended. */
type Trouble =
  | { readonly _tag: "Attempt"; readonly failure: AttemptFailure }
  | { readonly _tag: "NoCandidate" }
  | { readonly _tag: "NoBudget" }

/**
 * What an attempt is besides the next one: at the same deployment again, with a new credential; at the best bet, where all
 * are failing; or beside one that is slow to begin.
 */
type Overruling = Deployment | "panic" | "hedge" | undefined

/** What a failed attempt itself says about the next: what ends the request, or an attempt that mends it. */
interface Repair {
  readonly stop?: Errors.LoadBalancerErrorReason
  readonly mend?: Effect.Effect<Answered, Trouble>
}

/**
 * Sends requests on their way. One for each balancer; all of its state is in memory.
 */
export class Dispatcher {
  readonly affinity: SessionAffinity
  readonly budget: RetryBudget
  readonly owners = new ResourceOwners()
  /** Set when the balancer is closed: nothing is sent any more. */
  isClosed = false
  private readonly options: DispatcherOptions
  private readonly narrator: Narrator
  private readonly environment: AttemptEnvironment
  private readonly settings: Config
  private readonly schedule: Schedule.Schedule<unknown, Failover.Setback>
  private readonly routing: { readonly policy: Policy; readonly hot: number; readonly loadBound: number }

  constructor(options: DispatcherOptions) {
    const { clock, deadlines, deployments, policy, random, transport } = options
    this.options = options
    this.settings = deployments.settings
    this.environment = { transport, clock, random, events: deployments.events, deadlines }
    this.narrator = new Narrator(deployments.events, clock)
    this.affinity = new SessionAffinity(this.settings.session)
    this.budget = new RetryBudget(this.settings.failover)
    this.schedule = Failover.schedule(this.settings.failover)
    this.routing = { policy, hot: this.settings.quota.hot, loadBound: this.settings.session.loadBound }
  }

  /** Sends a request to the best deployment, and to others while that helps. */
  dispatch(request: LlmRequest, onOpen?: OnOpen): Effect.Effect<Answered, Errors.LoadBalancerError> {
    return Effect.suspend(() => {
      const journey = this.begin(request, onOpen)
      if (journey instanceof Errors.LoadBalancerError) return Effect.fail(journey)
      this.budget.deposit(journey.startedAt)
      const answer = Effect.catch(
        this.mayHedge(journey) ? this.hedged(journey) : this.attempt(journey),
        (trouble) => Effect.onExit(this.recover(journey, trouble), () => Effect.sync(() => journey.leaveLine()))
      )
      return this.narrator.isHeard
        ? Effect.onExit(answer, (exit) => Effect.sync(() => this.narrator.failed(journey, exit)))
        : answer
    })
  }

  /** A request's way begins, unless something is wrong with it. */
  private begin(request: LlmRequest, onOpen: OnOpen | undefined): Journey | Errors.LoadBalancerError {
    const problem = problemOf(request)
    if (problem !== undefined) return problem
    const { deployments } = this.options
    const group = request.model === undefined ? this.groupOfOwner(request) : deployments.group(request.model)
    if (group === undefined) {
      const known = deployments.models().filter((model) => model !== "*")
      return failure(new Errors.UnknownModel({ model: request.model ?? "", known }), [])
    }
    const journey = new Journey(request, group, this.settings, this.now, onOpen)
    if (this.isClosed) return failure(journey.unavailable("closed"), [])
    this.pin(journey)
    return journey
  }

  get now(): number {
    return monotonicMillis(this.options.clock)
  }

  /** Endpoints that name no model go to the resource that owns what they name, else to the default one. */
  private groupOfOwner(request: LlmRequest): ModelGroup | undefined {
    const { deployments } = this.options
    const owner = request.pin === undefined ? undefined : this.owners.find(request.pin.ids)
    for (const name of [owner, this.settings.defaultResource]) {
      const members = deployments.all().filter(({ resource }) => resource.name === name)
      const member = members.find(({ draining }) => !draining) ?? members[0]
      if (member !== undefined) return deployments.group(member.model)
    }
    const first = deployments.all()[0]
    return first === undefined ? undefined : deployments.group(first.model)
  }

  /** What refers to something stored may only go where it is; an owner that is not known is searched for. */
  private pin(journey: Journey): void {
    const { group, request } = journey
    const owner = request.pin === undefined ? undefined : this.owners.find(request.pin.ids)
    if (owner !== undefined) {
      journey.resources = new Set([owner])
    } else if (request.model === undefined) {
      const members = group.deployments.map(({ resource }) => resource.name)
      const { defaultResource } = this.settings
      journey.resources = new Set([members.includes(defaultResource) ? defaultResource : members[0]!])
    } else {
      journey.isSearching = request.pin !== undefined
    }
  }

  // --- one attempt --------------------------------------------------------------------------------------------------

  /**
   * One attempt, where routing says. Decision and reservation are one synchronous block, so that concurrent requests see
   * each other.
   */
  private attempt(
    journey: Journey,
    overruling: Overruling = undefined
  ): Effect.Effect<Answered, Trouble> {
    const isRenewal = typeof overruling === "object"
    let none: Exclude<Trouble["_tag"], "Attempt"> = "NoCandidate"
    let startedAt = 0
    const begin = (): AttemptPlan | undefined => {
      const decision = this.choose(journey, overruling)
      if (decision._tag === "NoCandidate") return undefined
      startedAt = this.now
      // in the moment in which it is spent, however long the request waited since it was planned
      if ((journey.owesRetry || overruling === "hedge") && !this.budget.withdraw(startedAt)) {
        none = "NoBudget"
        return undefined
      }
      journey.owesRetry = false
      return this.plan(journey, decision.deployment, startedAt, isRenewal)
    }
    return Effect.matchEffect(execute(begin, this.environment), {
      onFailure: (failed) =>
        Effect.fail<Trouble>(
          failed === undefined ? { _tag: none } : { _tag: "Attempt", failure: failed }
        ),
      onSuccess: (answer) => {
        this.remember(journey, answer, startedAt)
        if (answer._tag === "Whole") {
          this.narrator.answered(journey, answer.deployment, answer.firstByte, answer.usage)
        }
        return Effect.succeed({ answer, attempts: journey.counted })
      }
    })
  }

  /** Decides where the next attempt goes, what may overrule routing included, and says why to whoever wants to know. */
  private choose(journey: Journey, overruling: Overruling): Decision | NoCandidate {
    if (this.mustQueue(journey)) return queued
    const tell = this.explainerOf(journey)
    if (tell === undefined) return this.overrule(journey, this.decide(journey), overruling)
    const now = this.now
    const query = this.queryOf(journey, journey.tried, now)
    const { decision, explanation } = explain(query, this.routing, now, this.options.random, journey.counted + 1)
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
    this.narrator.panicked(journey, decision.bestBet)
    return { _tag: "Decision", deployment: decision.bestBet, isRepeat: false }
  }

  /** Whoever wants to know why: the caller, or telemetry. What they throw is their own affair. */
  private explainerOf({ request }: Journey): ((explanation: Explanation) => void) | undefined {
    const { explain: own } = request
    const { explain: all } = this.options
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

  /** Where a request would go now. Nothing is reserved or sent. */
  explain(request: LlmRequest): Explanation | Errors.LoadBalancerError {
    const journey = this.begin(request, undefined)
    if (journey instanceof Errors.LoadBalancerError) return journey
    const now = this.now
    const query = this.queryOf(journey, noneTried, now)
    return explain(query, this.routing, now, this.options.random, 1).explanation
  }

  private decide(journey: Journey, tried: ReadonlySet<Deployment> = journey.tried): Decision | NoCandidate {
    const now = this.now
    return decide(this.queryOf(journey, tried, now), this.routing, now, this.options.random)
  }

  private queryOf(journey: Journey, tried: ReadonlySet<Deployment>, now: number): Query {
    // its last deployment may be gone meanwhile, and a wildcard serve the model that was asked for
    if (journey.group.deployments.length === 0) this.options.deployments.group(journey.group.model)
    const warm = journey.sessionKey === undefined ? undefined : this.affinity.recall(journey.sessionKey, now)
    return {
      group: journey.group,
      demand: {
        tokens: journey.tokens,
        characters: journey.request.characters,
        isStandardOnly: journey.isStandardOnly,
        hasStandard: journey.group.hasStandard,
        namesModel: journey.request.model !== undefined,
        resources: journey.resources
      },
      tried,
      session: journey.request.session,
      warm
    }
  }

  /** Reserves, and says what the attempt is to do. */
  private plan(journey: Journey, deployment: Deployment, now: number, isRenewal: boolean): AttemptPlan {
    const { configured, deadline, group, onOpen, promptTokens, request, timeouts, tokens } = journey
    const permit = deployment.enter(now, tokens, journey.expected)
    // in the same moment, so that nobody overtakes
    journey.leaveLine()
    journey.tried.add(deployment)
    journey.counted++
    const isWhole = !request.stream && request.operation !== "other"
    const onEnd = isWhole ? undefined : ({ ids, outcome, usage }: Ended) => {
      if (ids.length > 0) this.owners.remember(ids, deployment.resource.name)
      if (this.narrator.isHeard) this.narrator.streamEnded(journey, deployment, permit.firstByteAt, outcome, usage)
    }
    const patience = isWhole ? this.patienceOf(journey, permit) : undefined
    return { request, permit, group, promptTokens, timeouts, configured, patience, deadline, isRenewal, onOpen, onEnd }
  }

  /**
   * A whole answer that takes several times as long as the slowest of its kind may never come. It is given up once, for
   * another deployment; the second time it may take as long as it likes.
   */
  private patienceOf(journey: Journey, permit: Permit): Patience | undefined {
    const { counted, group, maxAttempts, request: { hasSideEffects, operation }, timeouts } = journey
    const slowest = group.expected.slowest(operation === "embeddings" ? "first-token" : "answer")
    if (counted > 1 || maxAttempts === 1 || hasSideEffects || slowest === undefined) return undefined
    const millis = Math.max(timeouts.firstEvent, HANG_FACTOR * slowest * permit.expected)
    if (millis === Infinity) return undefined
    return {
      millis,
      hasAnother: () => {
        const decision = this.decide(journey)
        return decision._tag === "Decision" && !decision.isRepeat
      }
    }
  }

  private remember(journey: Journey, answer: Answer, startedAt: number): void {
    const { request, sessionKey } = journey
    if (answer.ids.length > 0) this.owners.remember(answer.ids, answer.deployment.resource.name)
    if (request.pin !== undefined) this.owners.remember(request.pin.ids, answer.deployment.resource.name)
    if (sessionKey === undefined) return
    const from = this.affinity.commit(sessionKey, answer.deployment, startedAt, this.now)
    if (from !== undefined) this.narrator.sessionMoved(journey, from, answer.deployment)
  }

  // --- hedging ------------------------------------------------------------------------------------------------------

  private mayHedge({ maxAttempts, request, resources }: Journey): boolean {
    return (request.hedge ?? this.settings.failover.hedge) && request.stream && maxAttempts > 1 &&
      !request.hasSideEffects
      && resources === undefined
  }

  /** The first attempt, and another beside it when its first token is late. */
  private hedged(journey: Journey): Effect.Effect<Answered, Trouble> {
    const after = journey.lateAfter
    if (after === undefined) return this.attempt(journey)
    journey.openSeveral()
    return hedge<Answered, Trouble>({
      first: this.attempt(journey),
      after: Math.ceil(after),
      second: () => {
        const decision = this.decide(journey)
        if (journey.counted === 0 || decision._tag === "NoCandidate" || decision.isRepeat) return undefined
        if (this.budget.left(this.now) < 1) return undefined
        this.narrator.hedged(journey, after)
        return this.attempt(journey, "hedge")
      },
      release: ({ answer }) => {
        if (answer._tag !== "Whole") answer.stream.close()
      },
      onFailure: (trouble) => {
        if (trouble._tag === "Attempt") journey.attempts.push(trouble.failure.summary)
      }
    })
  }

  // --- after a failure ----------------------------------------------------------------------------------------------

  private readonly recover: (journey: Journey, first: Trouble) => Effect.Effect<Answered, Errors.LoadBalancerError> =
    Effect.fnUntraced(function*(this: Dispatcher, journey: Journey, first: Trouble) {
      const step = yield* Schedule.toStep(journey.request.schedule ?? this.schedule)
      let trouble = first
      while (true) {
        if (trouble._tag === "NoBudget") {
          return yield* failure(this.finalReason(journey, journey.last, "budget"), journey.attempts)
        }
        const last = trouble._tag === "Attempt" ? trouble.failure : undefined
        journey.last = last ?? journey.last
        let next: Effect.Effect<Answered, Trouble> | undefined
        if (last !== undefined) {
          journey.attempts.push(last.summary)
          const { stop, mend } = this.repair(journey, last)
          if (stop !== undefined) return yield* failure(stop, journey.attempts)
          next = mend
        }
        if (next === undefined) {
          const stop = yield* this.prepare(journey, last, step)
          if (stop !== undefined) return yield* failure(stop, journey.attempts)
          next = this.attempt(journey, "panic")
        }
        if (this.isClosed) return yield* failure(journey.unavailable("closed"), journey.attempts)
        const exit = yield* Effect.exit(next)
        if (Exit.isSuccess(exit)) return exit.value
        const found = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
        if (found === undefined) return yield* Effect.failCause(exit.cause as Cause.Cause<never>)
        trouble = found
      }
    }).bind(this)

  /** Reads what only this failure can say; where it says nothing, any deployment may do. */
  private repair(journey: Journey, last: AttemptFailure): Repair {
    const { group, request } = journey
    const { deployment, outcome } = last
    switch (outcome._tag) {
      case "Abandoned":
        return { stop: this.isClosed ? journey.unavailable("closed") : journey.deadlinePassed }
      case "Refused": {
        if (outcome.elsewhere === "not-here" && journey.isSearching && this.searchOn(journey, deployment)) {
          const next = this.decide(journey)
          // a deployment that failed before is retried like any other
          return next._tag === "Decision" && !next.isRepeat ? { mend: this.attempt(journey) } : {}
        }
        const standard = outcome.elsewhere === "context-length" && deployment.provisioned
          ? group.deployments.filter((other) => !other.provisioned && !journey.tried.has(other))
          : []
        if (standard.length > 0) {
          journey.isStandardOnly = true
          return {}
        }
        const { body, code, headers, message, status } = outcome
        const fields = { status, code, description: message, body, headers }
        const stop = code === "content_filter"
          ? new Errors.ContentFiltered(fields)
          : new Errors.Rejected({ ...fields, by: "service" })
        return { stop }
      }
      case "Failed": {
        if (outcome.effect === "renew" && !journey.renewed.has(deployment.resource.name)) {
          journey.renewed.add(deployment.resource.name)
          deployment.resource.credential.renew()
          journey.counted--
          return { mend: this.attempt(journey, deployment) }
        }
        if (request.hasSideEffects && !outcome.unprocessed) {
          return { stop: journey.unavailable("side-effects") }
        }
        if (outcome.timeout !== undefined && outcome.timeout !== "connect" && ++journey.timedOut > 1) {
          return { stop: this.finalReason(journey, last, "attempts") }
        }
        return {}
      }
      case "Throttled":
        return {}
    }
  }

  /** Excludes a resource that does not know what the request refers to. Returns whether another is left to ask. */
  private searchOn(journey: Journey, deployment: Deployment): boolean {
    journey.counted--
    const left = new Set<string>()
    for (const { resource } of journey.group.deployments) {
      if (journey.resources === undefined || journey.resources.has(resource.name)) left.add(resource.name)
    }
    left.delete(deployment.resource.name)
    journey.resources = left
    return left.size > 0
  }

  /** Waits for as long as the schedule says, within what bounds it. Returns why the request ends, if it does. */
  private readonly prepare = Effect.fnUntraced(function*(
    this: Dispatcher,
    journey: Journey,
    last: AttemptFailure | undefined,
    step: Effect.Success<ReturnType<typeof Schedule.toStep<unknown, Failover.Setback, never, never>>>
  ) {
    const now = this.now
    if (now >= journey.deadline) return journey.deadlinePassed
    const decision = this.mustQueue(journey) ? queued : this.decide(journey)
    // at least a moment, so that a request that finds nothing never goes round without waiting
    const wait = decision._tag === "Decision" ? 0 : Math.max(1, decision.opensAt - now)
    const bestBet = decision._tag === "NoCandidate" && this.mayPanic(journey, decision) ? decision.bestBet : undefined
    if (wait === Infinity && bestBet === undefined) return this.finalReason(journey, last, "no-deployment")
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
      const stepping = step(this.options.clock.currentTimeMillisUnsafe(), setback)
      const stepped = yield* Effect.exit(Effect.timeout(stepping, Math.ceil(journey.deadline - now)))
      if (this.now >= journey.deadline) return journey.deadlinePassed
      if (Exit.isFailure(stepped)) return this.finalReason(journey, last, "schedule")
      delay = Duration.toMillis(stepped.value[1])
      journey.owesRetry = !this.isFree(journey, last, hasAnother && bestBet === undefined)
      if (journey.owesRetry && this.budget.left(now) < 1) return this.finalReason(journey, last, "budget")
      this.narrator.failedOver(journey, last, delay)
    }
    if (delay > 0) {
      const isToldToWait = wait > 0 && bestBet === undefined
      const isTooLong = isToldToWait && journey.waited + delay > this.settings.failover.maxWait
      if (isTooLong || now + delay >= journey.deadline) {
        if (!isToldToWait || decision === queued) return journey.deadlinePassed
        if (decision._tag === "NoCandidate" && decision.isMissing) return journey.unavailable("missing")
        // what failed last is no throttling, even where others are
        return last?.outcome._tag === "Failed"
          ? this.finalReason(journey, last, "no-deployment")
          : journey.throttledFor(wait)
      }
      if (isToldToWait) {
        this.narrator.waiting(journey, delay)
        const stop = yield* this.waitInLine(journey, delay)
        if (stop !== undefined) return stop
      } else {
        yield* Effect.sleep(Math.ceil(delay))
      }
    }
    return undefined
  }).bind(this)

  /**
   * Waits in line for as long as it is told to, or less where a deployment is back sooner. Returns why the request ends,
   * if its patience does first.
   */
  private readonly waitInLine = Effect.fnUntraced(function*(this: Dispatcher, journey: Journey, delay: number) {
    const { line } = journey.group
    const { maxWait, maxWaiting } = this.settings.failover
    const began = this.now
    if (journey.resources !== undefined) {
      // nobody else waits for just this resource
      yield* Effect.sleep(Math.ceil(delay))
      journey.waited += this.now - began
      return undefined
    }
    if (journey.place === undefined && line.length >= maxWaiting) return this.overtake(journey)
    journey.place ??= line.enter()
    const patience = Math.min(maxWait - journey.waited, journey.deadline - began)
    const isFirst = yield* Effect.timeoutOption(journey.place.turn, Math.ceil(patience))
    let now = this.now
    while (Option.isSome(isFirst) && now < began + delay && this.decide(journey)._tag === "NoCandidate") {
      yield* Effect.sleep(Math.ceil(Math.min(LOOK_EVERY, began + delay - now)))
      now = this.now
    }
    journey.waited += now - began
    if (Option.isSome(isFirst)) return undefined
    return now >= journey.deadline ? journey.deadlinePassed : this.overtake(journey)
  }).bind(this)

  /** It can wait no longer. Where those before it wait for more than it needs, it goes ahead of them; else it ends. */
  private overtake(journey: Journey): Errors.LoadBalancerErrorReason | undefined {
    journey.mayOvertake = true
    return this.decide(journey)._tag === "Decision" ? undefined : this.throttled(journey)
  }

  /** Whether others came before and still wait. A request that was sent already does not go to the end of the line. */
  private mustQueue({ counted, group, mayOvertake, place, request, resources }: Journey): boolean {
    return group.line.length > 0 && place === undefined && !mayOvertake && counted === 0 && resources === undefined
      && request.model !== undefined
  }

  /**
   * Whether to use a failing deployment rather than none: when all are failing; or when those that are not are told to
   * wait for longer than this request may.
   */
  private mayPanic(journey: Journey, none: NoCandidate): boolean {
    if (none.bestBet === undefined) return false
    if (none.isOutage) return true
    const now = this.now
    const wait = none.opensAt - now
    const fits = journey.waited + wait <= this.settings.failover.maxWait && now + wait < journey.deadline
    return !fits && !journey.tried.has(none.bestBet)
  }

  /**
   * Retries that cost no budget: away from a throttled deployment, and each request's first to a deployment with quota,
   * while at least half of the candidates are healthy.
   */
  private isFree(journey: Journey, last: AttemptFailure, hasAnother: boolean): boolean {
    if (!hasAnother || healthyShare(journey.group) < 0.5) return false
    return last.outcome._tag === "Throttled" || journey.counted === 1
  }

  private finalReason(
    journey: Journey,
    last: AttemptFailure | undefined,
    limitedBy: Errors.LimitedBy
  ): Errors.LoadBalancerErrorReason {
    const timeout = last?.outcome._tag === "Failed" ? last.outcome.timeout : undefined
    if (timeout !== undefined) return journey.timedOutIn(timeout)
    return last?.outcome._tag === "Throttled" ? this.throttled(journey, limitedBy) : journey.unavailable(limitedBy)
  }

  /** It was throttled, and told when to come back, as far as anybody knows. */
  private throttled(journey: Journey, limitedBy: Errors.LimitedBy = "waiting"): Errors.LoadBalancerErrorReason {
    const decision = this.decide(journey, noneTried)
    if (decision._tag === "Decision") return journey.throttledFor(SHORTEST_RETRY_AFTER, limitedBy)
    const wait = Math.max(SHORTEST_RETRY_AFTER, decision.opensAt - this.now)
    return wait === Infinity ? journey.unavailable(limitedBy) : journey.throttledFor(wait)
  }
}

/** What a throttled caller is told to wait, in milliseconds, even where a deployment has just come back. */
const SHORTEST_RETRY_AFTER = 1000

/** A whole answer is given up past this many times its slowest peers' time. */
const HANG_FACTOR = 3

/** How often the first in line looks whether a deployment is back before it was told to be, in milliseconds. */
const LOOK_EVERY = 250

/** Others came before, and still wait. */
const queued: NoCandidate = {
  _tag: "NoCandidate",
  opensAt: -Infinity,
  isOutage: false,
  isMissing: false,
  bestBet: undefined,
  refusals: []
}

const noneTried: ReadonlySet<Deployment> = new Set()

const isTimeout = (outcome: Outcome): boolean => outcome._tag === "Failed" && outcome.timeout !== undefined
