/**
 * One send of a request to one deployment: send, observe, settle.
 *
 * An attempt ends exactly once, however it ends: by its answer, by a failure, by a time limit, or because its caller was
 * interrupted. A streamed one succeeds when its content begins, and is settled when its stream ends.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Tracer from "effect/Tracer"
import { CredentialError } from "../deployment/Credential.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import type { PoolChanged } from "../deployment/DeploymentEvent.ts"
import type { PoolChange } from "../deployment/PoolFinder.ts"
import { parseRateLimits } from "../deployment/RateLimitHeaders.ts"
import { isRecord, type LlmRequest } from "../request/LlmRequest.ts"
import { isEndpoint } from "../request/Scope.ts"
import { idsOfAnswer } from "../request/StoredIds.ts"
import type { TransportError, TransportRequest, TransportResponse } from "../transport/Transport.ts"
import type { Answer, AnswerBase, RawAnswer, StreamAnswer } from "./Answer.ts"
import type { Source } from "./AnswerBody.ts"
import { AnswerReader, isEmpty, readUsage, withoutCookies } from "./AnswerFacts.ts"
import { costOfAttempt } from "./AttemptCost.ts"
import {
  type Accusation,
  type AttemptEnvironment,
  type AttemptFailure,
  type AttemptPlan,
  AttemptRecord,
  type Pace
} from "./AttemptRecord.ts"
import { AttemptStory } from "./AttemptStory.ts"
import { BodyIds } from "./BodyIds.ts"
import { CommittedStream } from "./CommittedStream.ts"
import * as Outcome from "./Outcome.ts"
import { heardSlow } from "./Outlier.ts"
import { RawStream } from "./RawStream.ts"
import * as ServiceError from "./ServiceError.ts"
import { commit, settle } from "./Settlement.ts"
import { type Batch, SseReader } from "./SseReader.ts"
import { LONGEST_PAUSE, TimeLimits } from "./TimeLimits.ts"
import { timePace } from "./Timing.ts"
import { judge } from "./Verdict.ts"

/** Headers that every request has, whatever its body. */
const headersOf = (
  request: LlmRequest,
  authentication: Readonly<Record<string, string>>,
  trace: Readonly<Record<string, string>> | undefined
): Readonly<Record<string, string>> => {
  const headers: Record<string, string> = { ...request.headers, "user-agent": "evenkeel", ...trace, ...authentication }
  // the caller's belongs to the caller's own `traceparent`
  if (trace !== undefined) delete headers["tracestate"]
  headers["accept"] ??= request.stream ? "text/event-stream" : "application/json"
  if (request.body.contentType !== undefined) headers["content-type"] = request.body.contentType
  return headers
}

const failOfTransport = (error: TransportError) => Effect.fail(Outcome.fromTransport(error))

/**
 * One attempt, from the reservation that it is made with. `run` it, and `release` it however that ended: then what is
 * reserved is given back in every interleaving.
 */
export class Attempt extends AttemptRecord implements Source {
  readonly story = new AttemptStory(this)
  /** What is waited for, and whatever has come of it. */
  private exchange: Pick<TransportResponse, "abort"> | undefined
  readonly time: TimeLimits
  private given: CommittedStream | RawStream | undefined

  constructor(plan: AttemptPlan, environment: AttemptEnvironment) {
    super(plan, environment)
    this.time = new TimeLimits(this, plan, environment.deadlines)
  }

  readonly run: Effect.Effect<Answer, AttemptFailure> = Effect.suspend(() => {
    const { time, plan: { trace } } = this
    time.begin()
    const answered = this.send()
    // what the transport does is part of it, where that is traced
    const traced = trace === undefined ? answered : Effect.provideService(answered, Tracer.ParentSpan, trace.span)
    return Effect.mapError(traced, (outcome) => this.fail(time.over ?? outcome))
  })

  /** It is over, unless it answered: a stream that is being given out goes on. */
  release(exit: Exit.Exit<unknown, unknown>): void {
    if (Exit.isFailure(exit) && this.endedAt === undefined) this.fail({ _tag: "Abandoned", reason: "interrupted" })
  }

  // --- send ---------------------------------------------------------------------------------------------------------

  private send(): Effect.Effect<Answer, Outcome.Unanswered> {
    const { credential } = this.deployment.resource
    if (credential.fixed !== undefined) return this.dispatch(credential.fixed())
    const limit = this.plan.timeouts.connect
    const late = new CredentialError({ message: `none within ${limit / 1000} s` })
    // the second one is later, and keeps the process alive: nothing else may
    const over = Effect.raceFirst(this.environment.deadlines.sleep(limit), Effect.sleep(2 * limit))
    const ended = Effect.callback<never, CredentialError>((resume) => {
      this.onStart({ abort: () => resume(Effect.fail(late)) })
    })
    const headers = Effect.raceAllFirst([credential.headers, Effect.andThen(over, Effect.fail(late)), ended])
    return Effect.matchEffect(headers, {
      onFailure: (error) => Effect.fail(Outcome.noCredential(error.message)),
      onSuccess: (headers) => this.dispatch(headers)
    })
  }

