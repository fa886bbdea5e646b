/**
 * What an unanswered attempt means, once it is known whether a peer answers the same request.
 *
 * What a request gets from a service may be its own fault, in whatever words: its size, its content, its parameters, a rule
 * before the service. So evidence about a deployment needs more than one request's word: a peer that answers the same
 * request, or other requests that fare the same. Judged once for each attempt, in one synchronous block. The table is in
 * docs/failures.md. (Outlier detection relative to peers, as Envoy's by success rate; here peers see the same request.)
 */
import type { Deployment } from "../deployment/Deployment.ts"
import { isEndpoint } from "../request/Scope.ts"
import type { Failed, Refused } from "./Outcome.ts"
import { tellOutlier } from "./Outlier.ts"
import {
  type Charge,
  failDeployment,
  isOwnPatience,
  markAlive,
  observeWait,
  type Settled,
  tellOpened
} from "./Settlement.ts"

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

/** Judges an attempt. `now` and `wallNow` are those of the verdict. */
export const judge = (charge: Charge, verdict: Verdict, now: number, wallNow: number): void => {
  const settled: Settled = { ...charge.settled, now, wallNow }
  const { outcome } = charge
  switch (outcome._tag) {
    case "Refused":
      return outcome.elsewhere === "denied"
        ? judgeDenied(settled, outcome.reason, verdict, charge.isProbe)
        : judgeRefused(settled, outcome, verdict, charge.isProbe)
    case "Throttled":
      return judgeWait(settled, outcome.reason, verdict)
    case "Failed":
      judgeWait(settled, outcome.reason, verdict)
      return judgeFailed(settled, outcome, verdict, charge)
  }
}

/** Whether a deployment answers others. */
export const isAlive = ({ lastSuccessAt }: Deployment, now: number): boolean => now - lastSuccessAt <= RECENTLY

/** Tries a time to wait, while it is open what else the attempt means. */
export const doubtWait = (charge: Charge, now: number): void => {
  const { outcome, settled } = charge
  if (outcome._tag !== "Refused") judgeWait({ ...settled, now }, outcome.reason, "unproven")
}

/** A time to wait: it stands where a peer answers, and is tried where nobody does. */
const judgeWait = (settled: Settled, reason: string, verdict: Verdict): void => {
  const { now, permit: { deployment }, request, source } = settled
  // what a check is told is certain
  if (source === undefined) return
  const cooldown = deployment.cooldownOf(request.scope)
  const isDoubtful = verdict === "unanswered" || verdict === "unproven"
  if (isDoubtful || (verdict === "unknown" && isAlive(deployment, now))) cooldown?.doubt(source, now)
  if (verdict !== "answered") return
  if ((cooldown?.confirm(source) ?? 0) >= NOTED_ROUNDS) {
    tellOutlier(settled.events, deployment, reason, now, settled.wallNow)
  }
}

const judgeRefused = (settled: Settled, { elsewhere, status }: Refused, verdict: Verdict, isProbe: boolean): void => {
  if (verdict === "answered" && (elsewhere === "perhaps" || elsewhere === "worded")) {
    // what it lacks of another kind, or tier, says nothing of its own traffic
    if (settled.request.scope !== undefined) return
    settled.permit.deployment.refutedAt = settled.now
    failDeployment(settled, `http ${status}`)
    tellWorse(settled, `http ${status}`)
  } else if (isProbe && verdict !== "unknown") {
    markAlive(settled)
  }
}

const judgeFailed = (
  settled: Settled,
  outcome: Failed,
  verdict: Verdict,
  { isCounted, isProbe, settled: then }: Charge
) => {
  const { group, now, permit } = settled
  const { deployment } = permit
  if (outcome.effect !== "count") return
  const { reason, timeout } = outcome
  const isLate = timeout !== undefined
  // where there is only one, nobody else could show it to be well
  if (verdict === "unanswered" && group.deployments.length > 1 && isAlive(deployment, now)) {
    if (isCounted) deployment.breaker.pardon(permit.epoch, then.now, now, isProbe)
    return
  }
  if (isLate && permit.firstByteAt === undefined) observeWait(then)
  // what came at once, and may be the request's own, counts in full only where a peer answers it
  const isHeld = verdict === "answered" || (isLate && group.hasHealthyPeer(deployment, now))
  if (!isCounted && isHeld && !(isLate && isOwnPatience(settled, timeout))) failDeployment(settled, reason)
  if (verdict === "answered") tellWorse(settled, reason)
}

/**
 * A key or a right that a request lacks. Where a peer answers it, or the resource answers nobody, it counts: several in a
 * row take the resource out.
 */
const judgeDenied = (settled: Settled, reason: string, verdict: Verdict, isProbe: boolean): void => {
  const { now, permit: { deployment, resourceEpoch }, random, request } = settled
  const { resource } = deployment
  const { breaker } = resource
  // a right to an endpoint says nothing of the right to ask a model
  if (isEndpoint(request.scope) || !breaker.isCurrent(resourceEpoch)) return
  if (verdict !== "answered" && now - resource.lastSuccessAt <= RECENTLY) return
  // the first after an answer: others may be allowed what this request is not
  if (++resource.deniedInARow === 1) failDeployment(settled, reason)
  if (!isProbe && resource.deniedInARow < DENIED_IN_A_ROW) return
  breaker.trip(now, random, reason)
  tellOpened(settled, "resource", resource.name, reason, breaker.openUntil - now)
}

/** Cooldowns in a row that peers confirm, from which on people are told. */
const NOTED_ROUNDS = 3

/** Share of answered requests below which people are told, though a deployment stays in use. */
const NOTED_SHARE = 0.95

/** Peers answer what it does not. */
const tellWorse = (settled: Settled, reason: string): void => {
  const { now, permit: { deployment } } = settled
  if (deployment.breaker.successShare(now) < NOTED_SHARE) {
    tellOutlier(settled.events, deployment, reason, now, settled.wallNow)
  }
}
