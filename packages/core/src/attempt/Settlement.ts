/**
 * What an attempt's end changes: quota, breakers, cooldown, latency and counters of its deployment.
 *
 * Called once for each attempt, in one synchronous block, whatever way it ended.
 */
import { limitOf, type TimeoutsConfig } from "../Config.ts"
import type { Permit } from "../deployment/Deployment.ts"
import { HANG_FACTOR, type Latency, type LatencyKind, sizeOf } from "../deployment/Latency.ts"
import type { ModelGroup } from "../deployment/ModelGroup.ts"
import type { EventHub } from "../Event.ts"
import type { TimeoutStage, Usage } from "../LoadBalancerError.ts"
import type { LlmRequest } from "../request/LlmRequest.ts"
import type { Failed, Outcome } from "./Outcome.ts"

/** What settling needs to know besides the outcome. */
export interface Settled {
  readonly permit: Permit
  readonly group: ModelGroup
  readonly request: LlmRequest
  readonly promptTokens: number
  /** Time limits without the request's own. */
  readonly configured: TimeoutsConfig
  readonly usage: Usage | undefined
  /** What that cost in USD, where it is known. */
  readonly cost: number | undefined
  readonly now: number
  readonly wallNow: number
  /** In [0, 1), to spread the breaker's open time. */
  readonly random: number
  readonly events: EventHub
}

/** Tokens of a stream from which on its decoding is timed. */
const MIN_DECODED = 16

/** The stream's first content reached the caller: the deployment is alive, and as fast as this. */
export const commit = (settled: Settled): void => {
  const { group, now, permit, promptTokens, request } = settled
  const { deployment } = permit
  deployment.firstByte(permit, now)
  answered(settled)
  wellAgain(settled)
  if (request.operation === "other") return
  deployment.heardOf(permit)
  // how much of the prompt was cached is told only at the end, so this ratio is a lower bound
  const ratio = group.expected.lowerBound("first-token", now - permit.startedAt, sizeOf("first-token", promptTokens))
  deployment.latency.observeAtLeast(ratio, now, permit.startedAt, gapOf(group))
}

/** Ends an attempt: applies its outcome once. Returns false when it had ended before. */
export const settle = (settled: Settled, outcome: Outcome): boolean => {
  const { cost, now, permit, usage } = settled
  const { deployment } = permit
  if (!deployment.leave(permit)) return false
  // whatever became of it: what the service says that it billed, it billed
  if (usage !== undefined) deployment.bill(usage, cost)
  switch (outcome._tag) {
    case "Success":
      deployment.totals.succeeded++
      if (permit.reservation.spilled) deployment.totals.spilled++
      succeeded(settled)
      break
    case "Throttled": {
      deployment.totals.throttled++
      answered(settled)
      deployment.breaker.release(permit.epoch)
      deployment.quota.throttled(permit.reservation, now)
      // told inside an answer that had begun, it may have been counted
      if (outcome.status === 429) deployment.quota.refund(permit.reservation, now)
      else billed(settled)
      tellCooldown(settled, deployment.cooldown.begin(now, outcome.wait, outcome.reason), outcome.reason)
      break
    }
    case "Failed":
      deployment.totals.failed++
      failed(settled, outcome)
      break
    case "Refused":
      deployment.totals.refused++
      if (permit.reservation.spilled) deployment.quota.refund(permit.reservation, now)
      answered(settled)
      aliveAgain(settled)
      if (outcome.elsewhere === "without-usage") deployment.refuseUsage(now)
      if (outcome.elsewhere === "context-length" && deployment.provisioned && isPromptTooLong(settled)) {
        deployment.characterCeiling = Math.min(deployment.characterCeiling, settled.request.characters)
      }
      break
    case "Abandoned":
      deployment.totals.abandoned++
      abandoned(settled)
      break
  }
  return true
}

/** Whether it is the prompt itself that was too long: not an output limit, nor a stored conversation that we do not see. */
const isPromptTooLong = ({ promptTokens, request }: Settled): boolean =>
  request.pin === undefined && promptTokens > (request.outputLimit ?? 0)