  /** A wait begins: where its time is over already, it ends at once. */
  private readonly onStart = (exchange: Pick<TransportResponse, "abort">): void => {
    this.exchange = exchange
    if (this.time.over !== undefined) exchange.abort()
  }

  private dispatch(authentication: Readonly<Record<string, string>>): Effect.Effect<Answer, Outcome.Unanswered> {
    const { request } = this.plan
    const { resource } = this.deployment
    const { name: own } = this.deployment
    // a wildcard serves every model under the model's own name
    const name = request.model === undefined || own === "*" ? request.model : own
    const sent: TransportRequest = {
      resource: resource.name,
      origin: resource.origin,
      path: resource.pathOf(request.path, request.query, name),
      method: request.method,
      headers: headersOf(request, authentication, this.plan.trace?.headers),
      body: request.body.withModel(name, this.plan.asksUsage),
      connection: resource.connection,
      isRepeatable: !request.hasSideEffects,
      onStart: this.onStart
    }
    const onSuccess = (response: TransportResponse) => this.receive(response)
    return Effect.matchEffect(this.environment.transport.send(sent), { onFailure: failOfTransport, onSuccess })
  }

  // --- receive ------------------------------------------------------------------------------------------------------

  private receive(response: TransportResponse): Effect.Effect<Answer, Outcome.Unanswered> {
    if (this.time.over !== undefined) return Effect.fail(this.time.over)
    this.response = response
    const { now, plan: { permit, request } } = this
    // an endpoint's limits are its own, and so are those that refuse a service tier
    if (request.scope === undefined || (!isEndpoint(request.scope) && response.status !== 429)) {
      this.limits = parseRateLimits(response.headers)
      this.deployment.quota.observe(this.limits, permit.reservation, now, response.status === 429)
      const pools = this.plan.group.pools.heard(permit, this.limits, now)
      if (pools !== undefined) tellPool(this, pools)
    }
    if (response.status < 200 || response.status > 299) return this.receiveError(response)
    if (request.operation === "other") return this.receiveRaw(response)
    return request.stream ? this.receiveStream(response) : this.receiveWhole(response)
  }

  private readText(
    response: TransportResponse,
    onText: (text: string) => Effect.Effect<Answer, Outcome.Unanswered>
  ): Effect.Effect<Answer, Outcome.Unanswered> {
    return Effect.matchEffect(response.text, { onFailure: failOfTransport, onSuccess: onText })
  }

  private receiveError(response: TransportResponse): Effect.Effect<Answer, Outcome.Unanswered> {
    return this.readText(response, (text) => {
      const { wallNow } = this
      let outcome = ServiceError.fromStatus(response.status, response.headers, ServiceError.parseBody(text), wallNow)
      // where none was asked for, no deployment is missing
      if (outcome._tag === "Failed" && outcome.effect === "missing" && isEndpoint(this.plan.request.scope)) {
        outcome = ServiceError.refusedAsIs(outcome, response.headers)
      }
      if (outcome._tag === "Refused") {
        const isOurs = this.plan.asksUsage && ServiceError.refusesUsage(outcome)
        outcome = { ...outcome, text, elsewhere: isOurs ? "without-usage" : outcome.elsewhere }
      }
      return Effect.fail(this.mayRenew(response.status) ? Outcome.staleCredential : outcome)
    })
  }

  /** A 401 is worth one repetition where asking again may give another credential. */
  private mayRenew(status: number): boolean {
    return status === 401 && !this.plan.isRenewal && this.deployment.resource.credential.isRenewable
  }

  private receiveWhole(response: TransportResponse): Effect.Effect<Answer, Outcome.Unanswered> {
    return this.readText(response, (text) => {
      const json = ServiceError.parseBody(text)
      if (!isRecord(json)) return Effect.fail(Outcome.broken("an answer that is no JSON object", response.status))
      if (isRecord(json["error"]) && json["object"] !== "response") {
        const { wallNow } = this
        return Effect.fail(ServiceError.fromErrorEvent(response.headers, json, wallNow))
      }
      this.usage = readUsage(json["usage"])
      this.isEmpty = isEmpty(json, this.plan.request.operation)
      const facts = new AnswerReader()
      facts.read(json)
      this.facts = facts
      this.story.given(json)
      const { startedAt } = this.plan.permit
      this.end({ _tag: "Success", usage: this.usage })
      return Effect.succeed({
        ...this.answerBase(response, this.endedAt! - startedAt),
        _tag: "Whole",
        text,
        json,
        usage: this.usage,
        facts,
        ids: this.plan.request.isStored ? idsOfAnswer(json) : []
      })
    })
  }

  private answerBase(response: TransportResponse, firstByte: number): AnswerBase {
    const headers = withoutCookies(response.headers)
    const { deployment, plan: { earlier } } = this
    return { deployment, status: response.status, headers, firstByte, earlier, ids: [] }
  }

  // --- streams ------------------------------------------------------------------------------------------------------

