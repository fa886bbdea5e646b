/**
 * A store in memory, for tests and simulations: what the real one does, with whatever a network does between.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type FleetError, FleetStore, type Heard, type Said } from "./FleetStore.ts"
import { StoreState } from "./StoreState.ts"

/** What happens to one exchange on its way. */
export interface Fate {
  /** Milliseconds there, and back. */
  readonly there: number
  readonly back: number
  /** Whether it is lost: on its way there, or on its way back, after it was counted. */
  readonly lost?: "there" | "back" | undefined
  /** Whether it arrives once more, and so many milliseconds later. */
  readonly again?: number | undefined
}

/**
 * A store in memory. All members of a fleet share one.
 */
export class MemoryFleetStore {
  readonly state = new StoreState()
  /** Exchanges that arrived. */
  exchanges = 0
  private readonly fateOf: (said: Said) => Fate

  /** @param fateOf what happens to each exchange; by default it takes a millisecond each way */
  constructor(fateOf: (said: Said) => Fate = () => ({ there: 1, back: 1 })) {
    this.fateOf = fateOf
  }

  /** Everything is forgotten, as when a store without a disk is restarted. */
  restart(): void {
    this.state.clear()
  }

  readonly exchange = (said: Said): Effect.Effect<Heard, FleetError> =>
    Effect.suspend(() => {
      const { again, back, lost, there } = this.fateOf(said)
      const arrive = Effect.clockWith((clock: Clock.Clock) =>
        Effect.sync(() => {
          this.exchanges++
          return this.state.exchange(said, clock.currentTimeMillisUnsafe())
        })
      )
      const late = again === undefined
        ? Effect.void
        : Effect.asVoid(Effect.forkDetach(Effect.delay(arrive, there + again)))
      const reached = lost === "there" ? Effect.never : Effect.delay(arrive, there)
      return Effect.andThen(
        late,
        Effect.flatMap(reached, (heard) => lost === "back" ? Effect.never : Effect.as(Effect.sleep(back), heard))
      )
    })

  /** Layer of this store. */
  get layer(): Layer.Layer<FleetStore> {
    return Layer.succeed(FleetStore, { exchange: this.exchange })
  }
}
