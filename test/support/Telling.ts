/**
 * Which events tell people that something is wrong with a deployment.
 */
import type { Event } from "@evenkeel/core"

const tellers: ReadonlySet<string> = new Set(["Outlier", "BreakerOpened", "CooledDown", "DeploymentMissing"])

/** Whether an event tells people of a deployment of this resource, by its own name or by the resource's. */
export const tellsOf = (event: Event, resource: string): boolean => {
  const { _tag, deployment, name } = event as { _tag: string; deployment?: string; name?: string }
  return tellers.has(_tag) && [deployment, name].some((of) => of === resource || of?.startsWith(`${resource}/`))
}
