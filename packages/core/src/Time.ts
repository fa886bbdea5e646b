/**
 * Time for durations: milliseconds of the monotonic clock. Wall time is for HTTP dates, events and logs only. And the clock
 * of what only watches.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** Milliseconds of the monotonic clock, with its fractions. */
export const monotonicMillis = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/**
 * Clock by which time limits and active checks sleep, where it is not that of everything else: on Node one whose timers
 * do not keep a process alive, since what they watch does.
 */
export const WatchClock: Context.Reference<Clock.Clock | undefined> = Context.Reference<Clock.Clock | undefined>(
  "@evenkeel/core/Time/WatchClock",
  { defaultValue: () => undefined }
)

/** An effect that only watches: it sleeps by `WatchClock`. */
export const watching = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    WatchClock,
    (clock) => clock === undefined ? effect : Effect.provideService(effect, Clock.Clock, clock)
  )
