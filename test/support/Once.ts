/**
 * What takes long to play, and is the same however often it is asked for.
 */
import { Effect } from "effect"
import { TestClock } from "effect/testing"

/** Real time that a step may take before a play's clock warns of it: many may be under way at once. */
const PATIENCE = "1 hour"

/**
 * Plays once for each key, under a clock of its own, whoever asks and at the same time as whom: the others get what the
 * first one gets.
 */
export const once = <Key, A>(play: (key: Key) => Effect.Effect<A>): (key: Key) => Effect.Effect<A> => {
  const played = new Map<string, Promise<A>>()
  return (key) =>
    Effect.promise(() => {
      const name = JSON.stringify(key)
      const known = played.get(name)
      if (known !== undefined) return known
      const playing = Effect.runPromise(Effect.provide(play(key), TestClock.layer({ warningDelay: PATIENCE })))
      played.set(name, playing)
      return playing
    })
}
