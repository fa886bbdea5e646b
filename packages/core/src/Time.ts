/**
 * Time for durations: milliseconds of the monotonic clock. Wall time is for HTTP dates, events and logs only.
 */
import type { Clock } from "effect/Clock"

/** Milliseconds of the monotonic clock, with its fractions. */
export const monotonicMillis = (clock: Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
