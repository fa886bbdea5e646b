/**
 * A time before which a deployment is left alone, as the service asked for.
 *
 * A later, longer wait extends it; a shorter one never cuts it. Services have been seen to ask for a day: past the cap,
 * one request per cap is let through to see.
 *
 * A wait may be meant for one request alone (one that is too large, of a service tier without capacity, or that a rule
 * before the service does not like), in words that nobody knows. So the word of a request that was refused wherever it was
 * sent is tried: one other request may pass. Where that is answered, the word was contradicted, and for a minute single
 * refusals are taken for their request's own.
 */

/** Settings of a cooldown, in milliseconds. */
export interface CooldownOptions {
  /** Wait of a 429 that names none. */
  readonly cooldown: number
  readonly maxCooldown: number
}

const MISSING_FIRST = 30_000

/** How long single refusals are not believed after one that was contradicted, in milliseconds. */
const DISBELIEF = 60_000

/**
 * So many requests refused without an answer between them are believed whatever was contradicted before. One that was under
 * way together with another counts for less: they may be of one caller, who sent them at once.
 */
const BELIEVED_IN_A_ROW = 4
const TOGETHER = 0.1

/**
 * How soon another request may try a cooldown, in milliseconds: services refuse at once, and whoever tries may be of the
 * same kind as the one that was refused. It doubles with each that tries.
 */
const TRIAL_PACE = 100

/** What stands for the requests of other processes, of which each may be to blame itself. */
const FLEET = -1

/** The longest that a wait grows to while a deployment refuses, round after round, what its peers answer. */
const MAX_GROWN = 30_000

/** What such a wait grows from at least, where the service names none that is worth waiting. */
const MIN_GROWN = 1000

/**
 * Cooldown of one deployment. Times are milliseconds of a monotonic clock.
 */
export class Cooldown {
  readonly options: CooldownOptions
  private begunAt = 0
  /** When it ends; in the past when there is none. */
  endsAt = 0
  private probeAt = 0
  private missing = 0
  private missingUntil = -Infinity
  /** Whether it is another process that says that it is missing. */
  private isMissingHeard = false
  /** Requests whose word this is, while each of them may be to blame itself. */
  private readonly sources = new Set<number>()
  private isCertain = false
  private isOnTrial = false
  private trials = 0
  private nextTrialAt = 0
  /** Cooldowns in a row that peers confirmed, without an answer between them. */
  private rounds = 0
  private refusedInARow = 0
  private heardAt = -Infinity
  private disbelievedUntil = -Infinity
  /** Why, for people. */
  reason = ""

  constructor(options: CooldownOptions) {
    this.options = options
  }

  /** The first time at which a request may pass: its end, the next probe of a very long one, or the next trial. */
  get opensAt(): number {
    return Math.min(this.endsAt, this.probeAt)
  }

  allows(now: number): boolean {
    return now >= this.endsAt || now >= this.probeAt
  }

  /** The same for a request that was itself told to wait, anywhere: it is no judge of such a word, and tries none. */
  opensAtForTold(): number {
    return this.isOnTrial ? this.endsAt : this.opensAt
  }

  /** Whether it waits because the deployment does not exist. */
  isMissing(now: number): boolean {
    return now < this.missingUntil
  }

  /** A request passes; within a long cooldown, or one on trial, it is the one probe of this while. */
  enter(now: number): void {
    if (now >= this.endsAt) return
    if (!this.isOnTrial) {
      this.probeAt = now + this.options.maxCooldown
      return
    }
    // asking for what is not there takes nobody's quota; that it is not there has to be known
    const growth = this.isMissing(now) && !this.isMissingHeard ? 1 : 2 ** Math.min(this.trials, 30)
    this.trials++
    this.nextTrialAt = now + TRIAL_PACE * growth
    this.probeAt = this.nextTrialAt
  }

