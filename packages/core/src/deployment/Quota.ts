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
 *
 * What was configured is known; what the service told is believed. A service may count
 * otherwise than this ledger (a bucket that refills all the time, a limit that only its refusals name), so when it says
 * itself when to come back, one request passes all that is merely believed then, and one more for each such wait. Where
 * that is answered, and the answer confirms nothing of what a refusal told, that is not believed for a minute.
 */
import { BucketForecast } from "./BucketForecast.ts"
import { CountedShare } from "./CountedShare.ts"
import { ExternalUse } from "./ExternalUse.ts"
import { FleetUse, type FleetWord } from "./FleetUse.ts"
import type { RateLimits } from "./RateLimitHeaders.ts"
import { SlidingWindow } from "./SlidingWindow.ts"

const WINDOW = 60_000

/** Width of the minute's buckets: its window is then at most so much too long. */
const BUCKET = 250

/** Buckets of the shorter slice: its window is then at most a tenth too long. */
const SLICE_BUCKETS = 10

/** Most that one request is charged: no context is as long, and no sum of such overflows. */
const MAX_CHARGE = 1e9

/** How long, in milliseconds, the word of refusals is not believed once an answer has contradicted it. */
const DOUBT = 60_000

/** Azure grants six requests a minute for each thousand tokens a minute on its classic models. */
const TOKENS_PER_REQUEST = 1000 / 6

/**
 * What one attempt holds. It belongs to the ledger that gave it and is ended once, by `settle` or `refund`.
 */
export interface Reservation {
  readonly tokens: number
  /** 1, or 0 where the service does not count it. */
  readonly requests: 0 | 1
  /** Buckets that were charged, of the minute and of the slice. */
  readonly bucket: number
  readonly slice: number
  readonly sentAt: number
  /** Tokens sent ever, these included. */
  readonly sent: number
  /** The ledger as of this send, itself included, to tell other clients' use from our own. */
  readonly ownTokens: number
  readonly ownRequests: number
  /** Whether it goes past what is believed of the limits, to see. */
  readonly isTrial: boolean
  /** Another deployment of the service took it over: this one counts nothing. */
  spilled: boolean
  /** Whether the service surely did not count it. */
  isRefunded: boolean
}

/**
 * Options of a ledger. Limits are per minute; `undefined` is unknown, which gates nothing until the service tells.
 */
export interface QuotaOptions {
  readonly tpm?: number | undefined
  readonly rpm?: number | undefined
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
  /**
   * Tokens per minute in force: the lower of what was configured and what the service says. `Infinity` when neither is
   * known.
   */
  tokenLimit = Infinity
  /** Requests per minute in force. */
  requestLimit = Infinity
  /**
   * What share of the traffic this deployment can carry, in tokens a minute, or `NaN` when neither limit is configured or told.
   * A limit in requests alone is converted at Azure's ratio of 6 requests to 1,000 tokens.
   */
  capacity = NaN
  /** What was left by the service's own word, in the last answer that said so. */
  tokensRemaining: number | undefined
  requestsRemaining: number | undefined
  /**
   * Tokens and requests that surely fit: what did at the last full look, less what was taken since. Use only fades as
   * time passes, so this stays a lower bound, and most looks need nothing else. Below zero nothing surely fits.
   */
  private freeTokens = -1
  private freeRequests = 0
  private readonly tokens = new SlidingWindow(WINDOW / BUCKET, BUCKET)
  private readonly requests = new SlidingWindow(WINDOW / BUCKET, BUCKET)
  private readonly slice: SlidingWindow
  private readonly sliceMillis: number
  private readonly options: QuotaOptions
  /** Tokens sent ever, as corrected so far; and what these make of a provisioned deployment. */
  private sent = 0
  private readonly bucket: BucketForecast | undefined
  private configuredTokens = Infinity
  private configuredRequests = Infinity
  private toldTokens = Infinity
  private toldRequests = Infinity
  /** What the fleet says that others were told, while nobody tells us. */
  private heardTokens = Infinity
  private heardRequests = Infinity
  private doubtedUntil = -Infinity
  /** From when on one request may go past what is believed, and how long the next one waits: the service's own word. */
  private trialAt = Infinity
  private trialWait = 0
  /** What the service counts of our tokens, which may be less than we do. */
  private readonly counted = new CountedShare()
  private readonly othersTokens = new ExternalUse()
  private readonly othersRequests = new ExternalUse()
  /** What the fleet says, where there is one. */
  private fleet: FleetUse | undefined
  private toldUtilisation = 0
  private toldUtilisationAt = -Infinity
  private lastApplied = -Infinity

