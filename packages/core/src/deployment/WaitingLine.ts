/**
 * Where a model's requests wait when every deployment is throttled: first come, first served.
 *
 * Only the first in line looks whether a deployment is back; it leaves the line in the same moment in which it takes its
 * reservation, so that nobody overtakes it, and whoever is interrupted leaves at once. (A fair queue in front of a
 * throttled backend, in place of retries that race each other.)
 */
import * as Effect from "effect/Effect"

/** A place in the line. */
export interface Place {
  /** Ends when everyone before it has left. */
  readonly turn: Effect.Effect<void>
  /** Idempotent. */
  readonly leave: () => void
}

/**
 * The waiting line of one model.
 */
export class WaitingLine {
  /** In the order in which they came. */
  private readonly waiting = new Set<Waiter>()

  /** Requests that wait. */
  get length(): number {
    return this.waiting.size
  }

  /** Takes the last place. */
  enter(): Place {
    const waiter: Waiter = { onTurn: undefined }
    this.waiting.add(waiter)
    return {
      turn: Effect.callback<void>((resume) => {
        if (this.first === waiter) return resume(Effect.void)
        // not before the one that leaves has done what it is about
        waiter.onTurn = () => resume(Effect.yieldNow)
        return Effect.sync(() => {
          waiter.onTurn = undefined
        })
      }),
      leave: () => {
        const wasFirst = this.first === waiter
        this.waiting.delete(waiter)
        if (wasFirst) this.first?.onTurn?.()
      }
    }
  }

  private get first(): Waiter | undefined {
    return this.waiting.values().next().value
  }
}

interface Waiter {
  /** Called when the place becomes the first, if someone waits for that. */
  onTurn: (() => void) | undefined
}
