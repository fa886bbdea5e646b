/**
 * What an attempt's end changes: quota, breakers, cooldown, latency and counters of its deployment.
 *
 * Called once for each attempt, in one synchronous block, whatever way it ended.
 */
import type { CooledDown, DeploymentMissing } from "../deployment/DeploymentEvent.ts"
import { HANG_FACTOR } from "../deployment/Latency.ts"
import { isEndpoint } from "../request/Scope.ts"
import type { AttemptRecord } from "./AttemptRecord.ts"
import {
  doubtDeployment,
  failDeployment,
  failResource,
  isProbing,
  markAlive,
  markHealthy,
  resourceAnswered
} from "./BreakerReport.ts"
import { EMPTY } from "./Cure.ts"
import type { Failed, Outcome, Refused, Throttled } from "./Outcome.ts"
import { failWorse, heardBroken, heardRefused, heardSlow, heardWell } from "./Outlier.ts"
import { reasonOf } from "./ServiceError.ts"
import { kindOf, timeAnswer, timeCommit, timeWait, waitRatio } from "./Timing.ts"
import { isOwnPatience } from "./Verdict.ts"

/** The stream's first content reached the caller: the deployment is alive, and as fast as this. */
export const commit = (attempt: AttemptRecord, now: number): void => {
  const { deployment, plan: { group, permit, request } } = attempt
  deployment.firstByte(permit, now)
  resourceAnswered(attempt, now)
  markHealthy(attempt, now)
  if (request.operation === "other") return
  group.answered(permit, now)
  timeCommit(attempt, now)
}

/** Ends an attempt: applies what its outcome says at once. What it says against its deployment is judged later. */
export const settle = (attempt: AttemptRecord, outcome: Outcome, now: number): void => {
  const { cost, deployment, plan: { permit }, usage } = attempt
  attempt.outcome = outcome
  attempt.endedAt = now
  if (!deployment.leave(permit)) return
  // whatever became of it: what the service says that it billed, it billed
  if (usage !== undefined) deployment.bill(usage, cost)
  switch (outcome._tag) {
    case "Success":
      deployment.totals.succeeded++
      return succeeded(attempt, now)
    case "Throttled":
      deployment.totals.throttled++
      return throttled(attempt, outcome, now)
    case "Failed":
      deployment.totals.failed++
      return failed(attempt, outcome, now)
    case "Refused":
      deployment.totals.refused++
      return refused(attempt, outcome, now)
    case "Abandoned":
      deployment.totals.abandoned++
      return abandoned(attempt, now)
  }
}

const succeeded = (attempt: AttemptRecord, now: number): void => {
  const { deployment, plan: { group, permit, request }, usage } = attempt
  if (permit.reservation.spilled) deployment.totals.spilled++
  // a stream did all this when its content began
  if (permit.firstByteAt === undefined) resourceAnswered(attempt, now)
  if (attempt.isEmpty && heardRefused(attempt, EMPTY, now)) failWorse(attempt, EMPTY, now)
  else if (attempt.isEmpty && isProbing(deployment.breaker, permit.epoch)) failDeployment(attempt, EMPTY, now)
  else if (permit.firstByteAt === undefined) {
    group.answered(permit, now)
    markHealthy(attempt, now)
  } else if (deployment.breaker.isClosedByEnd) markAlive(attempt, now)
  bill(attempt, now)
  if (request.operation === "other") return
  if (usage !== undefined) {
    group.tellsUsage = true
    if (usage.reasoningTokens > 0) group.reasons = true
    // an answer that was limited says nothing of how long those are that are not
    const output = request.outputLimit === undefined ? usage.completionTokens : 0
    group.estimate.learn(request.characters, usage.promptTokens, output)
  }
  timeAnswer(attempt, now)
  if (attempt.isSlow) heardSlow(attempt, now)
  else if (!attempt.isEmpty) heardWell(attempt, now)
}

