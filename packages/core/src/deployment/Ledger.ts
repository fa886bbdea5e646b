/**
 * What we sent to one quota ourselves: tokens and requests of the last minute, and requests of the shorter slice in which
 * the service enforces its request limit.
 *
 * A request is charged its prompt and its possible output before it is sent. On a standard deployment the service adds
 * its estimate at admission and takes nothing back, so a sent charge stays in its bucket for the whole window and is
 * only ever corrected upward; it is refunded only when the service surely did not count it. A provisioned deployment
 * corrects both ways. (Azure quota documentation, September 2026.)
 */
import { SlidingWindow } from "./SlidingWindow.ts"

const WINDOW = 60_000

/** Width of the minute's buckets: its window is then at most so much too long. */
const BUCKET = 250

/** Buckets of the shorter slice: its window is then at most a tenth too long. */
const SLICE_BUCKETS = 10

/** Most that one request is charged: no context is as long, and no sum of such overflows. */
export const MAX_CHARGE = 1e9

/**
 * What one attempt holds. It belongs to the quota that gave it and is ended once, by `settle` or `refund`.
 */
export interface Reservation {
  readonly tokens: number
  /** 1, or 0 where the service does not count it. */
  readonly requests: 0 | 1
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
 * Our own use of one quota. Times are milliseconds of a monotonic clock.
 *
 * A `Quota` is one rather than has one: a choice among many looks at each, and an object more would slow it.
 */
export class Ledger {
  readonly ownTokens = new SlidingWindow(WINDOW / BUCKET, BUCKET)
  readonly ownRequests = new SlidingWindow(WINDOW / BUCKET, BUCKET)
  readonly ownSlice: SlidingWindow
  /** Tokens sent ever, as corrected so far. */
  protected sent = 0
  private readonly isProvisioned: boolean

  /** @param slice length, in milliseconds, of the shorter slice */
  constructor(slice: number, isProvisioned: boolean) {
    this.ownSlice = new SlidingWindow(SLICE_BUCKETS, Math.max(1, slice / SLICE_BUCKETS))
    this.isProvisioned = isProvisioned
  }

  /** Charges whole tokens, so that sums are exact: an empty ledger has to be empty, whatever left it. */
  protected charge(now: number, tokens: number, requests: 0 | 1, isTrial: boolean): Reservation {
    this.sent += tokens
    this.ownTokens.add(now, tokens)
    this.ownRequests.add(now, requests)
    this.ownSlice.add(now, requests)
    return {
      tokens,
      requests,
      sentAt: now,
      sent: this.sent,
      ownTokens: this.ownTokens.sum(now),
      ownRequests: this.ownRequests.sum(now),
      isTrial,
      spilled: false,
      isRefunded: false
    }
  }

  /** Corrects a charge by what the answer billed, and returns by how much. */
  protected correct({ sentAt, tokens }: Reservation, now: number, used: number): number {
    const delta = Math.min(Math.ceil(used), MAX_CHARGE) - tokens
    if (delta <= 0 && !this.isProvisioned) return 0
    this.sent += delta
    this.ownTokens.amend(now, sentAt, delta)
    return delta
  }

  /** Ends a reservation that the service surely did not count: it never arrived, or was throttled. */
  refund(reservation: Reservation, now: number): void {
    reservation.isRefunded = true
    const { requests, sentAt, tokens } = reservation
    this.sent -= tokens
    this.ownTokens.amend(now, sentAt, -tokens)
    this.ownRequests.amend(now, sentAt, -requests)
    this.ownSlice.amend(now, sentAt, -requests)
  }

  /** Adds what another ledger has in use. */
  protected addUse(other: Ledger, now: number): void {
    this.ownTokens.absorb(other.ownTokens, now)
    this.ownRequests.absorb(other.ownRequests, now)
    this.ownSlice.absorb(other.ownSlice, now)
  }
}
