// oxlint-disable no-await-in-loop -- by turns is how it is measured
/**
 * Measuring by turns: every contestant does the same work in every round, in rotating order, so that whatever else the
 * machine does meets all of them alike. What is compared is CPU time of this process, within one round.
 *
 * Before each turn a contestant runs a while unmeasured, so that it does not pay for what the one before it left to be
 * collected. Garbage is not collected by force between turns: that shrinks the young generation, and every turn would
 * then measure its growing again (all figures near double).
 */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

setFlagsFromString("--expose-gc")
/** Collects all garbage, to see what is left. */
export const collectGarbage: () => void = runInNewContext("gc")

export interface Contestant {
  readonly name: string
  /** Does so many calls; how many at a time is its own matter. */
  readonly run: (calls: number) => Promise<void>
}

export interface Rounds {
  readonly rounds: number
  readonly calls: number
  readonly warmup: number
}

/** Calls before each turn, as a share of those that are measured. */
export const RUN_IN = 0.25

/** Microseconds of CPU per call, one figure for each round. */
export type Measured = ReadonlyMap<string, ReadonlyArray<number>>

export const measure = async (contestants: ReadonlyArray<Contestant>, sizes: Rounds): Promise<Measured> => {
  const measured = new Map<string, Array<number>>()
  for (const { name, run } of contestants) {
    measured.set(name, [])
    await run(sizes.warmup)
  }
  for (let round = 0; round < sizes.rounds; round++) {
    for (let turn = 0; turn < contestants.length; turn++) {
      const { name, run } = contestants[(round + turn) % contestants.length]!
      await run(Math.ceil(sizes.calls * RUN_IN))
      const before = process.cpuUsage()
      await run(sizes.calls)
      const { system, user } = process.cpuUsage(before)
      measured.get(name)!.push((user + system) / sizes.calls)
    }
  }
  return measured
}

/** A figure that was taken several times. */
export interface Figure {
  readonly median: number
  readonly min: number
  readonly max: number
}

export const figureOf = (values: ReadonlyArray<number>): Figure => {
  const sorted = values.toSorted((a, b) => a - b)
  return { median: quantile(sorted, 0.5), min: sorted[0]!, max: sorted.at(-1)! }
}

/** Quantile of sorted values. */
export const quantile = (sorted: ReadonlyArray<number>, share: number): number => {
  const position = share * (sorted.length - 1)
  const low = sorted[Math.floor(position)]!
  return low + (sorted[Math.ceil(position)]! - low) * (position - Math.floor(position))
}

/** Ratios of two contestants, round by round. */
export const ratioOf = (measured: Measured, name: string, base: string): Figure => {
  const bases = measured.get(base)!
  return figureOf(measured.get(name)!.map((value, round) => value / bases[round]!))
}
