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
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import type { AnswerFacts } from "../attempt/AnswerFacts.ts"
import type { Batch } from "../attempt/EventStream.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import type { AttemptEnded, AttemptRole, RequestEnded } from "../Event.ts"
import type { Usage } from "../LoadBalancerError.ts"
import type { LlmRequest } from "../request/LlmRequest.ts"
import { CapturedOutput, inputOf } from "./Content.ts"
import { attributes as names } from "./Names.ts"
import { operationName, providerName } from "./Semantics.ts"
import type { AttemptTrace, Incident, RequestTrace, Trace } from "./Trace.ts"

/** What spans are to hold and to do. */
export interface SpanOptions {
  /** Whether prompts and completions are attributes. */
  readonly captureContent: boolean
  /** Whether requests to the service carry `traceparent`. */
  readonly propagate: boolean
  /** Whether the names of the GenAI conventions in development are used. */
  readonly isLatest: boolean
}

/** Begins spans where the caller's fiber has a tracer other than Effect's own, which nobody reads. */
export const make = (clock: Clock, options: SpanOptions): Trace => (request, model, deployments, caller) => {
  const tracer = Context.get(caller, Tracer.Tracer)
  if (tracer === Tracer.nativeTracer) return undefined
  const parent = Option.filter(
    Context.getOption(caller, Tracer.ParentSpan),
    (span) => !Context.get(span.annotations, Tracer.DisablePropagation)
  )
  const name = operationName(request.operation)
  const asked = request.model ?? "*"
  const span = tracer.span({
    // paths have ids in them, of which there are many
    name: name === undefined ? (request.model === undefined ? "request" : `request ${asked}`) : `${name} ${asked}`,
    parent,
    annotations: Context.empty(),
    links: [],
    startTime: clock.currentTimeNanosUnsafe(),
    kind: "client",
    // without one of Effect's, a tracer of OpenTelemetry finds the span that is active
    root: false,
    sampled: Option.match(parent, { onNone: () => true, onSome: ({ sampled }) => sampled })
  })
  const trace = new RequestSpan(tracer, clock, options, span, request)
  if (span.sampled) trace.begin(model, deployments)
  return trace
}

/** What an error says of itself in a span: nothing that the service or the caller wrote. */
class Described extends Error {
  constructor(type: string, message: string) {
    super(message)
    this.name = type
    delete (this as { stack?: string }).stack
  }
}

const failed = (type: string, message: string): Exit.Exit<never, Error> => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  const error = new Described(type, message)
  Error.stackTraceLimit = limit
  return Exit.fail(error)
}

const interrupted = Exit.failCause(Cause.interrupt())

class RequestSpan implements RequestTrace {
  private readonly tracer: Tracer.Tracer
  private readonly clock: Clock
  private readonly options: SpanOptions
  private readonly span: Tracer.Span
  private readonly request: LlmRequest
  private readonly output: CapturedOutput | undefined

  constructor(tracer: Tracer.Tracer, clock: Clock, options: SpanOptions, span: Tracer.Span, request: LlmRequest) {
    this.tracer = tracer
    this.clock = clock
    this.options = options
    this.span = span
    this.request = request
    this.output = options.captureContent && span.sampled && request.operation !== "other"
      ? new CapturedOutput()
      : undefined
  }

  private get isSampled(): boolean {
    return this.span.sampled
  }

  begin(model: string, deployments: ReadonlyArray<Deployment>): void {
    const { request, span } = this
    const { traits } = request
    const operation = operationName(request.operation)
    const provider = deployments[0]?.place.provider
    if (operation !== undefined) span.attribute(names.operation, operation)
    if (provider !== undefined) span.attribute(names.provider, providerName(provider))
    if (request.model !== undefined) span.attribute(names.model, model)
    if (provider === "azure") span.attribute("azure.resource_provider.namespace", "Microsoft.CognitiveServices")
    if (request.stream) span.attribute("gen_ai.request.stream", true)
    if (request.operation === "responses") span.attribute("openai.api.type", "responses")
    else if (request.operation === "chat") span.attribute("openai.api.type", "chat_completions")
    for (const trait in traits) {
      const name = traitAttributes[trait]
      if (name === undefined || (trait === "n" && traits[trait] === 1)) continue
      const value = traits[trait]
      span.attribute(name, trait === "format" ? outputTypeOf(value) : trait === "encoding_format" ? [value] : value)
    }
    if (request.session !== undefined) span.attribute("evenkeel.session.id", request.session)
    if (this.output !== undefined) {
      for (const [name, value] of inputOf(request)) span.attribute(name, value)
    }
  }

  attempt(deployment: Deployment, role: AttemptRole, number: number): AttemptTrace {
    const { place } = deployment
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
    if (span.sampled) {
      span.attribute(names.deployment, deployment.id)
      span.attribute(names.resource, place.resource)
      if (place.region !== undefined) span.attribute(names.region, place.region)
      span.attribute(names.tier, place.tier)
      span.attribute(names.role, role)
      span.attribute("http.request.method", this.request.method)
      if (number > 1) span.attribute("http.request.resend_count", number - 1)
      span.attribute(names.serverAddress, place.address)
      span.attribute(names.serverPort, place.port)
    }
    const headers = this.options.propagate ? { traceparent: traceparentOf(span) } : undefined
    const { output } = this
    return {
      span,
      headers,
      committed: () => {
        if (!this.isSampled) return
        this.event("evenkeel.commit", { [names.deployment]: deployment.id })
      },
      content: output === undefined ?
        undefined :
        (content: Batch | Readonly<Record<string, unknown>>) => output.take(content),
      ended: (event) => this.attemptEnded(span, event)
    }
  }

