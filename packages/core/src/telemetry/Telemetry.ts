/**
 * The seam to telemetry: it is told every event, in order and synchronously, and nobody else in the core knows of it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Event } from "../Event.ts"
import type { Explanation } from "../routing/Explanation.ts"

/**
 * Service that is told what happens. `observe` must not throw and must not wait; `undefined` costs nothing.
 */
export class Telemetry extends Context.Service<Telemetry, {
  readonly observe: ((event: Event) => void) | undefined
  /** Told why each attempt goes where it goes, which costs several times what the choice does. */
  readonly explain?: ((explanation: Explanation) => void) | undefined
}>()("@evenkeel/core/telemetry/Telemetry") {
  /** Tells nobody. */
  static readonly layerNoop: Layer.Layer<Telemetry> = Layer.sync(Telemetry, () => ({ observe: undefined }))

  /** Tells a function what happens, and another, if there is one, why each attempt goes where it goes. */
  static layer(
    observe: ((event: Event) => void) | undefined,
    explain?: (explanation: Explanation) => void
  ): Layer.Layer<Telemetry> {
    return Layer.succeed(Telemetry, { observe, explain })
  }

  /**
   * Logs through Effect's logger: changes of state at info or warning, failed attempts and failovers at debug. Ordinary
   * requests are not logged.
   */
  static readonly layerLogging: Layer.Layer<Telemetry> = Layer.effect(
    Telemetry,
    Effect.gen(function*() {
      const run = Effect.runForkWith(yield* Effect.context<never>())
      return {
        observe: (event: Event) => {
          const line = describe(event)
          if (line !== undefined) run(line)
        }
      }
    })
  )
}

const seconds = (millis: number): string => `${Math.round(millis / 100) / 10} s`

const describe = (event: Event): Effect.Effect<void> | undefined => {
  switch (event._tag) {
    case "BreakerOpened":
      return Effect.logWarning(
        `Evenkeel: ${event.target} ${event.name} is failing (${event.reason}); next try in ${seconds(event.openFor)}`
      )
    case "BreakerClosed":
      return Effect.logInfo(`Evenkeel: ${event.target} ${event.name} is back`)
    case "CooledDown":
      return Effect.logInfo(
        `Evenkeel: ${event.deployment} is to be left alone for ${seconds(event.coolFor)} (${event.reason})`
      )
    case "DeploymentMissing":
      return Effect.logError(`Evenkeel: ${event.deployment} does not exist; check its name and its resource`)
    case "MembershipChanged":
      return Effect.logInfo(`Evenkeel: ${event.deployment} was ${event.change}`)
    case "Panicked":
      return Effect.logWarning(
        `Evenkeel: every deployment of ${event.model} is failing; tried ${event.deployment} all the same`
      )
    case "FailedOver":
      return Effect.logDebug(`Evenkeel: ${event.model} fails over from ${event.from} (${event.reason})`)
    case "Waiting":
      return Effect.logDebug(`Evenkeel: ${event.model} waits ${seconds(event.delay)} for a deployment`)
    case "Hedged":
      return Effect.logDebug(
        `Evenkeel: ${event.deployment} is late after ${seconds(event.after)}; another is asked beside`
      )
    case "SessionMoved":
      return Effect.logDebug(`Evenkeel: a session of ${event.model} moved from ${event.from} to ${event.to}`)
    case "AttemptEnded":
      return event.attempt.outcome === "success"
        ? undefined
        : Effect.logDebug(`Evenkeel: ${event.attempt.deployment} ${event.attempt.outcome} (${event.attempt.reason})`)
    case "RequestEnded":
      return undefined
  }
}
