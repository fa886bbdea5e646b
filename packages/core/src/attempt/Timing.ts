/**
 * What the times of an attempt say of its deployment's speed, relative to what is expected of the model.
 */
import { FAR_SLOWER, type LatencyKind, sizeOf } from "../deployment/Latency.ts"
import type { Model } from "../deployment/Model.ts"
import { waitOf } from "../deployment/Waits.ts"
import type { LlmRequest } from "../request/LlmRequest.ts"
import { hashSession } from "../routing/SessionAffinity.ts"
import type { AttemptRecord, Pace } from "./AttemptRecord.ts"

/** Tokens of a stream from which on its decoding is timed. */
const MIN_DECODED = 16

/** A running stream this much slower than expected says so before its end: less may be its own. */
const SLOW = 2

/** A stream was waited for for this share of its time at least, or it is its reader that took the time. */
const READ = 0.5

/**
 * Decoding counts for this share of the time to the first content at least: what comes faster may have been held back
 * somewhere, and says nothing of how fast it was decoded.
 */
const HELD_BACK = 0.1

/** What takes fewer milliseconds is slow for nobody, whatever it is relative to. */
const NOTICED = 200

/** A time says something where the process stood still for this share of it at most, each time: else it may be its own. */
const OWN = 0.25

/** After so many answers of a model that did not say what they billed, none is expected to. */
const UNTOLD = 10

/** What of a deployment an attempt's time tells of. */
type Timed = "latency" | "decoding"

/** What an attempt is timed as. */
export const kindOf = (request: LlmRequest): "first-token" | "answer" =>
  request.stream || request.operation === "embeddings" ? "first-token" : "answer"

/** A stream's first content came. How much of the prompt was cached is told only at the end: it is a lower bound. */
export const timeCommit = (attempt: AttemptRecord, now: number): void => {
  const { plan: { group, permit, promptTokens } } = attempt
  const millis = now - permit.startedAt - permit.standstillBefore
  const ratio = group.expected.lowerBound("first-token", millis, sizeOf("first-token", promptTokens))
  observeAtLeast(attempt, "latency", ratio, millis, now)
}

/** A stream is running: its slowness so far is a lower bound, so that a slow one is noticed before its end. */
export const timePace = (attempt: AttemptRecord, pace: Pace, now: number): void => {
  const { deployment: { tokensPerEvent }, plan: { group, permit } } = attempt
  if (tokensPerEvent === undefined) return
  const tokens = Math.max(MIN_DECODED, pace.events * tokensPerEvent)
  const spoken = pace.spoken - permit.standstill
  const ratio = group.expected.lowerBound("decoding", spoken, sizeOf("decoding", tokens))
  if (ratio > SLOW) observeAtLeast(attempt, "decoding", ratio, spoken, now)
}

/** An answer came to its end. */
export const timeAnswer = (attempt: AttemptRecord, now: number): void => {
  const { deployment, pace, plan: { group, permit, promptTokens, request }, usage } = attempt
  const uncached = usage === undefined ? promptTokens : usage.promptTokens - usage.cachedTokens
  group.expected.answered(now)
  const { firstByteAt, standstill, standstillBefore, startedAt } = permit
  if (firstByteAt === undefined) {
    const kind = kindOf(request)
    // of one that does not say how long it is, where others do, nobody knows how long it should take
    if (kind === "answer" && usage === undefined && (group.tellsUsage || group.untold++ < UNTOLD)) return
    const size = kind === "answer" ? usage?.completionTokens ?? group.estimate.unlimitedOutput : uncached
    observe(attempt, "latency", kind, now - startedAt, standstill, size, now)
    return
  }
  observe(attempt, "latency", "first-token", firstByteAt - startedAt, standstillBefore, uncached, now)
  // a few tokens say little of how fast many come
  if (usage === undefined || usage.completionTokens < MIN_DECODED || pace === undefined) return
  deployment.streamed(usage.completionTokens, pace.events)
  const took = now - firstByteAt
  if (pace.waited < READ * took) return timePace(attempt, pace, now)
  const decoded = Math.max(took, HELD_BACK * (firstByteAt - startedAt))
  observe(attempt, "decoding", "decoding", decoded, standstill, usage.completionTokens, now)
}

const observe = (
  attempt: AttemptRecord,
  of: Timed,
  kind: LatencyKind,
  millis: number,
  standstill: number,
  tokens: number,
  now: number
): void => {
  if (standstill > OWN * millis) return
  const { deployment, plan: { group, permit, request: { session } } } = attempt
  const ratio = group.expected.ratio(kind, millis, sizeOf(kind, tokens))
  deployment[of].observe(ratio, now, permit.startedAt, gapOf(group))
  deployment[of].typical.add(ratio, session === undefined ? 0 : hashSession(session), now)
  attempt.isSlow ||= millis > NOTICED && group.isFarSlower(ratio, of, deployment, now)
}

const observeAtLeast = (attempt: AttemptRecord, of: Timed, ratio: number, millis: number, now: number): void => {
  const { deployment, plan: { group, permit } } = attempt
  deployment[of].observeAtLeast(ratio, now, permit.startedAt, gapOf(group))
  attempt.isSlow ||= millis > NOTICED && group.isFarSlower(ratio, of, deployment, now)
}

/** Time between two answers of one deployment, where all get their share. */
const gapOf = ({ deployments, expected }: Model): number => expected.gap * deployments.length

/** A wait without an answer is a lower bound of the latency, so that impatient callers do not hide a hang. */
export const timeWait = (attempt: AttemptRecord, now: number): void => {
  const { deployment, plan: { group, permit } } = attempt
  deployment.latency.observeAtLeast(waitRatio(attempt, now), now, permit.startedAt, gapOf(group))
  // how long an answer is to be is not known, so the longest that is likely is not slow yet
  attempt.isSlow ||= waitOf(permit, now) > Math.max(NOTICED, FAR_SLOWER * permit.expected)
}

/** How long it waited, as a ratio to what is expected. */
export const waitRatio = (
  { plan: { group, permit, promptTokens, request } }: AttemptRecord,
  now: number
): number => {
  const kind = kindOf(request)
  const size = sizeOf(kind, kind === "answer" ? group.estimate.unlimitedOutput : promptTokens)
  return group.expected.lowerBound(kind, waitOf(permit, now), size)
}
