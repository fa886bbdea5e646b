/**
 * What an attempt answers with: parsed whole, a stream whose content has begun, or bytes that are only passed on.
 */
import type { Deployment } from "../deployment/Deployment.ts"
import type { AttemptSummary, Usage } from "../Errors.ts"
import type { AnswerFacts } from "./AnswerFacts.ts"
import type { CommittedStream } from "./CommittedStream.ts"
import type { RawStream } from "./RawStream.ts"

/** What every answer has. */
export interface AnswerBase {
  readonly deployment: Deployment
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Milliseconds from the attempt's start to the first content, or to the answer. */
  readonly firstByte: number
  /** Attempts of the request that failed before this one. */
  readonly earlier: ReadonlyArray<AttemptSummary>
  /** Ids that only this resource knows from now on. */
  readonly ids: ReadonlyArray<string>
}

/** A whole answer, parsed. */
export interface WholeAnswer extends AnswerBase {
  readonly _tag: "Whole"
  readonly text: string
  readonly json: Record<string, unknown>
  readonly usage: Usage | undefined
  readonly facts: AnswerFacts
}

/** A stream whose content has begun. */
export interface StreamAnswer extends AnswerBase {
  readonly _tag: "Stream"
  readonly stream: CommittedStream
}

/** An answer of an endpoint that is only passed on: bytes. */
export interface RawAnswer extends AnswerBase {
  readonly _tag: "Raw"
  readonly stream: RawStream
}

export type Answer = WholeAnswer | StreamAnswer | RawAnswer
