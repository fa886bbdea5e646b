/**
 * What telemetry looks at when someone wants to know.
 */
import type { Deployments } from "../deployment/Deployments.ts"
import type { FleetSnapshot } from "../deployment/Snapshot.ts"

/** The state of a balancer, to be looked at whenever someone wants to know. */
export interface LiveState {
  readonly deployments: Deployments["Service"]
  /** Milliseconds of the monotonic clock. */
  readonly now: () => number
  /** Sessions that are remembered. */
  readonly sessions: () => number
  /** Retries that the budget would grant now. */
  readonly retriesLeft: () => number
  /** The fleet that it is a member of, where it is one. */
  readonly fleet: (() => FleetSnapshot) | undefined
}
