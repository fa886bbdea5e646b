/**
 * A process that stands still under virtual time: what is due meanwhile is done when it goes on, and what arrived meanwhile is
 * heard then. Which comes first depends, in Node, on what it was that kept the process from going on.
 */
import type { Transport } from "#core/transport/Transport"
import { Clock, Duration, Effect } from "effect"

/** When a process stands still, from one millisecond to another. */
export type Standstills = ReadonlyArray<readonly [from: number, until: number]>

/** How long a connection takes before anything is sent on it, in milliseconds. */
const CONNECTS = 5

/** What of a process that goes on comes first: its timers, or what it reads. What comes second is a millisecond later. */
export type First = "timers" | "reads"

/** Whether it stands still now. */
export const standsStill = (standstills: Standstills, at: number): boolean =>
  standstills.some(([from, until]) => from < at && at < until)

/** A clock whose sleepers sleep on while the process stands still, and for so long after. */
const standing = (clock: Clock.Clock, standstills: Standstills, after: number): Clock.Clock =>
  Object.assign(Object.create(clock) as Clock.Clock, {
    sleep: (duration: Duration.Duration): Effect.Effect<void> =>
      Effect.suspend(() => {
        const now = clock.currentTimeMillisUnsafe()
        const end = now + Duration.toMillis(duration)
        const met = standstills.find(([from, until]) => from < end && end < until)
        return clock.sleep(met === undefined ? duration : Duration.millis(met[1] + after - now))
      })
  })

/** Runs everything in a process that stands still then. */
export const inStandstills = <A, E, R>(effect: Effect.Effect<A, E, R>, standstills: Standstills, first: First) =>
  Effect.flatMap(
    Clock.Clock,
    (clock) => Effect.provideService(effect, Clock.Clock, standing(clock, standstills, first === "timers" ? 0 : 1))
  )

/** Sockets of such a process. */
export const standingTransport =
  (standstills: Standstills, first: First) => ({ send }: Transport["Service"]): Transport["Service"] => {
    const ownFirst = first === "reads" ? "timers" : "reads"
    return {
      send: (request) =>
        Effect.map(
          inStandstills(Effect.andThen(Effect.sleep(CONNECTS), send(request)), standstills, ownFirst),
          (response) => ({
            ...response,
            pull: inStandstills(response.pull, standstills, ownFirst),
            text: inStandstills(response.text, standstills, ownFirst)
          })
        )
    }
  }
