/**
 * How the command ends: 0 where all is well, 1 where something is wrong, 2 for a mistake in the command line or the
 * configuration, 130 where it is interrupted.
 */
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"

/** What a process ends with, unless it fails. */
export const endWith = (code: 0 | 1 | 2): Effect.Effect<void> =>
  Effect.sync(() => {
    process.exitCode = code
  })

/** What is told to stop twice stops at once, however much is under way. */
const stopAtOnce = Effect.sync(() => {
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130))
})

/** For what is meant to run until it is told to stop, by SIGINT or SIGTERM: that is no failure. */
export const untilStopped = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.onInterrupt(effect, () => Effect.andThen(endWith(0), stopAtOnce))

/** Ends the process. */
export const teardown: Runtime.Teardown = (exit, onExit) =>
  Runtime.defaultTeardown(exit, (code) => onExit(code === 130 ? Number(process.exitCode ?? code) : code))
