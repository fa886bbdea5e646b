/**
 * Tells what happens to requests, where someone listens.
 */
import * as Cause from "effect/Cause"
import type { Clock } from "effect/Clock"
import type * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Answer } from "../attempt/Answer.ts"
import type { AttemptRole } from "../attempt/AttemptEvent.ts"
import type { AttemptFailure, AttemptRecord, OnChunks } from "../attempt/AttemptRecord.ts"
import type { AttemptTrace } from "../attempt/AttemptTrace.ts"
import { stopped } from "../attempt/Outcome.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import type * as Errors from "../Errors.ts"
import type { EventHub } from "../EventHub.ts"
import { ignoreThrows } from "../IgnoreThrows.ts"
import type { LlmRequest } from "../request/LlmRequest.ts"
import type { SessionMoveReason } from "../routing/SessionPlacement.ts"
import { monotonicMillis } from "../Time.ts"
import type { Call, Served } from "./Call.ts"
import type { RequestEnded } from "./CallEvent.ts"
import type { Incident, Trace } from "./CallTrace.ts"

/** What telemetry wants to be told besides events. */
export interface Listening {
  readonly trace?: Trace | undefined
  readonly onChunks?: OnChunks | undefined
}

/**
 * Narrator of a balancer's requests.
 */
export class Narrator {
  private readonly events: EventHub
  private readonly clock: Clock
  private readonly listening: Listening

  constructor(events: EventHub, clock: Clock, listening: Listening) {
    this.events = events
    this.clock = clock
    this.listening = listening
  }

  get hasListeners(): boolean {
    return this.events.hasListeners
  }

  private get at(): number {
    return this.events.wallNow()
  }

  private get now(): number {
    return monotonicMillis(this.clock)
  }

  // --- requests -----------------------------------------------------------------------------------------------------

  /** A request begins its way. */
  begun(call: Call, caller: Context.Context<never>): void {
    const { listening } = this
    if (listening.trace === undefined) return
    const { group, request } = call
    call.trace = ignoreThrows(() => listening.trace?.(request, group.model, group.deployments, caller))
  }

  /** A request was wrong before it could begin. A model that nobody serves is its own word, which no metric may repeat. */
  notBegun(request: LlmRequest, { reason }: Errors.LoadBalancerError, served: ReadonlyArray<string>): void {
    if (!this.hasListeners) return
    this.events.emit<RequestEnded>({
      ...endOf(request, reason._tag),
      at: this.at,
      model: request.model === undefined ? "*" : served.includes(request.model) ? request.model : "unknown",
      limitedBy: limitOf(reason)
    })
  }

  /** The search for an answer is over: with one, which for a stream only begins, or without. */
  searched(call: Call, exit: Exit.Exit<Answer, Errors.LoadBalancerError>): void {
    // whoever listens by then is told how a stream ends
    if (Exit.isSuccess(exit) && exit.value._tag !== "Whole") call.given = exit.value.deployment
    if (!this.follows(call)) return
    if (Exit.isFailure(exit)) {
      const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
      this.ended(call, error === undefined ? "interrupted" : error.reason._tag, undefined, error?.reason)
      return
    }
    const answer = exit.value
    if (answer._tag === "Whole") {
      const { deployment, facts, usage } = answer
      this.ended(call, "success", { deployment, firstByte: this.now - call.startedAt, usage, answer: facts })
      return
    }
    const over = call.over?.get(answer.deployment)
    if (over !== undefined) this.ended(call, ...over)
  }

  /**
   * A stream that was committed ended: the request does so with it, as soon as it was handed over. One that was not is
   * followed by another attempt or by an error; and one that came second, beside a hedged one, is given to nobody.
   */
  streamEnded(
    call: Call,
    { deployment, facts: answer, outcome, plan: { permit: { firstByteAt } }, usage }: AttemptRecord
  ): void {
    if (firstByteAt === undefined) return
    const word = outcome?._tag === "Success" ? "success" : outcome === stopped ? "interrupted" : "StreamInterrupted"
    const served: Served = { deployment, firstByte: firstByteAt - call.startedAt, usage, answer }
    if (call.given === undefined) (call.over ??= new Map()).set(deployment, [word, served])
    else if (call.given === deployment && this.follows(call)) this.ended(call, word, served)
  }

