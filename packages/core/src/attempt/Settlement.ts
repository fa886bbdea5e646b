/**
 * What an attempt's end changes: quota, breakers, cooldown, latency and counters of its deployment.
 *
 * Called once for each attempt, in one synchronous block, whatever way it ended.
 */
import type { TimeoutsConfig } from "../config/Config.ts"
import type { Breaker } from "../deployment/Breaker.ts"
import type { Permit } from "../deployment/Deployment.ts"
import type { BreakerClosed, BreakerOpened, CooledDown, DeploymentMissing } from "../deployment/DeploymentEvent.ts"
import { HANG_FACTOR, type Latency, type LatencyKind, sizeOf } from "../deployment/Latency.ts"
import type { Model } from "../deployment/Model.ts"
import type { TimeoutStage, Usage } from "../Errors.ts"
import type { EventHub } from "../EventHub.ts"
import type { LlmRequest } from "../request/LlmRequest.ts"
import { isEndpoint } from "../request/Scope.ts"
import type { Pace } from "./AnswerBody.ts"
import { limitOf } from "./Deadlines.ts"
import type { Failed, Outcome, Refused, Throttled } from "./Outcome.ts"
import { tellOutlier } from "./Outlier.ts"

/** What settling needs to know besides the outcome. */
export interface Settled {
  readonly permit: Permit
  readonly group: Model
  readonly request: LlmRequest
  /** Which request of this balancer it is, to tell one request's word from several; none where it is a check. */
  readonly source: number | undefined
  /** Whether the request was sent to this deployment before, though there are others: it is the word of one request still. */
  readonly isRepeat: boolean
  /** Whether the request was told to wait before, anywhere: then being told so again is the same word. */
  readonly wasTold: boolean
  readonly promptTokens: number
  /** Time limits without the request's own, and with them. */
  readonly configured: TimeoutsConfig
  readonly timeouts: TimeoutsConfig
  readonly usage: Usage | undefined
  /** How a stream came after its first content. */
  readonly pace?: Pace | undefined
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
  markHealthy(settled)
  if (request.operation === "other") return
  deployment.clearOverdue(permit)
  // how much of the prompt was cached is told only at the end, so this ratio is a lower bound
  const ratio = group.expected.lowerBound("first-token", now - permit.startedAt, sizeOf("first-token", promptTokens))
  deployment.latency.observeAtLeast(ratio, now, permit.startedAt, gapOf(group))
}

/** A running stream this much slower than expected says so before its end: less may be its own. */
const SLOW = 2

/** A stream was waited for for this share of its time at least, or it is its reader that took the time. */
const READ = 0.5

/** A stream is running: its slowness so far is a lower bound, so that a slow one is noticed before its end. */
export const progressed = ({ group, now, permit }: Pick<Settled, "group" | "now" | "permit">, pace: Pace): void => {
  const { deployment } = permit
  const { tokensPerEvent } = deployment
  if (tokensPerEvent === undefined) return
  const tokens = Math.max(MIN_DECODED, pace.events * tokensPerEvent)
  const ratio = group.expected.lowerBound("decoding", pace.spoken, sizeOf("decoding", tokens))
  if (ratio > SLOW) deployment.decoding.observeAtLeast(ratio, now, permit.startedAt, gapOf(group))
}

/**
 * What an attempt that was not answered says against its deployment or its resource. `attempt/Verdict` judges it, once it is
 * known whether a peer answers the same request.
 */
export interface Charge {
  readonly settled: Settled
  readonly outcome: Throttled | Failed | Refused
  /** Whether the attempt was a breaker's probe. */
  readonly isProbe: boolean
  /** Whether the breaker has counted it in full. */
  readonly isCounted: boolean
}

