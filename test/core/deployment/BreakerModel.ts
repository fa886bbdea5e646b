/**
 * What a breaker should be, as plainly as it can be said: a list of results, a state, and a number for each state.
 */
import type { BreakerOptions } from "#core/deployment/Breaker"

export class BreakerModel {
  state: "closed" | "open" | "half-open" = "closed"
  until = 0
  closedAt = -Infinity
  hasTripped = false
  reason: string | undefined
  private epoch = 0
  /** Of a probe that ended without telling, and may be judged still. */
  private released = -2
  private trips = 0
  /** Probes since it opened of which nobody knows what they say. */
  private suspended: Array<number> = []
  /** Opened for what no check can see. */
  private isCertain = false
  private results: Array<{ readonly at: number; readonly ok: boolean }> = []
  private readonly options: BreakerOptions

  constructor(options: BreakerOptions) {
    this.options = options
  }

  allows(now: number): boolean {
    return this.state === "closed" || (this.state === "open" && now >= this.until)
  }

  /** Whoever passes without being allowed to carries an epoch that never was. */
  enter(now: number): number {
    if (!this.allows(now)) return -1
    if (this.state === "open") this.become("half-open")
    return this.epoch
  }

  /** A check may come before its time, but beside no probe, and not where it could see nothing. */
  enterCheck(): number | undefined {
    if (this.state === "closed") return this.epoch
    if (this.state === "half-open" || this.isCertain) return undefined
    this.become("half-open")
    return this.epoch
  }

  succeed(epoch: number, now: number): number {
    if (!this.isCurrent(epoch)) return epoch
    if (this.state === "closed") this.results.push({ at: now, ok: true })
    else this.close(now)
    return this.epoch
  }

  fail(epoch: number, now: number, random: number, reason: string): boolean {
    if (!this.isCurrent(epoch)) return false
    this.results.push({ at: now, ok: false })
    if (this.state === "closed" && !this.isTooMany(now)) return false
    this.open(now, random, reason)
    return true
  }

  release(epoch: number): void {
    if (epoch !== this.epoch || this.state !== "half-open") return
    this.released = epoch
    this.become("open")
  }

  suspend(epoch: number, now: number): void {
    if (epoch !== this.epoch || this.state !== "half-open") return
    this.until = now + this.options.openFor
    this.suspended.push(epoch)
    this.release(epoch)
  }

  private isCurrent(epoch: number): boolean {
    const [first = Infinity] = this.suspended
    return epoch === this.epoch || (this.state !== "closed" && epoch >= first)
      || (this.state === "open" && epoch === this.released)
  }

  trip(now: number, random: number, reason: string): void {
    this.open(now, random, reason)
    this.isCertain = true
  }

  reset(now: number): void {
    this.close(this.state === "closed" ? this.closedAt : now)
    this.trips = 0
  }

  private isTooMany(now: number): boolean {
    const { consecutiveFailures, minimumSamples, successRatio, window } = this.options
    const inARow = this.results.length - 1 - this.results.findLastIndex(({ ok }) => ok)
    if (inARow >= consecutiveFailures) return true
    // ten buckets, the one in progress included
    const first = (Math.floor(now / (window / 10)) - 9) * (window / 10)
    const counted = this.results.filter(({ at }) => at >= first)
    return counted.length >= minimumSamples
      && counted.filter(({ ok }) => ok).length / counted.length < successRatio
  }

  private open(now: number, random: number, reason: string): void {
    const { maxOpenFor, openFor } = this.options
    if (this.state === "closed" && now - this.closedAt > maxOpenFor) this.trips = 0
    const full = Math.min(openFor * 2 ** this.trips++, maxOpenFor)
    this.until = now + full / 2 + (full / 2) * random
    this.hasTripped = true
    this.isCertain = false
    this.released = -2
    this.suspended = []
    this.reason = reason
    this.become("open")
  }

  private close(at: number): void {
    this.results = []
    this.suspended = []
    this.closedAt = at
    this.reason = undefined
    this.become("closed")
  }

  private become(state: "closed" | "open" | "half-open"): void {
    this.state = state
    this.epoch++
  }
}
