/**
 * The last decisions and why they were made, for whoever looks at the gateway: a sample, so that it costs next to nothing.
 */
import type { Explanation } from "@evenkeel/core"

/** So many are kept, and one is taken in so many milliseconds at most. */
const KEPT = 50
const EVERY = 200

/** A decision. */
export interface Decision {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly explanation: Explanation
  /** The same as a paragraph. */
  readonly text: string
}

/** A decision in short: of many deployments an explanation is long. */
export interface BriefDecision
  extends Pick<Explanation, "model" | "attempt" | "winner" | "because">, Omit<Decision, "explanation">
{}

/** What whoever looks all the time wants of a decision. */
export const brief = ({ at, explanation: { attempt, because, model, winner }, text }: Decision): BriefDecision => ({
  at,
  model,
  attempt,
  winner,
  because,
  text
})

/**
 * The last decisions.
 */
export class Decisions {
  private kept: ReadonlyArray<Decision> = []
  private takenAt = -Infinity

  /**
   * Told why the next request goes where it goes; `undefined` where that is not asked.
   *
   * @param now milliseconds of a monotonic clock
   * @param at milliseconds since 1970
   */
  listener(now: number, at: number): ((explanation: Explanation) => void) | undefined {
    if (now - this.takenAt < EVERY) return undefined
    this.takenAt = now
    return (explanation) => {
      this.kept = [{ at, explanation, text: String(explanation) }, ...this.kept.slice(0, KEPT - 1)]
    }
  }

  /** The newest first: all that are kept, or those made later than a time. */
  latest(after = -Infinity): ReadonlyArray<Decision> {
    return this.kept.filter(({ at }) => at > after)
  }
}
