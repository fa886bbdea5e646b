/**
 * Tells that a deployment does worse than its peers: once a minute at most, however it was found out.
 */
import type { Deployment } from "../deployment/Deployment.ts"
import type { Outlier } from "../deployment/DeploymentEvent.ts"
import type { EventHub } from "../EventHub.ts"

/** Tells it, where someone listens. `reason` is what it does: `http 404`, `reset`, `slow`. */
export const tellOutlier = (
  events: EventHub,
  deployment: Deployment,
  reason: string,
  now: number,
  wallNow: number
): void => {
  if (!events.hasTroubleListeners || !deployment.isNewsThatWorse(now)) return
  const share = deployment.breaker.successShare(now, 1)
  events.emit<Outlier>({ _tag: "Outlier", at: wallNow, deployment: deployment.id, reason, share })
}
