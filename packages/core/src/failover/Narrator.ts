/**
 * Tells what happens to requests, where someone listens.
 */
import * as Cause from "effect/Cause"
import type { Clock } from "effect/Clock"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { AttemptFailure } from "../attempt/GivenStream.ts"
import type { Outcome } from "../attempt/Outcome.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import type { EventHub } from "../Event.ts"
import type * as Errors from "../LoadBalancerError.ts"
import { monotonicMillis } from "../Time.ts"
import type { Journey } from "./Journey.ts"

/**
 * Narrator of a balancer's requests.
 */
export class Narrator {
  private readonly events: EventHub
  private readonly clock: Clock

  constructor(events: EventHub, clock: Clock) {
    this.events = events
    this.clock = clock
  }

  get isHeard(): boolean {
    return this.events.isHeard
  }

  private get at(): number {
    return this.clock.currentTimeMillisUnsafe()
  }

  failedOver({ group }: Journey, { deployment, outcome }: AttemptFailure, delay: number): void {
    if (!this.isHeard) return
    const { model } = group
    this.events.emit({ _tag: "FailedOver", at: this.at, model, from: deployment.id, reason: outcome.reason, delay })
  }

  waiting({ group }: Journey, delay: number): void {
    if (this.isHeard) this.events.emit({ _tag: "Waiting", at: this.at, model: group.model, delay })
  }

  hedged({ group, tried }: Journey, after: number): void {
    const [late] = tried
    if (!this.isHeard || late === undefined) return
    this.events.emit({ _tag: "Hedged", at: this.at, model: group.model, deployment: late.id, after })
  }

  panicked({ group }: Journey, { id }: Deployment): void {
    if (this.isHeard) this.events.emit({ _tag: "Panicked", at: this.at, model: group.model, deployment: id })
  }

  sessionMoved({ group, request }: Journey, from: Deployment, to: Deployment): void {
    if (!this.isHeard || request.session === undefined) return
    const { model } = group
    this.events.emit({ _tag: "SessionMoved", at: this.at, session: request.session, model, from: from.id, to: to.id })
  }

  /** A whole answer was given. */
  answered(journey: Journey, deployment: Deployment, firstByte: number, usage: Errors.Usage | undefined): void {
    if (this.isHeard) this.ended(journey, deployment, "success", firstByte, usage)
  }

  /** A request ended without an answer, if it did. */
  failed(journey: Journey, exit: Exit.Exit<unknown, Errors.LoadBalancerError>): void {
    if (Exit.isSuccess(exit)) return
    const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
    this.ended(journey, undefined, error === undefined ? "interrupted" : error.reason._tag, undefined, undefined)
  }

  /** A stream that was committed ended; one that was not is followed by another attempt or by an error. */
  streamEnded(
    journey: Journey,
    deployment: Deployment,
    firstByteAt: number | undefined,
    { _tag }: Outcome,
    usage: Errors.Usage | undefined
  ): void {
    if (firstByteAt === undefined) return
    const outcome = _tag === "Success" ? "success" : _tag === "Abandoned" ? "interrupted" : "StreamInterrupted"
    this.ended(journey, deployment, outcome, firstByteAt - journey.startedAt, usage)
  }

  private ended(
    { counted, group, request, startedAt }: Journey,
    deployment: Deployment | undefined,
    outcome: "success" | "interrupted" | Errors.LoadBalancerErrorReason["_tag"],
    firstByte: number | undefined,
    usage: Errors.Usage | undefined
  ): void {
    this.events.emit({
      _tag: "RequestEnded",
      at: this.at,
      model: group.model,
      operation: request.operation,
      streamed: request.stream,
      session: request.session,
      deployment: deployment?.id,
      outcome,
      attempts: counted,
      duration: monotonicMillis(this.clock) - startedAt,
      firstByte,
      usage
    })
  }
}
