/**
 * Where a request of a session goes, by where its cache is warm, and what is remembered of it.
 */
import type { AttemptRecord } from "../attempt/AttemptRecord.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import type { SessionAffinity } from "../routing/SessionAffinity.ts"
import type { SessionMoveReason, SessionPlacement } from "../routing/SessionPlacement.ts"
import type { Call } from "./Call.ts"

/** Where a deployment is, for a session that is warm at another, or nowhere. */
export const placementOf = (warm: Deployment | undefined, deployment: Deployment): SessionPlacement =>
  warm === undefined ? "new" : warm === deployment ? "home" : "moved"

/** Notes whether a session's request goes where its cache is warm, and why not, if it does not. */
export const notePlacement = (
  call: Call,
  deployment: Deployment,
  whyNot: (warm: Deployment) => SessionMoveReason
): void => {
  if (call.sessionKey === undefined) return
  call.placement = placementOf(call.warm, deployment)
  if (call.placement === "moved") call.moveReason = whyNot(call.warm!)
}

/** Remembers where a session's request was answered. Returns where its cache was warm before, if that is elsewhere. */
export const rememberPlacement = (
  { group, sessionKey, warm }: Call,
  deployment: Deployment,
  affinity: SessionAffinity,
  attempt: AttemptRecord
): Deployment | undefined => {
  if (sessionKey === undefined) return undefined
  const { isSlow, now, plan: { permit: { startedAt } } } = attempt
  if (isAwayInDoubt(group.deployments, warm, deployment, now)) return undefined
  return affinity.commit(sessionKey, deployment, startedAt, now, isSlow)
}

/** Whether its place is closed by a word that is in doubt: it is away for a moment, and has not moved. */
const isAwayInDoubt = (
  deployments: ReadonlyArray<Deployment>,
  warm: Deployment | undefined,
  deployment: Deployment,
  now: number
): boolean => {
  if (warm === deployment) return false
  if (warm !== undefined) return warm.cooldown.isDoubtful(now)
  return deployments.some((other) => other !== deployment && other.cooldown.isDoubtful(now))
}
