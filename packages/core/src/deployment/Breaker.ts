/**
 * A circuit breaker with two ways to trip by itself, and one way back. Others open it at once for what they know for certain.
 *
 *     closed --(5 failures in a row, or success below 80 % of what peers reach, of >= 5 in 30 s)--> open
 *     open --(open time over, one taker)--> half-open
 *     half-open --(success, or a refusal that peers repeat)--> closed
 *     half-open --(failure)--> open, for longer
 *     half-open --(throttled, abandoned)--> open again, its time over: the next taker probes
 *     half-open --(refused, or begun, and nobody knows yet what of it)--> open again, for as long as at first
 *
 * Each change of state begins a new epoch. Whoever takes a permit carries its epoch; what it reports under another
 * epoch changes nothing. The window counts exactly, in ten buckets, so what is counted in a burst leads to the same
 * decision as the same spread out. A failure of a request that no deployment answered says little of this one: it is
 * pardoned, which leaves a quarter of it in the row and nothing in the window. (Finagle's failure accrual, Linkerd's
 * unified breaker, Envoy's outlier detection by success rate; numbers in docs/configuration.md.)
 */

/**
 * Settings of a breaker. Times in milliseconds.
 */
export interface BreakerOptions {
  readonly consecutiveFailures: number
  /** Trips when the share of successes in the window falls below this. */
  readonly successRatio: number
  readonly minimumSamples: number
  readonly window: number
  /** Open time of the first trip; doubles with each trip in a row. */
  readonly openFor: number
  readonly maxOpenFor: number
}

export type BreakerState = "closed" | "open" | "half-open"

const BUCKETS = 10

/** What a pardoned failure still counts in a row: a deployment that answers nothing at all opens all the same. */
const PARDONED = 0.25

/**
 * Breaker of a deployment or of a resource. Times are milliseconds of a monotonic clock.
 */
export class Breaker {
  private readonly options: BreakerOptions
  private readonly successes = new Float64Array(BUCKETS)
  private readonly failures = new Float64Array(BUCKETS)
  private head = 0
  private inARow = 0
  private failedAt = -Infinity
  private heardAt = -Infinity
  private trips = 0
  /** The first probe since it opened of which it is not known yet what it says. */
  private suspendedFrom = Infinity
  private probing = false
  /** The epoch of a probe that ended without telling, and may be judged still. */
  private releasedEpoch = -2
  private pardonedEpoch = -2
  /** Whether it was opened at once, for what no repetition mends. */
  private isCertain = false
  /** Whether it opened for answers that broke after they had begun: then only an end closes it. */
  isClosedByEnd = false
  private current: BreakerState = "closed"
  private until = 0
  /** When its first trip would admit a probe, whatever its trips before. */
  private soonest = 0
  private closedAt = -Infinity
  /** Whether everything may pass. */
  isClosed = true
  /** Whether it ever opened. */
  hasTripped = false
  /** Whether it opened for what another process told. */
  isHeard = false
  /** Number of state changes so far. */
  epoch = 0
  /** Why it last opened, for people. */
  reason: string | undefined

  constructor(options: BreakerOptions) {
    this.options = options
  }

  get state(): BreakerState {
    return this.current
  }

  /** When an open breaker admits its next probe. */
  get openUntil(): number {
    return this.until
  }

  /** Failures since the last success; one that is held or was pardoned counts in part. */
  get failuresInARow(): number {
    return this.inARow
  }

  /** When it last closed after a trip; `-Infinity` when it never tripped. */
  get reopenedAt(): number {
    return this.closedAt
  }

  /** Whether a request may pass now. */
  allows(now: number): boolean {
    return this.isClosed || (!this.probing && now >= this.until)
  }

  /**
   * Passes a request and returns its epoch. Where the breaker is not closed and allows one, this is its one probe; where
   * it does not allow any (panic), the request passes as a bystander, whose report counts for nothing.
   */
  enter(now: number): number {
    if (this.current === "closed") return this.epoch
    if (!this.allows(now)) return -1
    this.probing = true
    if (this.current === "open") this.become("half-open")
    return this.epoch
  }

  /**
   * Passes an active check, which need not wait for the open time to be over: it costs no caller anything. Returns its
   * epoch, or nothing when a probe is out already, or when it was opened for what no check can see.
   */
  enterCheck(): number | undefined {
    if (this.probing || this.isCertain) return undefined
    if (this.current === "closed") return this.epoch
    this.probing = true
    if (this.current === "open") this.become("half-open")
    return this.epoch
  }