/** The resource answered: its name, its TLS and its key are good. */
const answered = (settled: Settled): void => {
  const { now, permit } = settled
  const { resource } = permit.deployment
  if (resource.answered(permit.resourceEpoch, now)) tellClosed(settled, "resource", resource.name)
}

const aliveAgain = (settled: Settled): void => {
  const { now, permit, request } = settled
  const { breaker, id } = permit.deployment
  // an endpoint that names no model says nothing of any deployment
  if (request.model === undefined) {
    breaker.release(permit.epoch)
    return
  }
  const wasClosed = breaker.isClosed
  permit.epoch = breaker.succeed(permit.epoch, now)
  if (!wasClosed && breaker.isClosed) tellClosed(settled, "deployment", id)
}

/** Alive, and there, and able to answer. */
const wellAgain = (settled: Settled): void => {
  aliveAgain(settled)
  if (settled.request.model === undefined) return
  const { deployment } = settled.permit
  deployment.lastSuccessAt = settled.now
  deployment.cooldown.found()
}

const succeeded = (settled: Settled): void => {
  const { group, now, permit, promptTokens, request, usage } = settled
  const { deployment } = permit
  // a stream did this when its content began
  if (permit.firstByteAt === undefined) {
    deployment.heardOf(permit)
    answered(settled)
    wellAgain(settled)
  }
  billed(settled)
  deployment.quota.answered(permit.reservation, now)
  if (request.operation === "other") return
  if (usage !== undefined) {
    // an answer that was limited says nothing of how long those are that are not
    const output = request.outputLimit === undefined ? usage.completionTokens : 0
    group.estimate.learn(request.characters, usage.promptTokens, output)
  }
  const uncached = usage === undefined ? promptTokens : usage.promptTokens - usage.cachedTokens
  group.expected.answered(now)
  const { firstByteAt, startedAt } = permit
  if (firstByteAt === undefined) {
    const kind = kindOf(request)
    const size = kind === "answer" ? usage?.completionTokens ?? group.estimate.unlimitedOutput : uncached
    observe(settled, deployment.latency, kind, now - startedAt, size)
    return
  }
  observe(settled, deployment.latency, "first-token", firstByteAt - startedAt, uncached)
  // a few tokens say little of how fast many come
  if (usage !== undefined && usage.completionTokens >= MIN_DECODED) {
    observe(settled, deployment.decoding, "decoding", now - firstByteAt, usage.completionTokens)
  }
}

const billed = ({ now, permit, usage }: Settled): void => {
  const { deployment, reservation } = permit
  deployment.quota.settle(
    reservation,
    now,
    usage === undefined ? undefined : usage.promptTokens + usage.completionTokens
  )
}

const kindOf = (request: LlmRequest): LatencyKind =>
  request.stream || request.operation === "embeddings" ? "first-token" : "answer"

const observe = (
  { group, now, permit }: Settled,
  latency: Latency,
  kind: LatencyKind,
  millis: number,
  tokens: number
): void => {
  const ratio = group.expected.ratio(kind, millis, sizeOf(kind, tokens))
  latency.observe(ratio, now, permit.startedAt, gapOf(group))
}

/** Time between two answers of one deployment, where all get their share. */
const gapOf = ({ deployments, expected }: ModelGroup): number => expected.gap * deployments.length

const failed = (settled: Settled, outcome: Failed): void => {
  const { now, permit } = settled
  const { deployment } = permit
  const { breaker, resource } = deployment
  if (outcome.unprocessed) deployment.quota.refund(permit.reservation, now)
  else billed(settled)
  if (outcome.scope === "resource") {
    breaker.release(permit.epoch)
    failResource(settled, outcome)
    return
  }
  // an answer with an error status still proves name, TLS and key; a reset or a timeout proves nothing
  if (outcome.status === undefined) resource.breaker.release(permit.resourceEpoch)
  else answered(settled)
  if (outcome.effect === "missing") {
    breaker.release(permit.epoch)
    tellCooldown(settled, deployment.cooldown.beginMissing(now, outcome.reason), outcome.reason)
    if (settled.events.hearsTrouble) {
      settled.events.emit({ _tag: "DeploymentMissing", at: settled.wallNow, deployment: deployment.id })
    }
    return
  }
  if (outcome.timeout !== undefined) {
    timedOut(settled, outcome.timeout, outcome.reason)
    return
  }
  failDeployment(settled, outcome.reason)
}

