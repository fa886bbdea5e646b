/**
 * What a ledger should be, as plainly as it can be said: a list of what was sent, and what was last told and when.
 *
 * Where other clients fade it is exact only to a token, since whole ones are counted: there it gives bounds.
 */
import type { QuotaOptions } from "#core/deployment/Quota"
import type { RateLimits } from "#core/deployment/RateLimitHeaders"

const MINUTE = 60_000
const QUARTER = 250
const MOST = 1e9
const ROUNDING = 1e-6

/** One request. */
export interface Sent {
  readonly at: number
  /** Whole tokens. */
  charge: number
  isCounted: boolean
  isSpilled: boolean
  /** Whether it goes past what is believed, to see. */
  readonly isTrial: boolean
  /** What the ledger held as of this send, itself included. */
  ownTokens: number
  ownRequests: number
}

/** What is known not to be less, and not to be more. */
export interface Bounds {
  readonly least: number
  readonly most: number
}

interface Seen {
  readonly at: number
  readonly amount: number
}

export class LedgerModel {
  private readonly options: QuotaOptions
  private readonly sent: Array<Sent> = []
  private configured: { readonly tokens: number; readonly requests: number }
  private told = { tokens: Infinity, requests: Infinity }
  private readonly others: { readonly tokens: Array<Seen>; readonly requests: Array<Seen> } = {
    tokens: [],
    requests: []
  }
  private utilisationTold: Seen | undefined
  private lastHeardOf = -Infinity
  private doubtedUntil = -Infinity
  /** From when on one may go past what is believed, and how long the next one waits. */
  private trial: { readonly at: number; readonly wait: number } | undefined

  constructor(options: QuotaOptions) {
    this.options = options
    this.configured = { tokens: options.tpm ?? Infinity, requests: options.rpm ?? Infinity }
  }

  configure(tpm: number | undefined, rpm: number | undefined): void {
    this.configured = { tokens: tpm ?? Infinity, requests: rpm ?? Infinity }
  }

  get tokenLimit(): number {
    return Math.min(this.configured.tokens, this.told.tokens)
  }

  get requestLimit(): number {
    return Math.min(this.configured.requests, this.told.requests)
  }

  /** Six requests are a thousand tokens. */
  get capacity(): number {
    if (this.tokenLimit !== Infinity) return this.tokenLimit
    return this.requestLimit === Infinity ? NaN : (this.requestLimit * 1000) / 6
  }

  /** @param isTrial as the ledger sees it, where it depends on rounding */
  reserve(now: number, tokens: number, isTrial: boolean): Sent {
    const most = this.fitsBelieved("most", now, tokens)
    const fits = most === this.fitsBelieved("least", now, tokens) ? most : undefined
    const sent: Sent = {
      at: now,
      charge: Math.floor(Math.min(tokens, this.tokenLimit, MOST)),
      isCounted: true,
      isSpilled: false,
      isTrial: this.trial !== undefined && (fits === undefined ? isTrial : !fits),
      ownTokens: 0,
      ownRequests: 0
    }
    if (sent.isTrial && this.trial !== undefined) {
      const { at, wait } = this.trial
      this.trial = { at: Math.max(at, now + wait), wait }
    }
    this.sent.push(sent)
    sent.ownTokens = this.ownTokens(now)
    sent.ownRequests = this.lately(now).length
    return sent
  }

  settle(sent: Sent, used: number | undefined): void {
    if (sent.isSpilled) return this.refund(sent)
    if (used === undefined) return
    const billed = Math.min(used, MOST)
    if (this.options.provisioned || billed > sent.charge) sent.charge = billed
  }

  refund(sent: Sent): void {
    sent.isCounted = false
  }

  observe(limits: RateLimits, sent: Sent, now: number, isRefusal: boolean): void {
    if (limits.spilled !== undefined) {
      sent.isSpilled = true
      if (limits.spilled === "full") this.utilisationTold = { at: now, amount: 1 }
      return
    }
    const isTold = limits.limitTokens !== undefined || limits.limitRequests !== undefined
    if (sent.isTrial && !isRefusal && !isTold) {
      this.doubtedUntil = now + MINUTE
      this.told = { tokens: Infinity, requests: Infinity }
      this.others.tokens.push({ at: now, amount: 0 })
      this.others.requests.push({ at: now, amount: 0 })
      return
    }
    if (isRefusal && now < this.doubtedUntil) return
    if (sent.at < this.lastHeardOf || now - sent.at > this.options.headerMaxAge) return
    this.lastHeardOf = sent.at
    const { limitRequests = 0, limitTokens = 0, remainingRequests, remainingTokens, utilisation } = limits
    if (limitTokens >= 1) this.told.tokens = limitTokens
    if (limitRequests >= 1) this.told.requests = limitRequests
    if (utilisation !== undefined) this.utilisationTold = { at: now, amount: utilisation }
    if (remainingTokens !== undefined) {
      this.others.tokens.push(beyond(this.tokenLimit, remainingTokens, sent.ownTokens, now))
    }
    if (remainingRequests !== undefined) {
      this.others.requests.push(beyond(this.requestLimit, remainingRequests, sent.ownRequests, now))
    }
  }

