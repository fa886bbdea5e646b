/**
 * A sum over the last so many seconds, in buckets of one second.
 *
 * The window covers the full seconds asked for and the second in progress, so it is never shorter than what it stands
 * for: with 60 it looks back between 60 and 61 seconds. A service that counts over 60 seconds, sliding or by the
 * minute, has therefore never counted more than this has.
 */

/**
 * Sliding sum with one-second buckets. Times are milliseconds of a monotonic clock.
 */
export class SlidingWindow {
  readonly seconds: number
  private readonly buckets: Float64Array
  private total = 0
  private head = 0

  constructor(seconds: number) {
    this.seconds = seconds
    this.buckets = new Float64Array(seconds + 1)
  }

  /** What was added within the window that ends at `now`. */
  sum(now: number): number {
    this.advance(Math.floor(now / 1000))
    return this.total
  }

  /** Adds to the bucket of `now` and returns that bucket's second, for `amend`. */
  add(now: number, amount: number): number {
    this.advance(Math.floor(now / 1000))
    this.buckets[this.head % this.buckets.length]! += amount
    this.total += amount
    return this.head
  }

  /** Changes what was added in an earlier second. A bucket that has left the window is not touched. */
  amend(now: number, second: number, delta: number): void {
    this.advance(Math.floor(now / 1000))
    if (this.head - second >= this.buckets.length) return
    const index = second % this.buckets.length
    const amended = Math.max(0, this.buckets[index]! + delta)
    this.total += amended - this.buckets[index]!
    this.buckets[index] = amended
  }

  /** Milliseconds from `now` until the sum is at most `ceiling`, if nothing is added: 0 when it already is. */
  timeUntil(now: number, ceiling: number): number {
    let left = this.sum(now)
    if (left <= ceiling) return 0
    const oldest = this.head - this.buckets.length + 1
    for (let second = Math.max(0, oldest); second <= this.head; second++) {
      left -= this.buckets[second % this.buckets.length]!
      if (left <= ceiling) return (second + this.buckets.length) * 1000 - now
    }
    return this.buckets.length * 1000
  }

  private advance(second: number): void {
    const ahead = second - this.head
    if (ahead <= 0) return
    const length = this.buckets.length
    if (ahead >= length) {
      this.buckets.fill(0)
      this.total = 0
    } else {
      for (let i = 1; i <= ahead; i++) {
        const index = (this.head + i) % length
        this.total -= this.buckets[index]!
        this.buckets[index] = 0
      }
    }
    this.head = second
  }
}
