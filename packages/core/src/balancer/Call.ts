/**
 * One request while it is under way: what it may do, and what it has tried.
 */
import type { AnswerFacts } from "../attempt/AnswerFacts.ts"
import type { Accusation, AttemptFailure, OnOpen } from "../attempt/AttemptRecord.ts"
import { limitOf } from "../attempt/Deadlines.ts"
import type { Refused } from "../attempt/Outcome.ts"
import { doubtWait, isAlive, judge, type Verdict } from "../attempt/Verdict.ts"
import type { Config, TimeoutsConfig } from "../config/Config.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import { sizeOf } from "../deployment/Latency.ts"
import type { Model } from "../deployment/Model.ts"
import type { Resource } from "../deployment/Resource.ts"
import type { Place } from "../deployment/WaitingLine.ts"
import * as Errors from "../Errors.ts"
import type { LlmRequest } from "../request/LlmRequest.ts"
import type { SessionMoveReason, SessionPlacement } from "../routing/SessionPlacement.ts"
import type { RequestEnded } from "./CallEvent.ts"
import { type CallOptions, limitsOf, millisOf } from "./CallOptions.ts"
import type { RequestTrace } from "./CallTrace.ts"

/** Sessions of two models have nothing in common, and each shard of one has a place of its own. */
export const sessionKeyOf = ({ model }: Model, session: string, shard = 0): string =>
  `${model}\u0000${shard}\u0000${session}`

/** The answer that ended a request. */
export interface Served {
  readonly deployment: Deployment
  readonly firstByte: number
  readonly usage: Errors.Usage | undefined
  readonly answer: AnswerFacts | undefined
}

let nextSource = 0

/** How many times as long as the average an answer may be before it is suspected. */
const LONG_ANSWER = 4

/**
 * What is known of a request. Times are milliseconds of the monotonic clock.
 */
export class Call {
  /** Which request of this balancer it is, to tell one request's word from several. */
  readonly source = nextSource++
  readonly request: LlmRequest
  readonly options: CallOptions | undefined
  readonly group: Model
  onOpen: OnOpen | undefined
  readonly startedAt: number
  readonly deadline: number
  /** Time limits without the request's own, and with them. */
  readonly configured: TimeoutsConfig
  readonly timeouts: TimeoutsConfig
  readonly promptTokens: number
  readonly tokens: number
  readonly maxAttempts: number
  /** Which shard of its session it belongs to, where that is hot; 0 where it is not. */
  readonly shard: number
  readonly sessionKey: string | undefined
  readonly tried = new Set<Deployment>()
  readonly attempts: Array<Errors.AttemptSummary> = []
  /** Attempts that count: a search for the owner of a stored thing does not. */
  counted = 0
  waited = 0
  /** How long it may wait in all, as of when it took its place in the line. */
  longestWait = Infinity
  /** Attempts that say something against deployments, until it is known whether a peer answers. */
  private accusations: Array<Accusation> = []
  /** Whether it got no answer from deployments that answer others. */
  private isGuilty = false
  /** The last word of a service that would not do what was asked. It is the caller's, unless another answers. */
  refusal: Refused | undefined
  /** Whether another deployment was asked whether a refusal is the request's own fault. */
  hasSecondOpinion = false
  /** Until when it was told to leave a deployment alone. */
  told: Map<Deployment, number> | undefined
  /** Its last attempt, if it was sent before. */
  last: AttemptFailure | undefined
  /** Whether its next attempt draws on the retry budget. */
  drawsOnBudget = false
  timedOut = 0
  /** Resources that may serve it, where not all may. */
  resources: ReadonlySet<string> | undefined
  /** While the owner of what it refers to is searched for: resources that said not to be it. */
  strangers: Set<string> | undefined
  /** Whether the prompt was too long for a provisioned deployment. */
  isStandardOnly = false
  readonly renewed = new Set<string>()
  /** Its place in the line of those who wait. */
  place: Place | undefined
  /** Whether its turn came or its patience is over, so that it need not queue where it fits and no other tenant is due. */
  skipsQueue = false
  /** Milliseconds for which it backed off. */
  backedOff = 0
  /** Where its session's last attempt went, by where its cache was warm. */
  placement: SessionPlacement | undefined
  /** Why it did not go where its session's cache was warm. */
  moveReason: SessionMoveReason | undefined
  /** Where its session's cache was warm when it was last routed. */
  warm: Deployment | undefined
  trace: RequestTrace | undefined
  /** Whose stream was handed over to the caller. */
  given: Deployment | undefined
  /** How streams ended before one was handed over. */
  over: Map<Deployment, readonly [outcome: RequestEnded["outcome"], served: Served]> | undefined
  private attempting = 0
  private attemptingSince = 0
  private attempted = 0

