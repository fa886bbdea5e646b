/**
 * What an unanswered attempt means, once it is known whether a peer answers the same request.
 *
 * What a request gets from a service may be its own fault, in whatever words: its size, its content, its parameters, a rule
 * before the service. So evidence about a deployment needs more than one request's word: a peer that answers the same
 * request, or other requests that fare the same. Judged once for each attempt, in one synchronous block. The table is in
 * docs/architecture.md. (Outlier detection relative to peers, as Envoy's by success rate; here peers see the same request.)
 */
import type { Deployment } from "../deployment/Deployment.ts"
import { isEndpoint } from "../request/Scope.ts"
import type { Accusation, AttemptRecord } from "./AttemptRecord.ts"
import { failDeployment, markAlive, tripResource } from "./BreakerReport.ts"
import { limitOf } from "./Deadlines.ts"
import type { Failed, Refused } from "./Outcome.ts"
import { failWorse, noteOutlier } from "./Outlier.ts"
import { reasonOf } from "./ServiceError.ts"
import { timeWait } from "./Timing.ts"

/**
 * - `answered`: by a peer: it was no fault of the request.
 * - `unanswered`: wherever it was sent it got no answer, though one of these deployments answers others: it may well be the
 *   request's own fault.
 * - `unproven`: nobody is left to ask, but only one was asked, or none of them has answered anything yet. That says enough
 *   of a time to wait, which costs little to try, and nothing of a failure.
 * - `unknown`: it was not seen how a peer does, or nobody answers anything.
 */
export type Verdict = "answered" | "unanswered" | "unproven" | "unknown"

/** Milliseconds within which an answer shows that a deployment is alive. */
const RECENTLY = 30_000

/** So many requests in a row that were denied, and no answer between them, are the credential's fault. */
const DENIED_IN_A_ROW = 5

/** An answer of the same deployment, or where a credential was lacking of the same resource, says nothing of a peer. */
const peerVerdict = ({ deployment, outcome }: Accusation, by: Deployment): Verdict => {
  const isDenied = outcome._tag === "Refused" && outcome.elsewhere === "denied"
  return (isDenied ? by.resource !== deployment.resource : by !== deployment) ? "answered" : "unknown"
}

/** Judges an attempt, as of now: by a verdict, or by the deployment that answered the same request. */
export const judge = (attempt: Accusation, by: Verdict | Deployment, now: number): void => {
  const { outcome } = attempt
  const verdict = typeof by === "string" ? by : peerVerdict(attempt, by)
  attempt.isAccusing = false
  // a member that answers, be it later, confirms nothing of what they share
  const { pool } = attempt
  if (pool?.isSure === true && typeof by === "object" && by.pool?.cooldown === pool.cooldown) attempt.pool = undefined
  switch (outcome._tag) {
    case "Refused":
      if (outcome.elsewhere !== "denied") return judgeRefused(attempt, outcome, verdict, now)
      judgeDenied(attempt, outcome.reason, verdict, now)
      // where the resource is taken out, that says it all
      if (attempt.isOfWorse && attempt.deployment.resource.breaker.isClosed) noteOutlier(attempt, outcome.reason, now)
      return
    case "Throttled":
      if (attempt.isOfWorse) failWorse(attempt, outcome.reason, now)
      return judgeWait(attempt, verdict, now)
    case "Failed":
      judgeWait(attempt, verdict, now)
      return judgeFailed(attempt, outcome, verdict, now)
  }
}

/** Whether a deployment answers others. */
export const isAlive = ({ lastSuccessAt }: Deployment, now: number): boolean => now - lastSuccessAt <= RECENTLY

/** Tries a time to wait, while it is open what else the attempt means. */
export const doubtWait = (attempt: Accusation, now: number): void => {
  if (attempt.outcome._tag !== "Refused") judgeWait(attempt, "unproven", now)
}

/** A time to wait: it stands where a peer answers, and is tried where nobody does. */
const judgeWait = (attempt: Accusation, verdict: Verdict, now: number): void => {
  const { deployment, outcome, plan: { request, source }, pool } = attempt
  // what a check is told is certain
  if (source === undefined) return
  const cooldown = deployment.cooldownOf(request.scope)
  const isDoubtful = verdict === "unanswered" || verdict === "unproven" ||
    (verdict === "unknown" && isAlive(deployment, now))
  if (isDoubtful) cooldown?.doubt(source, now)
  if (pool !== undefined && (isDoubtful || !pool.isSure)) pool.cooldown.doubt(source, now)
  else if (verdict === "answered") pool?.cooldown.confirm(source)
  if (verdict !== "answered") return
  if ((cooldown?.confirm(source) ?? 0) >= NOTED_ROUNDS) noteOutlier(attempt, outcome.reason, now)
}

