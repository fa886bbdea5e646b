/**
 * Which deployments do worse than their peers, and telling of it: once a minute at most, however it was found out.
 *
 * Failures are the breakers' affair. What no breaker sees is here: refusals, answers that hold nothing or are cut short by
 * a limit, and those that are slower by far.
 */
import type { Deployment } from "../deployment/Deployment.ts"
import type { Outlier } from "../deployment/DeploymentEvent.ts"
import type { Evidence } from "../deployment/Witnesses.ts"
import type { EventHub } from "../EventHub.ts"
import { hashSession } from "../routing/SessionAffinity.ts"
import type { AttemptRecord } from "./AttemptRecord.ts"
import { failDeployment } from "./BreakerReport.ts"

/** Tells it, where someone listens. `reason` is what it does: `http 404`, `reset`, `slow`. */
export const tellOutlier = (
  events: EventHub,
  deployment: Deployment,
  reason: string,
  now: number,
  wallNow: number
): void => {
  if (!events.hasTroubleListeners || !deployment.isNewsThatWorse(now)) return
  const share = deployment.breaker.successShare(now, 1)
  events.emit<Outlier>({ _tag: "Outlier", at: wallNow, deployment: deployment.id, reason, share })
}

/** What a failure weighs in the row where several have shown already whose it is. */
const PROVEN = Infinity

/** The same, of an attempt. */
export const noteOutlier = (
  { deployment, environment: { events }, wallNow }: AttemptRecord,
  reason: string,
  now: number
): void => tellOutlier(events, deployment, reason, now, wallNow)

/** An attempt shows that its deployment does worse than its peers: that is a failure of it. */
export const failWorse = (attempt: AttemptRecord, reason: string, now: number): void => {
  failDeployment(attempt, reason, now, PROVEN)
  noteOutlier(attempt, reason, now)
}

/** How long, in milliseconds, a deployment that is slower by far is left by what is warm there. */
const LEFT_FOR = 30_000

/** What is slow is left at once, at the price of a warm cache; where peers are idle, they may do better. */
const slow: Evidence = { least: 3, alone: 0.5 }

/** What waits may do so for its own sake, anywhere. */
const waiting: Evidence = { least: 3, alone: 1 }

/** Fewer refusals may all be of two sessions. */
const refused: Evidence = { least: 8, alone: 1 }

/** What breaks after it had begun is of no request's own content, most likely: a row of five is enough. */
const broken: Evidence = { least: 5, alone: 0.9 }

/** An attempt was answered as it should be. */
export const heardWell = (attempt: AttemptRecord, now: number): void => {
  const { deployment, plan: { group } } = attempt
  if (!hear(attempt, true, now)) return
  if (now < deployment.slowUntil && !group.isWorse(deployment, now, slow)) deployment.slowUntil = -Infinity
}

/** An attempt is slower by far than with peers, or still waits for longer: whoever is warm there may leave. */
export const heardSlow = (attempt: AttemptRecord, now: number): void => {
  const { deployment, outcome, plan: { group } } = attempt
  if (!hear(attempt, false, now)) return
  const evidence = outcome?._tag === "Success" ? slow : waiting
  if (group.isWorse(deployment, now, evidence)) deployment.slowUntil = now + LEFT_FOR
  if (deployment.isFarSlower(now)) noteOutlier(attempt, "slow", now)
}

/** An attempt was not answered, in words that may be its own fault. Returns whether that is the deployment's doing. */
export const heardRefused = (attempt: AttemptRecord, now: number): boolean =>
  hear(attempt, false, now) && attempt.plan.group.isWorse(attempt.deployment, now, refused)

/** An attempt broke after its answer had begun. Returns whether that is the deployment's doing. */
export const heardBroken = (attempt: AttemptRecord, now: number): boolean =>
  hear(attempt, false, now) && attempt.plan.group.isWorse(attempt.deployment, now, broken)

/** Hears an attempt, once, that might have gone to any of the model's deployments. Returns whether it is one. */
const hear = (attempt: AttemptRecord, isWell: boolean, now: number): boolean => {
  const { deployment, plan: { isRepeat, permit, request: { operation, pin, scope, session }, source } } = attempt
  if (attempt.witness !== undefined) {
    if (isWell) deployment.witnesses.recant(attempt.witness)
    return true
  }
  if (source === undefined || isRepeat || pin !== undefined || scope !== undefined || operation === "other") {
    return false
  }
  const hash = session === undefined ? 0 : hashSession(session)
  attempt.witness = deployment.witnesses.hear(isWell, hash, permit.startedAt, now)
  return true
}
