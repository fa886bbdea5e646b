/**
 * A clock whose timers do not keep the process alive: for what only watches. A balancer that nobody closed would hold a
 * finished script for ever by its checks, and for ten minutes by the time limit of its last request.
 */
import { WatchClock } from "@evenkeel/core/internal"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** The longest that a timer can hold, in milliseconds. */
const LONGEST = 2_147_483_647

/** The clock of every program, but for how it sleeps. */
const clock: Clock.Clock = Object.assign(Object.create(Context.get(Context.empty(), Clock.Clock)) as Clock.Clock, {
  sleep: (duration: Duration.Duration): Effect.Effect<void> =>
    Effect.callback((resume) => {
      const timer = setTimeout(() => resume(Effect.void), Math.min(Duration.toMillis(duration), LONGEST))
      timer.unref()
      return Effect.sync(() => clearTimeout(timer))
    })
})

/** Lets time limits and active checks sleep so. */
export const layerWatch: Layer.Layer<never> = Layer.succeed(WatchClock, clock)

/** Lets everything in a layer sleep so. */
export const layer: Layer.Layer<never> = Layer.succeed(Clock.Clock, clock)
