/**
 * The one straight way of a request:
 *
 *     ask -> gate -> choose -> reserve -> send -> observe -> settle
 *              ^________________ fail over __________|
 *
 * The first attempt is the whole of it for almost every request; what follows a failure is in `failover/Recovery`.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Answer } from "../attempt/Answer.ts"
import type { OnOpen } from "../attempt/AttemptRecord.ts"
import type { Model } from "../deployment/Model.ts"
import * as Errors from "../Errors.ts"
import { type LlmRequest, problemOf } from "../request/LlmRequest.ts"
import { explain } from "../routing/Explain.ts"
import type { Explanation } from "../routing/Explanation.ts"
import { type BalancerOptions, BalancerState } from "./BalancerState.ts"
import { Call, sessionKeyOf } from "./Call.ts"
import { type CallOptions, problemOf as problemOfOptions } from "./CallOptions.ts"
import { NextAttempt, noneTried } from "./NextAttempt.ts"
import { Recovery } from "./Retry.ts"

export type { OnOpen }

/** An error before anything was sent. */
const unsent = (reason: Errors.LoadBalancerErrorReason) => new Errors.LoadBalancerError({ reason, attempts: [] })

/**
 * Sends requests on their way. One for each balancer.
 */
export class Dispatcher {
  readonly state: BalancerState
  private readonly next: NextAttempt
  private readonly recovery: Recovery

  constructor(options: BalancerOptions) {
    this.state = new BalancerState(options)
    this.next = new NextAttempt(this.state)
    this.recovery = new Recovery(this.state, this.next)
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
      const refusal = this.recovery.refuse(call)
      if (refusal !== undefined) {
        narrator.searched(call, Exit.fail(refusal))
        return Effect.fail(refusal)
      }
      this.state.budget.deposit(call.startedAt)
      this.countSession(call)
      const answer = Effect.catch(
        this.next.mayHedge(call) ? this.next.hedged(call) : this.next.attempt(call),
        (trouble) =>
          Effect.onExit(
            this.recovery.recover(call, trouble),
            (exit) => Effect.sync(() => this.recovery.ended(call, exit))
          )
      )
      return Effect.onExit(answer, (exit) =>
        Effect.sync(() => {
          call.judge("unknown", this.state)
          narrator.searched(call, exit)
        }))
    })
  }

  /** Where a request would go now. Nothing is reserved or sent. */
  explain(request: LlmRequest, options?: CallOptions): Explanation | Errors.LoadBalancerError {
    const call = this.begin(request, options, undefined)
    if (call instanceof Errors.LoadBalancerError) return call
    const now = this.state.now
    const query = this.next.queryOf(call, noneTried, now)
    return explain(query, this.state.routing, now, this.state.random, 1).explanation
  }

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
