/**
 * The quota of one deployment: a ledger of what we sent, the limits in force, and what is believed of them and of other
 * clients' use; so whether a request fits.
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
import { Ledger, MAX_CHARGE, type Reservation } from "./Ledger.ts"
import type { RateLimits } from "./RateLimitHeaders.ts"

export type { Reservation }

const WINDOW = 60_000

/** How long, in milliseconds, the word of refusals is not believed once an answer has contradicted it. */
const DOUBT = 60_000

/** Azure grants six requests a minute for each thousand tokens a minute on its classic models. */
const TOKENS_PER_REQUEST = 1000 / 6

/**
 * Options of a quota. Limits are per minute; `undefined` is unknown, which gates nothing until the service tells.
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
export class Quota extends Ledger {
  /**
   * Tokens per minute in force: the lower of what was configured and what the service says. `Infinity` when neither is
   * known.
   */
  tokenLimit = Infinity
  /** Requests per minute in force, and those that it leaves for the shorter slice. */
  requestLimit = Infinity
  sliceLimit = Infinity
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
  private readonly options: QuotaOptions
  /** How full what was sent makes a provisioned deployment. */
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
    super(options.requestSlice, options.provisioned)
    this.options = options
    this.bucket = options.provisioned ? new BucketForecast() : undefined
    if (options.tpm !== undefined || options.rpm !== undefined) this.configure(options.tpm, options.rpm)
  }

  /** Replaces the configured limits while running; what was used stays used. */
  configure(tpm: number | undefined, rpm: number | undefined): void {
    this.configuredTokens = tpm ?? Infinity
    this.configuredRequests = rpm ?? Infinity
    this.refresh()
  }

  /** Takes over what is in use of another that is found to be of the same quota. Others' use is told by the next answer. */
  absorb(other: Quota, now: number): void {
    this.addUse(other, now)
    this.configuredTokens = Math.min(this.configuredTokens, other.configuredTokens)
    this.configuredRequests = Math.min(this.configuredRequests, other.configuredRequests)
    this.toldTokens = Math.min(this.toldTokens, other.toldTokens)
    this.toldRequests = Math.min(this.toldRequests, other.toldRequests)
    this.observeOthers(now, 0, 0)
    // what was sent before did not know of the other's
    this.lastApplied = now
    this.refresh()
  }

  /** Another one of which as much is in use. */
  copy(now: number): Quota {
    const copy = new Quota(this.options)
    copy.addUse(this, now)
    copy.toldTokens = this.toldTokens
    copy.toldRequests = this.toldRequests
    copy.refresh()
    return copy
  }

  /** Tokens of the last minute: ours, and what other clients were seen to use. */
  tokensUsed(now: number): number {
    return this.ownTokens.sum(now) + this.othersTokensUsed(now)
  }

  /** Requests of the last minute: ours, and what other clients were seen to send. */
  requestsUsed(now: number): number {
    return this.ownRequests.sum(now) + this.othersRequestsUsed(now)
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
      this.sliceLimit - this.ownSlice.sum(now) >= 2
  }

  /** Milliseconds until `fits` holds, if nothing more is sent: 0 when it does now. */
  timeUntilFits(now: number, tokens: number): number {
    if (this.fits(now, tokens)) return 0
    const untilFree = this.bucket?.timeUntilFree(now, this.sent) ?? 0
    const untilRoom = this.fleet?.timeUntilRoom(now, tokens, this) ?? 0
    return Math.max(untilFree, untilRoom, this.timeUntilBelieved(now, tokens))
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
    // what only the fleet says of a limit makes no charge smaller
    const charge = Math.floor(Math.min(Math.ceil(tokens), this.configuredTokens, this.toldTokens, MAX_CHARGE))
    this.fleet?.take(charge, requests)
    this.freeTokens -= charge
    this.freeRequests -= requests
    return this.charge(now, charge, requests, isTrial)
  }

  /**
   * Ends a reservation that the service counted. `used` is what the answer billed; `undefined` when it did not say.
   * Standard: upward only. Provisioned: both ways.
   */
  settle(reservation: Reservation, now: number, used: number | undefined): void {
    if (reservation.spilled) return this.refund(reservation, now)
    // a bound from below: what comes back may have left the window already
    if (used !== undefined) this.freeTokens -= Math.max(0, this.correct(reservation, now, used))
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
    this.observeOthers(now, 0, 0)
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

  /** Whether it is for what the fleet says of others that a request does not fit. */
  isFullByFleet(now: number, tokens: number): boolean {
    return this.fleet !== undefined && !this.fits(now, tokens) && this.fitsBelieved(now, tokens)
  }

  /** Works out what follows from a change of limits, so that every choice need not. */
  private refresh(): void {
    this.freeTokens = -1
    this.tokenLimit = Math.min(this.configuredTokens, this.toldTokens)
    this.requestLimit = Math.min(this.configuredRequests, this.toldRequests)
    if (this.tokenLimit === Infinity) this.tokenLimit = this.heardTokens
    if (this.requestLimit === Infinity) this.requestLimit = this.heardRequests
    this.sliceLimit = this.sliceOf(this.requestLimit)
    this.capacity = capacityOf(this.tokenLimit, this.requestLimit)
  }

  /** A full look, remembered. */
  private look(now: number, tokens: number): boolean {
    const { fleet } = this
    const others = this.othersTokens.seen(now)
    const otherRequests = this.othersRequests.seen(now)
    this.freeTokens = this.tokenRoom(now) - this.ownTokens.sum(now) - (fleet?.tokensClaimed(now, others) ?? others)
    this.freeRequests = Math.min(
      this.requestLimit - this.ownRequests.sum(now) - (fleet?.requestsClaimed(now, otherRequests) ?? otherRequests),
      this.sliceLimit - this.ownSlice.sum(now) - (fleet?.sliceClaimed(now) ?? 0)
    )
    return this.fitsAt(now, tokens)
  }

  private fitsAt(at: number, tokens: number): boolean {
    const { fleet } = this
    if (this.fitsBelieved(at, tokens)) {
      return fleet === undefined || fleet.fits(at, tokens, this, this.othersRequests.seen(at))
    }
    // while the fleet is heard, what its members are told they all hear of
    return at >= this.trialAt && fleet?.isFresh(at) !== true
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

  private fitsTokens(at: number, tokens: number, limit: number, others: number): boolean {
    if (limit === Infinity) return true
    const own = this.ownTokens.sumAt(at)
    // an empty ledger admits one, so that nothing starves; a request larger than the limit counts as the limit
    return own === 0 || own + others + Math.min(tokens, limit) <= limit
  }

  private fitsRequests(at: number, limit: number, others: number): boolean {
    if (limit === Infinity) return true
    const own = this.ownRequests.sumAt(at)
    return own === 0 || (own + others + 1 <= limit && this.ownSlice.sumAt(at) + 1 <= this.sliceOf(limit))
  }

  /** Requests that a limit leaves for the shorter slice. */
  private sliceOf(limit: number): number {
    return Math.max(1, Math.ceil((limit * this.options.requestSlice) / WINDOW))
  }
}

/** Tokens a minute, or what requests a minute are worth in them; `NaN` where neither is known. */
export const capacityOf = (tokens: number, requests: number): number =>
  tokens !== Infinity ? tokens : requests === Infinity ? NaN : requests * TOKENS_PER_REQUEST

const beyond = (limit: number, remaining: number | undefined, own: number): number =>
  remaining === undefined || limit === Infinity ? 0 : Math.max(0, limit - remaining - own)
