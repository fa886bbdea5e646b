/**
 * One attempt: what it is to do, and what became of it. `Attempt` writes it; settlement, verdicts, failing over and
 * telemetry read it.
 */
import type { Clock } from "effect/Clock"
import type { TimeoutsConfig } from "../config/Config.ts"
import type { Prices } from "../config/Prices.ts"
import type { Cooldown } from "../deployment/Cooldown.ts"
import type { Deployment, Permit } from "../deployment/Deployment.ts"
import type { Model } from "../deployment/Model.ts"
import type { RateLimits } from "../deployment/RateLimitHeaders.ts"
import type { AttemptSummary, Usage } from "../Errors.ts"
import type { EventHub } from "../EventHub.ts"
import type { LlmRequest } from "../request/LlmRequest.ts"
import type { SessionPlacement } from "../routing/SessionPlacement.ts"
import { monotonicMillis } from "../Time.ts"
import type { Transport, TransportResponse } from "../transport/Transport.ts"
import type { AnswerReader } from "./AnswerFacts.ts"
import type { AttemptRole } from "./AttemptEvent.ts"
import type { AttemptTrace } from "./AttemptTrace.ts"
import type { Deadlines } from "./Deadlines.ts"
import * as Outcome from "./Outcome.ts"

/** What every attempt of a balancer shares. */
export interface AttemptEnvironment {
  readonly transport: Transport["Service"]
  readonly clock: Clock
  readonly random: () => number
  readonly events: EventHub
  readonly deadlines: Deadlines
  readonly prices: Prices["Service"]
  /** Told of each piece of a stream. */
  readonly onChunks: OnChunks | undefined
}

/** Told of the pieces of a stream after its first: `count` that came together, so many milliseconds after those before. */
export type OnChunks = (model: string, request: LlmRequest, permit: Permit, gap: number, count: number) => void

/** Told of a stream before it is handed over, so that whoever stops meanwhile can close it. */
export type OnOpen = (stream: { readonly close: () => void }) => void

/** A silence that ends an attempt only where there is somewhere else to go. */
export interface Patience {
  readonly millis: number
  readonly hasAnother: () => boolean
}

/** What one attempt is to do. */
export interface AttemptPlan {
  readonly request: LlmRequest
  readonly permit: Permit
  readonly group: Model
  readonly promptTokens: number
  readonly timeouts: TimeoutsConfig
  /** Time limits without the request's own. */
  readonly configured: TimeoutsConfig
  /** How long nothing may be heard, of content or a whole answer, before another deployment is asked, while one can be. */
  readonly patience: Patience | undefined
  /** The request's deadline: a time of the monotonic clock. */
  readonly deadline: number
  /** Whether the usage of a stream is asked for, of which the caller said nothing, and hidden. */
  readonly asksUsage: boolean
  /** Whether the credential was renewed for this attempt, so that another 401 is final. */
  readonly isRenewal: boolean
  readonly onOpen: OnOpen | undefined
  /** Which request of this balancer it belongs to; none where it is a check, whose one token cannot be to blame. */
  readonly source: number | undefined
  /** Whether the request was sent to this deployment before, though there are others. */
  readonly isRepeat: boolean
  /** Whether the request was told to wait before, anywhere: then being told so again is the same word. */
  readonly wasTold: boolean
  /** Attempts of the request that failed before. */
  readonly earlier: ReadonlyArray<AttemptSummary>
  /** Why it is sent. */
  readonly role: AttemptRole
  /** Where it goes, where it belongs to a session. */
  readonly placement: SessionPlacement | undefined
  /** What choosing the deployment took of the processor, on the machine's own clock. */
  readonly selection: number | undefined
  readonly trace: AttemptTrace | undefined
  /** Told when the attempt ends, which for a stream is long after it succeeded. Without it nobody learns what follows. */
  readonly onEnd: ((attempt: AttemptRecord) => void) | undefined
}

/** How a stream has come so far, after its first content. */
export interface Pace {
  /** Milliseconds for which somebody waited for more: what a reader takes for itself is not the service's. */
  waited: number
  /** Those of them in which no reasoning or tool item was open, so that something was to come. */
  spoken: number
  events: number
}

/**
 * Record of one attempt. Times are milliseconds of the monotonic clock.
 */
export class AttemptRecord {
  readonly plan: AttemptPlan
  readonly environment: AttemptEnvironment
  readonly deployment: Deployment
  /** How it ended, once it has. */
  outcome: Outcome.Outcome | undefined
  endedAt: number | undefined
  response: TransportResponse | undefined
  /** Tokens as billed, and what they cost in USD, as far as the service and the prices say. */
  usage: Usage | undefined
  cost: number | undefined
  /** How a stream came after its first content. */
  pace: Pace | undefined
  /** Ids that only its resource knows. */
  ids: ReadonlyArray<string> = []
  limits: RateLimits | undefined
  facts: AnswerReader | undefined
  /** Whether its answer came, and holds nothing. */
  isEmpty = false
  /** Whether it is slower by far than what peers answer. */
  isSlow = false
  /** Its number among the witnesses of its deployment, and whether these show that it does worse than its peers. */
  witness: number | undefined
  isOfWorse = false
  /** Whether it says something against its deployment that is not judged yet; see `Verdict`. */
  isAccusing = false
  /**
   * The pool that it was told to leave alone, and whether the service itself said that the quota is used up. Where only the
   * words of its 429 do, another member may try.
   */
  pool: { readonly cooldown: Cooldown; readonly isSure: boolean } | undefined
  /** Whether it was a breaker's probe, and what the breaker has counted of it: 1 for all, less until it is judged. */
  isProbe = false
  counted = 0

  constructor(plan: AttemptPlan, environment: AttemptEnvironment) {
    this.plan = plan
    this.environment = environment
    this.deployment = plan.permit.deployment
  }

  get now(): number {
    const { clock, deadlines } = this.environment
    const now = monotonicMillis(clock)
    deadlines.notice(now)
    return now
  }

  /** Milliseconds since 1970. */
  get wallNow(): number {
    return this.environment.clock.currentTimeMillisUnsafe()
  }

  get summary(): AttemptSummary {
    const { endedAt = this.now, outcome = Outcome.stopped, response } = this
    const headers = response?.headers ?? {}
    const ids = [headers["x-request-id"], headers["apim-request-id"]].filter((id) => id !== undefined)
    return {
      deployment: this.deployment.id,
      outcome: words[outcome._tag],
      reason: outcome._tag === "Success" ? "ok" : outcome.reason,
      errorType: Outcome.errorTypeOf(outcome),
      status: response?.status,
      requestIds: [...new Set(ids)],
      duration: endedAt - this.plan.permit.startedAt
    }
  }
}

/** An attempt that did not answer, or broke while it did. */
export type AttemptFailure = AttemptRecord & { readonly outcome: Outcome.Unanswered }

/** An attempt that says something against its deployment. */
export type Accusation = AttemptRecord & { readonly outcome: Outcome.Throttled | Outcome.Failed | Outcome.Refused }

const words: Readonly<Record<Outcome.Outcome["_tag"], AttemptSummary["outcome"]>> = {
  Success: "success",
  Throttled: "throttled",
  Failed: "failed",
  Refused: "refused",
  Abandoned: "abandoned"
}