  constructor(
    request: LlmRequest,
    options: CallOptions | undefined,
    group: Model,
    settings: Config,
    startedAt: number,
    onOpen: OnOpen | undefined,
    shard: number
  ) {
    this.request = request
    this.options = options
    this.onOpen = onOpen
    this.group = group
    this.startedAt = startedAt
    this.configured = settings.modelTimeouts[group.model] ?? settings.timeouts
    this.timeouts = options?.timeouts === undefined
      ? this.configured
      : { ...this.configured, ...limitsOf(options.timeouts) }
    this.deadline = startedAt + (options?.timeout === undefined ? this.timeouts.total : millisOf(options.timeout))
    this.promptTokens = group.estimate.prompt(request.characters)
    this.tokens = this.promptTokens + (request.outputLimit ?? group.estimate.unlimitedOutput)
    this.maxAttempts = options?.attempts ?? settings.failover.attempts
    this.shard = shard
    this.sessionKey = request.session === undefined ? undefined : sessionKeyOf(group, request.session, shard)
  }

  /** An attempt ended without an answer. */
  accuse(attempt: Accusation): void {
    this.accusations.push(attempt)
    const { deployment, endedAt, outcome, plan: { request: { scope } } } = attempt
    if (outcome._tag === "Refused") return
    const wait = outcome._tag === "Failed" ? outcome.wait : deployment.coolingOf(scope).patienceOf(outcome.wait)
    if (wait === undefined) return
    this.told ??= new Map()
    this.told.set(deployment, Math.max(this.told.get(deployment) ?? 0, endedAt! + wait))
  }

  /**
   * It is known what becomes of it: a deployment answered it, or nobody is left to ask, or it ends unseen.
   *
   * @param time of the verdict; read only where there is something to judge
   * @param only of one deployment, rather than all
   */
  judge(verdict: Verdict | Deployment, time: { readonly now: number }, only?: Deployment): void {
    const { accusations } = this
    if (accusations.length === 0) return
    const { now } = time
    const seen = verdict === "unanswered" ? this.guilt(now) : verdict
    this.accusations = []
    for (const attempt of accusations) {
      if (only !== undefined && only !== attempt.deployment) {
        this.accusations.push(attempt)
      } else if (attempt.outcome._tag === "Refused" && verdict === "unanswered") {
        judge(attempt, "unanswered", now)
      } else if (seen === "unproven" && attempt.outcome._tag !== "Throttled") {
        doubtWait(attempt, now)
        this.accusations.push(attempt)
      } else judge(attempt, seen, now)
    }
  }

  /** What it says that nobody is left to ask: more, where several were asked that answer others. */
  private guilt(now: number): Verdict {
    const deployments = this.accusations.map(({ deployment }) => deployment)
    const answersOthers = deployments.some((deployment) => isAlive(deployment, now))
    this.isGuilty ||= answersOthers && this.isSeenBySeveral
    if (this.isGuilty) {
      if (this.group.deployments.length > 1) this.group.doubt(now)
      return "unanswered"
    }
    // before anything was answered, the time of a 429 stands, and one of our own, or of a failure, may be tried
    const isOurs = this.accusations.every(({ outcome }) =>
      outcome._tag === "Throttled"
        ? outcome.wait === undefined
        : outcome._tag === "Failed" && outcome.effect === "count"
    )
    const isFirst = deployments.every(({ lastSuccessAt }) => lastSuccessAt === -Infinity)
    return answersOthers || (isFirst && isOurs) ? "unproven" : "unknown"
  }

  /** Whether more than one deployment was asked, or there is no other. */
  private get isSeenBySeveral(): boolean {
    return this.group.deployments.length === 1
      || this.attempts.some(({ deployment }) => deployment !== this.attempts[0]!.deployment)
  }

  /** An attempt begins. */
  enterAttempt(now: number): void {
    if (this.attempting++ === 0) this.attemptingSince = now
  }

  /** An attempt ended. */
  leaveAttempt(now: number): void {
    if (--this.attempting === 0) this.attempted += now - this.attemptingSince
  }

