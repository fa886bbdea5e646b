/**
 * Failing over and retrying, as a `Schedule` over what went wrong. It is stepped only after a failure, and any schedule
 * may take its place; attempts, deadline and retry budget bound whatever it says.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"

/**
 * What went wrong, and what could be done about it: the input of a failover schedule.
 */
export interface RetryContext {
  readonly kind: "throttled" | "failed" | "timed-out"
  readonly reason: string
  /** Attempts made so far. */
  readonly attempts: number
  /** Attempts that are allowed in all. */
  readonly maxAttempts: number
  /** Whether a deployment that this request was not sent to can take it now. */
  readonly hasAnother: boolean
  /** Milliseconds until the first deployment may take it; 0 when one can now. */
  readonly wait: number
}

/** Settings of the default schedule, in milliseconds. */
export interface FailoverOptions {
  readonly backoff: number
  readonly maxBackoff: number
}

/**
 * The default: another deployment at once; the same one again after full-jitter backoff or the service's own wait,
 * whichever is longer. (AWS Architecture Blog, "Exponential backoff and jitter".)
 */
export const schedule = (options: FailoverOptions): Schedule.Schedule<unknown, RetryContext> =>
  Schedule.min([Schedule.exponential(options.backoff), Schedule.spaced(options.maxBackoff)]).pipe(
    Schedule.setInputType<RetryContext>(),
    Schedule.modifyDelay(({ duration, input }) =>
      input.hasAnother
        ? Effect.succeed(Duration.zero)
        : Effect.map(
          Random.next,
          (random) => Duration.millis(Math.max(random * Duration.toMillis(duration), input.wait))
        )
    ),
    Schedule.while(({ input }) => input.attempts < input.maxAttempts)
  )
