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
import { SlidingWindow } from "./SlidingWindow.ts"

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
  private readonly successes: SlidingWindow
  private readonly failures: SlidingWindow
  /** Failures since the last success; one that is held or was pardoned counts in part. */
  failuresInARow = 0
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
  state: BreakerState = "closed"
  /** When an open breaker admits its next probe. */
  openUntil = 0
  /** When its first trip would admit a probe, whatever its trips before. */
  private soonest = 0
  /** When it last closed after a trip; `-Infinity` when it never tripped. */
  reopenedAt = -Infinity
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
  /** Told of each change of state, whoever causes it, and for how long it is open. */
  onChange: ((state: BreakerState, openFor: number) => void) | undefined

  constructor(options: BreakerOptions) {
    this.options = options
    const width = Math.max(1, options.window / BUCKETS)
    this.successes = new SlidingWindow(BUCKETS - 1, width)
    this.failures = new SlidingWindow(BUCKETS - 1, width)
  }

  /** Whether a request may pass now. */
  allows(now: number): boolean {
    return this.isClosed || (!this.probing && now >= this.openUntil)
  }

  /**
   * Passes a request and returns its epoch. Where the breaker is not closed and allows one, this is its one probe; where
   * it does not allow any (panic), the request passes as a bystander, whose report counts for nothing.
   */
  enter(now: number): number {
    if (this.state === "closed") return this.epoch
    return this.allows(now) ? this.probe() : -1
  }

  /**
   * Passes an active check, which need not wait for the open time to be over: it costs no caller anything. Returns its
   * epoch, or nothing when a probe is out already, or when it was opened for what no check can see.
   */
  enterCheck(): number | undefined {
    if (this.probing || this.isCertain) return undefined
    return this.state === "closed" ? this.epoch : this.probe()
  }

  private probe(): number {
    this.probing = true
    if (this.state === "open") {
      this.become("half-open")
      this.onChange?.("half-open", 0)
    }
    return this.epoch
  }

  /** The request succeeded, or was refused for its own faults: the other side is alive. Returns the epoch to go on with. */
  succeed(epoch: number, now: number): number {
    if (!this.isCurrent(epoch)) return epoch
    if (this.state !== "closed") {
      this.close(now)
      return this.epoch
    }
    this.failuresInARow = 0
    this.successes.add(now, 1)
    return epoch
  }

  /**
   * The request failed. `random` in [0, 1) spreads the open time.
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
  ): void {
    if (!this.isCurrent(epoch)) return
    if (this.state === "closed") {
      this.failuresInARow += Math.min(weight, this.options.consecutiveFailures)
      this.failures.add(now, 1)
      if (!this.isTripping(now, peers)) return
    }
    this.open(now, random, reason)
    this.isClosedByEnd = hadBegun
    this.tellOpen(now)
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

  /** The request failed, and is to be judged: until then it counts for part of one. */
  failDoubtfully(epoch: number, now: number, random: number, reason: string, weight: number): void {
    if (epoch !== this.epoch) return
    this.failuresInARow += weight
    if (this.failuresInARow < this.options.consecutiveFailures) return
    this.open(now, random, reason)
    this.tellOpen(now)
  }

  /**
   * A failure of `failedAt`, counted in `epoch`, was of a request that nobody answered. Where it opened the breaker, as the
   * last of several or as a probe, the next request may try at once.
   */
  pardon(epoch: number, failedAt: number, now: number, wasProbe = false, weight = 1): void {
    if (epoch !== this.epoch && epoch !== this.epoch - 1) return
    if (!wasProbe) this.forgive(failedAt, now, weight)
    if (epoch === this.epoch || this.state !== "open" || (!wasProbe && this.isTripping(now))) return
    // one opening is one trip, however many of those that led to it are pardoned
    if (this.pardonedEpoch !== this.epoch) this.trips = Math.max(0, this.trips - 1)
    this.pardonedEpoch = this.epoch
    this.openUntil = Math.min(this.openUntil, now)
  }

  private forgive(failedAt: number, now: number, weight: number): void {
    this.failuresInARow = Math.max(0, this.failuresInARow - Math.max(0, weight - PARDONED))
    if (weight >= 1) this.failures.amend(now, failedAt, -1)
  }

  /** Share of the requests of the window that were answered; 1 while fewer than `least` say. */
  successShare(now: number, least = this.options.minimumSamples): number {
    const failures = this.failures.sum(now)
    if (failures === 0) return 1
    const successes = this.successes.sum(now)
    const samples = successes + failures
    return samples < least ? 1 : successes / samples
  }

  /** The same as a guess, from the first one that says something: as if one more had been answered. */
  likelyShare(now: number): number {
    const answered = this.successes.sum(now) + 1
    return answered / (answered + this.failures.sum(now))
  }

  /** Opens at once, whatever was counted: for failures that no repetition mends. */
  trip(now: number, random: number, reason: string): void {
    this.open(now, random, reason)
    this.isCertain = true
    this.tellOpen(now)
  }

  /** Another process opened its own for so long, or its failures did ours: opens, or stays open for as long. */
  hearOpen(now: number, wait: number, reason: string): void {
    if (this.state === "half-open" || this.isCertain) return
    const until = now + Math.min(wait, this.options.maxOpenFor)
    const wasClosed = this.state === "closed"
    if (wasClosed) {
      this.open(now, 0, reason)
      this.isHeard = true
    } else if (until <= this.openUntil) return
    // what others opened again has failed as often here
    else this.trips++
    this.openUntil = until
    this.soonest = until
    if (wasClosed) this.tellOpen(now)
  }

  /** Another process found it well again: the next request may see. */
  hearClosed(now: number): void {
    if (this.state === "open" && !this.isCertain) this.openUntil = Math.min(this.openUntil, now)
  }

  /** Whether what is told of an epoch still counts. */
  isCurrent(epoch: number): boolean {
    if (epoch === this.epoch || (this.state !== "closed" && epoch >= this.suspendedFrom)) return true
    return this.state === "open" && epoch === this.releasedEpoch
  }

  /** The probe ended without telling (throttled, abandoned): its slot is free again. */
  release(epoch: number): void {
    if (epoch === this.epoch && this.state === "half-open") {
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
    if (epoch !== this.epoch || this.state !== "half-open") return
    this.openUntil = now + this.options.openFor
    this.suspendedFrom = Math.min(this.suspendedFrom, epoch)
    this.release(epoch)
  }

  /** What a suspended probe says is known, and is nothing: the next may try at once. */
  resume(epoch: number, now: number): void {
    if (this.state === "open" && this.isCurrent(epoch)) this.openUntil = Math.min(this.openUntil, now)
  }

  /** It is missed: what is left cannot take what is asked for, so its next probe comes as soon as after a first trip. */
  hurry(): void {
    if (!this.isCertain) this.openUntil = Math.min(this.openUntil, this.soonest)
  }

  /** Closes and forgets, as for a new credential; what is still under way with the old one counts no more. */
  reset(now: number): void {
    const { reopenedAt, state } = this
    this.close(now)
    // what was closed before is not coming back from anything
    if (state === "closed") this.reopenedAt = reopenedAt
    this.trips = 0
  }

  private open(now: number, random: number, reason: string): void {
    // a breaker that held for longer than its longest open time has lived its past down
    if (now - this.reopenedAt > this.options.maxOpenFor && this.state === "closed") this.trips = 0
    const full = Math.min(this.options.openFor * 2 ** Math.min(this.trips, 30), this.options.maxOpenFor)
    this.trips++
    this.hasTripped = true
    this.openUntil = now + full / 2 + (full / 2) * random
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
    this.successes.clear()
    this.failures.clear()
    this.failuresInARow = 0
    this.probing = false
    this.suspendedFrom = Infinity
    this.isCertain = false
    this.isClosedByEnd = false
    this.reopenedAt = now
    this.reason = undefined
    const wasClosed = this.isClosed
    this.become("closed")
    if (!wasClosed) this.onChange?.("closed", 0)
  }

  private tellOpen(now: number): void {
    this.onChange?.("open", this.openUntil - now)
  }

  private become(state: BreakerState): void {
    this.state = state
    this.isClosed = state === "closed"
    this.epoch++
  }

  private isTripping(now: number, peers = 1): boolean {
    const { consecutiveFailures, minimumSamples, successRatio } = this.options
    if (this.failuresInARow >= consecutiveFailures) return true
    const successes = this.successes.sum(now)
    const samples = successes + this.failures.sum(now)
    return samples >= minimumSamples && successes / samples < successRatio * peers
  }
}
