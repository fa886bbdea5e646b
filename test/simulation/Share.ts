/**
 * How soon a policy leaves what is struck, and how soon it comes back: read from the share of the sends that the struck
 * places get, which is the same question to every policy, whatever it calls its states.
 */
import type { Recording } from "./Run.ts"
import { measuredSpan, type Strike, strikeOf, timeOf } from "./Scenario.ts"

const STEP = 1000
const WINDOW = 10_000

/** Shares of the usual share at which a place counts as left, and as back. */
const LEFT = 1 / 4
const BACK = 3 / 4

const isLeft = (share: number, usual: number): boolean => share <= LEFT * usual
const isBack = (share: number, usual: number): boolean => share >= BACK * usual

/** Seconds; `Infinity` for never, `undefined` where only some places are not struck. */
export const timeToEject = (recording: Recording): number | undefined => {
  const strike = strikeOf(recording.scenario)
  return strike === undefined ? undefined : secondsUntil(recording, strike, strike.from, strike.to, isLeft)
}

/** Seconds; `Infinity` for not within the run, `undefined` for what was never left, or nothing that joined. */
export const timeToRecover = (recording: Recording): number | undefined => {
  const { scenario } = recording
  const end = measuredSpan(scenario).to
  const strike = strikeOf(scenario)
  if (strike !== undefined) {
    if (timeToEject(recording) === Infinity) return undefined
    return secondsUntil(recording, strike, strike.to, end, isBack)
  }
  const join = scenario.changes.find(({ kind }) => kind === "join")
  if (join === undefined) return undefined
  const at = timeOf(scenario, join.at)
  return secondsUntil(recording, { places: join.places, from: at, to: end }, at, end, isBack)
}

/** What places should get: their part of the quota of all. */
const usualShare = ({ scenario }: Recording, places: ReadonlyArray<string>): number => {
  const sum = (some: typeof scenario.places): number => some.reduce((total, { tpm }) => total + tpm, 0)
  return sum(scenario.places.filter(({ name }) => places.includes(name))) / sum(scenario.places)
}

const secondsUntil = (
  recording: Recording,
  { places }: Strike,
  from: number,
  to: number,
  holds: (share: number, usual: number) => boolean
): number => {
  const usual = usualShare(recording, places)
  const sends = recording.sends.filter(({ at, request }) => request !== undefined && at >= from && at < to)
  for (let at = from; at + WINDOW <= to; at += STEP) {
    const within = sends.filter((sent) => sent.at >= at && sent.at < at + WINDOW)
    if (within.length === 0) continue
    const struck = within.filter(({ place }) => places.includes(place))
    if (holds(struck.length / within.length, usual)) return (at - from) / 1000
  }
  return Infinity
}