const throttled = (attempt: AttemptRecord, { isBusy, reason, status, wait }: Throttled, now: number): void => {
  const { deployment, plan: { permit, request: { scope }, source, wasTold } } = attempt
  const { quota } = deployment
  resourceAnswered(attempt, now)
  deployment.breaker.release(permit.epoch)
  // told inside an answer that had begun, it may have been counted
  if (status === 429) quota.refund(permit.reservation, now)
  else bill(attempt, now)
  const coolFor = deployment.coolingOf(scope).begin(now, wait, reason, source, wasTold, permit.startedAt)
  const pool = scope === undefined && deployment.pool !== undefined && isOfPool(attempt, isBusy)
    ? deployment.pool
    : undefined
  const poolFor = pool?.cooldown.begin(now, wait, reason, source, wasTold, permit.startedAt) ?? 0
  if (pool !== undefined) {
    attempt.pool = { cooldown: pool.cooldown, isSure: attempt.limits?.remainingTokens !== undefined }
  }
  const quotaFor = deployment.pool === undefined ? coolFor : poolFor
  if (scope === undefined && quotaFor > 0) quota.throttled(now, quotaFor)
  tellCooldown(attempt, Math.max(coolFor, poolFor), reason, poolFor > 0 ? pool!.name : undefined)
  attempt.isAccusing = true
  // a limit that cuts short what had begun is no answer
  attempt.isOfWorse = permit.firstByteAt !== undefined && heardBroken(attempt, reason, now)
}

/** Whether a 429 is of the quota that is shared: not of a service that is too busy, or whose counters show room for it. */
const isOfPool = ({ limits, plan: { permit: { reservation } } }: AttemptRecord, isBusy: boolean): boolean => {
  if (isBusy) return false
  if (limits?.remainingTokens === undefined) return true
  return limits.remainingTokens < reservation.tokens || limits.remainingRequests === 0
}

const refused = (attempt: AttemptRecord, outcome: Refused, now: number): void => {
  const { deployment, plan, plan: { permit, request } } = attempt
  const { breaker, quota, resource } = deployment
  if (outcome.elsewhere === "without-usage") deployment.refuseUsage(now)
  else if (!isEndpoint(request.scope)) {
    deployment.refusedInARow++
    // a prompt that is too long by its word, and not short by ours, goes where it may fit: peers see fewer of them
    const isTooLong = plan.promptTokens > (outcome.contextLimit ?? Infinity) / 2
    attempt.isOfWorse = !isTooLong && heardRefused(attempt, reasonOf(outcome.status, outcome), now)
  }
  if (permit.reservation.spilled || outcome.status === 429) quota.refund(permit.reservation, now)
  // its end corrects both ways, and nothing was generated
  else if (deployment.provisioned) quota.settle(permit.reservation, now, 0)
  const isDenied = outcome.elsewhere === "denied"
  attempt.isAccusing = true
  attempt.isProbe = isDenied
    ? isProbing(resource.breaker, permit.resourceEpoch)
    : isProbing(breaker, permit.epoch)
  if (outcome.elsewhere === "without-usage") breaker.release(permit.epoch)
  else breaker.suspend(permit.epoch, now)
  // a rule or a right says neither that the resource is well nor that it is not, and one to an endpoint never will
  if (isDenied && isEndpoint(request.scope)) resource.breaker.release(permit.resourceEpoch)
  else if (isDenied) resource.breaker.suspend(permit.resourceEpoch, now)
  else resourceAnswered(attempt, now)
  if (outcome.contextLimit !== undefined && deployment.provisioned && isPromptTooLong(attempt)) {
    deployment.limitContext(outcome.contextLimit, now)
  }
}

/**
 * Whether it is the prompt itself that was too long: not an output limit, nor a stored conversation that we do not see. One
 * that is far shorter than what it is said to be longer than is not.
 */
const isPromptTooLong = ({ plan: { promptTokens, request } }: AttemptRecord): boolean =>
  request.pin === undefined && promptTokens > (request.outputLimit ?? 0)

