/**
 * What the service counts as a share of what a ledger does.
 *
 * A ledger reserves more for answers without an output limit than a service may, so that a full ledger leaves quota unused. The
 * service's own counter shows by how much: where it has less in use than we sent, it counted less of it. The highest share of
 * the last one to two minutes is taken, since a counter that begins anew each minute shows little after that, and all of it
 * before; and where others send, it shows more than ours, which is a share of 1.
 */

/** Milliseconds over which the highest is kept, and answers that are enough of them. */
const WHILE = 60_000
const ENOUGH = 30

/** Share of a limit in use from which on a share is exact enough, and the least that is believed. */
const MUCH = 0.5
const LEAST = 0.75

/** Half a percent is left of what was shown, for what differs from one minute to the next. */
const RESERVE = 1.005

/**
 * Share of one ledger. Times are milliseconds of a monotonic clock.
 */
export class CountedShare {
  private highest = 0
  private before = 1
  private count = 0
  private since = -Infinity

  /** The service showed so much in use as of a send, where the ledger had so much of a limit. */
  show(now: number, used: number, own: number, limit: number): void {
    if (own < MUCH * limit) return
    if (now - this.since > WHILE) {
      // what was shown too seldom, or too long ago, shows nothing
      this.before = this.count >= ENOUGH && now - this.since <= 2 * WHILE ? this.highest : 1
      this.highest = 0
      this.count = 0
      this.since = now
    }
    this.highest = Math.max(this.highest, Math.min(1, RESERVE * used / own))
    this.count++
  }

  /** It refused what should have fitted: what it shows is not so, for this while and the next. */
  refute(now: number): void {
    if (now - this.since > WHILE) this.since = now
    this.highest = 1
    this.before = 1
  }

  /** At most 1: what was shown in this while and in the one before. */
  at(now: number): number {
    return now - this.since > 2 * WHILE ? 1 : Math.max(LEAST, this.before, this.highest)
  }
}
