/**
 * The one error of the balancer: a tagged `reason`, and every attempt that was made.
 *
 * **Example** (Handling one reason)
 *
 * ```ts
 * lb.chat(params).pipe(
 *   Effect.catchReason("LoadBalancerError", "Throttled", (reason) => Effect.sleep(reason.retryAfter))
 * )
 * ```
 *
 * No key or token of ours is in it. A refusal's `body` is the service's own, which may repeat what it was asked.
 */
import * as Data from "effect/Data"

/**
 * What a stream had delivered when it broke.
 */
export interface Delivered {
  /** Events that reached the caller. */
  readonly events: number
  /** Tokens billed, where the service had said so before the end. */
  readonly usage: Usage | undefined
}

/**
 * Tokens of one answer as the service billed them. Cached tokens are part of the prompt, reasoning tokens of the
 * completion.
 */
export interface Usage {
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly cacheWriteTokens: number
  readonly completionTokens: number
  readonly reasoningTokens: number
}

/**
 * Stage of an attempt that has a time limit.
 *
 * - `connect`: name, TCP and TLS.
 * - `first-event`: a streamed answer's headers and first event.
 * - `first-content`: a streamed answer's first content.
 * - `idle`: between two events after that.
 * - `answer`: of an answer, or a stream's content, nothing was heard for several times as long as the slowest of its peers
 *   take, while another deployment could be asked. Only once a request. A whole answer's is held against nobody, a stream's against its deployment
 *   where a peer answered lately.
 * - `total`: the whole request, over all attempts.
 */
export type TimeoutStage = "connect" | "first-event" | "first-content" | "idle" | "answer" | "total"

/**
 * One attempt as it ended. Durations are milliseconds.
 */
export interface AttemptSummary {
  /** `resource/deployment`. */
  readonly deployment: string
  readonly outcome: "success" | "throttled" | "failed" | "refused" | "abandoned"
  /** Why, in few words: `http 503`, `reset`, `timeout first-event`, `rate_limit_exceeded`. */
  readonly reason: string
  /**
   * The same as one word of few, for metrics: the status of an answer (`503`), `timeout_first-event` and its like, `dns`,
   * `connect`, `tls`, `reset`, `protocol`, `credential`, `error-event` inside a 200, or the service's own code of a refusal.
   * `undefined` where it succeeded or was abandoned.
   */
  readonly errorType: string | undefined
  readonly status: number | undefined
  /** `x-request-id` and `apim-request-id`, for the service's support. */
  readonly requestIds: ReadonlyArray<string>
  readonly duration: number
}

/** One mistake in a configuration. */
export interface ConfigIssue {
  /** Where it is, such as `resources[0].deployments[1].tpm`; empty for the configuration as a whole. */
  readonly path: string
  /** What was found and what would be right. */
  readonly message: string
}

/** The configuration is wrong. Every mistake is listed. */
export class InvalidConfig extends Data.TaggedError("InvalidConfig")<{
  /** Where it came from: `the given object`, the name of a file or of a variable. */
  readonly source: string
  readonly issues: ReadonlyArray<ConfigIssue>
}> {
  override get message(): string {
    const lines = this.issues.map(({ message, path }) => `  - ${path === "" ? message : `${path}: ${message}`}`)
    return `The configuration from ${this.source} is not valid:\n${lines.join("\n")}`
  }
}

/** No deployment serves this model for this operation. */
export class UnknownModel extends Data.TaggedError("UnknownModel")<{
  readonly model: string
  /** Models that are served. */
  readonly known: ReadonlyArray<string>
  /** Models of the deployments that have this name, where they are several. */
  readonly meant: ReadonlyArray<string>
}> {
  override get message(): string {
    const none = `No deployment serves the model "${this.model}"`
    if (this.meant.length === 0) return `${none}. Served: ${this.known.join(", ") || "none"}.`
    const models = this.meant.map((model) => `"${model}"`).join(" or ")
    return `${none}; deployments of that name serve several, so ask for ${models}.`
  }
}

/** What ended the search for a deployment that answers. */
export type LimitedBy =
  | "attempts"
  | "budget"
  | "waiting"
  | "told"
  | "denied"
  | "side-effects"
  | "no-deployment"
  | "missing"
  | "schedule"
  | "closed"

const limitedByText: Readonly<Record<LimitedBy, string>> = {
  attempts: "all attempts were used",
  budget: "the retry budget is spent",
  waiting: "too many were waiting before it",
  told: "every deployment that is left asked it to come back later",
  denied: "the credential of what is left may not do this",
  "side-effects": "it may have been processed, and sending it again could repeat its side effects",
  "no-deployment": "no deployment is left to try",
  missing: "the service knows no such deployment, or no such model; check the name and the configuration",
  schedule: "the failover schedule ended",
  closed: "the load balancer was closed"
}

