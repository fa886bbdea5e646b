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
  readonly leave: (now: number) => void
}

/**
 * The waiting line of one model.
 */
export class WaitingLine {
  /** In the order in which they came. */
  private readonly waiting = new Set<Waiter>()
  /** Share of the time in which someone waited, of which the past fades. */
  private share = 0
  private countedAt = -Infinity
  private memory = 1

  /** Requests that wait. */
  get length(): number {
    return this.waiting.size
  }

  /**
   * Whether someone is waiting more often than not. Then there is no peak to sit out: more is asked for than there is, and
   * whoever waits makes those after it wait as long.
   */
  isStanding(now: number): boolean {
    this.count(now)
    return this.share > STANDING
  }

  /**
   * Takes the last place.
   *
   * @param patience for how long one waits at most, in milliseconds: a line that always has somebody stands after as long
   */
  enter(now: number, patience: number): Place {
    const waiter: Waiter = { onTurn: undefined }
    this.memory = Math.max(1, MEMORY * patience)
    this.count(now)
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
      leave: (now) => {
        const wasFirst = this.first === waiter
        this.count(now)
        this.waiting.delete(waiter)
        if (wasFirst) this.first?.onTurn?.()
      }
    }
  }

  private count(now: number): void {
    const elapsed = now - this.countedAt
    this.countedAt = now
    if (elapsed > 0) {
      this.share += ((this.waiting.size > 0 ? 1 : 0) - this.share) * (1 - Math.exp(-elapsed / this.memory))
    }
  }

  private get first(): Waiter | undefined {
    return this.waiting.values().next().value
  }
}

/** Share of the time above which a line stands, and over how many times the longest wait it is taken: `-1 / ln(1 - share)`. */
const STANDING = 0.4
const MEMORY = 1.96

interface Waiter {
  /** Called when the place becomes the first, if someone waits for that. */
  onTurn: (() => void) | undefined
}