/** Ends an attempt: applies what its outcome says at once, and returns what is still to be judged. */
export const settle = (settled: Settled, outcome: Outcome): Charge | undefined => {
  const { cost, now, permit, request, source, usage, wasTold } = settled
  const { deployment } = permit
  if (!deployment.leave(permit)) return undefined
  // whatever became of it: what the service says that it billed, it billed
  if (usage !== undefined) deployment.bill(usage, cost)
  switch (outcome._tag) {
    case "Success":
      deployment.totals.succeeded++
      if (permit.reservation.spilled) deployment.totals.spilled++
      succeeded(settled)
      return undefined
    case "Throttled": {
      deployment.totals.throttled++
      answered(settled)
      deployment.breaker.release(permit.epoch)
      // told inside an answer that had begun, it may have been counted
      if (outcome.status === 429) deployment.quota.refund(permit.reservation, now)
      else billed(settled)
      const coolFor = deployment.coolingOf(request.scope).begin(now, outcome.wait, outcome.reason, source, wasTold)
      if (request.scope === undefined && coolFor > 0) deployment.quota.throttled(permit.reservation, now, coolFor)
      tellCooldown(settled, coolFor, outcome.reason)
      return { settled, outcome, isProbe: false, isCounted: false }
    }
    case "Failed":
      deployment.totals.failed++
      return failed(settled, outcome)
    case "Refused": {
      deployment.totals.refused++
      if (outcome.elsewhere !== "without-usage") deployment.refusedInARow++
      if (permit.reservation.spilled || outcome.status === 429) deployment.quota.refund(permit.reservation, now)
      if (outcome.elsewhere === "without-usage") deployment.refuseUsage(now)
      const { breaker, resource } = deployment
      const isDenied = outcome.elsewhere === "denied"
      const isProbe = isDenied
        ? isProbing(resource.breaker, permit.resourceEpoch)
        : isProbing(breaker, permit.epoch)
      // its slot is free at once: a peer may think for long before it says who is right
      breaker.release(permit.epoch)
      // a rule or a right says neither that the resource is well nor that it is not
      if (isDenied) resource.breaker.release(permit.resourceEpoch)
      else answered(settled)
      if (outcome.contextLimit !== undefined && deployment.provisioned && isPromptTooLong(settled)) {
        deployment.limitContext(outcome.contextLimit, now)
      }
      return { settled, outcome, isProbe, isCounted: false }
    }
    case "Abandoned":
      deployment.totals.abandoned++
      abandoned(settled)
      return undefined
  }
}

const isProbing = (breaker: Breaker, epoch: number): boolean => breaker.state === "half-open" && breaker.epoch === epoch

/**
 * Whether it is the prompt itself that was too long: not an output limit, nor a stored conversation that we do not see. One
 * that is far shorter than what it is said to be longer than is not.
 */
const isPromptTooLong = ({ promptTokens, request }: Settled): boolean =>
  request.pin === undefined && promptTokens > (request.outputLimit ?? 0)

/** The resource answered: its name, its TLS and its key are good. */
const answered = (settled: Settled): void => {
  const { now, permit } = settled
  const { resource } = permit.deployment
  if (resource.answered(permit.resourceEpoch, now)) tellClosed(settled, "resource", resource.name)
}

/** It answers, if only with a refusal that is the request's own. */
export const markAlive = (settled: Settled): void => {
  const { now, permit, request } = settled
  const { breaker, id } = permit.deployment
  if (isEndpoint(request.scope)) {
    breaker.release(permit.epoch)
    return
  }
  const wasClosed = breaker.isClosed
  permit.epoch = breaker.succeed(permit.epoch, now)
  if (!wasClosed && breaker.isClosed) tellClosed(settled, "deployment", id)
}

/** Alive, and there, and able to answer. */
const markHealthy = (settled: Settled): void => {
  const { now, permit, request } = settled
  const { deployment } = permit
  markAlive(settled)
  deployment.cooldownOf(request.scope)?.answered(now, permit.startedAt)
  deployment.resource.succeeded(now)
  if (isEndpoint(request.scope)) return
  deployment.lastSuccessAt = now
  deployment.refusedInARow = 0
}

