/**
 * Whatever sends requests to places: Evenkeel, or a plain model of a policy.
 */
import type { Effect, Scope } from "effect"
import type { Ask } from "./Demand.ts"
import type { Place, Scenario } from "./Scenario.ts"
import type { World } from "./World.ts"

export interface Client {
  /** Asks until the whole answer is there; `onFirst` is told of the first content. Fails where the caller sees a failure. */
  readonly ask: (ask: Ask, onFirst: () => void) => Effect.Effect<void, unknown>
  readonly join: (place: Place) => Effect.Effect<void>
  readonly leave: (place: Place) => Effect.Effect<void>
}

/** A way to choose among places, by its name. */
export interface Contender {
  readonly name: string
  readonly make: (scenario: Scenario, world: World, seed: number) => Effect.Effect<Client, never, Scope.Scope>
}

/** What every client sends, the caller's part of it. `user` tells the service whose request it is. */
export const parametersOf = ({ index, outputLimit, prompt }: Ask) => ({
  user: String(index),
  ...(outputLimit === undefined ? {} : { max_completion_tokens: outputLimit }),
  messages: [{ role: "user" as const, content: prompt }]
})