const judgeRefused = (
  attempt: AttemptRecord,
  refused: Refused,
  verdict: Verdict,
  now: number
): void => {
  const { elsewhere, status } = refused
  const isRefuted = verdict === "answered" && (elsewhere === "perhaps" || elsewhere === "worded")
  if (isRefuted || attempt.isOfWorse) {
    // what it lacks of another kind, or tier, says nothing of its own traffic
    if (attempt.plan.request.scope !== undefined) return
    attempt.deployment.refutedAt = now
    if (attempt.isOfWorse) return failWorse(attempt, reasonOf(status, refused), now)
    failDeployment(attempt, `http ${status}`, now)
    noteWorse(attempt, `http ${status}`, now)
  } else if (attempt.isProbe && verdict !== "unknown") {
    const { breaker } = attempt.deployment
    if (breaker.isClosedByEnd) breaker.resume(attempt.plan.permit.epoch, now)
    else markAlive(attempt, now)
  }
}

const judgeFailed = (
  attempt: AttemptRecord,
  { effect, reason, timeout }: Failed,
  verdict: Verdict,
  now: number
): void => {
  const { counted, deployment, isProbe, plan: { group, permit } } = attempt
  if (effect !== "count") return
  const endedAt = attempt.endedAt!
  const isLate = timeout !== undefined
  // where there is only one, nobody else could show it to be well; and a probe of which nobody knows says nothing of it
  if (verdict === "unanswered" && group.deployments.length > 1 && (isProbe || isAlive(deployment, now))) {
    if (counted > 0) deployment.breaker.pardon(permit.epoch, endedAt, now, isProbe, counted)
    return
  }
  if (isLate && permit.firstByteAt === undefined) timeWait(attempt, endedAt)
  // what came at once, and may be the request's own, counts in full only where a peer answers it
  const isHeld = verdict === "answered" ||
    (isLate && permit.firstByteAt === undefined && group.hasHealthyPeer(deployment, now))
  if (counted < 1 && isHeld && !isOwnPatience(attempt, timeout)) failDeployment(attempt, reason, now)
  if (verdict === "answered") noteWorse(attempt, reason, now)
}

/**
 * Whether a limit is the caller's, which it made shorter: that says nothing of a deployment. Nor does a whole answer that was
 * given up for another: it may be a long one.
 */
export const isOwnPatience = (
  { plan: { configured, permit, request, timeouts } }: AttemptRecord,
  stage: Failed["timeout"]
): boolean => {
  if (stage === undefined) return false
  if (stage === "answer") return permit.kind === "answer"
  return limitOf(timeouts, stage, request.operation) < limitOf(configured, stage, request.operation)
}

/**
 * A key or a right that a request lacks. Where a peer answers it, or the resource answers nobody, it counts: several in a
 * row take the resource out.
 */
const judgeDenied = (attempt: AttemptRecord, reason: string, verdict: Verdict, now: number): void => {
  const { deployment: { resource }, isProbe, plan: { permit, request } } = attempt
  // a right to an endpoint says nothing of the right to ask a model
  if (isEndpoint(request.scope) || !resource.breaker.isCurrent(permit.resourceEpoch)) return
  if (verdict !== "answered" && now - resource.lastSuccessAt <= RECENTLY) return
  // the first after an answer: others may be allowed what this request is not
  if (++resource.deniedInARow === 1) failDeployment(attempt, reason, now)
  if (isProbe || resource.deniedInARow >= DENIED_IN_A_ROW) tripResource(attempt, reason, now)
}

/** Cooldowns in a row that peers confirm, from which on people are told. */
const NOTED_ROUNDS = 3

/** Share of answered requests below which people are told, though a deployment stays in use. */
const NOTED_SHARE = 0.95

/** Peers answer what it does not. */
const noteWorse = (attempt: AttemptRecord, reason: string, now: number): void => {
  if (attempt.deployment.breaker.successShare(now) < NOTED_SHARE) noteOutlier(attempt, reason, now)
}