const succeeded = (settled: Settled): void => {
  const { group, now, pace, permit, promptTokens, request, usage } = settled
  const { deployment } = permit
  // a stream did this when its content began
  if (permit.firstByteAt === undefined) {
    deployment.clearOverdue(permit)
    answered(settled)
    markHealthy(settled)
  }
  billed(settled)
  if (request.operation === "other") return
  if (usage !== undefined) {
    if (usage.reasoningTokens > 0) group.reasons = true
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
  if (usage === undefined || usage.completionTokens < MIN_DECODED || pace === undefined) return
  deployment.streamed(usage.completionTokens, pace.events)
  const took = now - firstByteAt
  if (pace.waited >= READ * took) observe(settled, deployment.decoding, "decoding", took, usage.completionTokens)
  else progressed(settled, pace)
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
  { events, group, now, permit, wallNow }: Settled,
  latency: Latency,
  kind: LatencyKind,
  millis: number,
  tokens: number
): void => {
  const ratio = group.expected.ratio(kind, millis, sizeOf(kind, tokens))
  latency.observe(ratio, now, permit.startedAt, gapOf(group))
  if (latency.isFarSlower(now)) tellOutlier(events, permit.deployment, "slow", now, wallNow)
}

/** Time between two answers of one deployment, where all get their share. */
const gapOf = ({ deployments, expected }: Model): number => expected.gap * deployments.length

const failed = (settled: Settled, outcome: Failed): Charge | undefined => {
  const { group, isRepeat, now, permit, request, source, wasTold } = settled
  const { deployment } = permit
  const { breaker, resource } = deployment
  if (outcome.unprocessed) deployment.quota.refund(permit.reservation, now)
  else billed(settled)
  if (outcome.effect === "none") {
    breaker.release(permit.epoch)
    resource.breaker.release(permit.resourceEpoch)
    return undefined
  }
  if (outcome.scope === "resource") {
    breaker.release(permit.epoch)
    failResource(settled, outcome)
    return undefined
  }
  // an answer with an error status still proves name, TLS and key; a reset or a timeout proves nothing
  if (outcome.status === undefined) resource.breaker.release(permit.resourceEpoch)
  else answered(settled)
  const isProbe = isProbing(breaker, permit.epoch)
  const isCounted = outcome.effect === "count" &&
    (isProbe || (outcome.timeout === undefined && !isRepeat && !group.isDoubtful(now)))
  const charge = { settled, outcome, isProbe, isCounted }
  if (outcome.effect === "missing") {
    breaker.release(permit.epoch)
    tellCooldown(settled, deployment.cooldown.beginMissing(now, outcome.reason, source, wasTold), outcome.reason)
    if (settled.events.hasTroubleListeners) {
      settled.events.emit<DeploymentMissing>({
        _tag: "DeploymentMissing",
        at: settled.wallNow,
        deployment: deployment.id
      })
    }
    return charge
  }
  if (outcome.wait !== undefined) {
    tellCooldown(
      settled,
      deployment.coolingOf(request.scope).begin(now, outcome.wait, outcome.reason, source, wasTold),
      outcome.reason
    )
  }
  if (isCounted) failDeployment(settled, outcome.reason)
  // what is too slow here may be too slow anywhere
  else if (outcome.timeout === undefined && !isRepeat) doubtDeployment(settled, outcome.reason)
  return charge
}

/**
 * Whether a limit is the caller's, which it made shorter: that says nothing of a deployment. Nor does a whole answer that was
 * given up for another: it may be a long one.
 */
export const isOwnPatience = ({ configured, permit, request, timeouts }: Settled, stage: TimeoutStage): boolean => {
  if (stage === "answer") return permit.kind === "answer"
  return limitOf(timeouts, stage, request.operation) < limitOf(configured, stage, request.operation)
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
export const observeWait = (settled: Settled): void => {
  const { group, now, permit } = settled
  permit.deployment.latency.observeAtLeast(waitRatio(settled), now, permit.startedAt, gapOf(group))
}

const waitRatio = ({ group, now, permit, promptTokens, request }: Settled): number => {
  const kind = kindOf(request)
  const size = sizeOf(kind, kind === "answer" ? group.estimate.unlimitedOutput : promptTokens)
  return group.expected.lowerBound(kind, now - permit.startedAt, size)
}

/** What a share of successes is compared with, less so, for failures that no peer is asked about. */
const BROKEN_LATER = 0.75

/** A failure that may be its request's own, where others lately were. */
const doubtDeployment = (settled: Settled, reason: string): void => {
  const { now, permit, random, request } = settled
  const { breaker, id } = permit.deployment
  if (isEndpoint(request.scope)) return breaker.release(permit.epoch)
  if (!breaker.failDoubtfully(permit.epoch, now, random, reason)) return
  tellOpened(settled, "deployment", id, reason, breaker.openUntil - now)
}

/** One more failure of a deployment, weighed against how its peers do. */
export const failDeployment = (settled: Settled, reason: string): void => {
  const { group, now, permit, random, request } = settled
  const { deployment } = permit
  // an endpoint of the resource says nothing of any deployment
  if (isEndpoint(request.scope)) {
    deployment.breaker.release(permit.epoch)
    return
  }
  // whether a peer would have gone on with what had begun is not known, so it takes more of them
  const tolerance = permit.firstByteAt === undefined ? 1 : BROKEN_LATER
  const peers = tolerance * group.peersShare(deployment, now)
  if (!deployment.breaker.fail(permit.epoch, now, random, reason, peers)) return
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

export const tellOpened = (
  settled: Settled,
  target: "deployment" | "resource",
  name: string,
  reason: string,
  openFor: number
): void => {
  if (settled.events.hasTroubleListeners) {
    settled.events.emit<BreakerOpened>({ _tag: "BreakerOpened", at: settled.wallNow, target, name, reason, openFor })
  }
}

const tellClosed = (settled: Settled, target: "deployment" | "resource", name: string): void => {
  if (settled.events.hasListeners) {
    settled.events.emit<BreakerClosed>({ _tag: "BreakerClosed", at: settled.wallNow, target, name })
  }
}

const tellCooldown = (settled: Settled, coolFor: number, reason: string): void => {
  // of an endpoint or a service tier, it is none of the deployment's
  if (settled.events.hasListeners && coolFor > 0 && settled.request.scope === undefined) {
    const deployment = settled.permit.deployment.id
    settled.events.emit<CooledDown>({ _tag: "CooledDown", at: settled.wallNow, deployment, reason, coolFor })
  }
}
