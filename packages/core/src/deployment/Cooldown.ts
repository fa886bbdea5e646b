/**
 * A time before which a deployment is left alone, as the service asked for.
 *
 * A later, longer wait extends it; a shorter one never cuts it. Services have been seen to ask for a day: past the cap,
 * one request per cap is let through to see.
 */

/** Settings of a cooldown, in milliseconds. */
export interface CooldownOptions {
  /** Wait of a 429 that names none. */
  readonly cooldown: number
  readonly maxCooldown: number
}

const MISSING_FIRST = 30_000

/**
 * Cooldown of one deployment. Times are milliseconds of a monotonic clock.
 */
export class Cooldown {
  private readonly options: CooldownOptions
  private until = 0
  private probeAt = 0
  private missing = 0
  private missingUntil = -Infinity
  /** Why, for people. */
  reason = ""

  constructor(options: CooldownOptions) {
    this.options = options
  }

  /** When it ends; in the past when there is none. */
  get endsAt(): number {
    return this.until
  }

  /** The first time at which a request may pass: its end, or the next probe of a very long one. */
  get opensAt(): number {
    return Math.min(this.until, this.probeAt)
  }

  allows(now: number): boolean {
    return now >= this.until || now >= this.probeAt
  }

  /** Whether it waits because the deployment does not exist. */
  isMissing(now: number): boolean {
    return now < this.missingUntil
  }

  /** A request passes; within a long cooldown it is the one probe of this while. */
  enter(now: number): void {
    if (now < this.until) this.probeAt = now + this.options.maxCooldown
  }

  /** Waits for `wait` milliseconds, or the default when the service named no time. Returns the wait in force. */
  begin(now: number, wait: number | undefined, reason: string): number {
    if (now >= this.until) this.probeAt = now + this.options.maxCooldown
    const until = now + (wait ?? this.options.cooldown)
    if (until > this.until) {
      this.until = until
      this.reason = reason
    }
    return this.until - now
  }

  /** The deployment does not exist: 30 s, doubling up to the cap. */
  beginMissing(now: number, reason: string): number {
    // those that were under way together found out once
    if (now < this.missingUntil) return this.until - now
    const wait = Math.min(MISSING_FIRST * 2 ** Math.min(this.missing++, 30), this.options.maxCooldown)
    this.missingUntil = now + wait
    return this.begin(now, wait, reason)
  }

  /** The deployment answered: it exists. */
  found(): void {
    this.missing = 0
  }
}