  constructor(options: QuotaOptions) {
    this.options = options
    this.bucket = options.provisioned ? new BucketForecast() : undefined
    this.sliceMillis = options.requestSlice
    this.slice = new SlidingWindow(SLICE_BUCKETS, Math.max(1, options.requestSlice / SLICE_BUCKETS))
    if (options.tpm !== undefined || options.rpm !== undefined) this.configure(options.tpm, options.rpm)
  }

  /** Replaces the configured limits while running; what was used stays used. */
  configure(tpm: number | undefined, rpm: number | undefined): void {
    this.configuredTokens = tpm ?? Infinity
    this.configuredRequests = rpm ?? Infinity
    this.refresh()
  }

  /** Takes over what is in use of another ledger that is found to be of the same quota. Others' use is told by the next answer. */
  absorb(other: Quota, now: number): void {
    this.tokens.absorb(other.tokens, now)
    this.requests.absorb(other.requests, now)
    this.slice.absorb(other.slice, now)
    this.configuredTokens = Math.min(this.configuredTokens, other.configuredTokens)
    this.configuredRequests = Math.min(this.configuredRequests, other.configuredRequests)
    this.toldTokens = Math.min(this.toldTokens, other.toldTokens)
    this.toldRequests = Math.min(this.toldRequests, other.toldRequests)
    this.othersTokens.observe(0, now)
    this.othersRequests.observe(0, now)
    // what was sent before did not know of the other's
    this.lastApplied = now
    this.refresh()
  }

  /** Another one of which as much is in use. */
  copy(now: number): Quota {
    const copy = new Quota(this.options)
    copy.tokens.absorb(this.tokens, now)
    copy.requests.absorb(this.requests, now)
    copy.slice.absorb(this.slice, now)
    copy.toldTokens = this.toldTokens
    copy.toldRequests = this.toldRequests
    copy.refresh()
    return copy
  }

  /** Tokens of the last minute: ours, and what other clients were seen to use. */
  tokensUsed(now: number): number {
    return this.ownTokensUsed(now) + this.othersTokensUsed(now)
  }

  /** Requests of the last minute: ours, and what other clients were seen to send. */
  requestsUsed(now: number): number {
    return this.ownRequestsUsed(now) + this.othersRequestsUsed(now)
  }

  /** Tokens of the last minute that we sent. */
  ownTokensUsed(now: number): number {
    return this.tokens.sum(now)
  }

  /** Requests of the last minute that we sent. */
  ownRequestsUsed(now: number): number {
    return this.requests.sum(now)
  }

  /** Requests of the last minute that other clients were seen to send, or that the fleet says its others did. */
  othersRequestsUsed(now: number): number {
    const likely = this.othersRequests.likely(now)
    return this.fleet === undefined ? likely : Math.max(likely, this.fleet.requests(now))
  }

  /** Tokens of the last minute that other clients were seen to use, or that the fleet says its others did. */
  othersTokensUsed(now: number): number {
    const likely = this.othersTokens.likely(now)
    return this.fleet === undefined ? likely : Math.max(likely, Math.floor(this.fleet.share * this.fleet.tokens(now)))
  }

  /** The scarcer of both quotas as a share used; above 1 when the service counted past it. 0 when no limit is known. */
  utilisation(now: number): number {
    const used = Math.max(this.tokensUsed(now) / this.tokenLimit, this.requestsUsed(now) / this.requestLimit)
    const level = this.bucket?.level(now, this.sent)
    if (level !== undefined) return Math.max(used, level)
    return now - this.toldUtilisationAt <= this.options.headerMaxAge ? Math.max(used, this.toldUtilisation) : used
  }