  /** Whether anybody is told how it ends. */
  private follows({ trace }: Call): boolean {
    return this.hasListeners || trace !== undefined
  }

  private ended(
    call: Call,
    outcome: RequestEnded["outcome"],
    answered?: Served,
    reason?: Errors.LoadBalancerErrorReason
  ): void {
    const { counted, group, placement, request, startedAt } = call
    const { now } = this
    const duration = now - startedAt
    const waited = call.rested
    const event: RequestEnded = {
      ...endOf(request, outcome),
      at: this.at,
      model: group.model,
      placement,
      deployment: answered?.deployment.id,
      place: answered?.deployment.place,
      limitedBy: reason === undefined ? undefined : limitOf(reason),
      attempts: counted,
      duration,
      waited,
      overhead: Math.max(0, duration - call.inAttempts(now) - waited),
      firstByte: answered?.firstByte,
      usage: answered?.usage,
      answer: answered?.answer
    }
    this.events.emit<RequestEnded>(event)
    ignoreThrows(() => call.trace?.ended(event))
  }

  // --- attempts -----------------------------------------------------------------------------------------------------

  /** An attempt begins: its trace, where its request has one. */
  trace(call: Call, deployment: Deployment, role: AttemptRole): AttemptTrace | undefined {
    return ignoreThrows(() => call.trace?.attempt(deployment, role))
  }

  // --- between attempts ---------------------------------------------------------------------------------------------

  failedOver(call: Call, { deployment, outcome, summary }: AttemptFailure, delay: number): void {
    if (!this.isObserved(call)) return
    const { model } = call.group
    const { reason } = outcome
    const errorType = summary.errorType ?? "abandoned"
    this.tell(call, { _tag: "FailedOver", at: this.at, model, from: deployment.id, reason, errorType, delay })
  }

  waiting(call: Call, delay: number): void {
    if (!this.isObserved(call)) return
    this.tell(call, { _tag: "Waiting", at: this.at, model: call.group.model, delay })
  }

  hedged(call: Call, after: number): void {
    const [late] = call.tried
    if (late === undefined || !this.isObserved(call)) return
    this.tell(call, { _tag: "Hedged", at: this.at, model: call.group.model, deployment: late.id, after })
  }

  panicked(call: Call, { id }: Deployment): void {
    if (!this.isObserved(call)) return
    this.tell(call, { _tag: "Panicked", at: this.at, model: call.group.model, deployment: id })
  }

  sessionMoved(call: Call, from: Deployment, to: Deployment, reason: SessionMoveReason): void {
    const { group: { model }, request: { session } } = call
    if (session === undefined || !this.isObserved(call)) return
    this.tell(call, { _tag: "SessionMoved", at: this.at, session, model, from: from.id, to: to.id, reason })
  }

  private isObserved(call: Call): boolean {
    return this.hasListeners || call.trace !== undefined
  }

  private tell(call: Call, incident: Incident): void {
    this.events.emit<Incident>(incident)
    ignoreThrows(() => call.trace?.happened(incident))
  }
}

const limitOf = (reason: Errors.LoadBalancerErrorReason): Errors.LimitedBy | undefined =>
  reason._tag === "Throttled" || reason._tag === "Unavailable" ? reason.limitedBy : undefined

/** The end of a request that has done nothing. */
const endOf = (
  { operation, session, stream }: LlmRequest,
  outcome: RequestEnded["outcome"]
): Omit<RequestEnded, "at" | "model"> => ({
  _tag: "RequestEnded",
  operation,
  streamed: stream,
  session,
  placement: undefined,
  deployment: undefined,
  place: undefined,
  outcome,
  limitedBy: undefined,
  attempts: 0,
  duration: 0,
  waited: 0,
  overhead: 0,
  firstByte: undefined,
  usage: undefined,
  answer: undefined
})
