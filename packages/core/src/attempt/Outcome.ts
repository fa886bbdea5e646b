/**
 * How an attempt ended, and what that means for health, quota and the next attempt.
 *
 * Every attempt ends as exactly one of five: success, throttled, failed, refused (the service will not do what was asked)
 * and abandoned (interrupted). `attempt/ServiceError` reads the service's words; `attempt/Settlement` applies what they say at once,
 * and `attempt/Verdict` what they mean once it is known whether a peer answers the same request. The table behind it is in
 * docs/failures.md.
 */
import { type TimeoutStage, type Usage } from "../Errors.ts"
import type { TransportError, TransportErrorKind } from "../transport/Transport.ts"

/** What a failure is held against. */
export type FailureScope = "deployment" | "resource"

/** The answer is good. */
export interface Success {
  readonly _tag: "Success"
  readonly usage: Usage | undefined
}

/** The service told us to wait. */
export interface Throttled {
  readonly _tag: "Throttled"
  readonly reason: string
  readonly status: number | undefined
  /** Milliseconds to wait as the service says; `undefined` when it does not. */
  readonly wait: number | undefined
  /** Whether its words say that it is not the quota that is used up, but the service that is too busy. */
  readonly isBusy: boolean
  readonly body: unknown
}

/** Something broke that a repetition or another deployment may mend. */
export interface Failed {
  readonly _tag: "Failed"
  readonly reason: string
  readonly status: number | undefined
  readonly scope: FailureScope
  /** Milliseconds to wait before it is asked again, as the service says; `undefined` when it does not. */
  readonly wait: number | undefined
  /**
   * - `count`: one more failure for the breaker.
   * - `open`: opens it at once; a repetition does not mend an empty account.
   * - `missing`: the deployment, or the model, does not exist there: it cools down, and people are told.
   * - `renew`: counts against nobody yet; the credential is renewed and the attempt repeated once.
   * - `none`: counts against nobody.
   */
  readonly effect: "count" | "open" | "missing" | "renew" | "none"
  /** Whether the request surely was not processed. */
  readonly unprocessed: boolean
  /** The time limit that ended it, if one did. */
  readonly timeout: TimeoutStage | undefined
  /** What broke below HTTP, in a stream, or at the credential, where no status and no time limit says it. */
  readonly kind: TransportErrorKind | "credential" | "error-event"
  readonly body: unknown
}

/** The service will not do what was asked. */
export interface Refused {
  readonly _tag: "Refused"
  readonly reason: string
  readonly status: number
  readonly code: string | undefined
  readonly message: string
  readonly body: unknown
  /** The body as it came, where it is that of an answer of its own. */
  readonly text?: string
  readonly headers: Readonly<Record<string, string>>
  /**
   * Whether somewhere else may still serve it.
   *
   * - `no`: nowhere: it breaks a rule that holds everywhere, and must not be shopped around.
   * - `context-length`: a standard deployment with a longer context.
   * - `not-here`: the resource that owns what it refers to.
   * - `without-usage`: the same, where it is not asked for the usage that the caller did not ask for.
   * - `larger`: a deployment with a larger quota.
   * - `worded`: most likely nowhere: its own parameters are named as its fault.
   * - `perhaps`: anywhere; nothing says that it is the request's own fault, and not the deployment's.
   * - `denied`: another resource, where the credential may do it.
   */
  readonly elsewhere:
    | "no"
    | "context-length"
    | "not-here"
    | "without-usage"
    | "larger"
    | "worded"
    | "perhaps"
    | "denied"
  /** Tokens that it takes at most, where it says that the prompt is longer. */
  readonly contextLimit: number | undefined
}

/** The attempt was interrupted by the caller, or cut by the request's own deadline. */
export interface Abandoned {
  readonly _tag: "Abandoned"
  readonly reason: string
}

/** A stream of which nobody wants more. */
export const stopped: Abandoned = { _tag: "Abandoned", reason: "stopped by the caller" }

/** How an attempt ended. */
export type Outcome = Success | Unanswered

/** An end without an answer. */
export type Unanswered = Throttled | Failed | Refused | Abandoned

/** The service's own codes are short words; whatever else came in their place is told by its status. */
const WORD = /^[\w.-]{1,64}$/

/** A code, where it is one: a gateway may put there whatever it likes, the prompt included. */
export const wordOf = (code: string | undefined): string | undefined =>
  code !== undefined && WORD.test(code) ? code : undefined

/** How an attempt ended, as one word of few: the `error.type` of telemetry. */
export const errorTypeOf = (outcome: Outcome): string | undefined => {
  switch (outcome._tag) {
    case "Success":
    case "Abandoned":
      return undefined
    case "Throttled":
      return outcome.status === 429 ? "429" : "throttled"
    case "Refused":
      return (outcome.elsewhere === "denied" ? undefined : wordOf(outcome.code)) ?? String(outcome.status)
    case "Failed":
      if (outcome.timeout !== undefined) return `timeout_${outcome.timeout}`
      return outcome.status === undefined || outcome.status < 300 ? outcome.kind : String(outcome.status)
  }
}

/** Decides what a failure of the network means. */
export const fromTransport = (error: TransportError): Failed =>
  failed({
    reason: error.message,
    scope: error.unsent ? "resource" : "deployment",
    effect: error.blameless ? "none" : "count",
    unprocessed: error.unsent,
    timeout: error.kind === "connect-timeout" ? "connect" : undefined,
    kind: error.kind
  })

/**
 * A time limit passed. Whether it counts is decided when it is applied: it does only when peers are well.
 */
export const fromTimeout = (stage: TimeoutStage): Failed =>
  failed({ reason: `timeout ${stage}`, timeout: stage, effect: "count" })

/** The answer ended, or read, as no answer does: an empty stream, a cut, bad JSON. */
export const broken = (reason: string, status: number | undefined, body?: unknown): Failed =>
  failed({ reason, status, body })

/** The credential could not be had. */
export const noCredential = (reason: string): Failed =>
  failed({ reason: `no credential: ${reason}`, scope: "resource", unprocessed: true, kind: "credential" })

/** A 401 whose credential may only be out of date. */
export const staleCredential: Failed = {
  _tag: "Failed",
  reason: "http 401",
  status: 401,
  scope: "resource",
  wait: undefined,
  effect: "renew",
  unprocessed: true,
  timeout: undefined,
  kind: "protocol",
  body: undefined
}

/** A failure, of which only what differs from an answer that is none has to be said. */
export const failed = (options: Partial<Failed> & { readonly reason: string }): Failed => ({
  _tag: "Failed",
  reason: options.reason,
  status: options.status,
  scope: options.scope ?? "deployment",
  wait: options.wait,
  effect: options.effect ?? "count",
  unprocessed: options.unprocessed ?? false,
  timeout: options.timeout,
  kind: options.kind ?? "protocol",
  body: options.body
})
