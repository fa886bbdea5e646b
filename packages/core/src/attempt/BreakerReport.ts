/**
 * What an attempt reports to the breakers of its deployment and its resource, and what is told of it.
 */
import type { Breaker } from "../deployment/Breaker.ts"
import type { BreakerClosed, BreakerOpened } from "../deployment/DeploymentEvent.ts"
import { isEndpoint } from "../request/Scope.ts"
import type { AttemptRecord } from "./AttemptRecord.ts"
import type { Failed } from "./Outcome.ts"

/** Whether a breaker waits for what this attempt tells. */
export const isProbing = (breaker: Breaker, epoch: number): boolean =>
  breaker.state === "half-open" && breaker.epoch === epoch

/** The resource answered: its name, its TLS and its key are good. */
export const resourceAnswered = (attempt: AttemptRecord, now: number): void => {
  const { deployment: { resource }, plan: { permit } } = attempt
  if (resource.answered(permit.resourceEpoch, now)) tellClosed(attempt, "resource", resource.name)
}

/** It answers, if only with a refusal that is the request's own. */
export const markAlive = (attempt: AttemptRecord, now: number): void => {
  const { deployment: { breaker, id }, plan: { permit } } = attempt
  const wasClosed = breaker.isClosed
  permit.epoch = breaker.succeed(permit.epoch, now)
  if (!wasClosed && breaker.isClosed) tellClosed(attempt, "deployment", id)
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
  const { breaker } = deployment
  const hadBegun = permit.firstByteAt !== undefined
  const peers = group.peersShare(deployment, now)
  if (!breaker.fail(permit.epoch, now, environment.random(), reason, peers, hadBegun, weight)) return
  tellOpened(attempt, "deployment", deployment.id, breaker, reason, now)
}

/** A failure that may be its request's own, as others lately were, or of a caller who sent several at once. */
export const doubtDeployment = (attempt: AttemptRecord, reason: string, now: number, weight: number): void => {
  const { deployment: { breaker, id }, environment, plan: { permit } } = attempt
  if (breaker.failDoubtfully(permit.epoch, now, environment.random(), reason, weight)) {
    tellOpened(attempt, "deployment", id, breaker, reason, now)
  }
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
  } else if (breaker.fail(permit.resourceEpoch, now, environment.random(), reason)) {
    tellOpened(attempt, "resource", resource.name, breaker, reason, now)
  }
}

/** Opens the resource at once. */
export const tripResource = (attempt: AttemptRecord, reason: string, now: number): void => {
  const { breaker, name } = attempt.deployment.resource
  breaker.trip(now, attempt.environment.random(), reason)
  tellOpened(attempt, "resource", name, breaker, reason, now)
}

const tellOpened = (
  { environment: { events }, wallNow: at }: AttemptRecord,
  target: "deployment" | "resource",
  name: string,
  breaker: Breaker,
  reason: string,
  now: number
): void => {
  if (!events.hasTroubleListeners) return
  events.emit<BreakerOpened>({ _tag: "BreakerOpened", at, target, name, reason, openFor: breaker.openUntil - now })
}

const tellClosed = (
  { environment: { events }, wallNow: at }: AttemptRecord,
  target: "deployment" | "resource",
  name: string
): void => {
  if (events.hasListeners) events.emit<BreakerClosed>({ _tag: "BreakerClosed", at, target, name })
}
