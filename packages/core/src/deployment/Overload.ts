/**
 * Adaptive throttling of a model whose deployments refuse whatever they are sent, and whenever they say to come back: what
 * they would most likely refuse is refused here, at once, and costs neither them nor the caller's time.
 *
 * It lasts while, of the last ten seconds, as many requests ended refused as were answered, and ten more. One a second is
 * sent all the same, and the first that is answered ends it. (Client-side throttling of Google's Site Reliability
 * Engineering, chapter 21, with its factor of 2; a bound instead of a probability.)
 */
import { SlidingWindow } from "./SlidingWindow.ts"

const WINDOW_SECONDS = 10
const TOLERATED = 10
const TRIAL = 1000

/**
 * What became of a model's requests of late. Times are milliseconds of a monotonic clock.
 */
export class Overload {
  private readonly answers = new SlidingWindow(WINDOW_SECONDS)
  private refusals = new SlidingWindow(WINDOW_SECONDS)
  private triedAt = -Infinity

  /** A request was answered. */
  answered(now: number): void {
    if (this.isLasting(now)) this.refusals = new SlidingWindow(WINDOW_SECONDS)
    this.answers.add(now, 1)
  }

  /** A request was sent, and ended without an answer because whatever it was sent to was throttled. */
  refused(now: number): void {
    this.refusals.add(now, 1)
  }

  /** Whether a further request would most likely be refused. */
  isLasting(now: number): boolean {
    return this.refusals.sum(now) >= this.answers.sum(now) + TOLERATED
  }

  /** Whether a request may be sent: any while it does not last, else one a second, to see. */
  admits(now: number): boolean {
    if (!this.isLasting(now)) return true
    if (now - this.triedAt < TRIAL) return false
    this.triedAt = now
    return true
  }
}
