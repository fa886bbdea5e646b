/**
 * The way of a request:
 *
 *     begin -> decide -> reserve -> send -> settle
 *                 ^______ try another ______|
 *
 * Deciding is in `Choice`, over `routing/Router`; sending and settling in `attempt/Attempt`; whether another is tried, where
 * and when, in `Retry`. A committed stream keeps its reservation until it ends, long after the request was answered.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Answer } from "../attempt/Answer.ts"
import { Attempt } from "../attempt/Attempt.ts"
import type { Accusation, AttemptRecord, OnOpen } from "../attempt/AttemptRecord.ts"
import type { Model } from "../deployment/Model.ts"
import * as Errors from "../Errors.ts"
import { type LlmRequest, problemOf } from "../request/LlmRequest.ts"
import { explain } from "../routing/Explain.ts"
import type { Explanation } from "../routing/Explanation.ts"
import { type BalancerOptions, BalancerState } from "./BalancerState.ts"
import { Call, sessionKeyOf } from "./Call.ts"
import { type CallOptions, problemOf as problemOfOptions } from "./CallOptions.ts"
import { Choice, noneTried, type Target } from "./Choice.ts"
import { Ending } from "./Ending.ts"
import { hedge } from "./Hedge.ts"
import { notePlacement, placementOf, rememberPlacement } from "./Placement.ts"
import { type NotSent, Retry, type Trouble } from "./Retry.ts"

/** An error before anything was sent. */
const unsent = (reason: Errors.LoadBalancerErrorReason) => new Errors.LoadBalancerError({ reason, attempts: [] })

/**
 * Balances requests over deployments.
 */
export class Balancer {
  readonly state: BalancerState
  private readonly choice: Choice
  private readonly ending: Ending
  private readonly retry: Retry

  constructor(options: BalancerOptions) {
    this.state = new BalancerState(options)
    this.choice = new Choice(this.state)
    this.ending = new Ending(this.state, this.choice)
    this.retry = new Retry(this.state, this.choice, this.ending)
  }

  /** Sends a request to the best deployment, and to others while that helps. */
  dispatch(
    request: LlmRequest,
    options?: CallOptions,
    onOpen?: OnOpen
  ): Effect.Effect<Answer, Errors.LoadBalancerError> {
    return Effect.withFiber((caller) => {
      const { narrator } = this.state
      const call = this.begin(request, options, onOpen)
      if (call instanceof Errors.LoadBalancerError) {
        narrator.notBegun(request, call, this.state.deployments.models())
        return Effect.fail(call)
      }
      narrator.begun(call, caller.context)
      this.state.budget.deposit(call.startedAt)
      this.countSession(call)
      const first = this.mayHedge(call) ? this.hedged(call) : this.attempt(call)
      const answer = Effect.catch(first, (trouble) => this.tryOthers(call, trouble))
      return Effect.onExit(answer, (exit) =>
        Effect.sync(() => {
          call.judge("unknown", this.state)
          narrator.searched(call, exit)
        }))
    })
  }

  /** Tries others after a failure, within attempts, deadline and retry budget. */
  private tryOthers(call: Call, first: Trouble): Effect.Effect<Answer, Errors.LoadBalancerError> {
    const search = Effect.gen({ self: this }, function*() {
      const next = yield* this.retry.of(call)
      let trouble = first
      while (true) {
        const target = yield* next(trouble)
        const tried = yield* Effect.result(this.attempt(call, target))
        if (Result.isSuccess(tried)) return tried.success
        trouble = tried.failure
      }
    })
    return Effect.ensuring(search, Effect.sync(() => call.leaveLine(this.state.now)))
  }

  /** One attempt: reserve, send, settle. */
  private attempt(call: Call, target: Target = "best"): Effect.Effect<Answer, Trouble> {
    return Effect.uninterruptibleMask((restore): Effect.Effect<Answer, Trouble> => {
      const attempt = this.reserve(call, target)
      if (typeof attempt === "string") return Effect.fail(attempt)
      const answered = Effect.map(restore(attempt.run), (answer) => this.answered(call, answer, attempt))
      return Effect.onExit(answered, (exit) => Effect.sync(() => attempt.release(exit)))
    })
  }

  /**
   * Decides and reserves, in one synchronous block, so that concurrent requests see each other: an attempt that is to be
   * made, or why there is none.
   */
  private reserve(call: Call, target: Target): Attempt | NotSent {
    const { budget, narrator } = this.state
    const choosingSince = this.state.now
    const decision = this.choice.choose(call, target, choosingSince)
    if (decision._tag === "NoCandidate") return "NoCandidate"
    const now = this.state.now
    // in the moment in which it is spent, however long the request waited since it was planned
    if ((call.drawsOnBudget || target === "hedge") && !budget.withdraw(now)) return "NoBudget"
    call.drawsOnBudget = false
    const { deployment } = decision
    const { configured, deadline, group, onOpen, promptTokens, request, timeouts, tokens } = call
    // where the first is only late, it has not failed
    notePlacement(
      call,
      deployment,
      (warm) => target === "hedge" ? "slow" : this.choice.whyNot(call, warm, deployment, now)
    )
    const permit = deployment.enter(now, tokens, call.expected, call.latencyKind, request.scope)
    group.pools.send(permit)
    // in the same moment, so that nobody overtakes
    call.passLine(now)
    const isAgain = call.tried.has(deployment)
    const again = isAgain ? "retry" : "failover"
    const role = target === "hedge" ? "hedge" : call.tried.size === 0 ? "first" : again
    call.tried.add(deployment)
    call.counted++
    call.enterAttempt(now)
    const onEnd = (attempt: AttemptRecord) => this.settled(call, attempt)
    return new Attempt({
      request,
      permit,
      group,
      promptTokens,
      timeouts,
      configured,
      patience: request.operation === "other" ? undefined : this.retry.patienceOf(call, permit),
      deadline,
      asksUsage: request.openStreamOptions !== undefined && deployment.asksUsage(now),
      isRenewal: typeof target === "object",
      onOpen,
      source: call.source,
      isRepeat: isAgain && group.deployments.length > 1,
      wasTold: call.told !== undefined,
      earlier: call.attempts,
      role,
      placement: call.placement,
      selection: now - choosingSince,
      trace: narrator.trace(call, deployment, role),
      onEnd
    }, this.state.environment)
  }

