/**
 * A fleet's store that cannot be trusted: it lies of everything, in words of any kind, fails, and hangs.
 */
import type { Heard, Said } from "#core/fleet/FleetStore"
import { StoreState } from "#core/fleet/StoreState"
import * as SeededRandom from "#core/simulation/SeededRandom"
import { FleetError, FleetStore } from "@evenkeel/core"
import { Clock, Effect, Layer } from "effect"

/** Anything that may be where a number should. */
const numbers: ReadonlyArray<unknown> = [
  0,
  -1,
  1,
  7,
  1e5,
  1e9,
  1e300,
  NaN,
  Infinity,
  -Infinity,
  "7",
  null,
  undefined,
  {}
]

/** Layer of a liar, of as many lies as truths. */
export const liar = (seed: number): Layer.Layer<FleetStore> => {
  const random = SeededRandom.make(seed)
  const state = new StoreState()
  const pick = <A>(of: ReadonlyArray<A>): A => of[Math.floor(random() * of.length)]!
  const any = (truth: number): number => random() < 0.5 ? truth : pick(numbers) as number
  const lie = (said: Said, heard: Heard): Heard => {
    const keys = said.quotas.map(({ key }) => key)
    const resources = keys.map((key) => key.slice(0, key.lastIndexOf("/")))
    const marks = [...keys, ...resources].map((key) => ({
      kind: pick(["cooldown", "missing", "open", "closed", "other" as "open"] as const),
      key,
      for: any(10_000),
      age: any(10)
    }))
    return {
      now: any(heard.now),
      members: any(heard.members),
      quotas: random() < 0.1 ? [] : heard.quotas.map((quota) => ({
        record: pick([quota.record, "", "other"]),
        tokens: any(quota.tokens),
        requests: any(quota.requests),
        slice: any(quota.slice),
        held: any(quota.held),
        share: any(quota.share),
        granted: { tokens: any(quota.granted.tokens), requests: any(quota.granted.requests) },
        told: { tokens: any(0), requests: any(0) }
      })),
      marks: random() < 0.1 ? "junk" as unknown as [] : random() < 0.5 ? marks : heard.marks,
      rows: keys.map((key) => ({ key, failures: any(100), age: any(0) })),
      owners: [{ id: "0000000000000000", resource: pick(keys) }],
      cursor: pick([heard.cursor, "", "junk"])
    }
  }
  return Layer.succeed(FleetStore, {
    exchange: (said) =>
      Effect.gen(function*() {
        const clock = yield* Clock.Clock
        yield* Effect.sleep(Math.ceil(random() * 20))
        const heard = state.exchange(said, clock.currentTimeMillisUnsafe())
        const luck = random()
        if (luck < 0.05) return yield* Effect.never
        if (luck < 0.1) return yield* new FleetError({ message: "no" })
        if (luck < 0.15) return {} as Heard
        return luck < 0.6 ? lie(said, heard) : heard
      })
  })
}