  /** Whether so many tokens and one request may be sent now. Exactly reaching a limit is allowed. */
  fits(now: number, tokens: number): boolean {
    if (this.bucket !== undefined && this.bucket.timeUntilFree(now, this.sent) > 0) return false
    if (tokens <= this.freeTokens && this.freeRequests >= 1) return true
    return this.look(now, tokens)
  }

  /** Whether so many tokens and one request may be sent without taking the last of it from others. */
  spares(now: number, tokens: number): boolean {
    return this.fits(now, 2 * tokens) && this.requestLimit - this.requestsUsed(now) >= 2 &&
      this.sliceOf(this.requestLimit) - this.slice.sum(now) >= 2
  }

  /** Milliseconds until `fits` holds, if nothing more is sent: 0 when it does now. */
  timeUntilFits(now: number, tokens: number): number {
    if (this.fits(now, tokens)) return 0
    const untilFree = this.bucket?.timeUntilFree(now, this.sent) ?? 0
    const byFleet = this.fleet?.isFresh(now) === true ? this.timeUntilRoom(tokens) : 0
    if (byFleet > 0 && this.fitsBelieved(now, tokens)) return Math.max(untilFree, byFleet)
    return Math.max(untilFree, byFleet, this.timeUntilBelieved(now, tokens))
  }

  /** How long it takes for as much to leave the window of a full quota, in all of the fleet: the store knows no sooner. */
  private timeUntilRoom(tokens: number): number {
    const share = Math.max(Math.min(tokens, this.tokenLimit) / this.tokenLimit, 1 / this.requestLimit)
    return Math.max(1, Math.ceil(share * WINDOW))
  }

  private timeUntilBelieved(now: number, tokens: number): number {
    const fits = (at: number) =>
      this.fleet?.isFresh(at) === true ? this.fitsBelieved(at, tokens) : this.fitsAt(at, tokens)
    let late = fits(now) ? 0 : WINDOW + 1000
    let early = 0
    // once it fits it goes on to fit, because everything only fades
    while (late - early > 1) {
      const middle = Math.floor((early + late) / 2)
      if (fits(now + middle)) late = middle
      else early = middle
    }
    return late
  }

  /**
   * Charges a request before it is sent. The caller has asked `fits`, or means to overrule it.
   *
   * @param requests 0 for an endpoint that names no model, which counts against no deployment's quota
   */
  reserve(now: number, tokens: number, requests: 0 | 1 = 1): Reservation {
    const isTrial = this.trialAt !== Infinity && !this.fitsBelieved(now, tokens)
    if (isTrial) this.trialAt = Math.max(this.trialAt, now + this.trialWait)
    // whole tokens, so that sums are exact: an empty ledger has to be empty, whatever left it
    // what only the fleet says of a limit makes no charge smaller
    const charge = Math.floor(Math.min(Math.ceil(tokens), this.configuredTokens, this.toldTokens, MAX_CHARGE))
    this.sent += charge
    this.fleet?.take(charge, requests)
    this.freeTokens -= charge
    this.freeRequests -= requests
    const bucket = this.tokens.add(now, charge)
    this.requests.add(now, requests)
    return {
      tokens: charge,
      requests,
      bucket,
      slice: this.slice.add(now, requests),
      sentAt: now,
      sent: this.sent,
      ownTokens: this.tokens.sum(now),
      ownRequests: this.requests.sum(now),
      isTrial,
      spilled: false,
      isRefunded: false
    }
  }

  /**
   * Ends a reservation that the service counted. `used` is what the answer billed; `undefined` when it did not say.
   * Standard: upward only. Provisioned: both ways.
   */
  settle(reservation: Reservation, now: number, used: number | undefined): void {
    if (reservation.spilled) return this.refund(reservation, now)
    if (used === undefined) return
    const delta = Math.min(Math.ceil(used), MAX_CHARGE) - reservation.tokens
    if (delta <= 0 && !this.options.provisioned) return
    this.sent += delta
    this.tokens.amend(now, reservation.bucket, delta)
    // a bound from below: what comes back may have left the window already
    if (delta > 0) this.freeTokens -= delta
  }

