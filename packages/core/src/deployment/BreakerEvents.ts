/**
 * What is told of a breaker: each change of its state, whoever causes it.
 */
import type { EventHub } from "../EventHub.ts"
import type { Breaker } from "./Breaker.ts"
import type { BreakerClosed, BreakerHalfOpened, BreakerOpened } from "./DeploymentEvent.ts"

/** Tells of the changes of a breaker from now on, where someone listens. */
export const tellChanges = (
  breaker: Breaker,
  target: BreakerOpened["target"],
  name: string,
  events: EventHub
): void => {
  breaker.onChange = (state, openFor) => {
    if (state === "open") {
      if (!events.hasTroubleListeners) return
      const { reason = "" } = breaker
      events.emit<BreakerOpened>({ _tag: "BreakerOpened", at: events.wallNow(), target, name, reason, openFor })
    } else if (events.hasListeners) {
      const _tag = state === "closed" ? "BreakerClosed" : "BreakerHalfOpened"
      events.emit<BreakerClosed | BreakerHalfOpened>({ _tag, at: events.wallNow(), target, name })
    }
  }
}
