/**
 * A sum over the last while, in buckets of equal width.
 *
 * The window covers the full buckets asked for and the one in progress, so it is never shorter than what it stands for:
 * sixty buckets of a second look back between 60 and 61 seconds. A service that counts over 60 seconds, sliding or by
 * the minute, has therefore never counted more than this has.
 */

/**
 * Sliding sum. Times are milliseconds of a monotonic clock.
 */
export class SlidingWindow {
  private readonly width: number
  private readonly buckets: Float64Array
  private total = 0
  private head = 0
  /** Until when the bucket in progress is that. */
  private headEnds: number

  /**
   * @param buckets full buckets that the window covers
   * @param width of a bucket, in milliseconds
   */
  constructor(buckets: number, width = 1000) {
    this.buckets = new Float64Array(buckets + 1)
    this.width = width
    this.headEnds = width
  }

  /** What was added within the window that ends at `now`. */
  sum(now: number): number {
    this.advance(now)
    return this.total
  }

  /** What of it will be left at a later time, if nothing is added. */
  sumAt(later: number): number {
    if (later < this.headEnds) return this.total
    const length = this.buckets.length
    const oldest = Math.floor(later / this.width) - length + 1
    if (oldest <= this.head - length + 1) return this.total
    let left = 0
    for (let bucket = Math.max(0, oldest); bucket <= this.head; bucket++) left += this.buckets[bucket % length]!
    return left
  }

  /** Adds to the bucket of `now`. */
  add(now: number, amount: number): void {
    this.advance(now)
    this.buckets[this.head % this.buckets.length]! += amount
    this.total += amount
  }

  /** Changes what was added at an earlier time. A bucket that has left the window is not touched. */
  amend(now: number, addedAt: number, delta: number): void {
    this.advance(now)
    const bucket = Math.min(this.head, Math.floor(addedAt / this.width))
    if (this.head - bucket >= this.buckets.length) return
    const index = bucket % this.buckets.length
    const amended = Math.max(0, this.buckets[index]! + delta)
    this.total += amended - this.buckets[index]!
    this.buckets[index] = amended
  }

  /** Forgets everything. */
  clear(): void {
    this.buckets.fill(0)
    this.total = 0
  }

  /** Adds what another window of the same width holds. */
  absorb(other: SlidingWindow, now: number): void {
    this.advance(now)
    other.advance(now)
    for (let i = 0; i < this.buckets.length; i++) this.buckets[i]! += other.buckets[i]!
    this.total += other.total
  }

  /** Tells of each bucket of the window that has something in it: when it began, and how much. */
  each(now: number, tell: (beganAt: number, amount: number) => void): void {
    this.advance(now)
    const { length } = this.buckets
    for (let bucket = Math.max(0, this.head - length + 1); bucket <= this.head; bucket++) {
      const amount = this.buckets[bucket % length]!
      if (amount > 0) tell(bucket * this.width, amount)
    }
  }

  /** So small that it is inlined, since nearly always there is nothing to do. */
  private advance(now: number): void {
    if (now >= this.headEnds) this.roll(now)
  }

  private roll(now: number): void {
    const at = Math.floor(now / this.width)
    const ahead = at - this.head
    const length = this.buckets.length
    if (ahead >= length) this.clear()
    else {
      for (let i = 1; i <= ahead; i++) {
        const index = (this.head + i) % length
        this.total -= this.buckets[index]!
        this.buckets[index] = 0
      }
    }
    this.head = at
    this.headEnds = (at + 1) * this.width
  }
}
