/**
 * A scenario: what there is, who asks for what, and what goes wrong when. Plain data, the same for every client.
 */
import type { SimulatedFault } from "#core/simulation/SimulatedFault"

/** A deployment that traffic may go to. */
export interface Place {
  readonly name: string
  readonly resource: string
  /** Tokens a minute; the drain of a provisioned one. */
  readonly tpm: number
  /** 1 unless given. */
  readonly tier?: number
  readonly provisioned?: boolean
  /** Whether it draws on one quota with all others that do; `tpm` is then that of all. */
  readonly isPooled?: boolean
  /** Whether clients know it from the beginning; true unless it is added under way. */
  readonly isLater?: boolean
}

/** What callers ask for. */
export interface Traffic {
  /** Share of the requests that are streamed. */
  readonly streamed: number
  /** Mean and spread (sigma of the lognormal) of the prompt's tokens. */
  readonly promptTokens: number
  readonly promptSpread: number
  /** Output limits, each as likely; `undefined` is a request that sets none. */
  readonly outputLimits: ReadonlyArray<number | undefined>
  /** Share of prompts that are long ones, and their mean tokens. */
  readonly longShare: number
  readonly longTokens: number
  /** Conversations under way at a time; 0 for requests that have nothing to do with each other. */
  readonly sessions: number
  /** Share of the requests that are of one of them. */
  readonly hotShare?: number
}

/**
 * Something that happens to places. `at` is a share of the measured time: 0 its beginning, 1 its end.
 *
 * - `fault` begins and `clear` ends what the service does to them.
 * - `outage` is a fault of all of their resources, which checks meet too.
 * - `join` and `leave` change the set that clients know.
 */
export type Change =
  & { readonly at: number; readonly places: ReadonlyArray<string> }
  & (
    | { readonly kind: "fault" | "outage"; readonly fault: SimulatedFault }
    | { readonly kind: "clear" | "join" | "leave" }
  )

export interface Scenario {
  readonly name: string
  /** What it shows, in a few words. */
  readonly about: string
  readonly places: ReadonlyArray<Place>
  /** Demand as a share of all places' tokens a minute. */
  readonly load: number
  /** Measured time; a warm-up comes before it. */
  readonly minutes: number
  readonly traffic: Traffic
  readonly changes: ReadonlyArray<Change>
  /** Balancers that share the places without knowing of each other. */
  readonly balancers: number
  /** Whether clients are told the quotas. */
  readonly isTold: boolean
  /** Seconds before the measured time. */
  readonly warmUp: number
}

/** When something is measured, in ms since the beginning of the run. */
export interface Span {
  readonly from: number
  readonly to: number
}

export const measuredSpan = ({ minutes, warmUp }: Scenario): Span => ({
  from: warmUp * 1000,
  to: warmUp * 1000 + minutes * 60_000
})

/** Tokens a minute of all places. */
export const capacityOf = (places: ReadonlyArray<Place>): number => {
  const pooled = places.find(({ isPooled }) => isPooled === true)
  return places.reduce((sum, { isPooled, tpm }) => isPooled === true ? sum : sum + tpm, pooled?.tpm ?? 0)
}

/** When a change happens, in ms since the beginning of the run. */
export const timeOf = (scenario: Scenario, at: number): number => {
  const { from, to } = measuredSpan(scenario)
  return Math.round(from + at * (to - from))
}

/** The places that are struck, and when: from the first fault to the last that is cleared. */
export interface Strike extends Span {
  readonly places: ReadonlyArray<string>
}

/** The strike of a scenario, if some of its places are struck while others are not. */
export const strikeOf = (scenario: Scenario): Strike | undefined => {
  const faults = scenario.changes.filter(({ kind }) => kind === "fault" || kind === "outage")
  const clears = scenario.changes.filter(({ kind }) => kind === "clear")
  const places = [...new Set(faults.flatMap(({ places }) => places))]
  if (places.length === 0 || places.length === scenario.places.length || clears.length === 0) return undefined
  return {
    places,
    from: timeOf(scenario, Math.min(...faults.map(({ at }) => at))),
    to: timeOf(scenario, Math.max(...clears.map(({ at }) => at)))
  }
}

/** A scenario over a shorter time. */
export const shortened = (scenario: Scenario, share: number): Scenario => ({
  ...scenario,
  minutes: scenario.minutes * share
})
