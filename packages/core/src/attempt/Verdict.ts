/**
 * What an unanswered attempt means, once it is known whether a peer answers the same request.
 *
 * What a request gets from a service may be its own fault, in whatever words: its size, its content, its parameters, a rule
 * before the service. So evidence about a deployment needs more than one request's word: a peer that answers the same
 * request, or other requests that fare the same. Judged once for each attempt, in one synchronous block. The table is in
 * docs/failures.md. (Outlier detection relative to peers, as Envoy's by success rate; here peers see the same request.)
 */
import { tellOutlier } from "./Outlier.ts"
import { type Charge, failDeployment, markAlive, type Settled, tellOpened } from "./Settlement.ts"

/**
 * - `answered`: by a peer: it was no fault of the request.
 * - `unanswered`: refused an answer wherever it was sent, and nobody is left to ask: it may be the request's own fault.
 * - `unknown`: it was not seen how a peer does, as it ended before.
 */
export type Verdict = "answered" | "unanswered" | "unknown"

/** Milliseconds within which an answer shows that a deployment is alive. */
const RECENTLY = 30_000

/** So many requests in a row that were denied, and no answer between them, are the credential's fault. */
const DENIED_IN_A_ROW = 5

/** Judges an attempt. `now` and `wallNow` are those of the verdict. */
export const judge = (
  { isProbe, outcome, settled: then }: Charge,
  verdict: Verdict,
  now: number,
  wallNow: number
): void => {
  const settled: Settled = { ...then, now, wallNow }
  const { group, permit, request, source } = settled
  const { deployment } = permit
  const isAlive = now - deployment.lastSuccessAt <= RECENTLY
  switch (outcome._tag) {
    case "Refused":
      if (outcome.elsewhere === "denied") return judgeDenied(settled, outcome.reason, verdict, isProbe)
      if (verdict !== "answered" || (outcome.elsewhere !== "perhaps" && outcome.elsewhere !== "worded")) {
        if (isProbe) markAlive(settled)
        return
      }
      failDeployment(settled, `http ${outcome.status}`)
      return tellWorse(settled, `http ${outcome.status}`)
    case "Throttled": {
      const cooldown = deployment.cooldownOf(request.scope)
      if (verdict === "answered") cooldown?.confirm(source)
      else if (verdict === "unanswered" && isAlive) cooldown?.doubt(source, now)
      return
    }
    case "Failed": {
      const isDelayed = outcome.timeout !== undefined
      if (verdict === "answered") {
        deployment.cooldownOf(request.scope)?.confirm(source)
        if (isDelayed) failDeployment(settled, outcome.reason)
        return tellWorse(settled, outcome.reason)
      }
      if (verdict === "unanswered" && isAlive) {
        deployment.cooldownOf(request.scope)?.doubt(source, now)
        // where there is only one, nobody else could show it to be well
        if (!isDelayed && group.deployments.length > 1) deployment.breaker.pardon(permit.epoch, then.now, now, isProbe)
      } else if (isDelayed && group.hasHealthyPeer(deployment, now)) {
        failDeployment(settled, outcome.reason)
      }
    }
  }
}

/**
 * A key or a right that a request lacks. Where a peer answers it, or the resource answers nobody, it counts: several in a
 * row take the resource out.
 */
const judgeDenied = (settled: Settled, reason: string, verdict: Verdict, isProbe: boolean): void => {
  const { now, permit, random } = settled
  const { deployment, resourceEpoch } = permit
  const { resource } = deployment
  const { breaker } = resource
  if (verdict !== "answered" && now - resource.lastSuccessAt <= RECENTLY) {
    if (isProbe) breaker.release(resourceEpoch)
    return
  }
  if (resourceEpoch !== breaker.epoch) return
  // the first after an answer: others may be allowed what this request is not
  if (++resource.deniedInARow === 1) failDeployment(settled, reason)
  if (!isProbe && resource.deniedInARow < DENIED_IN_A_ROW) return
  breaker.trip(now, random, reason)
  tellOpened(settled, "resource", resource.name, reason, breaker.openUntil - now)
}

/** Share of answered requests below which people are told, though a deployment stays in use. */
const NOTED_SHARE = 0.95

/** Peers answer what it does not. */
const tellWorse = (settled: Settled, reason: string): void => {
  const { now, permit: { deployment } } = settled
  if (deployment.breaker.successShare(now) < NOTED_SHARE) {
    tellOutlier(settled.events, deployment, reason, now, settled.wallNow)
  }
}
