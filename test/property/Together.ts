/**
 * What must always hold, with each scenario played once for all of it that can be watched at the same time.
 */
import type { FleetStore } from "@evenkeel/core"
import { Effect, type Layer } from "effect"
import { once } from "../support/Once.ts"
import { play, type Watcher } from "./Play.ts"
import type { Scenario } from "./Scenario.ts"
import * as Watchers from "./Watchers.ts"

interface Together {
  readonly guarantees: Readonly<Record<string, Watchers.Guarantee>>
  /** When the balancer is closed, if before its callers are done. */
  readonly closeAt?: (scenario: Scenario) => number
}

const plays: ReadonlyArray<Together> = [
  {
    // each of these only looks, so that a play is to the letter what it is without them
    guarantees: {
      "1: in-flight counts, reservations and probe slots return to zero": Watchers.nothingStays,
      "2: retries never exceed the budget in any window, free ones aside": Watchers.retriesAreBudgeted,
      "3: no deployment is tried twice while another eligible one is left": Watchers.noneTwiceWhileAnotherIsLeft,
      "4: a time set by the service is not violated outside panic": Watchers.timesAreKept,
      "5: an open breaker admits one probe at a time outside panic": Watchers.oneProbeAtATime,
      "6: while a deployment is usable, only attempts, deadline and budget refuse a request, and the error says which":
        Watchers.refusalsHaveReasons,
      "7: bytes of two generations never meet in one answer": Watchers.generationsNeverMeet,
      "8: a key is never sent to another resource, and never printed": Watchers.keysNeverCross
    }
  },
  {
    guarantees: {
      "9: after the scope closes nothing is sent, and no socket, timer or count is left":
        Watchers.nothingOutlivesTheScope
    },
    closeAt: ({ seed }) => seed % 16_000
  },
  {
    // the simulated service rounds what it forgets whenever it is asked, so that asking moves a time by a millisecond
    guarantees: { "10: the ledger never counts less than the service does": Watchers.theLedgerIsNeverLess }
  }
]

const together = (watchers: ReadonlyArray<Watcher>): Watcher => ({
  onSend: (sent, live) => watchers.forEach(({ onSend }) => onSend?.(sent, live)),
  onResponse: (sent, status, headers, live) =>
    watchers.forEach(({ onResponse }) => onResponse?.(sent, status, headers, live)),
  onEnd: (ended, live) => Effect.forEach(watchers, ({ onEnd }) => onEnd?.(ended, live) ?? Effect.void),
  onEvent: (event) => watchers.forEach(({ onEvent }) => onEvent?.(event)),
  onTick: (live) => watchers.forEach(({ onTick }) => onTick?.(live)),
  onQuiet: (live) => Effect.forEach(watchers, ({ onQuiet }) => onQuiet?.(live) ?? Effect.void),
  onClosed: (live) => watchers.forEach(({ onClosed }) => onClosed?.(live)),
  onOver: (live, asleep) => watchers.forEach(({ onOver }) => onOver?.(live, asleep))
})

/** What is wrong in a scenario. */
type Wrong = (scenario: Scenario) => Effect.Effect<ReadonlyArray<string>>

/** What is wrong with each guarantee, by its name: of a process alone, or of a member of a fleet. */
export const guarantees = (
  fleetOf?: (scenario: Scenario) => Layer.Layer<FleetStore>
): ReadonlyArray<readonly [string, Wrong]> =>
  plays.flatMap(({ closeAt, guarantees }) => {
    const all = Object.entries(guarantees)
    const played = once((scenario: Scenario) => {
      const wrong = all.map((): Array<string> => [])
      const watchers = all.map(([, guarantee], i) => guarantee(wrong[i]!, scenario))
      return Effect.as(play(scenario, together(watchers), closeAt?.(scenario), fleetOf?.(scenario)), wrong)
    })
    return all.map(([name], i) => [name, (scenario) => Effect.map(played(scenario), (wrong) => wrong[i]!)] as const)
  })
