/**
 * What other clients use of a deployment's quota, as far as its answers show.
 *
 * What was seen last says less and less: within 20 s it gives way to the mean of what was seen in the last minute or so.
 * Nothing heard for two minutes, that fades too. To take it for nothing at once would favour those deployments that are
 * heard of least, which is all small ones in a fleet, and hold those back that were seen in a busy moment.
 */

const WINDOW = 60_000

/** Milliseconds for which others are taken to go on as they were seen to; from then on what they used leaves the window. */
const STAYS = 15_000

/** Milliseconds in which what was seen last gives way to the mean. */
const RELAXATION = 20_000

/** Milliseconds over which the mean is taken. */
const MEAN_OVER = 60_000

/** Milliseconds from which on the mean fades, and until it is gone. */
const FADES_FROM = 120_000
const GONE_AFTER = 300_000

/**
 * Other clients' use of one limit, in tokens or requests of the last minute. Times are milliseconds of a monotonic clock.
 */
export class ExternalUse {
  private last = 0
  private mean = 0
  private at = -Infinity

  /** So much was used as of `now`. */
  observe(amount: number, now: number): void {
    this.mean += (amount - this.mean) * (1 - Math.exp(-(now - this.at) / MEAN_OVER))
    this.last = amount
    this.at = now
  }

  /** What is most likely in use. */
  likely(now: number): number {
    if (this.last === 0 && this.mean === 0) return 0
    const age = now - this.at
    const relaxed = age < RELAXATION ? this.last + (this.mean - this.last) * (age / RELAXATION) : this.mean
    return Math.floor(
      age <= FADES_FROM ? relaxed : relaxed * Math.max(0, (GONE_AFTER - age) / (GONE_AFTER - FADES_FROM))
    )
  }

  /** What was seen, as far as it may be in the window still: what gates go by. As time passes, it only falls. */
  seen(now: number): number {
    const gone = Math.max(0, now - this.at - STAYS) / (WINDOW - STAYS)
    return this.last === 0 || gone >= 1 ? 0 : Math.floor(this.last * (1 - gone))
  }
}