  /** Ends a reservation that the service surely did not count: it never arrived, or was throttled. */
  refund(reservation: Reservation, now: number): void {
    reservation.isRefunded = true
    this.sent -= reservation.tokens
    this.tokens.amend(now, reservation.bucket, -reservation.tokens)
    this.requests.amend(now, reservation.bucket, -reservation.requests)
    this.slice.amend(now, reservation.slice, -reservation.requests)
  }

  /** The service spilled a request over to another deployment: there was no more room here, unless it was too long. */
  private spill(reservation: Reservation, isFull: boolean, now: number): void {
    reservation.spilled = true
    if (!isFull) return
    this.toldUtilisation = 1
    this.toldUtilisationAt = now
  }

  /**
   * Takes in what an answer said of the limits, compared with our ledger as of that answer's send. An answer to an
   * earlier send than the last one applied, or to one longer ago than `headerMaxAge`, says nothing about now.
   *
   * @param isRefusal whether it was refused for quota
   */
  observe(limits: RateLimits, reservation: Reservation, now: number, isRefusal = false): void {
    if (limits.spilled !== undefined) return this.spill(reservation, limits.spilled === "full", now)
    const isTold = limits.limitTokens !== undefined || limits.limitRequests !== undefined
    if (!isRefusal && reservation.isTrial && !isTold) return this.doubt(now)
    if (isRefusal && now < this.doubtedUntil) return
    if (reservation.sentAt < this.lastApplied || now - reservation.sentAt > this.options.headerMaxAge) return
    this.lastApplied = reservation.sentAt
    if (limits.limitTokens !== undefined && limits.limitTokens >= 1) this.toldTokens = limits.limitTokens
    if (limits.limitRequests !== undefined && limits.limitRequests >= 1) this.toldRequests = limits.limitRequests
    if (limits.utilisation !== undefined) {
      // what is refused adds nothing
      const sent = isRefusal ? reservation.sent - reservation.tokens : reservation.sent
      this.bucket?.observe(limits.utilisation, reservation.sentAt, sent)
      this.toldUtilisation = limits.utilisation
      this.toldUtilisationAt = now
    }
    this.refresh()
    this.tokensRemaining = limits.remainingTokens ?? this.tokensRemaining
    this.requestsRemaining = limits.remainingRequests ?? this.requestsRemaining
    const { limitTokens, remainingTokens } = limits
    if (remainingTokens !== undefined) {
      this.othersTokens.observe(beyond(this.tokenLimit, remainingTokens, reservation.ownTokens), now)
      const own = reservation.ownTokens - (isRefusal ? reservation.tokens : 0)
      if (this.fleet !== undefined) this.fleet.show(reservation.sentAt, this.tokenLimit - remainingTokens, own)
      else if (limitTokens !== undefined) this.counted.show(now, limitTokens - remainingTokens, own, this.tokenLimit)
    }
    this.freeTokens = -1
    if (limits.remainingRequests !== undefined) {
      this.othersRequests.observe(beyond(this.requestLimit, limits.remainingRequests, reservation.ownRequests), now)
    }
  }

  /** It answered while it had told others to wait: they were told so for their own sake. */
  contradicted(now: number): void {
    this.doubtedUntil = now + DOUBT
  }

  /** It answered what should not have fitted, and says nothing of limits: what its refusals say of them is not so. */
  private doubt(now: number): void {
    this.doubtedUntil = now + DOUBT
    this.toldTokens = Infinity
    this.toldRequests = Infinity
    this.othersTokens.observe(0, now)
    this.othersRequests.observe(0, now)
    this.refresh()
  }

