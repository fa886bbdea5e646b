/**
 * How full a provisioned deployment is now, from what it said of it last.
 *
 * Its service is a leaky bucket: it takes requests while its utilisation is not above 100 %, whatever their size, adds an
 * estimate for each, corrects that at its end, and drains all the time. Each answer tells its utilisation
 * (`azure-openai-deployment-utilization`), which is late by as long as the answer takes. What a token adds and what a second
 * drains is learned from how that changes between two sends, by least squares. Others' steady use is a slower drain.
 *
 * A bucket drains as fast at 90 % as at 100 %, so to stay below by what a forecast may be wrong costs no throughput.
 */
import { LeastSquares } from "./LeastSquares.ts"

/** Milliseconds within which two sends are compared, and for which what was told last is a forecast's ground. */
const LONGEST_STEP = 10_000
const FRESH = 5_000

/** Below this utilisation a bucket may have been empty in between, and then did not drain. */
const NEARLY_EMPTY = 0.02

/** Steps over which the past fades, and least steps of a forecast. */
const MEMORY = 200
const LEAST_STEPS = 10

/** Change of utilisation within a step that is believed at most, and how many times the usual tokens of one. */
const MOST_CHANGE = 2
const UNUSUAL = 20

/** Standard errors by which both must differ from nothing. */
const SURE = 3

/** What is left free at least and at most, for a forecast that may be wrong. */
const LEAST_MARGIN = 0.03
const MOST_MARGIN = 0.3

/** Typical errors of a step that are left free. */
const ERRORS = 3

/**
 * Forecast for one deployment. Times are milliseconds of a monotonic clock; `sent` are tokens sent ever, as corrected so far.
 */
export class BucketForecast {
  private told = 0
  private at = -Infinity
  private sent = 0
  /** Changes of utilisation, by tokens and milliseconds. */
  private readonly steps = new LeastSquares(MEMORY, false)
  /** What a token adds, what a millisecond takes, and what is left free. `NaN` while that is not known. */
  private perToken = NaN
  private perMilli = NaN
  private limit = NaN

  /** An answer told the utilisation as of a send, before and including which so much was sent. */
  observe(utilisation: number, at: number, sent: number): void {
    if (at < this.at) return
    const elapsed = at - this.at
    if (elapsed > 0 && elapsed <= LONGEST_STEP && Math.min(utilisation, this.told) > NEARLY_EMPTY) {
      this.learn(sent - this.sent, elapsed, utilisation - this.told)
    }
    this.told = utilisation
    this.at = at
    this.sent = sent
  }

  /** Share that is in use now, 1 where the next is refused; `undefined` where nobody can say. */
  level(now: number, sent: number): number | undefined {
    if (now - this.at > FRESH || Number.isNaN(this.perToken)) return undefined
    return Math.max(0, this.told + this.perToken * (sent - this.sent) - this.perMilli * (now - this.at))
  }

  /** Milliseconds until it takes another, if nothing is sent: 0 where it does now, or nobody can say. */
  timeUntilFree(now: number, sent: number): number {
    const level = this.level(now, sent)
    if (level === undefined || level <= this.limit) return 0
    return Math.min(Math.ceil((level - this.limit) / this.perMilli), this.at + FRESH + 1 - now)
  }

  private learn(tokens: number, elapsed: number, change: number): void {
    // one request that is refused for its size, or one answer that says what cannot be, must not outweigh all others
    if (Math.abs(change) > MOST_CHANGE || Math.abs(tokens) > UNUSUAL * this.steps.usualX) return
    this.steps.add(tokens, elapsed, change)
    const { error, errorOfX, errorOfZ, x, z } = this.steps.fit
    const isKnown = this.steps.samples >= LEAST_STEPS && x > SURE * errorOfX && -z > SURE * errorOfZ
    this.perToken = isKnown ? x : NaN
    this.perMilli = isKnown ? -z : NaN
    this.limit = 1 - Math.min(MOST_MARGIN, Math.max(LEAST_MARGIN, ERRORS * error))
  }
}
