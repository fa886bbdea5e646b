/**
 * What happens in the balancer, as data: state changes, failures, and the end of each request.
 *
 * Events carry no key, prompt or completion. They may carry a session's key, which is the caller's own word; metrics
 * made of them must not.
 */
import type { AnswerFacts } from "./attempt/AnswerFacts.ts"
import type { Refusal } from "./deployment/Gate.ts"
import type { RateLimits } from "./deployment/RateLimitHeaders.ts"
import type { Place } from "./deployment/Resource.ts"
import type { AttemptSummary, LimitedBy, LoadBalancerErrorReason, Usage } from "./Errors.ts"
import type { Operation } from "./request/LlmRequest.ts"

/** A breaker opened: no traffic but one probe after `openFor` milliseconds. */
export interface BreakerOpened {
  readonly _tag: "BreakerOpened"
  readonly at: number
  readonly target: "deployment" | "resource"
  readonly name: string
  readonly reason: string
  readonly openFor: number
}

/** An open breaker lets one request through, or one check, to see. */
export interface BreakerHalfOpened {
  readonly _tag: "BreakerHalfOpened"
  readonly at: number
  readonly target: "deployment" | "resource"
  readonly name: string
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

/**
 * A deployment does worse than its peers: they answer what it fails or refuses, or it is slower by far. It gets less
 * traffic. Told once a minute at most.
 */
export interface Outlier {
  readonly _tag: "Outlier"
  readonly at: number
  readonly deployment: string
  /** What it does: `http 404`, `reset`, `timeout first-content`, `slow`. */
  readonly reason: string
  /** Share of its requests that it answered of late, as far as that tells. */
  readonly share: number
}

/** The live set changed. */
export interface MembershipChanged {
  readonly _tag: "MembershipChanged"
  readonly at: number
  readonly deployment: string
  readonly change: "added" | "updated" | "draining" | "removed"
}

/** An active check ended. A completion that was asked for as a check is an attempt besides. */
export interface Checked {
  readonly _tag: "Checked"
  readonly at: number
  readonly resource: string
  /** What is wrong; `undefined` where nothing is. */
  readonly problem: string | undefined
  readonly duration: number
}

/**
 * Why a request was sent: as its first attempt, to another deployment after a failure, to the same one again, beside an
 * attempt that is late, or by the balancer itself to see whether a deployment is back.
 */
export type AttemptRole = "first" | "failover" | "retry" | "hedge" | "check"

/**
 * Where a request of a session went: where its prompt cache is warm, elsewhere than that, or anywhere because it is warm
 * nowhere.
 */
export type SessionPlacement = "home" | "moved" | "new"

/** An attempt ended. Durations are milliseconds. */
export interface AttemptEnded {
  readonly _tag: "AttemptEnded"
  readonly at: number
  readonly model: string
  readonly operation: Operation
  readonly streamed: boolean
  readonly attempt: AttemptSummary
  readonly place: Place
  readonly role: AttemptRole
  /** To the first content of a stream, or to a whole answer; `undefined` where nothing came. */
  readonly firstByte: number | undefined
  /** What choosing the deployment took of the processor, on the machine's own clock. */
  readonly selection: number | undefined
  /** Where it went, where it belongs to a session. */
  readonly placement: SessionPlacement | undefined
  /** Tokens that were reserved: its prompt, and its possible output. */
  readonly reserved: number
  /** Tokens as billed; `undefined` where the service did not say. */
  readonly usage: Usage | undefined
  /** What they cost in USD, as far as prices are known. */
  readonly cost: number | undefined
  /** What the service said of its limits. */
  readonly limits: RateLimits | undefined
  readonly answer: AnswerFacts | undefined
}

/** A request goes on to another attempt, after `delay` milliseconds. */
export interface FailedOver {
  readonly _tag: "FailedOver"
  readonly at: number
  readonly model: string
  readonly from: string
  readonly reason: string
  /** The reason as one word of few; `AttemptSummary.errorType`. */
  readonly errorType: string
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
  /** Why not where it was: what refused it there, a failure of this request, too much load, slowness, or `returned`. */
  readonly reason: SessionMoveReason
}

/** Why a session was served elsewhere than the time before. */
export type SessionMoveReason = Refusal | "failed" | "busy" | "slow" | "returned" | "other"

/** A request ended. Durations are milliseconds. */
export interface RequestEnded {
  readonly _tag: "RequestEnded"
  readonly at: number
  readonly model: string
  readonly operation: Operation
  readonly streamed: boolean
  readonly session: string | undefined
  readonly placement: SessionPlacement | undefined
  /** The deployment that answered. */
  readonly deployment: string | undefined
  readonly place: Place | undefined
  readonly outcome: "success" | "interrupted" | LoadBalancerErrorReason["_tag"]
  /** What ended the search for an answer, where something did. */
  readonly limitedBy: LimitedBy | undefined
  readonly attempts: number
  readonly duration: number
  /** Of that: in line for a deployment to come back, or backing off. */
  readonly waited: number
  /** Of that: neither waiting nor in an attempt. It is what the balancer itself took. */
  readonly overhead: number
  /** To the first byte of content, or of the answer where it is not streamed. */
  readonly firstByte: number | undefined
  /** Of the answer. What other attempts billed is told by them. */
  readonly usage: Usage | undefined
  readonly answer: AnswerFacts | undefined
}

/** Anything that happens. `at` is milliseconds since 1970. */
export type Event =
  | BreakerOpened
  | BreakerHalfOpened
  | BreakerClosed
  | CooledDown
  | DeploymentMissing
  | Outlier
  | MembershipChanged
  | Checked
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
  private readonly watchers = new Set<(event: Event) => void>()

  /** Whether an event would be heard: ask before building one on the hot path. */
  get hasListeners(): boolean {
    return this.listeners.size > 0
  }

  /** Whether what is rare would be heard: that something fails, is missing, or was checked. */
  get hasTroubleListeners(): boolean {
    return this.listeners.size > 0 || this.watchers.size > 0
  }

  emit(event: Event): void {
    for (const listeners of [this.listeners, this.watchers]) {
      for (const listener of listeners) {
        try {
          listener(event)
        } catch {
          // telemetry that fails must not fail a request
        }
      }
    }
  }

  /**
   * Adds a listener that needs only what is rare: it is told at least that something fails, is missing, or was checked,
   * and costs the hot path nothing. Returns what removes it.
   */
  watch(watcher: (event: Event) => void): () => void {
    this.watchers.add(watcher)
    return () => {
      this.watchers.delete(watcher)
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