  /** Whether a single attempt is under way. */
  get isAlone(): boolean {
    return this.attempting === 1
  }

  /** Milliseconds in which an attempt was under way. */
  inAttempts(now: number): number {
    return this.attempted + (this.attempting === 0 ? 0 : now - this.attemptingSince)
  }

  /** Milliseconds that it waited or backed off. */
  get rested(): number {
    return this.waited + this.backedOff
  }

  /** What its first answer is timed as. */
  get latencyKind(): "first-token" | "answer" {
    const { operation, stream } = this.request
    return stream || operation === "embeddings" ? "first-token" : "answer"
  }

  /** Milliseconds that its first token, or its whole answer, is expected to take. */
  get expected(): number {
    const { group: { estimate, expected }, latencyKind: kind, request: { operation, outputLimit } } = this
    if (operation === "other") return Infinity
    // how long an answer will be is not known; the longest that is likely suspects nobody too soon
    const tokens = kind === "first-token" ? this.promptTokens : outputLimit ?? LONG_ANSWER * estimate.unlimitedOutput
    return expected.expected(kind, sizeOf(kind, tokens)) ?? Infinity
  }

  /** Milliseconds after which a first token is late; `undefined` where nobody knows. */
  get lateAfter(): number | undefined {
    return this.group.expected.usual("first-token", sizeOf("first-token", this.promptTokens))
  }

  /** More than one attempt may open a stream: whoever stops then closes all of them. */
  openSeveral(): void {
    const { onOpen } = this
    const opened: Array<{ readonly close: () => void }> = []
    const all = {
      close: () => {
        for (const stream of opened) stream.close()
      }
    }
    this.onOpen = (stream) => {
      opened.push(stream)
      if (opened.length === 1) onOpen?.(all)
    }
  }

  /** Whether the owner of what it refers to is searched for. */
  get isSearching(): boolean {
    return this.strangers !== undefined
  }

  /** Searches on, at every resource that may still be the owner. Returns whether there is one. */
  searchOn(): boolean {
    const left = new Set<string>()
    for (const { resource: { name } } of this.group.deployments) {
      if (this.strangers?.has(name) !== true) left.add(name)
    }
    this.resources = left
    return left.size > 0
  }

  /** Leaves a resource out. Returns whether another is left that may serve it. */
  exclude({ name: excluded }: Resource): boolean {
    const { deployments } = this.group
    const left = new Set(this.resources ?? deployments.map(({ resource }) => resource.name))
    left.delete(excluded)
    this.strangers?.add(excluded)
    this.resources = left
    return deployments.some(({ resource: { name } }) => left.has(name))
  }

  /** It waits no more. */
  leaveLine(now: number): void {
    this.place?.leave(now)
    this.place = undefined
  }

  /** It waits elsewhere. */
  stepAside(now: number): void {
    this.place?.stepAside(now)
    this.place = undefined
  }

  /** It is sent, and waits no more. */
  passLine(now: number): void {
    if (this.place === undefined) this.group.line.pass(this.options?.tenant, this.tokens)
    else this.place.pass(now)
    this.place = undefined
  }

  /** Its own deadline passed. */
  get deadlinePassed(): Errors.LoadBalancerErrorReason {
    return new Errors.TimedOut({ model: this.group.model, stage: "total", limit: this.deadline - this.startedAt })
  }

  /** A stage of its last attempt took too long. */
  timedOutIn(stage: Errors.TimeoutStage): Errors.LoadBalancerErrorReason {
    const limit = limitOf(this.timeouts, stage, this.request.operation)
    return new Errors.TimedOut({ model: this.group.model, stage, limit })
  }

  /** Everything is throttled, the first for `wait` milliseconds more; or the last attempt was, and something ended the search. */
  throttledFor(wait: number, limitedBy?: Errors.LimitedBy): Errors.LoadBalancerErrorReason {
    return new Errors.Throttled({ model: this.group.model, retryAfter: Math.ceil(wait), limitedBy })
  }

  /** Nothing answered, and something ended the search. */
  unavailable(limitedBy: Errors.LimitedBy, now?: number): Errors.LoadBalancerErrorReason {
    const soonest = Math.min(...this.told?.values() ?? [])
    const retryAfter = now === undefined || soonest <= now || soonest === Infinity
      ? undefined
      : Math.ceil(soonest - now)
    return new Errors.Unavailable({ model: this.group.model, limitedBy, retryAfter })
  }
}