  private receiveStream(response: TransportResponse): Effect.Effect<Answer, Outcome.Unanswered> {
    const { asksUsage, request: { operation, parsesEvents } } = this.plan
    const protocol = operation === "responses" ? "responses" : "chat"
    const { clock } = this.environment
    const reader = new SseReader(
      protocol,
      asksUsage,
      parsesEvents,
      response.headers,
      () => clock.currentTimeMillisUnsafe()
    )
    this.facts = reader.facts
    const held: Array<Batch> = []
    const onSuccess = (bytes: Uint8Array) => {
      this.time.heard(this.now)
      held.push(reader.feed(bytes))
      return decide()
    }
    const onFailure = (error: TransportError | Cause.Done) => {
      if (error._tag === "TransportError") return failOfTransport(error)
      held.push(reader.end())
      return decide()
    }
    const untilCommit: Effect.Effect<Answer, Outcome.Unanswered> = Effect.matchEffect(response.pull, {
      onSuccess,
      onFailure
    })
    const decide = (): Effect.Effect<Answer, Outcome.Unanswered> => {
      // whose time is over before it begins can still be answered by another
      if (this.time.over !== undefined) return Effect.fail(this.time.over)
      this.usage = reader.usage
      if (reader.isCommitted) return this.commitStream(response, reader, held)
      if (reader.failure !== undefined) return Effect.fail(reader.failure)
      return untilCommit
    }
    return untilCommit
  }

  private commitStream(
    response: TransportResponse,
    reader: SseReader,
    held: Array<Batch>
  ): Effect.Effect<Answer, Outcome.Unanswered> {
    const now = this.now
    commit(this, now)
    this.story.committed(now, held.at(-1)!.events.slice(reader.firstContent + 1))
    this.time.commit()
    const stream = new CommittedStream(this, response, reader, held)
    this.given = stream
    // more of them may come until its end
    if (this.plan.request.isStored) this.ids = reader.ids
    this.plan.onOpen?.(stream)
    const answer: StreamAnswer = {
      ...this.answerBase(response, now - this.plan.permit.startedAt),
      _tag: "Stream",
      stream,
      ids: this.ids
    }
    return Effect.succeed(answer)
  }

  private receiveRaw(response: TransportResponse): Effect.Effect<Answer> {
    const now = this.now
    const { permit } = this.plan
    commit(this, now)
    this.time.commit()
    // nobody reads a body that cannot be there
    const isBodiless = response.status === 204 || response.status === 205 || this.plan.request.method === "HEAD"
    const watched = this.plan.request.isStored ? BodyIds.of(response.headers) : undefined
    const stream = new RawStream(this, response, isBodiless, watched)
    this.given = stream
    this.plan.onOpen?.(stream)
    const answer: RawAnswer = { ...this.answerBase(response, now - permit.startedAt), _tag: "Raw", stream }
    return Effect.succeed(answer)
  }

  // --- time ---------------------------------------------------------------------------------------------------------

  /** It is slow, and goes on: that says something of its deployment before it ends. */
  onSlow(now: number): void {
    if (this.plan.request.operation === "other") return
    if (this.pace !== undefined) timePace(this, { ...this.pace, spoken: this.pace.spoken + LONGEST_PAUSE }, now)
    heardSlow(this, now)
  }

  /** Its time is over: ends the attempt, or breaks what is being given out. */
  onOver(outcome: Outcome.Unanswered): void {
    if (this.given === undefined) this.exchange?.abort()
    else this.given.expire(outcome)
  }

  // --- settle -------------------------------------------------------------------------------------------------------

  /** A running stream is as slow as it is so far, at least. */
  onPace(pace: Pace): void {
    timePace(this, pace, this.now)
  }

  /** Ends the attempt, once. */
  end(outcome: Outcome.Outcome): void {
    if (this.endedAt !== undefined) return
    const { now, plan: { onEnd, permit } } = this
    if (this.usage !== undefined) {
      this.cost = costOfAttempt(permit, this.usage, this.facts, this.environment.prices, this.wallNow)
    }
    settle(this, outcome, now)
    // of a check, and of an answer that had begun, nobody learns whether a peer would have done better
    if (this.isAccusing && (onEnd === undefined || permit.firstByteAt !== undefined)) {
      judge(this as AttemptRecord as Accusation, "unknown", now)
    }
    this.time.end()
    this.story.ended(now)
    onEnd?.(this)
  }

  /** Ends without an answer, and leaves nothing of it open. */
  private fail(outcome: Outcome.Unanswered): AttemptFailure {
    this.end(outcome)
    this.exchange?.abort()
    return this as AttemptRecord as AttemptFailure
  }
}

const idsOf = (deployments: ReadonlyArray<Deployment>) => deployments.map(({ id }) => id)

const tellPool = (
  { environment: { events }, plan: { group: { model } }, wallNow: at }: Attempt,
  { joined, left, pool: { name: pool } }: PoolChange
): void => {
  if (!events.hasTroubleListeners) return
  events.emit<PoolChanged>({ _tag: "PoolChanged", at, model, pool, joined: idsOf(joined), left: idsOf(left) })
}