  /** The request succeeded, or was refused for its own faults: the other side is alive. Returns the epoch to go on with. */
  succeed(epoch: number, now: number): number {
    if (!this.isCurrent(epoch)) return epoch
    if (this.current !== "closed") {
      this.close(now)
      return this.epoch
    }
    this.inARow = 0
    this.bucket(now)
    this.successes[this.head % BUCKETS]! += 1
    return epoch
  }

  /**
   * The request failed. `random` in [0, 1) spreads the open time. Returns whether this opened the breaker.
   *
   * @param peers share of their requests that peers answered of late: one that does as well is not opened for its share
   * @param hadBegun whether its answer had begun: then only one that comes to its end shows that it is well again
   * @param weight what it counts for in the row
   */
  fail(
    epoch: number,
    now: number,
    random: number,
    reason: string,
    peers = 1,
    hadBegun = false,
    weight = 1
  ): boolean {
    if (!this.isCurrent(epoch)) return false
    if (this.current === "closed") {
      this.inARow += Math.min(weight, this.options.consecutiveFailures)
      this.bucket(now)
      this.failures[this.head % BUCKETS]! += 1
      this.failedAt = now
      if (!this.isTripping(peers)) return false
    }
    this.open(now, random, reason)
    this.isClosedByEnd = hadBegun
    return true
  }

  /**
   * A failure of a request that was sent then is heard. Whether that is news: what was under way when the last news was heard
   * may be of the same caller, who sent several at once.
   */
  hear(startedAt: number, now: number): boolean {
    if (startedAt < this.heardAt) return false
    this.heardAt = now
    return true
  }

  /** The request failed, and is to be judged: until then it counts for part of one. Returns whether this opened the breaker. */
  failDoubtfully(epoch: number, now: number, random: number, reason: string, weight: number): boolean {
    if (epoch !== this.epoch) return false
    this.inARow += weight
    if (this.inARow < this.options.consecutiveFailures) return false
    this.open(now, random, reason)
    return true
  }

  /**
   * A failure of `failedAt`, counted in `epoch`, was of a request that nobody answered. Where it opened the breaker, as the
   * last of several or as a probe, the next request may try at once.
   */
  pardon(epoch: number, failedAt: number, now: number, wasProbe = false, weight = 1): void {
    if (epoch !== this.epoch && epoch !== this.epoch - 1) return
    if (!wasProbe) this.forgive(failedAt, now, weight)
    if (epoch === this.epoch || this.current !== "open" || (!wasProbe && this.isTripping())) return
    // one opening is one trip, however many of those that led to it are pardoned
    if (this.pardonedEpoch !== this.epoch) this.trips = Math.max(0, this.trips - 1)
    this.pardonedEpoch = this.epoch
    this.until = Math.min(this.until, now)
  }

  private forgive(failedAt: number, now: number, weight: number): void {
    this.inARow = Math.max(0, this.inARow - Math.max(0, weight - PARDONED))
    if (weight < 1) return
    this.bucket(now)
    const index = this.indexOf(failedAt)
    if (this.head - index < BUCKETS) {
      this.failures[index % BUCKETS] = Math.max(0, this.failures[index % BUCKETS]! - 1)
    }
  }

  /** Share of the requests of the window that were answered; 1 while fewer than `least` say. */
  successShare(now: number, least = this.options.minimumSamples): number {
    if (now - this.failedAt > this.options.window) return 1
    this.bucket(now)
    const { samples, successes } = this.counts()
    return samples < least ? 1 : successes / samples
  }

  /** The same as a guess, from the first one that says something: as if one more had been answered. */
  likelyShare(now: number): number {
    if (now - this.failedAt > this.options.window) return 1
    this.bucket(now)
    const { samples, successes } = this.counts()
    return (successes + 1) / (samples + 1)
  }

  /** Opens at once, whatever was counted: for failures that no repetition mends. */
  trip(now: number, random: number, reason: string): void {
    this.open(now, random, reason)
    this.isCertain = true
  }

