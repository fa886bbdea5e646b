/**
 * What the balancer tells of one request as it goes, so that someone can make spans of it.
 */
import type * as Context from "effect/Context"
import type * as Tracer from "effect/Tracer"
import type { Batch } from "../attempt/SseReader.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import type {
  AttemptEnded,
  AttemptRole,
  FailedOver,
  Hedged,
  Panicked,
  RequestEnded,
  SessionMoved,
  Waiting
} from "../Event.ts"
import type { LlmRequest } from "../request/LlmRequest.ts"

/**
 * Begins the trace of a request, or does not: asked once a request, with the context of the fiber that asked for it.
 */
export type Trace = (
  request: LlmRequest,
  model: string,
  deployments: ReadonlyArray<Deployment>,
  caller: Context.Context<never>
) => RequestTrace | undefined

/** Something that happens to a request between its attempts. */
export type Incident = FailedOver | Waiting | Hedged | Panicked | SessionMoved

/** The trace of one request. It ends once. */
export interface RequestTrace {
  readonly attempt: (deployment: Deployment, role: AttemptRole) => AttemptTrace | undefined
  readonly happened: (incident: Incident) => void
  readonly ended: (event: RequestEnded) => void
}

/** The trace of one attempt. It ends once. */
export interface AttemptTrace {
  /** Parent of what the transport does for it. */
  readonly span: Tracer.AnySpan
  /** Headers that carry the trace to the service, where that was asked for. */
  readonly headers: Readonly<Record<string, string>> | undefined
  /** The content of a stream begins. */
  readonly committed: () => void
  /** Whoever wants it is given the content: events as they were read, or a whole answer. */
  readonly content: ((content: Batch | Readonly<Record<string, unknown>>) => void) | undefined
  readonly ended: (event: AttemptEnded) => void
}
