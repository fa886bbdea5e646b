/**
 * Which deployments do worse than their peers, and telling of it: once a minute at most, however it was found out.
 *
 * Failures are the breakers' affair. What no breaker sees is here: refusals, answers that hold nothing, break or are cut
 * short by a limit after they had begun, and those that are slower by far.
 */
import type { Deployment } from "../deployment/Deployment.ts"
import type { Outlier } from "../deployment/DeploymentEvent.ts"
import type { Evidence } from "../deployment/Witnesses.ts"
import type { EventHub } from "../EventHub.ts"
import { isEndpoint } from "../request/Scope.ts"
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
  const share = Math.min(deployment.breaker.successShare(now, 1), deployment.witnesses.wellShare(now))
  events.emit<Outlier>({ _tag: "Outlier", at: wallNow, deployment: deployment.id, reason, share })
}

/** What a failure weighs where several have shown already whose it is: it fills the row, and the breaker opens. */
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
const LEFT_FOR = 10_000

/** By chance once in a hundred thousand times, and once in ten thousand. */
const SURELY = Math.log(1e5)
const MOST_LIKELY = Math.log(1e4)

/** What is slow is left at once, at the price of a warm cache; where peers are idle, they may do better. */
const slow: Evidence = { sources: 3, beyondChance: SURELY, clearly: 0.45, alone: { least: 3, share: 0.5 } }

/** What waits may do so for its own sake, anywhere. */
const waiting: Evidence = { sources: 3, beyondChance: SURELY, clearly: 0.45 }

/** A few sessions may all ask for what is refused. */
const refused: Evidence = { sources: 5, beyondChance: SURELY, clearly: 0.2 }

/** What breaks after it had begun is of no request's own content, most likely; where peers are idle, five that all broke are enough. */
const broken: Evidence = { sources: 3, beyondChance: MOST_LIKELY, clearly: 0.2, alone: { least: 5, share: 0.9 } }

/** An attempt was answered as it should be. */
export const heardWell = (attempt: AttemptRecord, now: number): void => {
  const { deployment, plan: { group } } = attempt
  // what was before the first that fared ill is compared with nothing
  if (!group.hasIll(now) || !hear(attempt, true, now)) return
  if (now < deployment.slowUntil && group.worse(deployment, now, slow) !== "clearly") deployment.slowUntil = now
}

/** An attempt is slower by far than with peers, or still waits for longer: whoever is warm there may leave. */
export const heardSlow = (attempt: AttemptRecord, now: number): void => {
  const { deployment, outcome, plan: { group } } = attempt
  if (!hear(attempt, false, now)) return
  const evidence = outcome?._tag === "Success" ? slow : waiting
  if (group.worse(deployment, now, evidence) === "clearly") deployment.slowUntil = now + LEFT_FOR
  const isWorse = now < deployment.slowUntil || (deployment.isFarSlower(now) && !group.areOthersSlow(deployment, now))
  if (isWorse) noteOutlier(attempt, "slow", now)
}

/** An attempt was not answered, in words that may be its own fault. Returns whether that is the deployment's doing. */
export const heardRefused = (attempt: AttemptRecord, reason: string, now: number): boolean =>
  isOfWorse(attempt, reason, refused, now)

/** An attempt broke after its answer had begun. Returns whether that is the deployment's doing. */
export const heardBroken = (attempt: AttemptRecord, reason: string, now: number): boolean =>
  isOfWorse(attempt, reason, broken, now)

/** Hears of an attempt that had no good answer; people are told where there are more such than with peers, if not clearly. */
const isOfWorse = (attempt: AttemptRecord, reason: string, evidence: Evidence, now: number): boolean => {
  const worse = hear(attempt, false, now) ? attempt.plan.group.worse(attempt.deployment, now, evidence) : undefined
  if (worse === "more") noteOutlier(attempt, reason, now)
  return worse === "clearly"
}

/** Hears an attempt, once, that might have gone to any of the model's deployments. Returns whether it is one. */
const hear = (attempt: AttemptRecord, isWell: boolean, now: number): boolean => {
  const { deployment, plan: { group, isRepeat, permit, request: { operation, pin, scope, session }, source } } = attempt
  if (attempt.witness !== undefined) {
    if (isWell) deployment.witnesses.recant(attempt.witness)
    return true
  }
  if (source === undefined || isRepeat || pin !== undefined || isEndpoint(scope) || operation === "other") {
    return false
  }
  const hash = session === undefined ? 0 : hashSession(session)
  if (!isWell) group.heardIll(now)
  attempt.witness = deployment.witnesses.hear(isWell, hash, permit.startedAt, now)
  return true
}
