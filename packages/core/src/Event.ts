/**
 * What happens in the balancer, as data: state changes, failures, and the end of each request.
 *
 * Events carry no key, prompt or completion. They may carry a session's key, which is the caller's own word; metrics
 * made of them must not.
 */
import type { AttemptSummary, LoadBalancerErrorReason, Usage } from "./LoadBalancerError.ts"

/** A breaker opened: no traffic but one probe after `openFor` milliseconds. */
export interface BreakerOpened {
  readonly _tag: "BreakerOpened"
  readonly at: number
  readonly target: "deployment" | "resource"
  readonly name: string
  readonly reason: string
  readonly openFor: number
}

/** A breaker closed: traffic returns, slowly. */
export interface BreakerClosed {
  readonly _tag: "BreakerClosed"
  readonly at: number
  readonly target: "deployment" | "resource"
  readonly name: string
}

/** A deployment was told to wait, or does not exist; it gets no traffic for `coolFor` milliseconds. */
export interface CooledDown {
  readonly _tag: "CooledDown"
  readonly at: number
  readonly deployment: string
  readonly reason: string
  readonly coolFor: number
}

/** The service does not know a configured deployment. Someone should look. */
export interface DeploymentMissing {
  readonly _tag: "DeploymentMissing"
  readonly at: number
  readonly deployment: string
}

/** The live set changed. */
export interface MembershipChanged {
  readonly _tag: "MembershipChanged"
  readonly at: number
  readonly deployment: string
  readonly change: "added" | "updated" | "draining" | "removed"
}

/** An attempt ended. */
export interface AttemptEnded {
  readonly _tag: "AttemptEnded"
  readonly at: number
  readonly model: string
  readonly attempt: AttemptSummary
  readonly usage: Usage | undefined
}

/** A request goes on to another attempt, after `delay` milliseconds. */
export interface FailedOver {
  readonly _tag: "FailedOver"
  readonly at: number
  readonly model: string
  readonly from: string
  readonly reason: string
  readonly delay: number
}

/** A request waits for the first deployment to come back. */
export interface Waiting {
  readonly _tag: "Waiting"
  readonly at: number
  readonly model: string
  readonly delay: number
}

/** A deployment's first token was late, so another is asked beside; `after` is in milliseconds. */
export interface Hedged {
  readonly _tag: "Hedged"
  readonly at: number
  readonly model: string
  readonly deployment: string
  readonly after: number
}

/** Nothing passed its gates because everything is failing; the best bet was used all the same. */
export interface Panicked {
  readonly _tag: "Panicked"
  readonly at: number
  readonly model: string
  readonly deployment: string
}

/** A session's requests were served elsewhere than the time before. */
export interface SessionMoved {
  readonly _tag: "SessionMoved"
  readonly at: number
  readonly session: string
  readonly model: string
  readonly from: string
  readonly to: string
}

/** A request ended. Durations are milliseconds. */
export interface RequestEnded {
  readonly _tag: "RequestEnded"
  readonly at: number
  readonly model: string
  readonly operation: string
  readonly streamed: boolean
  readonly session: string | undefined
  /** The deployment that answered. */
  readonly deployment: string | undefined
  readonly outcome: "success" | "interrupted" | LoadBalancerErrorReason["_tag"]
  readonly attempts: number
  readonly duration: number
  /** To the first byte of content, or of the answer where it is not streamed. */
  readonly firstByte: number | undefined
  readonly usage: Usage | undefined
}

/** Anything that happens. `at` is milliseconds since 1970. */
export type Event =
  | BreakerOpened
  | BreakerClosed
  | CooledDown
  | DeploymentMissing
  | MembershipChanged
  | AttemptEnded
  | FailedOver
  | Waiting
  | Hedged
  | Panicked
  | SessionMoved
  | RequestEnded

/**
 * Tells whoever listens. Nothing is built where nobody does, and a listener that throws is the only one to notice.
 */
export class EventHub {
  private readonly listeners = new Set<(event: Event) => void>()

  /** Whether an event would be heard: ask before building one on the hot path. */
  get isHeard(): boolean {
    return this.listeners.size > 0
  }

  emit(event: Event): void {
    for (const listener of this.listeners) {
      try {
        listener(event)
      } catch {
        // telemetry that fails must not fail a request
      }
    }
  }

  /** Adds a listener, called synchronously, and returns what removes it. */
  listen(listener: (event: Event) => void): () => void {
    this.listeners.add(listener)
    return () => {
      this.listeners.delete(listener)
    }
  }
}