  /**
   * Waits for `wait` milliseconds, or the default when the service named no time. Returns the wait in force: 0 where it is
   * not believed.
   *
   * @param source the request that was told; without one, it is certain
   * @param wasTold whether it was told so before, anywhere: then it is no further witness
   * @param startedAt when it was sent
   */
  begin(
    now: number,
    wait: number | undefined,
    reason: string,
    source?: number,
    wasTold = false,
    startedAt = now
  ): number {
    if (!wasTold) {
      const isNews = startedAt >= this.heardAt
      this.refusedInARow += isNews ? 1 : TOGETHER
      if (isNews) this.heardAt = now
    }
    const isBelieved = source === undefined || now >= this.disbelievedUntil || this.refusedInARow >= BELIEVED_IN_A_ROW
    if (!isBelieved) return Math.max(0, this.endsAt - now)
    const isOver = now >= this.endsAt
    if (isOver || this.isOnTrial) this.probeAt = now + this.options.maxCooldown
    this.isOnTrial = false
    if (isOver) {
      this.begunAt = now
      this.sources.clear()
      this.isCertain = false
      this.trials = 0
      this.nextTrialAt = now
    }
    if (source === undefined) this.isCertain = true
    else this.sources.add(source)
    const until = now + this.grown(wait ?? this.options.cooldown)
    if (until > this.endsAt) {
      this.endsAt = until
      this.reason = reason
    }
    return this.endsAt - now
  }

  /**
   * Another process was told so: as long as it says, up to the cap. Where it is doubted, another request may try.
   *
   * @param isMissing whether the deployment does not exist
   */
  hear(now: number, wait: number, reason: string, isMissing: boolean): void {
    const told = Math.min(wait, this.options.maxCooldown)
    // its word is no witness of ours, and shortens nothing
    const inForce = now + told > this.endsAt ? this.begin(now, told, reason, FLEET, true) : 0
    if (!isMissing || inForce <= 0 || this.isMissing(now)) return
    this.missingUntil = now + told
    this.isMissingHeard = true
  }

  /** Whether another process said so, and nobody here. */
  isHeard(now: number): boolean {
    return now < this.endsAt && !this.isCertain && this.sources.size === 1 && this.sources.has(FLEET)
  }

  /** What another process said is tried: another request may pass. */
  doubtHeard(now: number): void {
    this.doubt(FLEET, now)
  }

  /** The deployment does not exist: 30 s, doubling up to the cap. */
  beginMissing(now: number, reason: string, source?: number, wasTold = false, startedAt = now): number {
    // those that were under way together found out once
    if (now < this.missingUntil) return this.endsAt - now
    const wait = Math.min(MISSING_FIRST * 2 ** Math.min(this.missing++, 30), this.options.maxCooldown)
    const inForce = this.begin(now, wait, reason, source, wasTold, startedAt)
    if (inForce > 0) this.missingUntil = now + wait
    this.isMissingHeard = false
    return inForce
  }

  /** A peer answered what was refused here: it was no fault of the request. Returns how often in a row that was so. */
  confirm(source: number): number {
    if (!this.sources.has(source) || this.isCertain) return 0
    this.isCertain = true
    return ++this.rounds
  }

  /** Nobody answered what was refused here. Where no other request was told the same, the next one may try. */
  doubt(source: number, now: number): void {
    if (!this.sources.delete(source) || now >= this.endsAt || this.isCertain || this.sources.size > 0) return
    this.isOnTrial = true
    this.probeAt = this.nextTrialAt
  }

  /** How long whoever was told waits itself, in milliseconds: no longer than until a very long cooldown is probed. */
  patienceOf(wait: number | undefined): number {
    return Math.min(wait ?? this.options.cooldown, this.options.maxCooldown)
  }

  /** Whether it is most likely the word of requests that are to blame themselves. */
  isDoubtful(now: number): boolean {
    return now < this.endsAt && !this.isCertain && (this.isOnTrial || this.trials > 0)
  }

  private grown(wait: number): number {
    if (this.rounds === 0) return wait
    return Math.max(wait, Math.min(MAX_GROWN, Math.max(wait, MIN_GROWN) * 2 ** Math.min(this.rounds, 30)))
  }

  /** It answered a request of `startedAt`. Returns whether that contradicts what it had said, which is over then. */
  answered(now: number, startedAt = now): boolean {
    this.missing = 0
    this.refusedInARow = 0
    this.rounds = 0
    if (!this.isOnTrial || now >= this.endsAt || startedAt < this.begunAt) return false
    this.isOnTrial = false
    this.disbelievedUntil = now + DISBELIEF
    this.endsAt = now
    this.missingUntil = now
    return true
  }
}
