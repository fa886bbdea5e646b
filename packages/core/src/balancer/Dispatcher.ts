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
import type { OnOpen } from "../attempt/AttemptPlan.ts"
import type { ModelGroup } from "../deployment/Model.ts"
import * as Errors from "../Errors.ts"
import { type LlmRequest, problemOf } from "../request/LlmRequest.ts"
import { explain } from "../routing/Explain.ts"
import type { Explanation } from "../routing/Explanation.ts"
import { type BalancerOptions, BalancerState } from "./BalancerState.ts"
import { Journey, sessionKeyOf } from "./Call.ts"
import { type Answered, NextAttempt, noneTried } from "./NextAttempt.ts"
import { Recovery } from "./Retry.ts"

export type { Answered, OnOpen }

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
  dispatch(request: LlmRequest, onOpen?: OnOpen): Effect.Effect<Answered, Errors.LoadBalancerError> {
    return Effect.withFiber((caller) => {
      const { narrator } = this.state
      const journey = this.begin(request, onOpen)
      if (journey instanceof Errors.LoadBalancerError) {
        narrator.notBegun(request, journey, this.state.deployments.models())
        return Effect.fail(journey)
      }
      narrator.begun(journey, caller.context)
      const refusal = this.recovery.refuse(journey)
      if (refusal !== undefined) {
        narrator.searched(journey, Exit.fail(refusal))
        return Effect.fail(refusal)
      }
      this.state.budget.deposit(journey.startedAt)
      this.countSession(journey)
      const answer = Effect.catch(
        this.next.mayHedge(journey) ? this.next.hedged(journey) : this.next.attempt(journey),
        (trouble) =>
          Effect.onExit(
            this.recovery.recover(journey, trouble),
            (exit) => Effect.sync(() => this.recovery.ended(journey, exit))
          )
      )
      return Effect.onExit(answer, (exit) =>
        Effect.sync(() => {
          journey.judge("unknown", this.state)
          narrator.searched(journey, exit)
        }))
    })
  }

  /** Where a request would go now. Nothing is reserved or sent. */
  explain(request: LlmRequest): Explanation | Errors.LoadBalancerError {
    const journey = this.begin(request, undefined)
    if (journey instanceof Errors.LoadBalancerError) return journey
    const now = this.state.now
    const query = this.next.queryOf(journey, noneTried, now)
    return explain(query, this.state.routing, now, this.state.random, 1).explanation
  }

  /** A request's way begins, unless something is wrong with it. */
  private begin(request: LlmRequest, onOpen: OnOpen | undefined): Journey | Errors.LoadBalancerError {
    const problem = problemOf(request)
    if (problem !== undefined) return problem
    const { deployments } = this.state
    const group = request.model === undefined ? deployments.everywhere() : deployments.group(request.model)
    if (group === undefined) {
      const { model = "" } = request
      const known = deployments.models().filter((model) => model !== "*")
      return unsent(new Errors.UnknownModel({ model, known, meant: deployments.modelsNamed(model) }))
    }
    const now = this.state.now
    const journey = new Journey(request, group, this.state.settings, now, onOpen, this.shardOf(request, group, now))
    if (this.state.isClosed) return unsent(journey.unavailable("closed"))
    this.pin(journey)
    return journey
  }

  /** The shard of its session that takes the next request; the first one where the session is not hot. */
  private shardOf({ session }: LlmRequest, group: ModelGroup, now: number): number {
    return session === undefined
      ? 0
      : this.state.shards.next(sessionKeyOf(group, session), group.deployments.length, now)
  }

  private countSession({ group, request: { session }, shard, startedAt }: Journey): void {
    if (session !== undefined) this.state.shards.count(sessionKeyOf(group, session), shard, startedAt)
  }

  /**
   * What refers to something stored may only go where it is; an owner that is not known is searched for. What names no
   * model, and nothing that is known, goes to the default resource, or begins its search there.
   */
  private pin(journey: Journey): void {
    const { group, request } = journey
    const isThere = (name: string) => group.deployments.some(({ resource }) => resource.name === name)
    if (request.pin !== undefined) {
      const owner = this.state.owners.find(request.pin.ids)
      if (owner !== undefined && isThere(owner)) {
        journey.resources = new Set([owner])
        return
      }
      journey.strangers = new Set()
    }
    if (request.model !== undefined) return
    const { defaultResource } = this.state.settings
    journey.resources = new Set([isThere(defaultResource) ? defaultResource : group.deployments[0]!.resource.name])
  }
}
