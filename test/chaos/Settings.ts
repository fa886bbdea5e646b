/**
 * How long a run is, how much it does, and which of all possible runs it is.
 */

export interface ChaosSettings {
  readonly seed: number
  readonly seconds: number
  /** Calls that are kept under way. */
  readonly calls: number
  /** Each is a storm, a calm and a rest, so that what stays behind is seen to grow or not. */
  readonly rounds: number
  readonly stormMillis: number
}

/** Below this a run has neighbours, the other tests, whose share of the machine it must leave them. */
const SHORT_SECONDS = 30

/** What a calm takes of a round, about. */
const CALM_MILLIS = 8_000

/** Of `EVENKEEL_CHAOS_SECONDS`, `EVENKEEL_CHAOS_SEED` and `EVENKEEL_CHAOS_CALLS`. */
export const settingsOf = (environment: Readonly<Record<string, string | undefined>>): ChaosSettings => {
  const numberOf = (name: string, otherwise: number, most: number): number => {
    const given = environment[name]
    if (given === undefined || given === "") return otherwise
    const number = Number(given)
    if (!Number.isInteger(number) || number < 1 || number > most) {
      throw new RangeError(`${name} is ${given}, and must be a whole number from 1 to ${most}`)
    }
    return number
  }
  const seconds = numberOf("EVENKEEL_CHAOS_SECONDS", 6, 3_600)
  const rounds = Math.min(20, Math.max(2, Math.round(seconds / 20)))
  const roundMillis = seconds * 1_000 / rounds
  return {
    seed: numberOf("EVENKEEL_CHAOS_SEED", 1, 2 ** 31),
    seconds,
    calls: numberOf("EVENKEEL_CHAOS_CALLS", seconds < SHORT_SECONDS ? 80 : 200, 2_000),
    rounds,
    stormMillis: Math.max(roundMillis * 0.5, roundMillis - CALM_MILLIS)
  }
}

/** When a run is ended whatever it does, in milliseconds: everything in it is bounded, and may still wait on a busy machine. */
export const ceilingOf = ({ seconds }: ChaosSettings): number => seconds * 2_000 + 60_000