  /** The service refused for quota, to come back in `wait` milliseconds: then one may try, whatever is believed here. */
  throttled(now: number, wait: number): void {
    this.trialWait = Math.max(0, wait)
    this.trialAt = now + this.trialWait
    // what it counts is more than it had shown
    this.counted.refute(now)
    this.freeTokens = -1
  }

  /** Takes in other clients' use from elsewhere, such as another process of the same fleet. */
  observeOthers(now: number, tokens: number, requests: number): void {
    this.othersTokens.observe(tokens > 0 ? Math.min(MAX_CHARGE, tokens) : 0, now)
    this.othersRequests.observe(requests > 0 ? Math.min(MAX_CHARGE, requests) : 0, now)
    this.freeTokens = -1
  }

  /** What the fleet says, which is asked for what waits, and may set room aside. It begins with the first call. */
  get fleetUse(): FleetUse {
    return this.fleet ??= new FleetUse()
  }

  /** The fleet says what its other members use: the larger of this and of what headers show counts. */
  hearFleet(now: number, word: FleetWord, share: number): void {
    this.fleetUse.hear(now, word, share)
    this.freeTokens = -1
  }

  /** A request waits for so many tokens: the fleet is asked for them. */
  want(tokens: number): void {
    if (this.fleet !== undefined) this.fleet.wanted = Math.min(Math.ceil(tokens), this.tokenLimit, MAX_CHARGE)
  }

  /** The limits that the service's own headers told; 0 where none did. */
  get told(): { readonly tokens: number; readonly requests: number } {
    return {
      tokens: this.toldTokens === Infinity ? 0 : this.toldTokens,
      requests: this.toldRequests === Infinity ? 0 : this.toldRequests
    }
  }

  /** Limits that others of the fleet were told; 0 for none. Believed while neither configuration nor service tells one. */
  hearLimits(tokens: number, requests: number): void {
    const [heardTokens, heardRequests] = [tokens >= 1 ? tokens : Infinity, requests >= 1 ? requests : Infinity]
    if (heardTokens === this.heardTokens && heardRequests === this.heardRequests) return
    this.heardTokens = heardTokens
    this.heardRequests = heardRequests
    this.refresh()
  }

  /**
   * Up to where the fleet's store may set room aside for us.
   *
   * @param isScarce whether more is asked for than there is: then it goes by what the service counts, not the ledgers
   */
  roomFor(isScarce: boolean): { readonly tokens: number; readonly requests: number; readonly slice: number } {
    const tokens = Math.floor(this.tokenLimit / (isScarce ? this.fleet?.share ?? 1 : 1))
    return { tokens, requests: this.requestLimit, slice: this.sliceOf(this.requestLimit) }
  }

  /** Whether it is for what the fleet says of others that a request does not fit. */
  isFullByFleet(now: number, tokens: number): boolean {
    if (this.fleet === undefined || this.fits(now, tokens)) return false
    return this.fitsTokens(now, tokens, this.tokenLimit, this.othersTokens.seen(now))
      && this.fitsRequests(now, this.requestLimit, this.othersRequests.seen(now))
  }

  /** Tells of each 250 ms of the last minute in which we sent something: when it began, tokens and requests. */
  eachUse(now: number, tell: (beganAt: number, tokens: number, requests: number) => void): void {
    this.tokens.each(now, (beganAt, tokens) => tell(beganAt, tokens, 0))
    this.requests.each(now, (beganAt, requests) => tell(beganAt, 0, requests))
  }

  /** Works out what follows from a change of limits, so that every choice need not. */
  private refresh(): void {
    this.freeTokens = -1
    this.tokenLimit = Math.min(this.configuredTokens, this.toldTokens)
    this.requestLimit = Math.min(this.configuredRequests, this.toldRequests)
    if (this.tokenLimit === Infinity) this.tokenLimit = this.heardTokens
    if (this.requestLimit === Infinity) this.requestLimit = this.heardRequests
    this.capacity = capacityOf(this.tokenLimit, this.requestLimit)
  }

