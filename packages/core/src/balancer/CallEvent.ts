/**
 * What happens to requests between and around their attempts, and what checks find. `at` is milliseconds since 1970.
 */
import type { AnswerFacts } from "../attempt/AnswerFacts.ts"
import type { Place } from "../deployment/Resource.ts"
import type { LimitedBy, LoadBalancerErrorReason, Usage } from "../Errors.ts"
import type { Operation } from "../request/LlmRequest.ts"
import type { SessionMoveReason, SessionPlacement } from "../routing/SessionPlacement.ts"

/** An active check ended. A completion that was asked for as a check is an attempt besides. */
export interface Checked {
  readonly _tag: "Checked"
  readonly at: number
  readonly resource: string
  /** What is wrong; `undefined` where nothing is. */
  readonly problem: string | undefined
  readonly duration: number
}

/** A request goes on to another attempt, after `delay` milliseconds. */
export interface FailedOver {
  readonly _tag: "FailedOver"
  readonly at: number
  readonly model: string
  readonly from: string
  readonly reason: string
  /** The reason as one word of few; `AttemptSummary.errorType`. */
  readonly errorType: string
  readonly delay: number
}

/** A request waits for the first deployment to come back. */
export interface Waiting {
  readonly _tag: "Waiting"
  readonly at: number
  readonly model: string
  readonly delay: number
}

/** A deployment's first token was late, so another is asked beside; `after` is in milliseconds. */
export interface Hedged {
  readonly _tag: "Hedged"
  readonly at: number
  readonly model: string
  readonly deployment: string
  readonly after: number
}

/** Nothing passed its gates because everything is failing; the best bet was used all the same. */
export interface Panicked {
  readonly _tag: "Panicked"
  readonly at: number
  readonly model: string
  readonly deployment: string
}

/** A session's requests were served elsewhere than the time before. */
export interface SessionMoved {
  readonly _tag: "SessionMoved"
  readonly at: number
  readonly session: string
  readonly model: string
  readonly from: string
  readonly to: string
  /** Why not where it was: what refused it there, a failure of this request, too much load, slowness, or `returned`. */
  readonly reason: SessionMoveReason
}

/** A request ended. Durations are milliseconds. */
export interface RequestEnded {
  readonly _tag: "RequestEnded"
  readonly at: number
  readonly model: string
  readonly operation: Operation
  readonly streamed: boolean
  readonly session: string | undefined
  readonly placement: SessionPlacement | undefined
  /** The deployment that answered. */
  readonly deployment: string | undefined
  readonly place: Place | undefined
  readonly outcome: "success" | "interrupted" | LoadBalancerErrorReason["_tag"]
  /** What ended the search for an answer, where something did. */
  readonly limitedBy: LimitedBy | undefined
  readonly attempts: number
  readonly duration: number
  /** Of that: in line for a deployment to come back, or backing off. */
  readonly waited: number
  /** Of that: neither waiting nor in an attempt. It is what the balancer itself took. */
  readonly overhead: number
  /** To the first byte of content, or of the answer where it is not streamed. */
  readonly firstByte: number | undefined
  /** Of the answer. What other attempts billed is told by them. */
  readonly usage: Usage | undefined
  readonly answer: AnswerFacts | undefined
}

/** Anything of these. */
export type CallEvent = Checked | FailedOver | Waiting | Hedged | Panicked | SessionMoved | RequestEnded