/**
 * A time limit says something about a deployment only when its peers are well; otherwise everything may be slow. One
 * that the caller made shorter says nothing.
 */
const timedOut = (settled: Settled, stage: TimeoutStage, reason: string): void => {
  const { configured, group, now, permit, request } = settled
  const { deployment } = permit
  const limit = limitOf(stage)
  const isImpatient = stage === "answer" || (request.timeouts?.[limit] ?? Infinity) < configured[limit]
  if (permit.firstByteAt === undefined) observeWait(settled)
  if (!isImpatient && group.hasHealthyPeer(deployment, now)) failDeployment(settled, reason)
  else deployment.breaker.release(permit.epoch)
}

const abandoned = (settled: Settled): void => {
  const { group, now, permit, request } = settled
  const { breaker, resource } = permit.deployment
  resource.breaker.release(permit.resourceEpoch)
  billed(settled)
  if (permit.firstByteAt === undefined) {
    observeWait(settled)
    const limit = group.expected.slowest(kindOf(request))
    if (
      limit !== undefined && waitRatio(settled) > HANG_FACTOR * limit && group.hasHealthyPeer(permit.deployment, now)
    ) {
      failDeployment(settled, "hang")
      return
    }
  }
  breaker.release(permit.epoch)
}

/** A wait without an answer is a lower bound of the latency, so that impatient callers do not hide a hang. */
const observeWait = (settled: Settled): void => {
  const { group, now, permit } = settled
  permit.deployment.latency.observeAtLeast(waitRatio(settled), now, permit.startedAt, gapOf(group))
}

const waitRatio = ({ group, now, permit, promptTokens, request }: Settled): number => {
  const kind = kindOf(request)
  const size = sizeOf(kind, kind === "answer" ? group.estimate.unlimitedOutput : promptTokens)
  return group.expected.lowerBound(kind, now - permit.startedAt, size)
}

const failDeployment = (settled: Settled, reason: string): void => {
  const { now, permit, random, request } = settled
  const { deployment } = permit
  // an endpoint that names no model says nothing of any deployment
  if (request.model === undefined) {
    deployment.breaker.release(permit.epoch)
    return
  }
  if (!deployment.breaker.fail(permit.epoch, now, random, reason)) return
  tellOpened(settled, "deployment", deployment.id, reason, deployment.breaker.openUntil - now)
}

const failResource = (settled: Settled, outcome: Failed): void => {
  const { now, permit, random } = settled
  const { resource } = permit.deployment
  const { breaker } = resource
  if (outcome.effect === "renew") {
    breaker.release(permit.resourceEpoch)
    return
  }
  if (outcome.effect === "open") {
    // another attempt may have opened it, or a new credential closed it, since this one was sent
    if (permit.resourceEpoch !== breaker.epoch) return
    breaker.trip(now, random, outcome.reason)
  } else if (!breaker.fail(permit.resourceEpoch, now, random, outcome.reason)) {
    return
  }
  tellOpened(settled, "resource", resource.name, outcome.reason, breaker.openUntil - now)
}

const tellOpened = (
  settled: Settled,
  target: "deployment" | "resource",
  name: string,
  reason: string,
  openFor: number
): void => {
  if (settled.events.hearsTrouble) {
    settled.events.emit({ _tag: "BreakerOpened", at: settled.wallNow, target, name, reason, openFor })
  }
}

const tellClosed = (settled: Settled, target: "deployment" | "resource", name: string): void => {
  if (settled.events.isHeard) settled.events.emit({ _tag: "BreakerClosed", at: settled.wallNow, target, name })
}

const tellCooldown = (settled: Settled, coolFor: number, reason: string): void => {
  if (settled.events.isHeard) {
    const deployment = settled.permit.deployment.id
    settled.events.emit({ _tag: "CooledDown", at: settled.wallNow, deployment, reason, coolFor })
  }
}
