/**
 * What telemetry looks at when someone wants to know.
 */
import type { Deployments } from "../deployment/Deployments.ts"

/** The state of a balancer, to be looked at whenever someone wants to know. */
export interface LiveState {
  readonly deployments: Deployments["Service"]
  /** Milliseconds of the monotonic clock. */
  readonly now: () => number
  /** Sessions that are remembered. */
  readonly sessions: () => number
  /** Retries that the budget would grant now. */
  readonly retriesLeft: () => number
}
