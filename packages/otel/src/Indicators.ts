/**
 * What is told of by panels and alerts alike, as queries: they add up over processes what is counted, and take of state what
 * the worst process sees.
 */
import type { LoadBalancerErrorReason } from "@evenkeel/core"
import { counted, genAi, genAiNext, type Instrument, observed } from "@evenkeel/core/internal"
import {
  aggregate,
  any,
  type Expression,
  type Grouping,
  interval,
  labels,
  type Matchers,
  promql,
  series,
  share,
  sumRate
} from "./PromQl.ts"

/** Metrics of the GenAI conventions, by whichever names are in use. */
export interface CallMetrics {
  readonly duration: Instrument
  readonly firstChunk: Instrument
  readonly perChunk: Instrument
  /** Tokens of each answer: what went in, and what came out. */
  readonly input: readonly [Instrument, Matchers]
  readonly output: readonly [Instrument, Matchers]
}

/** Metrics of the GenAI conventions, as `TelemetryOptions.genAi` names them. */
export const callMetrics = (names: "stable" | "latest" = "stable"): CallMetrics =>
  names === "stable"
    ? {
      duration: genAi.duration,
      firstChunk: genAi.firstChunk,
      perChunk: genAi.perChunk,
      input: [genAi.tokens, { tokenType: "input" }],
      output: [genAi.tokens, { tokenType: "output" }]
    }
    : {
      duration: genAiNext.inference,
      firstChunk: genAiNext.firstChunk,
      perChunk: genAiNext.perChunk,
      input: [genAiNext.inputEach, {}],
      output: [genAiNext.outputEach, {}]
    }

/** Errors that a caller sees though there was nothing wrong with what it asked. */
export const unanswered = [
  "Throttled",
  "Unavailable",
  "TimedOut",
  "StreamInterrupted"
] as const satisfies ReadonlyArray<LoadBalancerErrorReason["_tag"]>

/** Requests that could have been answered: not those that their caller gave up, or that no service would answer. */
const answerable = ["success", ...unanswered]

/** Share of requests that ended with an error which is not the caller's own. */
export const errorRatio = (by: Grouping, over: Expression = interval): Expression =>
  share(sumRate(counted.requests, by, { outcome: unanswered }, over), answerableRate(by, over))

/** Requests a second that could have been answered. */
export const answerableRate = (by: Grouping, over: Expression = interval): Expression =>
  sumRate(counted.requests, by, { outcome: answerable }, over)

/** Requests belong to no deployment and no region, and so neither may what is divided by them. */
export const everywhere: Matchers = { deployment: any, region: any }

/** Attempts for each request, those of hedges included. */
export const attemptsPerRequest = (by: Grouping, over: Expression = interval): Expression => {
  const attempts = sumRate(counted.attempts, by, { role: { not: ["check"] }, ...everywhere }, over)
  return promql`${attempts} / ${sumRate(counted.requests, by, {}, over)}`
}

/** Attempts beyond a request's first. */
export const repeated: Matchers = { role: ["failover", "retry", "hedge"] }

/** Share of the attempts beyond the first that did not help. */
export const wastedRatio = (by: Grouping, over: Expression = interval): Expression =>
  share(
    sumRate(counted.attempts, by, { ...repeated, outcome: ["failed", "throttled"] }, over),
    sumRate(counted.attempts, by, repeated, over)
  )

/** Cached prompt tokens as a share of all prompt tokens. */
export const cachedShare = (by: Grouping, over: Expression = interval): Expression =>
  share(
    sumRate(counted.tokens, by, { tokenType: "cached" }, over),
    sumRate(counted.tokens, by, { tokenType: "input" }, over)
  )

/**
 * What is left of all known limits of a model, as a share of them, at deployments that take traffic now.
 *
 * @param by the model, and what else there is above the deployments
 */
export const headroom = (of: "tokens" | "requests", by: Grouping): Expression => {
  const [limit, utilisation] = of === "tokens"
    ? [observed.tokenLimit, observed.tokenUtilisation]
    : [observed.requestLimit, observed.requestUtilisation]
  const each: Grouping = ["deployment", ...by]
  const limits = aggregate("max", series(limit), [...each, "quota"])
  const left = promql`clamp_min(1 - ${aggregate("max", series(utilisation), each)}, 0)`
  // processes need not agree: one that sends nothing there does not notice
  const isUp = aggregate("avg", series(observed.state, { state: "healthy" }), each)
  const open = promql`${limits} * on (${labels(each)}) group_left () (${left} * ${isUp})`
  // a quota that several share is there once, whichever of them is up
  const ofQuotas = (expression: Expression) => aggregate("sum", aggregate("max", expression, [...by, "quota"]), by)
  return promql`${ofQuotas(open)} / ${ofQuotas(limits)}`
}

/** What answers cost an hour, in USD. */
export const costPerHour = (by: Grouping, over: Expression = interval): Expression =>
  promql`3600 * ${sumRate(counted.cost, by, {}, over)}`