  observeOthers(now: number, tokens: number, requests: number): void {
    const usable = (amount: number) => ({ at: now, amount: Math.min(MOST, Math.max(0, amount)) })
    this.others.tokens.push(usable(tokens))
    this.others.requests.push(usable(requests))
  }

  throttled(now: number, wait: number): void {
    this.trial = { at: now + wait, wait }
  }

  othersTokens(now: number): Bounds {
    return likely(this.others.tokens, now)
  }

  tokensUsed(now: number): Bounds {
    return plus(this.ownTokens(now), this.othersTokens(now))
  }

  requestsUsed(now: number): Bounds {
    return plus(this.lately(now).length, likely(this.others.requests, now))
  }

  utilisation(now: number): Bounds {
    const told = this.utilisationTold
    const isRecent = told !== undefined && now - told.at <= this.options.headerMaxAge
    const share = (which: keyof Bounds) =>
      Math.max(
        this.tokensUsed(now)[which] / this.tokenLimit,
        this.requestsUsed(now)[which] / this.requestLimit,
        isRecent ? told.amount : 0
      )
    return { least: share("least"), most: share("most") }
  }

  /** Nothing where it depends on rounding. */
  fits(now: number, tokens: number): boolean | undefined {
    const surely = this.fitsBeside("most", now, tokens)
    return surely === this.fitsBeside("least", now, tokens) ? surely : undefined
  }

  private fitsBeside(which: keyof Bounds, now: number, tokens: number): boolean {
    if (this.fitsBelieved(which, now, tokens)) return true
    if (this.trial === undefined || now < this.trial.at) return false
    return this.tokensFit(now, tokens, this.configured.tokens, 0) && this.requestFits(now, this.configured.requests, 0)
  }

  private fitsBelieved(which: keyof Bounds, now: number, tokens: number): boolean {
    return this.tokensFit(now, tokens, this.tokenLimit, fading(this.others.tokens, now)[which]) &&
      this.requestFits(now, this.requestLimit, fading(this.others.requests, now)[which])
  }

  private tokensFit(now: number, tokens: number, limit: number, others: number): boolean {
    const own = this.ownTokens(now)
    return own === 0 || own + others + Math.min(tokens, limit) <= limit
  }

  private requestFits(now: number, limit: number, others: number): boolean {
    const own = this.lately(now).length
    if (own === 0) return true
    const { requestSlice } = this.options
    const inSlice = this.within(now, requestSlice, requestSlice / 10).length
    const perSlice = Math.max(1, Math.ceil((limit * requestSlice) / MINUTE))
    return own + others + 1 <= limit && inSlice + 1 <= perSlice
  }

  private ownTokens(now: number): number {
    return this.lately(now).reduce((sum, { charge }) => sum + charge, 0)
  }

  private lately(now: number): ReadonlyArray<Sent> {
    return this.within(now, MINUTE, QUARTER)
  }

  /** What was sent in so many whole buckets of a width, and in the one in progress. */
  private within(now: number, window: number, width: number): ReadonlyArray<Sent> {
    const first = Math.floor(now / width) - Math.round(window / width)
    return this.sent.filter(({ at, isCounted }) => isCounted && Math.floor(at / width) >= first)
  }
}

const plus = (own: number, others: Bounds): Bounds => ({ least: own + others.least, most: own + others.most })

/** What the service counts beyond our own; nobody can tell where the limit is not known. */
const beyond = (limit: number, remaining: number, own: number, now: number): Seen => ({
  at: now,
  amount: limit === Infinity ? 0 : Math.max(0, limit - remaining - own)
})

/** What was seen last stays for 15 s and is gone after 60 s, evenly in between. */
const fading = (seen: ReadonlyArray<Seen>, now: number): Bounds => {
  const last = seen.at(-1)
  if (last === undefined) return wholeOf(0)
  return wholeOf(last.amount * (1 - between(now - last.at, 15_000, 60_000)))
}

/** What was seen last gives way to the mean within 20 s, evenly; the mean stays for two minutes, and is gone after five. */
const likely = (seen: ReadonlyArray<Seen>, now: number): Bounds => {
  const last = seen.at(-1)
  if (last === undefined) return wholeOf(0)
  const age = now - last.at
  const aged = between(age, 0, 20_000)
  const relaxed = (1 - aged) * last.amount + aged * meanOf(seen)
  return wholeOf(relaxed * (1 - between(age, 120_000, 300_000)))
}

/** Each weighs as much as the time that it came after, and less by a factor of e with each minute. */
const meanOf = (seen: ReadonlyArray<Seen>): number => {
  const until = seen.at(-1)!.at
  const weightSince = (at: number) => Math.exp(-(until - at) / MINUTE)
  return seen.reduce((sum, { amount, at }, i) => {
    const before = seen[i - 1]
    return sum + amount * (weightSince(at) - (before === undefined ? 0 : weightSince(before.at)))
  }, 0)
}

/** How far it is from one to another. */
const between = (value: number, from: number, to: number): number =>
  Math.min(1, Math.max(0, (value - from) / (to - from)))

/** Whole ones are counted, cut off. */
const wholeOf = (amount: number): Bounds =>
  Number.isInteger(amount)
    ? { least: amount - (amount === 0 ? 0 : 1), most: amount }
    : { least: Math.max(0, amount - 1 - ROUNDING), most: amount + ROUNDING }
