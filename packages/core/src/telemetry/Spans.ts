/**
 * Requests and attempts as spans, through whichever tracer the caller's fiber has.
 *
 * One client span a request, one child for each attempt. A failure that was recovered marks its attempt and not the
 * request; an interruption is no error. (GenAI and HTTP conventions of OpenTelemetry; docs/observability.md.)
 */
import * as Cause from "effect/Cause"
import type { Clock } from "effect/Clock"
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import type { AnswerFacts } from "../attempt/AnswerFacts.ts"
import type { AttemptTrace } from "../attempt/AttemptTrace.ts"
import type { Batch } from "../attempt/SseReader.ts"
import type { Incident, RequestTrace, Trace } from "../balancer/CallTrace.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import type { Usage } from "../Errors.ts"
import type { AttemptEnded, AttemptRole, RequestEnded } from "../Event.ts"
import { ignoreThrows } from "../IgnoreThrows.ts"
import type { LlmRequest } from "../request/LlmRequest.ts"
import { CapturedOutput, inputOf } from "./Content.ts"
import { attributes as names } from "./Names.ts"
import { operationName, providerName } from "./Semantics.ts"

/** What spans are to hold and to do. */
export interface SpanOptions {
  /** Whether prompts and completions are attributes. */
  readonly captureContent: boolean
  /** Whether requests to the service carry `traceparent`. */
  readonly propagate: boolean
  /** Whether the names of the GenAI conventions in development are used. */
  readonly isLatest: boolean
}

/**
 * Begins spans where the caller's fiber wants them, and has a tracer other than Effect's own, which nobody reads; else with
 * the one that the balancer was given.
 */
export const make =
  (clock: Clock, options: SpanOptions, given: Tracer.Tracer): Trace => (request, model, deployments, caller) => {
    const asked = Context.get(caller, Tracer.Tracer)
    const tracer = asked === Tracer.nativeTracer ? given : asked
    if (tracer === Tracer.nativeTracer || !Context.get(caller, References.TracerEnabled)) return undefined
    // as Effect's own HTTP client has it
    if (Context.get(caller, Tracer.DisablePropagation)) return undefined
    const parent = propagated(Context.getOrUndefined(caller, Tracer.ParentSpan)) ?? received(request)
    const trace = new RequestSpan(tracer, clock, options, request, {
      name: nameOf(request),
      parent: Option.fromUndefinedOr(parent),
      annotations: Context.empty(),
      links: [...Context.get(caller, References.TracerSpanLinks)],
      startTime: clock.currentTimeNanosUnsafe(),
      kind: "client",
      // without one of Effect's, a tracer of OpenTelemetry finds the span that is active
      root: false,
      sampled: parent?.sampled !== false && isTraced(caller)
    })
    trace.begin(model, deployments, Context.get(caller, References.TracerSpanAnnotations))
    return trace
  }

/** The nearest span that may have children: Effect itself skips those that were made where tracing is off. */
const propagated = (span: Tracer.AnySpan | undefined): Tracer.AnySpan | undefined => {
  let found = span
  while (found !== undefined && Context.get(found.annotations, Tracer.DisablePropagation)) {
    found = found._tag === "Span" ? Option.getOrUndefined(found.parent) : undefined
  }
  return found
}