  /** An attempt was settled, which for a stream is long after it answered. */
  private settled(call: Call, attempt: AttemptRecord): void {
    const { deployment, endedAt, ids, plan: { request } } = attempt
    call.leaveAttempt(endedAt!)
    if (attempt.isAccusing) call.accuse(attempt as Accusation)
    if (!request.stream && request.operation !== "other") return
    if (ids.length > 0) this.state.owners.remember(ids, deployment.resource.name)
    this.state.narrator.streamEnded(call, attempt)
  }

  /** An attempt answered, or its stream begins: what follows from that. */
  private answered(call: Call, answer: Answer, attempt: AttemptRecord): Answer {
    const { affinity, narrator, owners } = this.state
    const { deployment, ids } = answer
    call.judge(deployment, this.state)
    if (ids.length > 0) owners.remember(ids, deployment.resource.name)
    // found: what else it refers to is there too
    if (call.isSearching) owners.remember(call.request.pin!.ids, deployment.resource.name)
    const from = rememberPlacement(call, deployment, affinity, attempt)
    if (from !== undefined) narrator.sessionMoved(call, from, deployment, call.moveReason ?? "other")
    return answer
  }

  private mayHedge({ maxAttempts, options, request, resources }: Call): boolean {
    return (options?.hedge ?? this.state.settings.failover.hedge) && request.stream && maxAttempts > 1 &&
      !request.hasSideEffects
      && resources === undefined
  }

  /** The first attempt, and another beside it when its first token is late. */
  private hedged(call: Call): Effect.Effect<Answer, Trouble> {
    const after = call.lateAfter
    if (after === undefined) return this.attempt(call)
    call.openSeveral()
    const answer = hedge<Answer, Trouble>({
      first: this.attempt(call),
      late: this.state.environment.deadlines.sleep(after),
      second: () => {
        const next = this.choice.ask(call)
        if (call.counted === 0 || next._tag === "NoCandidate" || next.isRepeat) return undefined
        if (this.state.budget.left(this.state.now) < 1) return undefined
        this.state.narrator.hedged(call, after)
        return this.attempt(call, "hedge")
      },
      release: (answer) => {
        if (answer._tag !== "Whole") answer.stream.close()
      },
      onFailure: (trouble) => {
        if (typeof trouble === "string") return true
        const { outcome, summary } = trouble
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

  /** Where a request would go now. Nothing is reserved or sent. */
  explain(request: LlmRequest, options?: CallOptions): Explanation | Errors.LoadBalancerError {
    const call = this.begin(request, options, undefined)
    if (call instanceof Errors.LoadBalancerError) return call
    const now = this.state.now
    const query = this.choice.queryOf(call, noneTried, now)
    return explain(query, this.state.routing, now, 1).explanation
  }

  // --- begin --------------------------------------------------------------------------------------------------------

  /** A request's way begins, unless something is wrong with it. */
  private begin(
    request: LlmRequest,
    options: CallOptions | undefined,
    onOpen: OnOpen | undefined
  ): Call | Errors.LoadBalancerError {
    const problem = (options === undefined ? undefined : problemOfOptions(options)) ?? problemOf(request)
    if (problem !== undefined) return problem
    const { deployments } = this.state
    const group = request.model === undefined ? deployments.everywhere() : deployments.group(request.model)
    if (group === undefined) {
      const { model = "" } = request
      const known = deployments.models().filter((model) => model !== "*")
      return unsent(new Errors.UnknownModel({ model, known, meant: deployments.modelsNamed(model) }))
    }
    const now = this.state.now
    const call = new Call(request, options, group, this.state.settings, now, onOpen, this.shardOf(request, group, now))
    if (this.state.isClosed) return unsent(call.unavailable("closed"))
    this.pin(call)
    return call
  }

  /** The shard of its session that takes the next request; the first one where the session is not hot. */
  private shardOf({ session }: LlmRequest, group: Model, now: number): number {
    return session === undefined
      ? 0
      : this.state.shards.next(sessionKeyOf(group, session), group.deployments.length, now)
  }

  private countSession({ group, request: { session }, shard, startedAt }: Call): void {
    if (session !== undefined) this.state.shards.count(sessionKeyOf(group, session), shard, startedAt)
  }

  /**
   * What refers to something stored may only go where it is; an owner that is not known is searched for. What names no
   * model, and nothing that is known, goes to the default resource, or begins its search there.
   */
  private pin(call: Call): void {
    const { group, request } = call
    const isThere = (name: string) => group.deployments.some(({ resource }) => resource.name === name)
    if (request.pin !== undefined) {
      const owner = this.state.owners.find(request.pin.ids)
      if (owner !== undefined && isThere(owner)) {
        call.resources = new Set([owner])
        return
      }
      call.strangers = new Set()
    }
    if (request.model !== undefined) return
    const { defaultResource } = this.state.settings
    call.resources = new Set([isThere(defaultResource) ? defaultResource : group.deployments[0]!.resource.name])
  }
}