const failed = (attempt: AttemptRecord, outcome: Failed, now: number): void => {
  const { deployment, plan: { group, isRepeat, permit, request, source, wasTold } } = attempt
  const { breaker, resource } = deployment
  const { effect, reason, timeout, wait } = outcome
  const isLate = timeout !== undefined && !isOwnPatience(attempt, timeout)
  if (isLate) heardSlow(attempt, now)
  if (outcome.unprocessed) deployment.quota.refund(permit.reservation, now)
  else bill(attempt, now)
  if (effect === "none" || outcome.scope === "resource") {
    breaker.release(permit.epoch)
    if (effect === "none") resource.breaker.release(permit.resourceEpoch)
    else failResource(attempt, outcome, now)
    return
  }
  // an answer with an error status still proves name, TLS and key; a reset or a timeout proves nothing
  if (outcome.status === undefined) resource.breaker.release(permit.resourceEpoch)
  else resourceAnswered(attempt, now)
  attempt.isAccusing = true
  attempt.isProbe = isProbing(breaker, permit.epoch)
  // what is too slow here may be too slow anywhere
  const speaksNow = timeout === undefined && !isRepeat
  const isNews = isEndpoint(request.scope) || breaker.hear(permit.startedAt, now)
  // no peer is asked of what had begun: what they do with others of their own says enough
  const hadBegun = permit.firstByteAt !== undefined
  if (hadBegun && (timeout === undefined || isLate) && heardBroken(attempt, reason, now)) {
    return failWorse(attempt, reason, now)
  }
  const isCompared = hadBegun && attempt.witness !== undefined
  const heldBack = group.isDoubtful(now) ? HELD : 1
  const weight = isCompared ? (isNews ? HELD : 0) : (isNews ? 1 : HELD) * heldBack
  const isCounted = attempt.isProbe || (speaksNow && weight === 1)
  if (effect === "missing") {
    breaker.release(permit.epoch)
    tellCooldown(attempt, deployment.cooldown.beginMissing(now, reason, source, wasTold, permit.startedAt), reason)
    return tellMissing(attempt)
  }
  if (wait !== undefined) {
    tellCooldown(
      attempt,
      deployment.coolingOf(request.scope).begin(now, wait, reason, source, wasTold, permit.startedAt),
      reason
    )
  }
  if (effect === "count" && isCounted) {
    attempt.counted = 1
    failDeployment(attempt, reason, now, weight)
  } else if (speaksNow) {
    attempt.counted = weight
    doubtDeployment(attempt, reason, now, weight)
  }
}

/**
 * What a failure weighs in the row until it is judged, where its request may be to blame itself, as others lately were; and
 * where it was under way together with another that failed, and may be of the same caller.
 */
const HELD = 0.25

const abandoned = (attempt: AttemptRecord, now: number): void => {
  const { deployment, plan: { group, permit, request } } = attempt
  deployment.resource.breaker.release(permit.resourceEpoch)
  bill(attempt, now)
  if (permit.firstByteAt === undefined) timeWait(attempt, now)
  if (attempt.isSlow) heardSlow(attempt, now)
  if (permit.firstByteAt === undefined) {
    const limit = group.expected.slowest(kindOf(request))
    const isHang = limit !== undefined && waitRatio(attempt, now) > HANG_FACTOR * limit
    if (isHang && group.hasHealthyPeer(deployment, now)) return failDeployment(attempt, "hang", now)
  } else if (deployment.breaker.isClosedByEnd) markAlive(attempt, now)
  deployment.breaker.release(permit.epoch)
}

const bill = ({ deployment, plan: { permit }, usage }: AttemptRecord, now: number): void => {
  const tokens = usage === undefined ? undefined : usage.promptTokens + usage.completionTokens
  deployment.quota.settle(permit.reservation, now, tokens)
}

const tellCooldown = (attempt: AttemptRecord, coolFor: number, reason: string, pool?: string): void => {
  const { deployment: { id: deployment }, environment: { events }, plan: { request } } = attempt
  // of an endpoint or a service tier, it is none of the deployment's
  if (!events.hasTroubleListeners || coolFor <= 0 || request.scope !== undefined) return
  events.emit<CooledDown>({ _tag: "CooledDown", at: attempt.wallNow, deployment, pool, reason, coolFor })
}

const tellMissing = ({ deployment: { id: deployment }, environment: { events }, wallNow: at }: AttemptRecord): void => {
  if (events.hasTroubleListeners) events.emit<DeploymentMissing>({ _tag: "DeploymentMissing", at, deployment })
}