/** Where the caller's fiber has no span, that of the headers which came by a fetch. (W3C Trace Context, level 1.) */
const received = ({ headers }: LlmRequest): Tracer.ExternalSpan | undefined => {
  const given = headers?.["traceparent"]
  if (given === undefined) return undefined
  const [, traceId, spanId, flags] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(given) ?? []
  if (traceId === undefined || spanId === undefined || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  return Tracer.externalSpan({ traceId, spanId, sampled: (Number.parseInt(flags!, 16) & 1) === 1 })
}

const isTraced = (caller: Context.Context<never>): boolean =>
  !LogLevel.isGreaterThan(
    Context.get(caller, Tracer.MinimumTraceLevel),
    Context.get(caller, Tracer.CurrentTraceLevel)
  )

/** What is asked of which model; paths are not named, because they have ids in them, of which there are many. */
const nameOf = ({ model, operation }: LlmRequest): string => {
  const name = operationName(operation) ?? "request"
  return model === undefined ? name : `${name} ${model}`
}

/** What an error says of itself in a span: nothing that the service or the caller wrote. */
class Described extends Error {
  readonly _tag = "Described"

  constructor(type: string, message: string) {
    super(message)
    this.name = type
    delete (this as { stack?: string }).stack
  }
}

const failed = (type: string, message: string): Exit.Exit<never, Described> => Exit.fail(new Described(type, message))

const interrupted = Exit.failCause(Cause.interrupt())

/** A tracer that throws is asked for the next thing all the same, above all for the end of its span. */
class RequestSpan implements RequestTrace {
  private readonly tracer: Tracer.Tracer
  private readonly clock: Clock
  private readonly options: SpanOptions
  private readonly span: Tracer.Span
  private readonly request: LlmRequest
  private sends = 0
  /** What was answered, by the deployment that did: a request may be under way at two of them. */
  private readonly outputs: Map<string, CapturedOutput> | undefined

  constructor(
    tracer: Tracer.Tracer,
    clock: Clock,
    options: SpanOptions,
    request: LlmRequest,
    span: Parameters<Tracer.Tracer["span"]>[0]
  ) {
    this.tracer = tracer
    this.clock = clock
    this.options = options
    this.request = request
    this.span = tracer.span(span)
    const hasContent = request.operation === "chat" || request.operation === "responses"
    this.outputs = options.captureContent && hasContent && this.span.sampled ? new Map() : undefined
  }

  begin(
    model: string,
    deployments: ReadonlyArray<Deployment>,
    annotations: Readonly<Record<string, unknown>>
  ): void {
    const { request, span } = this
    if (!span.sampled) return
    ignoreThrows(() => {
      for (const name in annotations) span.attribute(name, annotations[name])
      const operation = operationName(request.operation)
      if (operation !== undefined) span.attribute(names.operation, operation)
      if (request.model !== undefined) span.attribute(names.model, model)
      if (request.stream) span.attribute("gen_ai.request.stream", true)
      this.servedBy(deployments[0]?.place.provider)
      const { traits } = request
      for (const trait in traits) {
        const [name, read] = traitAttributes[trait] ?? []
        const value = read?.(traits[trait])
        if (name !== undefined && value !== undefined) span.attribute(name, value)
      }
      if (request.session !== undefined) span.attribute("evenkeel.session.id", request.session)
    })
    if (this.outputs === undefined) return
    ignoreThrows(() => {
      for (const [name, value] of inputOf(request)) span.attribute(name, value)
    })
  }

  /** Where several providers serve a model, it is the one that answered, in the end. */
  private servedBy(provider: Deployment["place"]["provider"] | undefined): void {
    const { request: { operation, traits }, span } = this
    if (provider === undefined) return
    span.attribute(names.provider, providerName(provider))
    if (provider === "azure") {
      span.attribute("azure.resource_provider.namespace", "Microsoft.CognitiveServices")
      return
    }
    if (operation === "responses") span.attribute("openai.api.type", "responses")
    else if (operation === "chat") span.attribute("openai.api.type", "chat_completions")
    const tier = word(traits?.["service_tier"])
    if (tier !== undefined && tier !== "auto") span.attribute("openai.request.service_tier", tier)
  }

  attempt(deployment: Deployment, role: AttemptRole): AttemptTrace {
    const { place } = deployment
    const resends = this.sends++
    // what is not kept needs no span of its own, unless someone else is told of it
    if (!this.span.sampled && !this.options.propagate) return { ...unsampled, span: this.span }
    const span = this.tracer.span({
      name: `attempt ${deployment.id}`,
      parent: Option.some(this.span),
      annotations: Context.empty(),
      links: [],
      startTime: this.clock.currentTimeNanosUnsafe(),
      kind: "client",
      root: false,
      sampled: this.span.sampled
    })
    ignoreThrows(() => {
      if (!span.sampled) return
      span.attribute(names.deployment, deployment.id)
      span.attribute(names.resource, place.resource)
      if (place.region !== undefined) span.attribute(names.region, place.region)
      span.attribute(names.tier, place.tier)
      span.attribute(names.role, role)
      if (this.request.model !== undefined) span.attribute(names.model, this.request.model)
      span.attribute("http.request.method", this.request.method)
      if (resends > 0) span.attribute("http.request.resend_count", resends)
      span.attribute(names.serverAddress, place.address)
      span.attribute(names.serverPort, place.port)
    })
    const headers = this.options.propagate ? ignoreThrows(() => propagationOf(span)) : undefined
    const output = this.outputs === undefined ? undefined : new CapturedOutput()
    if (output !== undefined) this.outputs?.set(deployment.id, output)
    return {
      span,
      headers,
      committed: () => this.event("evenkeel.commit", { [names.deployment]: deployment.id }),
      content: output && ((content: Batch | Readonly<Record<string, unknown>>) => output.take(content)),
      ended: (event) => this.attemptEnded(span, event)
    }
  }

  happened(incident: Incident): void {
    switch (incident._tag) {
      case "FailedOver":
        return this.event("evenkeel.failover", {
          [names.deployment]: incident.from,
          [names.errorType]: incident.errorType,
          "evenkeel.delay": incident.delay / 1000
        })
      case "Waiting":
        return this.event("evenkeel.wait", { "evenkeel.delay": incident.delay / 1000 })
      case "Hedged":
        return this.event("evenkeel.hedge", {
          [names.deployment]: incident.deployment,
          "evenkeel.delay": incident.after / 1000
        })
      case "Panicked":
        return this.event("evenkeel.panic", { [names.deployment]: incident.deployment })
      case "SessionMoved":
        return this.event("evenkeel.session.moved", {
          "evenkeel.session.from": incident.from,
          "evenkeel.session.to": incident.to,
          [names.moveReason]: incident.reason
        })
    }
  }

  ended(event: RequestEnded): void {
    const { span } = this
    const { attempts, limitedBy, outcome } = event
    ignoreThrows(() => {
      if (span.sampled) this.describe(event)
    })
    const at = this.clock.currentTimeNanosUnsafe()
    if (outcome === "success") return span.end(at, Exit.void)
    if (outcome === "interrupted") return span.end(at, interrupted)
    ignoreThrows(() => span.attribute(names.errorType, outcome))
    const why = limitedBy === undefined ? "" : `, limited by ${limitedBy}`
    const count = attempts === 1 ? "1 attempt" : `${attempts} attempts`
    span.end(at, failed(outcome, `${outcome} after ${count}${why}`))
  }

  private describe(event: RequestEnded): void {
    const { span } = this
    const { answer, attempts, deployment, firstByte, limitedBy, place, placement, usage } = event
    if (place !== undefined) {
      this.servedBy(place.provider)
      span.attribute(names.serverAddress, place.address)
      span.attribute(names.serverPort, place.port)
      if (place.region !== undefined) span.attribute(names.region, place.region)
    }
    if (deployment !== undefined) span.attribute(names.deployment, deployment)
    if (placement !== undefined) span.attribute(names.session, placement)
    if (limitedBy !== undefined) span.attribute(names.limitedBy, limitedBy)
    span.attribute("evenkeel.attempts", attempts)
    if (event.waited > 0) span.attribute("evenkeel.waited", event.waited / 1000)
    if (event.streamed && firstByte !== undefined) {
      span.attribute("gen_ai.response.time_to_first_chunk", firstByte / 1000)
    }
    if (answer !== undefined) this.answered(answer, place?.provider)
    if (usage !== undefined) this.billed(span, usage)
    const output = deployment === undefined ? undefined : this.outputs?.get(deployment)
    if (output === undefined) return
    for (const [name, value] of output.attributes()) span.attribute(name, value)
  }

  private answered({ fingerprint, finishReasons, id, model, serviceTier }: AnswerFacts, provider?: string): void {
    const { span } = this
    if (id !== undefined) span.attribute("gen_ai.response.id", id)
    if (model !== undefined) span.attribute(names.responseModel, model)
    if (finishReasons.length > 0) span.attribute("gen_ai.response.finish_reasons", finishReasons)
    if (provider === "azure") return
    if (serviceTier !== undefined) span.attribute("openai.response.service_tier", serviceTier)
    if (fingerprint !== undefined) span.attribute("openai.response.system_fingerprint", fingerprint)
  }

  private billed(span: Tracer.Span, usage: Usage): void {
    span.attribute("gen_ai.usage.input_tokens", usage.promptTokens)
    // vectors are billed by what they are of
    if (this.request.operation === "embeddings") return
    const write = this.options.isLatest
      ? "gen_ai.usage.cache_write.input_tokens"
      : "gen_ai.usage.cache_creation.input_tokens"
    span.attribute("gen_ai.usage.output_tokens", usage.completionTokens)
    span.attribute("gen_ai.usage.cache_read.input_tokens", usage.cachedTokens)
    if (usage.cacheWriteTokens > 0) span.attribute(write, usage.cacheWriteTokens)
    if (usage.reasoningTokens > 0) span.attribute("gen_ai.usage.reasoning.output_tokens", usage.reasoningTokens)
  }

  private attemptEnded(span: Tracer.Span, event: AttemptEnded): void {
    const { errorType, outcome } = event.attempt
    ignoreThrows(() => {
      if (span.sampled) this.describeAttempt(span, event)
    })
    const at = this.clock.currentTimeNanosUnsafe()
    if (outcome === "success") return span.end(at, Exit.void)
    if (outcome === "abandoned" || errorType === undefined) return span.end(at, interrupted)
    ignoreThrows(() => span.attribute(names.errorType, errorType))
    span.end(at, failed(errorType, `${outcome}: ${errorType}`))
  }

  private describeAttempt(span: Tracer.Span, { attempt, cost, firstByte, limits, usage }: AttemptEnded): void {
    const { outcome, reason, requestIds, status } = attempt
    span.attribute(names.outcome, outcome)
    if (outcome !== "success") span.attribute(names.reason, reason)
    if (status !== undefined) span.attribute("http.response.status_code", status)
    if (requestIds.length > 0) span.attribute("evenkeel.request_ids", requestIds)
    if (firstByte !== undefined) span.attribute("evenkeel.time_to_first_byte", firstByte / 1000)
    for (const limit of limitNames) {
      const value = limits?.[limit]
      if (value !== undefined) span.attribute(limitAttributes[limit], value)
    }
    // of an answer the request tells it; what an attempt that lost was billed, nobody else does
    if (usage !== undefined && outcome !== "success") this.billed(span, usage)
    if (cost !== undefined) span.attribute("evenkeel.cost", cost)
  }

  private event(name: string, attributes: Record<string, unknown>): void {
    if (this.span.sampled) this.span.event(name, this.clock.currentTimeNanosUnsafe(), attributes)
  }
}

const unsampled = { headers: undefined, committed: () => {}, content: undefined, ended: () => {} }

const number = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) ? value : undefined

