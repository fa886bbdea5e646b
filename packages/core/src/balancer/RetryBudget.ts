/**
 * A retry budget, so that an outage is never multiplied: over the last ten seconds, retries are at most a share of the
 * requests, plus a small floor that lets slow traffic retry at all. (Finagle's RetryBudget; the floor is fit for the
 * rates of inference.)
 */
import { SlidingWindow } from "../deployment/SlidingWindow.ts"

const WINDOW_SECONDS = 10

/** Settings of a budget. */
export interface RetryBudgetOptions {
  /** Retries per request. */
  readonly budgetRatio: number
  /** Retries per second that are always granted. */
  readonly budgetPerSecond: number
}

/**
 * Retry budget of a balancer, shared by all requests. Times are milliseconds of a monotonic clock.
 */
export class RetryBudget {
  private readonly options: RetryBudgetOptions
  private readonly requests = new SlidingWindow(WINDOW_SECONDS)
  private readonly retries = new SlidingWindow(WINDOW_SECONDS)

  constructor(options: RetryBudgetOptions) {
    this.options = options
  }

  /** Counts a request. */
  deposit(now: number): void {
    this.requests.add(now, 1)
  }

  /** Retries that may be sent now. */
  left(now: number): number {
    const granted = this.options.budgetRatio * this.requests.sum(now) + this.options.budgetPerSecond * WINDOW_SECONDS
    return Math.max(0, Math.floor(granted) - this.retries.sum(now))
  }

  /** Takes one retry, if there is one. */
  withdraw(now: number): boolean {
    if (this.left(now) < 1) return false
    this.retries.add(now, 1)
    return true
  }
}
