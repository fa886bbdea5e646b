/**
 * What the fleet says of one quota: what its other members used, and what was set aside there for us.
 *
 * Others go on sending until we hear of them again, so that what they may have sent since is left to them: `spare`. What is
 * left beyond that anybody may take. Where there is less, whoever waits is given room by the store, one request after the
 * other: `held`, which counts as used everywhere else. So twenty that see the same room do not all take it.
 *
 * A word that is older than a few seconds says less and less, and sets nothing aside: then a member is as one alone.
 */
import type { Ledger } from "./Ledger.ts"

const WINDOW = 60_000

/** Milliseconds for which a word is fresh. Members speak every second at least. */
const STANDS = 3000

/** What the store told of a quota. */
export interface FleetWord {
  /** Of the last minute, by all other members. */
  readonly tokens: number
  readonly requests: number
  /** Requests of the service's shorter slice, by all other members. */
  readonly slice: number
  /** Of the tokens, those that are set aside for them and not sent. */
  readonly held: number
  /** What others may send before we hear again. */
  readonly spareTokens: number
  readonly spareRequests: number
}

/** Limits of a quota, a minute and in the shorter slice; `Infinity` where none is known. */
export interface Limits {
  readonly tokenLimit: number
  readonly requestLimit: number
  readonly sliceLimit: number
}

/** So many of what was heard last are remembered: some seconds' worth, within which most answers have begun. */
const REMEMBERED = 32

const NOTHING: FleetWord = { tokens: 0, requests: 0, slice: 0, held: 0, spareTokens: 0, spareRequests: 0 }

/**
 * The fleet's word on one quota. Times are milliseconds of a monotonic clock.
 */
export class FleetUse {
  private word = NOTHING
  private heardAt = -Infinity
  /** What others had sent when it was heard of, the oldest first. */
  private readonly history: Array<{ readonly at: number; readonly tokens: number }> = []
  /** Tokens and requests that the store set aside for us. */
  heldTokens = 0
  heldRequests = 0
  /**
   * What the service counts as a share of what the fleet's ledgers do, at most 1: they reserve more than it does, and its
   * headers show by how much. Room that the store sets aside goes by it.
   */
  share = 1
  /** The highest that answers to us showed since it was last asked for; 0 for none. */
  private shown = 0
  /** Tokens of the request that waits for room here, as far as it was asked of late; 0 for none. */
  wanted = 0

  /** @param share what all members were shown of late, together; 0 where that says too little */
  hear(now: number, word: FleetWord, share: number): void {
    this.word = word
    this.heardAt = now
    this.history.push({ at: now, tokens: word.tokens - word.held })
    if (this.history.length > REMEMBERED) this.history.shift()
    this.share = share > 0 ? Math.min(1, share) : 1
  }

  /** The service showed so many tokens as used at a time, where our own ledger had so many. */
  show(at: number, used: number, own: number): void {
    const others = this.tokensThen(at)
    const counted = own + (others ?? 0)
    if (others !== undefined && counted > 0) this.shown = Math.max(this.shown, Math.min(1, used / counted))
  }

  /** Tokens that others had used at an earlier time, by what was heard before and after; `undefined` where either is missing. */
  private tokensThen(at: number): number | undefined {
    const { history } = this
    for (let i = history.length - 1; i > 0; i--) {
      const [before, after] = [history[i - 1]!, history[i]!]
      if (at > after.at) return undefined
      if (at < before.at) continue
      if (after.at - before.at > STANDS) return undefined
      return before.tokens + (after.tokens - before.tokens) * ((at - before.at) / (after.at - before.at))
    }
    return undefined
  }

  /** What was shown since this was last asked; 0 for nothing. */
  takeShown(): number {
    const { shown } = this
    this.shown = 0
    return shown
  }

  /** Whether it was heard of just now, so that what is said holds, and what is held is there. */
  isFresh(at: number): boolean {
    return at - this.heardAt <= STANDS
  }

  /** Tokens that others used, as far as they may be in the window still. As time passes, it only falls. */
  tokens(at: number): number {
    return Math.floor(this.word.tokens * this.left(at))
  }

  requests(at: number): number {
    return Math.floor(this.word.requests * this.left(at))
  }

  /**
   * Tokens that others claim: what they used, and what they may send before we hear of it.
   *
   * @param seen what headers show that they used, which counts where it is more
   */
  tokensClaimed(at: number, seen: number): number {
    return Math.max(seen, this.tokens(at)) + (this.isFresh(at) ? this.word.spareTokens : 0)
  }

  requestsClaimed(at: number, seen: number): number {
    return Math.max(seen, this.requests(at)) + (this.isFresh(at) ? this.word.spareRequests : 0)
  }

  sliceClaimed(at: number): number {
    return this.isFresh(at) ? this.word.slice + this.word.spareRequests : 0
  }

  /**
   * Whether it fits beside what others claim, or into what is set aside.
   *
   * @param seen requests of others that headers show
   */
  fits(at: number, tokens: number, quota: Ledger & Limits, seen: number): boolean {
    const charge = Math.min(tokens, quota.tokenLimit)
    if (charge <= this.heldTokens && this.heldRequests >= 1 && this.isFresh(at)) return true
    const used = quota.ownTokens.sumAt(at) + this.tokensClaimed(at, 0)
    if (used > 0 && used + charge > quota.tokenLimit) return false
    const requests = quota.ownRequests.sumAt(at) + this.requestsClaimed(at, seen)
    return requests === 0 || (requests + 1 <= quota.requestLimit
      && quota.ownSlice.sumAt(at) + this.sliceClaimed(at) + 1 <= quota.sliceLimit)
  }

  /**
   * Milliseconds until as much has left the window of a full quota, in all of the fleet: the store knows no sooner. 0 where it
   * is not heard.
   */
  timeUntilRoom(now: number, tokens: number, { requestLimit, tokenLimit }: Limits): number {
    if (!this.isFresh(now)) return 0
    const share = Math.max(Math.min(tokens, tokenLimit) / tokenLimit, 1 / requestLimit)
    return Math.max(1, Math.ceil(share * WINDOW))
  }

  /** Room was set aside. */
  hold(tokens: number, requests: number): void {
    this.heldTokens += tokens
    this.heldRequests += requests
  }

  /** A request is sent: what is set aside goes first. */
  take(tokens: number, requests: number): void {
    this.heldTokens = Math.max(0, this.heldTokens - tokens)
    this.heldRequests = Math.max(0, this.heldRequests - requests)
    if (this.heldRequests === 0) this.heldTokens = 0
  }

  /** What was set aside is not needed. */
  release(): void {
    this.heldTokens = 0
    this.heldRequests = 0
  }

  private left(at: number): number {
    return Math.max(0, 1 - Math.max(0, at - this.heardAt - STANDS) / WINDOW)
  }
}