  /** A full look, remembered. */
  private look(now: number, tokens: number): boolean {
    const { fleet } = this
    let others = this.othersTokens.seen(now)
    let otherRequests = this.othersRequests.seen(now)
    let otherSlice = 0
    if (fleet !== undefined) {
      others = Math.max(others, fleet.tokens(now)) + fleet.spareTokens(now)
      otherRequests = Math.max(otherRequests, fleet.requests(now)) + fleet.spareRequests(now)
      otherSlice = fleet.slice(now) + fleet.spareRequests(now)
    }
    this.freeTokens = this.tokenRoom(now) - this.tokens.sum(now) - others
    this.freeRequests = Math.min(
      this.requestLimit - this.requests.sum(now) - otherRequests,
      this.sliceOf(this.requestLimit) - this.slice.sum(now) - otherSlice
    )
    return this.fitsAt(now, tokens)
  }

  private fitsAt(at: number, tokens: number): boolean {
    if (this.fitsBelieved(at, tokens)) return this.fleet === undefined || this.fitsFleet(this.fleet, at, tokens)
    // while the fleet is heard, what its members are told they all hear of
    return at >= this.trialAt && this.fleet?.isFresh(at) !== true
      && this.fitsTokens(at, tokens, this.configuredTokens, 0) && this.fitsRequests(at, this.configuredRequests, 0)
  }

  /** Whether it fits all limits that are known or believed. */
  private fitsBelieved(at: number, tokens: number): boolean {
    return this.fitsTokens(at, tokens, this.tokenRoom(at), this.othersTokens.seen(at)) &&
      this.fitsRequests(at, this.requestLimit, this.othersRequests.seen(at))
  }

  /** The limit in tokens as this ledger counts them, which may be more than the service does. */
  private tokenRoom(at: number): number {
    return this.fleet === undefined ? this.tokenLimit / this.counted.at(at) : this.tokenLimit
  }

  /** Whether it fits beside what the fleet's others used, and may send before we hear of it, or into what is set aside. */
  private fitsFleet(fleet: FleetUse, at: number, tokens: number): boolean {
    const charge = Math.min(tokens, this.tokenLimit)
    if (fleet.holds(at, charge)) return true
    if (this.tokenLimit !== Infinity) {
      const used = this.tokens.sumAt(at) + fleet.tokens(at) + fleet.spareTokens(at)
      if (used > 0 && used + charge > this.tokenLimit) return false
    }
    if (this.requestLimit === Infinity) return true
    const others = Math.max(this.othersRequests.seen(at), fleet.requests(at)) + fleet.spareRequests(at)
    const own = this.requests.sumAt(at)
    if (own + others === 0) return true
    return own + others + 1 <= this.requestLimit
      && this.slice.sumAt(at) + fleet.slice(at) + fleet.spareRequests(at) + 1 <= this.sliceOf(this.requestLimit)
  }

  private fitsTokens(at: number, tokens: number, limit: number, others: number): boolean {
    if (limit === Infinity) return true
    const own = this.tokens.sumAt(at)
    // an empty ledger admits one, so that nothing starves; a request larger than the limit counts as the limit
    return own === 0 || own + others + Math.min(tokens, limit) <= limit
  }

  private fitsRequests(at: number, limit: number, others: number): boolean {
    if (limit === Infinity) return true
    const own = this.requests.sumAt(at)
    return own === 0 || (own + others + 1 <= limit && this.slice.sumAt(at) + 1 <= this.sliceOf(limit))
  }

  /** Requests that a limit leaves for the shorter slice. */
  private sliceOf(limit: number): number {
    return Math.max(1, Math.ceil((limit * this.sliceMillis) / WINDOW))
  }
}

/** Tokens a minute, or what requests a minute are worth in them; `NaN` where neither is known. */
export const capacityOf = (tokens: number, requests: number): number =>
  tokens !== Infinity ? tokens : requests === Infinity ? NaN : requests * TOKENS_PER_REQUEST

const beyond = (limit: number, remaining: number | undefined, own: number): number =>
  remaining === undefined || limit === Infinity ? 0 : Math.max(0, limit - remaining - own)
