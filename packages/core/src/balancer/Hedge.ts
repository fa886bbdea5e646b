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
  /** Ends when the first is called slow. */
  readonly late: Effect.Effect<void>
  /** The second try, where there is one: asked for when the first is slow. */
  readonly second: () => Effect.Effect<A, E> | undefined
  /** Gives up what a try has brought, though nobody takes it. */
  readonly release: (answer: A) => void
  /** Told of a failure while the other is under way. Returns whether the other may still make it good. */
  readonly onFailure: (error: E) => boolean
}

/**
 * Runs the first, and the second beside it when the first is slow. Fails with the failure of the last one under way.
 * However it ends, nothing of a try that did not win goes on.
 */
export const hedge = <A, E>(options: HedgeOptions<A, E>): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    const tries: Array<Fiber.Fiber<A, E>> = []
    let winner: Fiber.Fiber<A, E> | undefined
    const start = (effect: Effect.Effect<A, E>) =>
      Effect.tap(Effect.forkDetach(effect, { startImmediately: true }), (fiber) => Effect.sync(() => tries.push(fiber)))
    const race = Effect.gen(function*() {
      const first = yield* Effect.uninterruptible(start(options.first))
      const isLate = yield* Effect.raceFirst(Effect.as(Fiber.await(first), false), Effect.as(options.late, true))
      const next = isLate ? options.second() : undefined
      if (next === undefined) {
        winner = first
        return yield* Fiber.join(first)
      }
      const second = yield* Effect.uninterruptible(start(next))
      const [sooner, exit] = yield* Effect.raceFirst(
        Effect.map(Fiber.await(first), (exit) => [first, exit] as const),
        Effect.map(Fiber.await(second), (exit) => [second, exit] as const)
      )
      const failure = Exit.findErrorOption(exit)
      const isOpen = Option.isSome(failure) && options.onFailure(failure.value)
      winner = isOpen ? (sooner === first ? second : first) : sooner
      return yield* Fiber.join(winner)
    })
    return Effect.onExit(race, (exit) => {
      const left = tries.filter((fiber) => Exit.isFailure(exit) || fiber !== winner)
      return Effect.andThen(
        Fiber.interruptAll(left),
        Effect.sync(() => {
          for (const fiber of left) {
            const ended = fiber.pollUnsafe()
            if (ended !== undefined && Exit.isSuccess(ended)) options.release(ended.value)
          }
        })
      )
    })
  })