/** A name or an id; no sentence. */
const word = (value: unknown): string | undefined =>
  typeof value === "string" && /^[\w.:-]{1,128}$/.test(value) ? value : undefined

type Read = (value: unknown) => unknown

const traitAttributes: Readonly<Record<string, readonly [name: string, read: Read]>> = {
  max_tokens: ["gen_ai.request.max_tokens", number],
  max_completion_tokens: ["gen_ai.request.max_tokens", number],
  max_output_tokens: ["gen_ai.request.max_tokens", number],
  temperature: ["gen_ai.request.temperature", number],
  top_p: ["gen_ai.request.top_p", number],
  frequency_penalty: ["gen_ai.request.frequency_penalty", number],
  presence_penalty: ["gen_ai.request.presence_penalty", number],
  seed: ["gen_ai.request.seed", number],
  n: ["gen_ai.request.choice.count", (value) => value === 1 ? undefined : number(value)],
  reasoning_effort: ["gen_ai.request.reasoning.level", word],
  dimensions: ["gen_ai.embeddings.dimension.count", number],
  encoding_format: ["gen_ai.request.encoding_formats", (value) => word(value) && [value]],
  format: ["gen_ai.output.type", (value) => outputTypes.get(value)],
  conversation: ["gen_ai.conversation.id", word]
}

const outputTypes: ReadonlyMap<unknown, string> = new Map([
  ["text", "text"],
  ["json_object", "json"],
  ["json_schema", "json"]
])

const limitAttributes = {
  remainingTokens: "evenkeel.ratelimit.remaining_tokens",
  remainingRequests: "evenkeel.ratelimit.remaining_requests",
  utilisation: "evenkeel.ratelimit.utilization",
  spilled: "evenkeel.ratelimit.spilled"
} as const

const limitNames = Object.keys(limitAttributes) as ReadonlyArray<keyof typeof limitAttributes>

/** W3C Trace Context, level 1; a span whose ids are none of its own is not passed on. */
const propagationOf = ({ sampled, spanId, traceId }: Tracer.AnySpan): AttemptTrace["headers"] => {
  const trace = traceId.padStart(32, "0")
  const isValid = /^[0-9a-f]{32}$/.test(trace) && /^[0-9a-f]{16}$/.test(spanId)
  return isValid ? { traceparent: `00-${trace}-${spanId}-${sampled ? "01" : "00"}` } : undefined
}
