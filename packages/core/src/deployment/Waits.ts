/**
 * Waits for a first byte, which tell that a deployment hangs before any time limit does.
 */
import { type Linked, LinkedList } from "../LinkedList.ts"
import { FAR_SLOWER } from "./Latency.ts"

/** Whatever waits. Times are milliseconds of the monotonic clock. */
export interface Waited {
  readonly startedAt: number
  /** Milliseconds that its first token, or its answer, is expected to take; `Infinity` when nobody knows. */
  readonly expected: number
  /**
   * The longest time, in milliseconds, for which the process stood still since it began, or since its first byte: it may have
   * been sent so much later, and what came may have been heard so much later.
   */
  standstill: number
}

/** How long it has waited for its first byte, at least. */
export const waitOf = ({ standstill, startedAt }: Waited, now: number): number => now - startedAt - standstill

/** Whether it waits for far longer than expected. */
const isOverdue = (waited: Waited, now: number): boolean => waitOf(waited, now) > FAR_SLOWER * waited.expected

/** So many waits at once are no accident. */
export const OVERDUE_AT_ONCE = 3

/** How many of the longest waiting are looked at: the very first may be one of which nobody expects better. */
const LONGEST_WAITING = 16

/**
 * Waits of one kind at one deployment, the longest first, but for those that a later one overtook.
 */
export class Waits<W extends Waited & Linked<W>> {
  private readonly waiting = new LinkedList<W>()
  private doubtedUntil = -Infinity

  add(one: W): void {
    this.waiting.add(one)
  }

  delete(one: W): void {
    this.waiting.delete(one)
  }

  /** Until then, what waits may well do so for its own sake: it is no sign that the deployment hangs. */
  doubt(until: number): void {
    this.doubtedUntil = until
  }

  /** How long the longest waiting have waited, as a ratio to what was expected of them: the worst. */
  slowness(now: number): number {
    let worst = 0
    let looked = 0
    for (let one = this.longest(now); one !== undefined && looked < LONGEST_WAITING; one = one.next, looked++) {
      worst = Math.max(worst, waitOf(one, now) / one.expected)
    }
    return worst
  }

  /** Whether several wait for far longer than expected. */
  areOverdue(now: number): boolean {
    let overdue = 0
    let looked = 0
    for (let one = this.longest(now); one !== undefined && looked < LONGEST_WAITING; one = one.next, looked++) {
      if (isOverdue(one, now) && ++overdue === OVERDUE_AT_ONCE) return true
    }
    return false
  }

  /**
   * One was answered: what was sent before and still waits is no sign that the deployment hangs. Returns whether something
   * waits for far longer than expected.
   */
  overtake(answered: W, now: number): boolean {
    const { waiting } = this
    let isAnyOverdue = false
    for (let { first } = waiting; first !== undefined && first.startedAt <= answered.startedAt; { first } = waiting) {
      waiting.delete(first)
      isAnyOverdue ||= first !== answered && isOverdue(first, now)
    }
    return isAnyOverdue
  }

  private longest(now: number): W | undefined {
    return now < this.doubtedUntil ? undefined : this.waiting.first
  }
}
