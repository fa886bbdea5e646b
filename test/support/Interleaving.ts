/**
 * Interruption at every single step: fibers that yield after each operation, and an interrupter that strikes so many
 * operations after something happened at the transport.
 */
import { type Policy, type Transport, type TransportResponse } from "@evenkeel/core"
import { Clock, Effect, References } from "effect"

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

/** When something was chosen, or came from the transport. */
export type Moment = "choice" | "headers" | "chunk" | "text" | "failure"

/** Strikes so many operations after a moment, once. */
export class Striker {
  /** What is done then. */
  strike: Effect.Effect<void> = Effect.void
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
          Effect.tapError(() => Effect.sync(() => this.at("failure"))),
          Effect.map((response): TransportResponse => ({
            ...response,
            pull: Effect.tap(response.pull, () => Effect.sync(() => this.at("chunk"))),
            text: Effect.tap(response.text, () => Effect.sync(() => this.at("text")))
          })),
          Effect.tap(() => Effect.sync(() => this.at("headers")))
        )
    }
  }

  /** A policy, watched: it takes the first. */
  readonly choose: Policy.Policy = (candidates) => {
    this.at("choice")
    return candidates[0]!
  }

  private at(moment: Moment): void {
    if (moment !== this.moment || this.struck) return
    this.struck = true
    const wait = Effect.repeat(Effect.yieldNow, { times: this.steps - 1 })
    Effect.runFork(this.steps === 0 ? this.strike : Effect.andThen(wait, this.strike))
  }
}
