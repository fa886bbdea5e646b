/**
 * Why a request ends without an answer, in the caller's words: what a service said of it comes before what became of others.
 */
import type { AttemptFailure } from "../attempt/AttemptRecord.ts"
import type { Refused } from "../attempt/Outcome.ts"
import * as Errors from "../Errors.ts"
import type { BalancerState } from "./BalancerState.ts"
import type { Call } from "./Call.ts"
import { type Choice, noneTried } from "./Choice.ts"

const failure = (reason: Errors.LoadBalancerErrorReason, attempts: ReadonlyArray<Errors.AttemptSummary>) =>
  new Errors.LoadBalancerError({ reason, attempts })

/**
 * Ends requests.
 */
export class Ending {
  private readonly state: BalancerState
  private readonly choice: Choice

  constructor(state: BalancerState, choice: Choice) {
    this.state = state
    this.choice = choice
  }

  /** The error that a request ends with: what a service said of it comes before what became of further attempts. */
  end(call: Call, reason: Errors.LoadBalancerErrorReason): Errors.LoadBalancerError {
    call.judge("unanswered", this.state)
    const { attempts, refusal } = call
    const isOwn = reason._tag === "Rejected" || reason._tag === "ContentFiltered" || this.state.isClosed
    // what one credential may not says little, where others fail for other reasons
    const isLast = refusal !== undefined
      && (refusal.elsewhere !== "denied"
        || ((attempts.length > 1 || call.maxAttempts === 1) &&
          attempts.every(({ outcome }) => outcome === "refused")))
    if (isLast && !isOwn) return failure(rejected(refusal), attempts)
    const isMissing = reason._tag === "Unavailable" && reason.limitedBy === "missing"
    return failure(refusal !== undefined && isMissing ? call.unavailable("denied") : reason, attempts)
  }

  finalReason(
    call: Call,
    last: AttemptFailure | undefined,
    limitedBy: Errors.LimitedBy
  ): Errors.LoadBalancerErrorReason {
    const timeout = last?.outcome._tag === "Failed" ? last.outcome.timeout : undefined
    if (timeout !== undefined && timeout !== "answer") return call.timedOutIn(timeout)
    return last?.outcome._tag === "Throttled"
      ? this.throttled(call, limitedBy)
      : call.unavailable(limitedBy, this.state.now)
  }

  /** Why others would be sent, where it is for its own sake that it is told to wait. */
  ownLimit(call: Call): Errors.LimitedBy | undefined {
    if (call.refusal?.elsewhere === "denied") return "denied"
    return call.told !== undefined && this.choice.wouldSendAnother(call) ? "told" : undefined
  }

  /** It was throttled, and told when to come back, as far as anybody knows. */
  throttled(call: Call, limitedBy: Errors.LimitedBy = "waiting"): Errors.LoadBalancerErrorReason {
    const next = this.choice.ask(call, noneTried)
    if (next._tag === "Ready") return call.throttledFor(SHORTEST_RETRY_AFTER, limitedBy)
    const wait = Math.max(SHORTEST_RETRY_AFTER, next.opensAt - this.state.now)
    return wait === Infinity ? call.unavailable(limitedBy) : call.throttledFor(wait, this.ownLimit(call))
  }
}

/** What a throttled caller is told to wait, in milliseconds, even where a deployment has just come back. */
const SHORTEST_RETRY_AFTER = 1000

/** The service's refusal as the caller's error. */
export const rejected = ({ body, code, headers, message, status, text }: Refused): Errors.LoadBalancerErrorReason => {
  const fields = { status, code, description: message, body, text, headers }
  return code === "content_filter"
    ? new Errors.ContentFiltered(fields)
    : new Errors.Rejected({ ...fields, by: "service" })
}
