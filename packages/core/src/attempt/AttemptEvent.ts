/**
 * What is told of an attempt. `at` is milliseconds since 1970.
 */
import type { RateLimits } from "../deployment/RateLimitHeaders.ts"
import type { Place } from "../deployment/Resource.ts"
import type { AttemptSummary, Usage } from "../Errors.ts"
import type { Operation } from "../request/LlmRequest.ts"
import type { SessionPlacement } from "../routing/SessionPlacement.ts"
import type { AnswerFacts } from "./AnswerFacts.ts"

/**
 * Why a request was sent: as its first attempt, to another deployment after a failure, to the same one again, beside an
 * attempt that is late, or by the balancer itself to see whether a deployment is back.
 */
export type AttemptRole = "first" | "failover" | "retry" | "hedge" | "check"

/** An attempt ended. Durations are milliseconds. */
export interface AttemptEnded {
  readonly _tag: "AttemptEnded"
  readonly at: number
  readonly model: string
  readonly operation: Operation
  readonly streamed: boolean
  readonly attempt: AttemptSummary
  readonly place: Place
  readonly role: AttemptRole
  /** To the first content of a stream, or to a whole answer; `undefined` where nothing came. */
  readonly firstByte: number | undefined
  /** What choosing the deployment took of the processor, on the machine's own clock. */
  readonly selection: number | undefined
  /** Where it went, where it belongs to a session. */
  readonly placement: SessionPlacement | undefined
  /** Tokens that were reserved: its prompt, and its possible output. */
  readonly reserved: number
  /** Tokens as billed; `undefined` where the service did not say. */
  readonly usage: Usage | undefined
  /** What they cost in USD, as far as prices are known. */
  readonly cost: number | undefined
  /** What the service said of its limits. */
  readonly limits: RateLimits | undefined
  readonly answer: AnswerFacts | undefined
}
