/**
 * What happens in the balancer, as data: state changes, failures, and the end of each request.
 *
 * Events carry no key, prompt or completion. They may carry a session's key, which is the caller's own word; metrics
 * made of them must not.
 */
import type { AttemptEnded } from "./attempt/AttemptEvent.ts"
import type { CallEvent } from "./balancer/CallEvent.ts"
import type { DeploymentEvent } from "./deployment/DeploymentEvent.ts"
import type { FleetEvent } from "./fleet/FleetEvent.ts"

export type * from "./attempt/AttemptEvent.ts"
export type * from "./balancer/CallEvent.ts"
export type * from "./deployment/DeploymentEvent.ts"
export type * from "./fleet/FleetEvent.ts"
export type * from "./routing/SessionPlacement.ts"

/** Anything that happens. */
export type Event = DeploymentEvent | AttemptEnded | CallEvent | FleetEvent
