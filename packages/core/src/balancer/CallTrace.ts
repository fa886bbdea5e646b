/**
 * What the balancer tells of one request as it goes, so that someone can make spans of it.
 */
import type * as Context from "effect/Context"
import type { AttemptRole } from "../attempt/AttemptEvent.ts"
import type { AttemptTrace } from "../attempt/AttemptTrace.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import type { LlmRequest } from "../request/LlmRequest.ts"
import type { FailedOver, Hedged, Panicked, RequestEnded, SessionMoved, Waiting } from "./CallEvent.ts"

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