  happened(incident: Incident): void {
    if (!this.isSampled) return
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
    const at = this.clock.currentTimeNanosUnsafe()
    const { answer, attempts, deployment, firstByte, limitedBy, outcome, place, placement, usage } = event
    if (this.isSampled) {
      if (place !== undefined) {
        // where several providers serve a model, the one that answered
        span.attribute(names.provider, providerName(place.provider))
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
      if (usage !== undefined) this.billed(usage)
      if (this.output !== undefined) {
        for (const [name, value] of this.output.attributes()) span.attribute(name, value)
      }
    }
    if (outcome === "success") return span.end(at, Exit.void)
    if (outcome === "interrupted") return span.end(at, interrupted)
    span.attribute(names.errorType, outcome)
    const why = limitedBy === undefined ? "" : `, limited by ${limitedBy}`
    span.end(at, failed(outcome, `${outcome} after ${attempts} attempts${why}`))
  }

  private answered({ fingerprint, finishReasons, id, model, serviceTier }: AnswerFacts, provider?: string): void {
    const { span } = this
    if (id !== undefined) span.attribute("gen_ai.response.id", id)
    if (model !== undefined) span.attribute(names.responseModel, model)
    if (finishReasons.length > 0) span.attribute("gen_ai.response.finish_reasons", finishReasons)
    if (provider !== "openai") return
    if (serviceTier !== undefined) span.attribute("openai.response.service_tier", serviceTier)
    if (fingerprint !== undefined) span.attribute("openai.response.system_fingerprint", fingerprint)
  }

  private billed(usage: Usage): void {
    const { span } = this
    const write = this.options.isLatest
      ? "gen_ai.usage.cache_write.input_tokens"
      : "gen_ai.usage.cache_creation.input_tokens"
    span.attribute("gen_ai.usage.input_tokens", usage.promptTokens)
    span.attribute("gen_ai.usage.output_tokens", usage.completionTokens)
    span.attribute("gen_ai.usage.cache_read.input_tokens", usage.cachedTokens)
    if (usage.cacheWriteTokens > 0) span.attribute(write, usage.cacheWriteTokens)
    if (usage.reasoningTokens > 0) span.attribute("gen_ai.usage.reasoning.output_tokens", usage.reasoningTokens)
  }

  private attemptEnded(span: Tracer.Span, { attempt, cost, firstByte, limits, usage }: AttemptEnded): void {
    const at = this.clock.currentTimeNanosUnsafe()
    const { errorType, outcome, reason, requestIds, status } = attempt
    if (span.sampled) {
      span.attribute(names.outcome, outcome)
      if (status !== undefined) span.attribute("http.response.status_code", status)
      if (requestIds.length > 0) span.attribute("evenkeel.request_ids", requestIds)
      if (firstByte !== undefined) span.attribute("evenkeel.time_to_first_byte", firstByte / 1000)
      if (limits !== undefined) {
        for (const limit in limitAttributes) {
          const value = limits[limit as keyof typeof limitAttributes]
          if (value !== undefined) span.attribute(limitAttributes[limit as keyof typeof limitAttributes], value)
        }
      }
      if (usage !== undefined) {
        span.attribute("gen_ai.usage.input_tokens", usage.promptTokens)
        span.attribute("gen_ai.usage.output_tokens", usage.completionTokens)
      }
      if (cost !== undefined) span.attribute("evenkeel.cost", cost)
    }
    if (outcome === "success") return span.end(at, Exit.void)
    span.attribute("evenkeel.reason", reason)
    if (outcome === "abandoned" || errorType === undefined) return span.end(at, interrupted)
    span.attribute(names.errorType, errorType)
    span.end(at, failed(errorType, `${outcome}: ${errorType}`))
  }

  private event(name: string, attributes: Record<string, unknown>): void {
    this.span.event(name, this.clock.currentTimeNanosUnsafe(), attributes)
  }
}

const traitAttributes: Readonly<Record<string, string>> = {
  max_tokens: "gen_ai.request.max_tokens",
  max_completion_tokens: "gen_ai.request.max_tokens",
  max_output_tokens: "gen_ai.request.max_tokens",
  temperature: "gen_ai.request.temperature",
  top_p: "gen_ai.request.top_p",
  frequency_penalty: "gen_ai.request.frequency_penalty",
  presence_penalty: "gen_ai.request.presence_penalty",
  seed: "gen_ai.request.seed",
  n: "gen_ai.request.choice.count",
  reasoning_effort: "gen_ai.request.reasoning.level",
  service_tier: "openai.request.service_tier",
  dimensions: "gen_ai.embeddings.dimension.count",
  encoding_format: "gen_ai.request.encoding_formats",
  format: "gen_ai.output.type",
  conversation: "gen_ai.conversation.id"
}

const outputTypeOf = (format: unknown): string => format === "text" ? "text" : "json"

const limitAttributes = {
  limitTokens: "evenkeel.ratelimit.limit_tokens",
  remainingTokens: "evenkeel.ratelimit.remaining_tokens",
  limitRequests: "evenkeel.ratelimit.limit_requests",
  remainingRequests: "evenkeel.ratelimit.remaining_requests",
  utilisation: "evenkeel.ratelimit.utilization",
  spilled: "evenkeel.ratelimit.spilled"
} as const

/** W3C Trace Context, level 1. */
const traceparentOf = ({ sampled, spanId, traceId }: Tracer.AnySpan): string =>
  `00-${traceId.padStart(32, "0")}-${spanId.padStart(16, "0")}-${sampled ? "01" : "00"}`
