/**
 * A second try beside a first one that is slow: the first answer wins, and the other is given up.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"

/** What a hedge is made of. */
export interface HedgeOptions<A, E> {
  readonly first: Effect.Effect<A, E>
  /** Milliseconds after which the first is called slow. */
  readonly after: number
  /** The second try, where there is one: asked for when the first is slow. */
  readonly second: () => Effect.Effect<A, E> | undefined
  /** Gives up what the loser may have brought all the same. */
  readonly release: (answer: A) => void
  /** Told of a failure that the other may still make good. */
  readonly onFailure: (error: E) => void
}

/**
 * Runs the first, and the second beside it when the first is slow. Fails with the failure of the last one under way.
 * Interrupting it interrupts both.
 */
export const hedge = <A, E>(options: HedgeOptions<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function*() {
    const first = yield* Effect.forkChild(options.first, { startImmediately: true })
    const early = yield* Effect.timeoutOption(Fiber.await(first), options.after)
    if (Option.isSome(early)) return yield* early.value
    const next = options.second()
    if (next === undefined) return yield* Fiber.join(first)
    const second = yield* Effect.forkChild(next, { startImmediately: true })
    const [winner, exit] = yield* Effect.raceFirst(
      Effect.map(Fiber.await(first), (exit) => [first, exit] as const),
      Effect.map(Fiber.await(second), (exit) => [second, exit] as const)
    )
    const other = winner === first ? second : first
    if (Exit.isFailure(exit)) {
      const failure = Exit.findErrorOption(exit)
      if (Option.isSome(failure)) options.onFailure(failure.value)
      return yield* Fiber.join(other)
    }
    yield* Fiber.interrupt(other)
    const lost = other.pollUnsafe()
    if (lost !== undefined && Exit.isSuccess(lost)) options.release(lost.value)
    return exit.value
  })
