/**
 * The ledger of one deployment: what we sent in the last minute, against the limits in force.
 *
 * A request reserves its prompt and its possible output before it is sent. On a standard deployment the service adds
 * its estimate at admission and takes nothing back, so a sent charge stays in its second for the whole window and is
 * only ever corrected upward; it is refunded only when the service surely did not count it. A provisioned deployment
 * corrects both ways. (Azure quota documentation, September 2026.)
 *
 * The service's headers are truth where they say more: a lower limit lowers ours, and what its counter shows beyond
 * our own use is other clients' use, which counts as load until it fades from the window.
 */
import type { RateLimits } from "./RateLimitHeaders.ts"
import { SlidingWindow } from "./SlidingWindow.ts"

const WINDOW_SECONDS = 60

/** Azure grants six requests a minute for each thousand tokens a minute on its classic models. */
const TOKENS_PER_REQUEST = 1000 / 6

/**
 * What one attempt holds. It belongs to the ledger that gave it and is ended once, by `settle` or `refund`.
 */
export interface Reservation {
  readonly tokens: number
  readonly second: number
  readonly sentAt: number
  /** The ledger as of this send, itself included, to tell other clients' use from our own. */
  readonly ownTokens: number
  readonly ownRequests: number
}

/**
 * Options of a ledger. Limits are per minute; `undefined` is unknown, which gates nothing until the service tells.
 */
export interface QuotaOptions {
  readonly tpm: number | undefined
  readonly rpm: number | undefined
  readonly provisioned: boolean
  /** Length, in milliseconds, of the shorter slice in which the service enforces its request limit. */
  readonly requestSlice: number
  /** Age, in milliseconds, beyond which what a header said is no longer used. */
  readonly headerMaxAge: number
}

/**
 * Tokens and requests of one deployment over a sliding minute. Times are milliseconds of a monotonic clock.
 */
export class Quota {
  private readonly tokens = new SlidingWindow(WINDOW_SECONDS)
  private readonly requests = new SlidingWindow(WINDOW_SECONDS)
  private readonly slice: SlidingWindow
  private readonly provisioned: boolean
  private readonly headerMaxAge: number
  private configuredTokens: number
  private configuredRequests: number
  private toldTokens = Infinity
  private toldRequests = Infinity
  private othersTokens = 0
  private othersRequests = 0
  private othersAt = -Infinity
  private toldUtilisation = 0
  private toldUtilisationAt = -Infinity
  private lastApplied = -Infinity

  constructor(options: QuotaOptions) {
    this.configuredTokens = options.tpm ?? Infinity
    this.configuredRequests = options.rpm ?? Infinity
    this.provisioned = options.provisioned
    this.slice = new SlidingWindow(Math.max(1, Math.round(options.requestSlice / 1000)))
    this.headerMaxAge = options.headerMaxAge
  }

  /** Replaces the configured limits while running; what was used stays used. */
  configure(tpm: number | undefined, rpm: number | undefined): void {
    this.configuredTokens = tpm ?? Infinity
    this.configuredRequests = rpm ?? Infinity
  }

  /** Tokens per minute in force: the lower of what was configured and what the service says. */
  get tokenLimit(): number {
    return Math.min(this.configuredTokens, this.toldTokens)
  }

  /** Requests per minute in force. */
  get requestLimit(): number {
    return Math.min(this.configuredRequests, this.toldRequests)
  }

  /**
   * What share of the traffic this deployment can carry, in tokens a minute, or `NaN` when neither limit is known.
   * A limit in requests alone is converted at Azure's ratio of 6 requests to 1,000 tokens.
   */
  get capacity(): number {
    const tokens = this.tokenLimit
    if (tokens !== Infinity) return tokens
    const requests = this.requestLimit
    return requests === Infinity ? NaN : requests * TOKENS_PER_REQUEST
  }

  /** Tokens of the last minute: ours, and what other clients were seen to use. */
  tokensUsed(now: number): number {
    return this.tokens.sum(now) + this.others(this.othersTokens, now)
  }

  /** Requests of the last minute: ours, and what other clients were seen to send. */
  requestsUsed(now: number): number {
    return this.requests.sum(now) + this.others(this.othersRequests, now)
  }

  /** Tokens of the last minute that other clients were seen to use. */
  othersTokensUsed(now: number): number {
    return this.others(this.othersTokens, now)
  }

  /** The scarcer of both quotas as a share used; above 1 when the service counted past it. 0 when no limit is known. */
  utilisation(now: number): number {
    const used = Math.max(this.tokensUsed(now) / this.tokenLimit, this.requestsUsed(now) / this.requestLimit)
    return now - this.toldUtilisationAt <= this.headerMaxAge ? Math.max(used, this.toldUtilisation) : used
  }

