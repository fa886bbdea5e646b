/**
 * What a retry budget should be: a list of requests, and a list of the retries that were granted.
 */
import type { RetryBudgetOptions } from "#core/balancer/RetryBudget"

export class RetryBudgetModel {
  private readonly requests: Array<number> = []
  private readonly retries: Array<number> = []
  private readonly options: RetryBudgetOptions

  constructor(options: RetryBudgetOptions) {
    this.options = options
  }

  deposit(now: number): void {
    this.requests.push(now)
  }

  left(now: number): number {
    const { budgetPerSecond, budgetRatio } = this.options
    const granted = Math.floor(budgetRatio * lately(this.requests, now) + 10 * budgetPerSecond)
    return Math.max(0, granted - lately(this.retries, now))
  }

  withdraw(now: number): boolean {
    const isGranted = this.left(now) >= 1
    if (isGranted) this.retries.push(now)
    return isGranted
  }
}

/** How many were in the last ten seconds: whole ones, and the one in progress. */
const lately = (times: ReadonlyArray<number>, now: number): number =>
  times.filter((at) => Math.floor(now / 1000) - Math.floor(at / 1000) <= 10).length
