/**
 * Adaptive throttling of a model whose deployments refuse whatever they are sent, and whenever they say to come back: what
 * they would most likely refuse is refused here, at once, and costs neither them nor the caller's time.
 *
 * Over the last ten seconds, requests that ended refused are at most as many as those that were answered, and ten more,
 * so that room is noticed where there is some. (Client-side throttling of Google's Site Reliability Engineering, chapter
 * 21, with its factor of 2; a bound instead of a probability.)
 */
import { SlidingWindow } from "./SlidingWindow.ts"

const WINDOW_SECONDS = 10
const REFUSED_PER_SECOND = 1

/**
 * What became of a model's requests of late. Times are milliseconds of a monotonic clock.
 */
export class Overload {
  private readonly answers = new SlidingWindow(WINDOW_SECONDS)
  private readonly refusals = new SlidingWindow(WINDOW_SECONDS)

  /** A request was answered. */
  answered(now: number): void {
    this.answers.add(now, 1)
  }

  /** A request was sent, and ended without an answer because whatever it was sent to was throttled. */
  refused(now: number): void {
    this.refusals.add(now, 1)
  }

  /** Whether a further request would most likely be refused. */
  isLasting(now: number): boolean {
    return this.refusals.sum(now) >= this.answers.sum(now) + REFUSED_PER_SECOND * WINDOW_SECONDS
  }
}
