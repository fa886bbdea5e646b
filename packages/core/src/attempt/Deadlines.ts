/**
 * The time limits of all attempts, kept by one fiber instead of one each.
 *
 * It sleeps until the earliest limit that it knows. Limits that move later cost nothing; it looks again when it wakes.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { TimeoutsConfig } from "../config/Config.ts"
import type { TimeoutStage } from "../Errors.ts"
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
  /** Its time is over. It is no longer watched. */
  readonly expire: () => void
  /** Everything is over. */
  readonly close: () => void
}

/** So late, in milliseconds, it woke because the process stood still: what has arrived meanwhile was not heard yet. */
const STANDSTILL = 50

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
  private isCatchingUp = false

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

  /** Watches something from now on, or notices that its limit came nearer. */
  watch(limited: Limited): void {
    this.live.add(limited)
    const endsAt = limited.endsAt()
    if (endsAt < this.wakesAt) this.sleepUntil(endsAt)
  }

  /** Stops watching something. */
  forget(limited: Limited): void {
    this.live.delete(limited)
  }

  private sleepUntil(at: number): void {
    this.sleeper?.interruptUnsafe()
    this.wakesAt = at
    const millis = Math.max(0, Math.ceil(at - this.now()))
    this.sleeper = this.fork(Effect.andThen(Effect.sleep(millis), Effect.sync(() => this.look())))
  }

  private look(): void {
    const now = this.now()
    this.sleeper = undefined
    this.isCatchingUp = !this.isCatchingUp && now - this.wakesAt > STANDSTILL
    // timers come before what can be read, so one more sleep lets that be heard
    if (this.isCatchingUp) return this.sleepUntil(now + CATCH_UP)
    this.wakesAt = Infinity
    let next = Infinity
    for (const limited of this.live) {
      // what expired before may have ended this one
      if (limited.list === undefined) continue
      const endsAt = limited.endsAt()
      if (endsAt > now) {
        next = Math.min(next, endsAt)
        continue
      }
      this.live.delete(limited)
      try {
        limited.expire()
      } catch {
        // what fails there must not cost the others their limits
      }
    }
    // what expired may have begun something nearer
    if (next < this.wakesAt) this.sleepUntil(next)
  }

  private stop(): void {
    this.wakesAt = -Infinity
    this.sleeper?.interruptUnsafe()
    for (const limited of this.live) {
      this.live.delete(limited)
      limited.close()
    }
  }
}