/** Every deployment is over its quota or told to wait; or the last attempt was, and no more could be made. */
export class Throttled extends Data.TaggedError("Throttled")<{
  readonly model: string
  /** Milliseconds until the first deployment may be back. */
  readonly retryAfter: number
  /** What ended the search, where a deployment was left that may not have been throttled. */
  readonly limitedBy: LimitedBy | undefined
}> {
  override get message(): string {
    const wait = seconds(this.retryAfter)
    return this.limitedBy === undefined
      ? `Every deployment of "${this.model}" is throttled; the first may be back in ${wait}.`
      : `The request to "${this.model}" was throttled, and ${limitedByText[this.limitedBy]}; try again in ${wait}.`
  }
}

/** No deployment answered. */
export class Unavailable extends Data.TaggedError("Unavailable")<{
  readonly model: string
  readonly limitedBy: LimitedBy
  /** Milliseconds after which a service said that it may be back, where one did. */
  readonly retryAfter?: number | undefined
}> {
  override get message(): string {
    const which = this.model === "" ? "" : ` of "${this.model}"`
    const wait = this.retryAfter === undefined ? "" : `; try again in ${seconds(this.retryAfter)}`
    return `No deployment${which} answered: ${limitedByText[this.limitedBy]}${wait}.`
  }
}

/** This request was refused for what it says: by the service, as it would be anywhere, or by the balancer, unsent. */
export class Rejected extends Data.TaggedError("Rejected")<{
  readonly status: number
  readonly code: string | undefined
  /** The service's own message, in whatever form its body has it, else the body's first words; or the balancer's. */
  readonly description: string
  /** The service's body as it came, parsed where it was JSON. */
  readonly body: unknown
  /** The same unparsed, where it is that of an answer, and not of an event in a stream. */
  readonly text?: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly by: "service" | "balancer"
}> {
  override get message(): string {
    if (this.by === "balancer") return this.description
    const code = this.code === undefined ? "" : ` (${this.code})`
    const words = this.description === "" ? ", without a word." : `: ${this.description}`
    const cure = this.status === 401 ? " Check the resource's `apiKey` or `auth`." : ""
    return `The service refused the request with status ${this.status}${code}${words}${cure}`
  }
}

/** The service's content filter refused the prompt. */
export class ContentFiltered extends Data.TaggedError("ContentFiltered")<{
  readonly status: number
  readonly code: string | undefined
  readonly description: string
  readonly body: unknown
  /** The body unparsed, where it is that of an answer, and not of an event in a stream. */
  readonly text?: string | undefined
  readonly headers: Readonly<Record<string, string>>
}> {
  override get message(): string {
    return `The content filter refused the prompt: ${this.description}`
  }
}

/** A time limit passed. */
export class TimedOut extends Data.TaggedError("TimedOut")<{
  readonly model: string
  readonly stage: TimeoutStage
  /** The limit, in milliseconds. */
  readonly limit: number
}> {
  override get message(): string {
    return `The request to "${this.model}" passed its limit of ${seconds(this.limit)} (${this.stage}).`
  }
}

/** A stream broke after its first content had reached the caller. Nothing is spliced: what came, came from one answer. */
export class StreamInterrupted extends Data.TaggedError("StreamInterrupted")<{
  readonly deployment: string
  /** What broke it, in few words. */
  readonly why: string
  readonly delivered: Delivered
  /** The service's own error, where it sent one. */
  readonly body: unknown
}> {
  override get message(): string {
    return `The stream of ${this.deployment} broke after ${this.delivered.events} events: ${this.why}.`
  }
}

/** Why a request failed. */
export type LoadBalancerErrorReason =
  | InvalidConfig
  | UnknownModel
  | Throttled
  | Unavailable
  | Rejected
  | ContentFiltered
  | TimedOut
  | StreamInterrupted

const inspectKey = Symbol.for("nodejs.util.inspect.custom")

/**
 * Error of every door of the balancer.
 */
export class LoadBalancerError extends Data.TaggedError("LoadBalancerError")<{
  readonly reason: LoadBalancerErrorReason
  readonly attempts: ReadonlyArray<AttemptSummary>
}> {
  constructor(fields: {
    readonly reason: LoadBalancerErrorReason
    readonly attempts: ReadonlyArray<AttemptSummary>
  }) {
    super(fields)
    // a reason is a value that nobody throws: where it was made says nothing, and Node would print it all twice
    fields.reason.stack = fields.reason._tag
  }

  override get message(): string {
    if (this.attempts.length === 0) return this.reason.message
    return `${this.reason.message} Attempts: ${this.attempts.map(describeAttempt).join("; ")}.`
  }

  /** Printed once: the message says all that the fields would say again. */
  [inspectKey](): string {
    return this.stack ?? `${this.name}: ${this.message}`
  }
}

/** The error of a configuration source, with all its mistakes. */
export const invalidConfig = (source: string, issues: ReadonlyArray<ConfigIssue>): LoadBalancerError =>
  new LoadBalancerError({ reason: new InvalidConfig({ source, issues }), attempts: [] })

const describeAttempt = (attempt: AttemptSummary): string => {
  const ids = attempt.requestIds.length === 0 ? "" : ` [${attempt.requestIds.join(", ")}]`
  return `${attempt.deployment} ${attempt.outcome} (${attempt.reason}) after ${seconds(attempt.duration)}${ids}`
}

const seconds = (millis: number): string => `${Math.round(millis) / 1000} s`
