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
  private emptyUntil = 0

  /** Requests that wait. */
  get length(): number {
    return this.waiting.size
  }

  /**
   * How long someone was always waiting, in milliseconds. For long, there is no peak to sit out: more is asked for than
   * there is, and whoever waits makes those after it wait as long.
   */
  standingFor(now: number): number {
    return this.waiting.size === 0 ? 0 : now - this.emptyUntil
  }

  /** Takes the last place. */
  enter(now: number): Place {
    const waiter: Waiter = { onTurn: undefined }
    if (this.waiting.size === 0) this.emptyUntil = now
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
