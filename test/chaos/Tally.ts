/**
 * What a run saw: counts for people, and what was wrong for the verdict.
 */
import type { Event } from "#core/Event"

const MOST_WRONGS = 40

export class Counts {
  private readonly counts = new Map<string, number>()

  add(name: string, by = 1): void {
    this.counts.set(name, this.of(name) + by)
  }

  of(name: string): number {
    return this.counts.get(name) ?? 0
  }

  get total(): number {
    return this.entries().reduce((sum, [, count]) => sum + count, 0)
  }

  /** The most frequent first. */
  entries(): ReadonlyArray<readonly [string, number]> {
    return [...this.counts].toSorted(([, a], [, b]) => b - a)
  }
}

export class Tally {
  /** Calls by door, and by how they ended. */
  readonly doors = new Counts()
  readonly whole = new Counts()
  readonly errors = new Counts()
  readonly left = new Counts()
  /** Calls of a calm, when nothing is wrong any more, by how they ended. */
  readonly calm = new Counts()
  /** Requests that each kind of strike met. */
  readonly struck = new Counts()
  /** What the balancers told of. */
  readonly events = new Counts()
  /** Why attempts failed. */
  readonly reasons = new Counts()
  /** Calls under way, sampled. */
  readonly underWay: Array<number> = []
  private readonly wrongs: Array<string> = []
  private unsaid = 0

  /** Something that must never be. */
  wrong(what: string): void {
    if (this.wrongs.length < MOST_WRONGS) this.wrongs.push(what)
    else this.unsaid++
  }

  /** Everything that was wrong. */
  verdict(): ReadonlyArray<string> {
    return this.unsaid === 0 ? this.wrongs : [...this.wrongs, `and ${this.unsaid} more`]
  }

  readonly observe = (event: Event): void => {
    this.events.add(event._tag)
    if (event._tag === "AttemptEnded" && event.attempt.outcome !== "success") {
      this.reasons.add(`${event.attempt.outcome}: ${event.attempt.reason}`)
    }
  }
}
