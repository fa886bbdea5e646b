/**
 * Interruption at every single step: fibers that yield after each operation, and an interrupter that strikes so many
 * operations after something happened at the transport.
 */
import { type Transport, type TransportResponse } from "@evenkeel/core"
import { Clock, Effect, type Fiber, References } from "effect"

/** A clock that counts who is asleep on it. */
export const countSleepers = Effect.map(Clock.Clock, (clock) => {
  let asleep = 0
  const counting: Clock.Clock = {
    ...clock,
    sleep: (duration) =>
      Effect.suspend(() => {
        let counted = 0
        // counted within what takes it back, so that no interruption comes between
        const sleep = Effect.suspend(() => {
          counted = 1
          asleep++
          return clock.sleep(duration)
        })
        return Effect.ensuring(sleep, Effect.sync(() => void (asleep -= counted)))
      })
  }
  return { clock: counting, asleep: () => asleep }
})

/** The fewest with which a fiber gets on at all: waking up takes two of them. */
const OPS = 3

/** Every operation of these fibers is a chance for others. */
export const inSmallSteps = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, References.MaxOpsBeforeYield, OPS)

/** Lets fibers in small steps get as far as they can at this moment. */
export const letRun = Effect.repeat(Effect.yieldNow, { times: 400 })

/** What may be waited for at the transport. */
export type Moment = "headers" | "chunk" | "text" | "failure"

/** Strikes a fiber so many operations after a moment, once. */
export class Striker {
  target: Fiber.Fiber<unknown, unknown> | undefined
  /** Whether the moment came. */
  struck = false
  private readonly moment: Moment
  private readonly steps: number

  constructor(moment: Moment, steps: number) {
    this.moment = moment
    this.steps = steps
  }

  /** The same transport, watched. */
  watch(transport: Transport["Service"]): Transport["Service"] {
    return {
      send: (request) =>
        transport.send(request).pipe(
          Effect.tapError(() => this.at("failure")),
          Effect.map((response): TransportResponse => ({
            ...response,
            pull: Effect.tap(response.pull, () => this.at("chunk")),
            text: Effect.tap(response.text, () => this.at("text"))
          })),
          Effect.tap(() => this.at("headers"))
        )
    }
  }

  private at(moment: Moment): Effect.Effect<void> {
    return Effect.sync(() => {
      if (moment !== this.moment || this.struck) return
      this.struck = true
      const strike = Effect.sync(() => this.target?.interruptUnsafe())
      const wait = Effect.repeat(Effect.yieldNow, { times: this.steps - 1 })
      Effect.runFork(this.steps === 0 ? strike : Effect.andThen(wait, strike))
    })
  }
}