  /** Another process opened its own for so long, or its failures did ours: opens, or stays open for as long. */
  hearOpen(now: number, wait: number, reason: string): void {
    if (this.current === "half-open" || this.isCertain) return
    const until = now + Math.min(wait, this.options.maxOpenFor)
    if (this.current === "closed") {
      this.open(now, 0, reason)
      this.isHeard = true
    } else if (until <= this.until) return
    // what others opened again has failed as often here
    else this.trips++
    this.until = until
    this.soonest = until
  }

  /** Another process found it well again: the next request may see. */
  hearClosed(now: number): void {
    if (this.current === "open" && !this.isCertain) this.until = Math.min(this.until, now)
  }

  /** Whether what is told of an epoch still counts. */
  isCurrent(epoch: number): boolean {
    if (epoch === this.epoch || (this.current !== "closed" && epoch >= this.suspendedFrom)) return true
    return this.current === "open" && epoch === this.releasedEpoch
  }

  /** The probe ended without telling (throttled, abandoned): its slot is free again. */
  release(epoch: number): void {
    if (epoch === this.epoch && this.current === "half-open") {
      this.releasedEpoch = epoch
      this.probing = false
      this.become("open")
    }
  }

  /**
   * What the probe says is known only later: a peer may think for long before it says who is right in refusing, and a stream
   * may break before its end. The next one waits as after a first trip, and whichever is known first decides.
   */
  suspend(epoch: number, now: number): void {
    if (epoch !== this.epoch || this.current !== "half-open") return
    this.until = now + this.options.openFor
    this.suspendedFrom = Math.min(this.suspendedFrom, epoch)
    this.release(epoch)
  }

  /** What a suspended probe says is known, and is nothing: the next may try at once. */
  resume(epoch: number, now: number): void {
    if (this.current === "open" && this.isCurrent(epoch)) this.until = Math.min(this.until, now)
  }

  /** It is missed: what is left cannot take what is asked for, so its next probe comes as soon as after a first trip. */
  hurry(): void {
    if (!this.isCertain) this.until = Math.min(this.until, this.soonest)
  }

  /** Closes and forgets, as for a new credential; what is still under way with the old one counts no more. */
  reset(now: number): void {
    const { closedAt, current } = this
    this.close(now)
    // what was closed before is not coming back from anything
    if (current === "closed") this.closedAt = closedAt
    this.trips = 0
  }

  private open(now: number, random: number, reason: string): void {
    // a breaker that held for longer than its longest open time has lived its past down
    if (now - this.closedAt > this.options.maxOpenFor && this.current === "closed") this.trips = 0
    const full = Math.min(this.options.openFor * 2 ** Math.min(this.trips, 30), this.options.maxOpenFor)
    this.trips++
    this.hasTripped = true
    this.until = now + full / 2 + (full / 2) * random
    this.soonest = now + (Math.min(full, this.options.openFor) * (1 + random)) / 2
    this.probing = false
    this.suspendedFrom = Infinity
    this.releasedEpoch = -2
    this.isCertain = false
    this.isHeard = false
    this.isClosedByEnd = false
    this.reason = reason
    this.become("open")
  }

  private close(now: number): void {
    this.successes.fill(0)
    this.failures.fill(0)
    this.inARow = 0
    this.probing = false
    this.suspendedFrom = Infinity
    this.isCertain = false
    this.isClosedByEnd = false
    this.closedAt = now
    this.reason = undefined
    this.become("closed")
  }

  private become(state: BreakerState): void {
    this.current = state
    this.isClosed = state === "closed"
    this.epoch++
  }

  private isTripping(peers = 1): boolean {
    if (this.inARow >= this.options.consecutiveFailures) return true
    const { samples, successes } = this.counts()
    return samples >= this.options.minimumSamples && successes / samples < this.options.successRatio * peers
  }

  private counts(): { readonly successes: number; readonly samples: number } {
    let successes = 0
    let samples = 0
    for (let i = 0; i < BUCKETS; i++) {
      successes += this.successes[i]!
      samples += this.successes[i]! + this.failures[i]!
    }
    return { successes, samples }
  }

  private indexOf(at: number): number {
    return Math.floor(at / Math.max(1, this.options.window / BUCKETS))
  }

  private bucket(now: number): void {
    const index = this.indexOf(now)
    const ahead = Math.min(index - this.head, BUCKETS)
    for (let i = 0; i < ahead; i++) {
      const cleared = (index - i) % BUCKETS
      this.successes[cleared] = 0
      this.failures[cleared] = 0
    }
    if (index > this.head) this.head = index
  }
}
