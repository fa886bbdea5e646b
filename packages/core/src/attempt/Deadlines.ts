/**
 * The time limits of all attempts, kept by one fiber instead of one each.
 *
 * It sleeps until the earliest limit that it knows. Limits that move later cost nothing; it looks again when it wakes. While
 * anything is watched it wakes ten times a second besides: where it wakes late, the process stood still, for want of a
 * processor or in one long turn of its event loop, and what was late is nobody else's fault.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { TimeoutsConfig } from "../config/Config.ts"
import type { TimeoutStage } from "../Errors.ts"
import { ignoreThrows } from "../IgnoreThrows.ts"
import { type Linked, LinkedList } from "../LinkedList.ts"
import type { Operation } from "../request/LlmRequest.ts"
import { watching } from "../Time.ts"

/**
 * How long nothing is heard of an attempt before that is a sign of a hang, and how long where the model was seen to reason.
 */
export const silence = { usual: 60_000, reasoning: 300_000 } as const

/**
 * The limit of a stage, in milliseconds. Where none is set for a first event, the responses API has to show one soon, as it
 * promises one at once; of anything else the first that comes may be content.
 */
export const limitOf = (timeouts: TimeoutsConfig, stage: TimeoutStage, operation: Operation): number =>
  stage === "first-event"
    ? timeouts.firstEvent ?? (operation === "responses" ? silence.usual : timeouts.firstContent)
    : timeouts[limits[stage]]

const limits: Readonly<Record<Exclude<TimeoutStage, "first-event">, Exclude<keyof TimeoutsConfig, "firstEvent">>> = {
  connect: "connect",
  "first-content": "firstContent",
  idle: "idle",
  answer: "total",
  total: "total"
}

/** Something with a time limit that may move. */
export interface Limited extends Linked<Limited> {
  /** When its time is over: milliseconds of the monotonic clock, `Infinity` for never. */
  readonly endsAt: () => number
  /** The process stood still meanwhile: what came was not heard, and what was to be sent was not sent. */
  readonly stoodStill: (since: number, now: number) => void
  /** Its time is over. It is no longer watched. */
  readonly expire: () => void
  /** Everything is over. */
  readonly close: () => void
}

/** So late, in milliseconds, it woke because the process stood still: what has arrived meanwhile was not heard yet. */
const STANDSTILL = 50

/** How often, in milliseconds, it wakes to see whether the process stood still. */
const BEAT = 100

/** When it wakes that has stopped: it never sleeps again. */
const STOPPED = -Infinity

/** So long that no timer of the same turn is due by then. */
const CATCH_UP = 10

/**
 * Keeper of time limits.
 */
export class Deadlines {
  private readonly live = new LinkedList<Limited>()
  private readonly now: () => number
  private readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  private sleeper: Fiber.Fiber<void> | undefined
  private wakesAt = Infinity
  /** The earliest limit that it knows, or an earlier one. */
  private dueAt = Infinity
  /** When it woke last: all that had arrived until then has been heard since. */
  private wokeAt = -Infinity
  /** When the process was last seen not to stand still. */
  private aliveAt = -Infinity
  /** Whether it stood still since, so that what has arrived meanwhile may not have been heard yet. */
  private isUnheard = false

  private constructor(now: () => number, fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>) {
    this.now = now
    this.fork = fork
  }

  /** Makes a keeper that stops with its scope, and ends then what it still watches. */
  static make(now: () => number): Effect.Effect<Deadlines, never, Scope.Scope> {
    return Effect.gen(function*() {
      const fork = Effect.runForkWith(yield* watching(Effect.context<never>()))
      const deadlines = new Deadlines(now, fork)
      yield* Effect.addFinalizer(() => Effect.sync(() => deadlines.stop()))
      return deadlines
    })
  }

  /** Watches something from now on, or notices that its limit came nearer. Once all is over, so is that. */
  watch(limited: Limited): void {
    if (this.wakesAt === STOPPED) return limited.close()
    this.live.add(limited)
    const endsAt = limited.endsAt()
    if (endsAt < this.dueAt) this.dueAt = endsAt
    if (endsAt < this.wakesAt) this.sleepUntil(endsAt)
  }

  /** Stops watching something. */
  forget(limited: Limited): void {
    this.live.delete(limited)
  }

  /** Sleeps for so long, and for as much longer as the process stood still meanwhile: of several times, the longest. */
  sleep(millis: number): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const sleeper = new Sleeper(this.now(), millis, () => resume(Effect.void))
      this.watch(sleeper)
      return Effect.sync(() => this.forget(sleeper))
    })
  }

  private sleepUntil(at: number): void {
    this.sleeper?.interruptUnsafe()
    const now = this.now()
    this.aliveAt = now
    this.wakesAt = Math.min(at, now + BEAT)
    const millis = Math.max(0, Math.ceil(this.wakesAt - now))
    this.sleeper = this.fork(Effect.andThen(Effect.sleep(millis), Effect.sync(() => this.wake())))
  }

  /** Notices a standstill before anything is judged by the time: what can be read may come before the timer that is late. */
  notice(now: number): void {
    if (now - this.wakesAt > STANDSTILL && this.sleeper !== undefined) this.stoodStill(now)
    this.aliveAt = now
  }

  private stoodStill(now: number): void {
    const since = Math.min(this.aliveAt, this.wakesAt)
    this.wakesAt = now
    this.isUnheard = true
    for (const limited of this.live) limited.stoodStill(since, now)
  }

  private wake(): void {
    const now = this.now()
    this.notice(now)
    // it may come before what can be read: then only what was over when it woke last has had its turn
    const until = this.isUnheard ? this.wokeAt : now
    this.isUnheard = false
    this.wokeAt = now
    this.sleeper = undefined
    this.wakesAt = Infinity
    if (until >= this.dueAt || this.live.first === undefined) this.look(until)
    // what expired may have begun something nearer
    if (this.dueAt < this.wakesAt) this.sleepUntil(this.dueAt > now ? this.dueAt : now + CATCH_UP)
  }

  private look(until: number): void {
    this.dueAt = Infinity
    for (const limited of this.live) {
      // what expired before may have ended this one
      if (limited.list === undefined) continue
      const endsAt = limited.endsAt()
      if (endsAt > until) {
        this.dueAt = Math.min(this.dueAt, endsAt)
        continue
      }
      this.live.delete(limited)
      // what fails in the end of one must not cost the others theirs
      ignoreThrows(() => limited.expire())
    }
  }

  private stop(): void {
    this.wakesAt = STOPPED
    this.sleeper?.interruptUnsafe()
    this.sleeper = undefined
    for (const limited of this.live) {
      this.live.delete(limited)
      ignoreThrows(() => limited.close())
    }
  }
}

/** A sleep that is longer by the longest time for which the process stood still meanwhile. */
class Sleeper implements Limited {
  list: LinkedList<Limited> | undefined
  previous: Limited | undefined
  next: Limited | undefined
  readonly expire: () => void
  private readonly begunAt: number
  private readonly millis: number
  private standstill = 0

  constructor(begunAt: number, millis: number, wake: () => void) {
    this.begunAt = begunAt
    this.millis = millis
    this.expire = wake
  }

  /** Its time is not over: whoever sleeps is ended otherwise. */
  close(): void {}

  endsAt(): number {
    return this.begunAt + this.millis + this.standstill
  }

  stoodStill(since: number, now: number): void {
    this.standstill = Math.max(this.standstill, now - Math.max(since, this.begunAt))
  }
}
