/**
 * What a recording says, in figures.
 */
import type { Recording } from "./Run.ts"
import { capacityOf, measuredSpan, type Span, strikeOf } from "./Scenario.ts"
import { timeToEject, timeToRecover } from "./Share.ts"

/** `undefined` where a figure has no meaning in the scenario. */
export interface Figures {
  /** Requests of the measured time. */
  readonly requests: number
  /** Of a hundred requests, those whose callers were told of a failure. */
  readonly failures: number
  /** Sends that were answered 429, for a hundred requests. */
  readonly throttled: number
  /** Sends that met a 5xx, a broken connection or silence, for a hundred requests. */
  readonly failed: number
  /** Of streams that began, in ms. */
  readonly firstTokenP50: number | undefined
  readonly firstTokenP99: number | undefined
  /** Sends a request. */
  readonly attempts: number
  /** Highest less lowest utilisation at a time, among those of a tier that are not struck; the mean over time. */
  readonly spread: number
  /** Share of the prompt tokens that came from a cache, where prompts share their beginnings. */
  readonly cacheHits: number | undefined
  /** What was admitted, as a share of all places' quotas, where more was asked for. */
  readonly goodput: number | undefined
  /** What tier 1 was used for, as a share of its quota, where there is another tier. */
  readonly firstTier: number | undefined
  /** What the balancer was served that was served least, as a share of the mean, where there are several. */
  readonly least: number | undefined
  /** Seconds after its beginning until what is struck gets a quarter of its usual traffic; `Infinity` for never. */
  readonly eject: number | undefined
  /** Seconds after its end until what was struck gets three quarters of its usual traffic. */
  readonly recover: number | undefined
}

/** Figures of the measured time, or of a span within it. */
export const figuresOf = (recording: Recording, span: Span = measuredSpan(recording.scenario)): Figures => {
  const { done, scenario } = recording
  const asked = recording.asked.filter(({ at }) => at >= span.from && at < span.to)
  const indices = new Set(asked.map(({ index }) => index))
  const sends = recording.sends.filter(({ request }) => request !== undefined && indices.has(request))
  const perHundred = (count: number): number => (100 * count) / asked.length
  const firsts = asked.flatMap(({ firstToken }) => firstToken ?? []).toSorted((a, b) => a - b)
  return {
    requests: asked.length,
    failures: perHundred(asked.filter(({ failure }) => failure !== undefined).length),
    throttled: perHundred(sends.filter(({ status }) => status === 429).length),
    failed: perHundred(sends.filter(({ status }) => typeof status === "string" || status >= 500).length),
    firstTokenP50: firsts[Math.floor(firsts.length * 0.5)],
    firstTokenP99: firsts[Math.floor(firsts.length * 0.99)],
    attempts: sends.length / asked.length,
    spread: spreadOf(recording, span),
    cacheHits: scenario.traffic.sessions > 0 ? done.cachedTokens / done.promptTokens : undefined,
    goodput: scenario.load > 1 ? done.chargedTokens / (capacityOf(scenario.places) * scenario.minutes) : undefined,
    firstTier: firstTierOf(recording),
    least: leastOf(recording, asked),
    eject: timeToEject(recording),
    recover: timeToRecover(recording)
  }
}

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length

const spreadOf = ({ levels, scenario }: Recording, span: Span): number => {
  const strike = strikeOf(scenario)
  const moving = new Set(
    scenario.changes.flatMap(({ kind, places }) => kind === "join" || kind === "leave" ? places : [])
  )
  const compared = scenario.places.filter(({ name }) => !moving.has(name) && strike?.places.includes(name) !== true)
  const tiers = [...new Set(compared.map(({ tier }) => tier ?? 1))]
  const within = levels.filter(({ at }) => at >= span.from && at <= span.to)
  return mean(within.map(({ of }) =>
    Math.max(...tiers.map((tier) => {
      const some = compared.filter((place) => (place.tier ?? 1) === tier).map(({ name }) => of[name]!)
      return Math.max(...some) - Math.min(...some)
    }))
  ))
}

const leastOf = ({ scenario: { balancers } }: Recording, asked: Recording["asked"]): number | undefined => {
  if (balancers === 1) return undefined
  const served = Array.from({ length: balancers }, () => 0)
  for (const { balancer, failure } of asked) if (failure === undefined) served[balancer]! += 1
  return Math.min(...served) / mean(served)
}

const firstTierOf = ({ done, scenario: { minutes, places } }: Recording): number | undefined => {
  const first = places.filter(({ tier }) => (tier ?? 1) === 1)
  return first.length === places.length ? undefined : done.firstTierTokens / (capacityOf(first) * minutes)
}
