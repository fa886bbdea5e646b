/**
 * The time limits of one attempt: of the stage it is in, of silence, and of the whole request.
 */
import { FAR_SLOWER } from "../deployment/Latency.ts"
import type { TimeoutStage } from "../Errors.ts"
import type { LinkedList } from "../LinkedList.ts"
import type { AttemptEnvironment, AttemptPlan } from "./AttemptRecord.ts"
import { type Limited, limitOf } from "./Deadlines.ts"
import * as Outcome from "./Outcome.ts"

/** Milliseconds below which nothing is waited for for too long. */
const LEAST_SLOW = 1_000

/** Milliseconds above which no stream pauses while it is read. */
export const LONGEST_PAUSE = 5_000

/** Whose limits they are. */
interface Timed {
  readonly now: number
  /** It is slow, and goes on. */
  readonly onSlow: (now: number) => void
  /** Its time is over. */
  readonly onOver: (outcome: Outcome.Unanswered) => void
}

/**
 * Time limits, of which the earliest holds. Times are milliseconds of the monotonic clock.
 */
export class TimeLimits implements Limited {
  list: LinkedList<Limited> | undefined
  previous: Limited | undefined
  next: Limited | undefined
  private readonly timed: Timed
  private readonly plan: AttemptPlan
  private readonly deadlines: AttemptEnvironment["deadlines"]
  private isWatched = false
  private stage: TimeoutStage = "total"
  private stageEndsAt = Infinity
  /** When nothing was heard for so long that another deployment is asked, while one can be. */
  private suspectAt = Infinity
  /** When it is slower by far than expected, or silent for longer than any pause in a stream. */
  private slowAt: number
  /** Which of them ended the attempt, once one has. */
  over: Outcome.Unanswered | undefined

  constructor(timed: Timed, plan: AttemptPlan, deadlines: AttemptEnvironment["deadlines"]) {
    this.timed = timed
    this.plan = plan
    this.deadlines = deadlines
    const { permit: { expected, startedAt }, request, timeouts } = plan
    this.trust(startedAt)
    this.slowAt = startedAt + Math.max(FAR_SLOWER * expected, LEAST_SLOW)
    if (!request.stream) return
    const firstEvent = limitOf(timeouts, "first-event", request.operation)
    this.enter(firstEvent === timeouts.firstContent ? "first-content" : "first-event", startedAt + firstEvent)
  }

  /** From now on they hold. */
  begin(): void {
    this.isWatched = true
    this.deadlines.watch(this)
  }

  /** They hold no more. */
  end(): void {
    this.isWatched = false
    this.deadlines.forget(this)
  }

  /** A sign of life, if only a comment: silence counts anew. */
  heard(now: number): void {
    this.trust(now)
    if (this.stage === "first-event") {
      const { permit: { standstill, startedAt }, timeouts: { firstContent } } = this.plan
      this.enter("first-content", startedAt + firstContent + standstill)
    }
  }

  /** An answer begins, which goes on for as long as it likes while nobody waits for more. */
  commit(): void {
    this.stage = "idle"
    this.suspectAt = Infinity
    this.pause()
  }

  /** Waits for more of an answer that has begun. */
  awaitMore(since: number): void {
    this.slowAt = since + LONGEST_PAUSE
    this.enter("idle", since + this.plan.timeouts.idle)
  }

  /** The service may be silent for as long as it takes: nothing is awaited, or a reasoning item is open. */
  pause(): void {
    this.stageEndsAt = Infinity
    this.slowAt = Infinity
  }

  /** Its limits move by the longest time only: a process that stands still again and again finds what hangs all the same. */
  stoodStill(since: number, now: number): void {
    const { permit } = this.plan
    const more = now - Math.max(since, permit.firstByteAt ?? permit.startedAt) - permit.standstill
    if (more <= 0) return
    permit.standstill += more
    this.stageEndsAt += more
    this.suspectAt += more
    this.slowAt += more
  }

  endsAt(): number {
    return Math.min(this.stageEndsAt, this.suspectAt, this.slowAt, this.plan.deadline)
  }

  expire(): void {
    const { plan: { deadline, patience }, timed: { now } } = this
    if (now >= this.slowAt) {
      this.slowAt = Infinity
      this.timed.onSlow(now)
    }
    if (now >= deadline) this.ends({ _tag: "Abandoned", reason: "deadline" })
    else if (now >= this.stageEndsAt) this.ends(Outcome.fromTimeout(this.stage))
    else if (now >= this.suspectAt && patience?.hasAnother() !== false) this.ends(Outcome.fromTimeout("answer"))
    else {
      if (now >= this.suspectAt) this.trust(now)
      this.deadlines.watch(this)
    }
  }

  close(): void {
    this.ends({ _tag: "Abandoned", reason: "the load balancer was closed" })
  }

  private ends(outcome: Outcome.Unanswered): void {
    this.over = outcome
    this.timed.onOver(outcome)
  }

  private trust(now: number): void {
    const { patience } = this.plan
    if (patience !== undefined) this.suspectAt = now + patience.millis
  }

  private enter(stage: TimeoutStage, endsAt: number): void {
    this.stage = stage
    this.stageEndsAt = endsAt
    if (this.isWatched) this.deadlines.watch(this)
  }
}
