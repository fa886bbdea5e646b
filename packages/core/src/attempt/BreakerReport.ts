/**
 * What an attempt reports to the breakers of its deployment and its resource.
 */
import type { Breaker } from "../deployment/Breaker.ts"
import { isEndpoint } from "../request/Scope.ts"
import type { AttemptRecord } from "./AttemptRecord.ts"
import type { Failed } from "./Outcome.ts"

/** Whether a breaker waits for what this attempt tells. */
export const isProbing = (breaker: Breaker, epoch: number): boolean =>
  breaker.state === "half-open" && breaker.epoch === epoch

/** The resource answered: its name, its TLS and its key are good. */
export const resourceAnswered = (attempt: AttemptRecord, now: number): void => {
  attempt.deployment.resource.answered(attempt.plan.permit.resourceEpoch, now)
}

/** It answers, if only with a refusal that is the request's own. */
export const markAlive = ({ deployment: { breaker }, plan: { permit } }: AttemptRecord, now: number): void => {
  permit.epoch = breaker.succeed(permit.epoch, now)
}

/** Alive, and there, and able to answer. Where answers broke after they had begun, only its end will say so. */
export const markHealthy = (attempt: AttemptRecord, now: number): void => {
  const { deployment, endedAt, plan: { permit, request } } = attempt
  if (endedAt === undefined && deployment.breaker.isClosedByEnd) deployment.breaker.suspend(permit.epoch, now)
  else markAlive(attempt, now)
  const { pool } = deployment
  const isContradicted = deployment.cooldownOf(request.scope)?.answered(now, permit.startedAt)
  const isPoolContradicted = isEndpoint(request.scope) ? undefined : pool?.cooldown.answered(now, permit.startedAt)
  const isOfQuota = pool === undefined ? isContradicted === true && request.scope === undefined : isPoolContradicted
  if (isOfQuota === true) deployment.quota.contradicted(now)
  deployment.resource.succeeded(now)
  if (isEndpoint(request.scope)) return
  deployment.lastSuccessAt = now
  deployment.refusedInARow = 0
}

/** One more failure of a deployment, weighed against how its peers do. */
export const failDeployment = (attempt: AttemptRecord, reason: string, now: number, weight = 1): void => {
  const { deployment, environment, plan: { group, permit } } = attempt
  const hadBegun = permit.firstByteAt !== undefined
  const peers = group.peersShare(deployment, now)
  deployment.breaker.fail(permit.epoch, now, environment.random(), reason, peers, hadBegun, weight)
}

/** A failure that may be its request's own, as others lately were, or of a caller who sent several at once. */
export const doubtDeployment = (attempt: AttemptRecord, reason: string, now: number, weight: number): void => {
  const { deployment: { breaker }, environment, plan: { permit } } = attempt
  breaker.failDoubtfully(permit.epoch, now, environment.random(), reason, weight)
}

/** A failure of the whole resource. */
export const failResource = (attempt: AttemptRecord, { effect, reason }: Failed, now: number): void => {
  const { deployment: { resource }, environment, plan: { permit } } = attempt
  const { breaker } = resource
  if (effect === "renew") {
    breaker.release(permit.resourceEpoch)
    return
  }
  if (effect === "open") {
    // another attempt may have opened it, or a new credential closed it, since this one was sent
    if (permit.resourceEpoch === breaker.epoch) tripResource(attempt, reason, now)
  } else breaker.fail(permit.resourceEpoch, now, environment.random(), reason)
}

/** Opens the resource at once. */
export const tripResource = (
  { deployment: { resource: { breaker } }, environment }: AttemptRecord,
  reason: string,
  now: number
): void => breaker.trip(now, environment.random(), reason)