  /** Whether so many tokens and one request may be sent now. Exactly reaching a limit is allowed. */
  fits(now: number, tokens: number): boolean {
    return this.fitsTokens(now, tokens) && this.fitsRequests(now)
  }

  /** Milliseconds until `fits` may hold, as far as our own use decides it: 0 when it does now. */
  timeUntilFits(now: number, tokens: number): number {
    const limit = this.tokenLimit
    let wait = 0
    if (!this.fitsTokens(now, tokens)) {
      wait = Math.max(1, this.tokens.timeUntil(now, Math.max(0, limit - this.clamped(tokens))))
    }
    if (!this.fitsRequests(now)) {
      const requests = this.requests.timeUntil(now, Math.max(0, this.requestLimit - 1))
      const slice = this.slice.timeUntil(now, this.sliceLimit - 1)
      wait = Math.max(wait, 1, requests, slice)
    }
    return wait
  }

  /** Charges a request before it is sent. The caller has asked `fits`, or means to overrule it. */
  reserve(now: number, tokens: number): Reservation {
    const charge = this.clamped(tokens)
    const second = this.tokens.add(now, charge)
    this.requests.add(now, 1)
    this.slice.add(now, 1)
    return {
      tokens: charge,
      second,
      sentAt: now,
      ownTokens: this.tokens.sum(now),
      ownRequests: this.requests.sum(now)
    }
  }

  /**
   * Ends a reservation that the service counted. `used` is what the answer billed; `undefined` when it did not say.
   * Standard: upward only. Provisioned: both ways.
   */
  settle(reservation: Reservation, now: number, used: number | undefined): void {
    if (used === undefined) return
    const delta = used - reservation.tokens
    if (delta > 0 || this.provisioned) this.tokens.amend(now, reservation.second, delta)
  }

  /** Ends a reservation that the service surely did not count: it never arrived, or was throttled. */
  refund(reservation: Reservation, now: number): void {
    this.tokens.amend(now, reservation.second, -reservation.tokens)
    this.requests.amend(now, reservation.second, -1)
    this.slice.amend(now, reservation.second, -1)
  }

  /**
   * Takes in what an answer said of the limits, compared with our ledger as of that answer's send. An answer to an
   * earlier send than the last one applied, or to one longer ago than `headerMaxAge`, says nothing about now.
   */
  observe(limits: RateLimits, reservation: Reservation, now: number): void {
    if (reservation.sentAt < this.lastApplied || now - reservation.sentAt > this.headerMaxAge) return
    this.lastApplied = reservation.sentAt
    if (limits.limitTokens !== undefined) this.toldTokens = limits.limitTokens
    if (limits.limitRequests !== undefined) this.toldRequests = limits.limitRequests
    if (limits.utilisation !== undefined) {
      this.toldUtilisation = limits.utilisation
      this.toldUtilisationAt = now
    }
    if (limits.remainingTokens === undefined && limits.remainingRequests === undefined) return
    this.othersTokens = beyond(this.tokenLimit, limits.remainingTokens, reservation.ownTokens)
    this.othersRequests = beyond(this.requestLimit, limits.remainingRequests, reservation.ownRequests)
    this.othersAt = now
  }

  /** Takes in other clients' use from elsewhere, such as another process of the same fleet. */
  observeOthers(now: number, tokens: number, requests: number): void {
    this.othersTokens = Math.max(0, tokens)
    this.othersRequests = Math.max(0, requests)
    this.othersAt = now
  }

  private others(amount: number, now: number): number {
    if (amount === 0) return 0
    return Math.max(0, Math.floor(amount * (1 - (now - this.othersAt) / (WINDOW_SECONDS * 1000))))
  }

  /** A reservation larger than the limit in force counts as the limit, so that it can be sent at all. */
  private clamped(tokens: number): number {
    return Math.min(tokens, this.tokenLimit)
  }

  private get sliceLimit(): number {
    return Math.max(1, Math.ceil((this.requestLimit * this.slice.seconds) / WINDOW_SECONDS))
  }

  private fitsTokens(now: number, tokens: number): boolean {
    const limit = this.tokenLimit
    if (limit === Infinity) return true
    const own = this.tokens.sum(now)
    // an empty ledger admits one, so that nothing starves
    return own === 0 || own + this.others(this.othersTokens, now) + Math.min(tokens, limit) <= limit
  }

  private fitsRequests(now: number): boolean {
    const limit = this.requestLimit
    if (limit === Infinity) return true
    const own = this.requests.sum(now)
    if (own === 0) return true
    return own + this.others(this.othersRequests, now) + 1 <= limit && this.slice.sum(now) + 1 <= this.sliceLimit
  }
}

const beyond = (limit: number, remaining: number | undefined, own: number): number =>
  remaining === undefined || limit === Infinity ? 0 : Math.max(0, limit - remaining - own)
