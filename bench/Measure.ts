// oxlint-disable no-await-in-loop -- by turns is how it is measured
/**
 * Measuring by turns: every contestant does the same work in every round, in rotating order, so that whatever else the
 * machine does meets all of them alike. What is compared is CPU time, of this process or of the contestant's own, within one
 * round.
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
  /** Microseconds of CPU that it has taken. Default: those of this process. */
  readonly cpu?: (() => Promise<number> | number) | undefined
  /** Share of the calls that it does: less than one where each takes it long, so that turns are of like length. */
  readonly share?: number | undefined
}

/** Microseconds of CPU that this process has taken. */
export const ownCpu = (): number => {
  const { system, user } = process.cpuUsage()
  return system + user
}

export interface Rounds {
  readonly rounds: number
  readonly calls: number
  readonly warmup: number
}

/** Calls before each turn, as a share of those that are measured. */
const RUN_IN = 0.25

/** Microseconds of CPU per call, one figure for each round. */
export type Measured = ReadonlyMap<string, ReadonlyArray<number>>

export const measure = async (contestants: ReadonlyArray<Contestant>, sizes: Rounds): Promise<Measured> => {
  const measured = new Map<string, Array<number>>()
  for (const { name, run, share = 1 } of contestants) {
    measured.set(name, [])
    await run(sizes.warmup * share)
  }
  for (let round = 0; round < sizes.rounds; round++) {
    for (let turn = 0; turn < contestants.length; turn++) {
      const { cpu = ownCpu, name, run, share = 1 } = contestants[(round + turn) % contestants.length]!
      const calls = sizes.calls * share
      await run(Math.ceil(calls * RUN_IN))
      const before = await cpu()
      await run(calls)
      measured.get(name)!.push((await cpu() - before) / calls)
    }
  }
  return measured
}

/** Rounds of contestants in processes of their own. */
export interface ProcessRounds extends Rounds {
  /** How often all of them begin anew. */
  readonly begins: number
}

/** A contestant in a process of its own. */
export interface Process extends Contestant {
  readonly end: () => void
}

/**
 * Measures processes, which begin anew so many times: what V8 makes of a process in its first seconds is a matter of chance,
 * and stays.
 *
 * @param last what to do with the last of them
 */
export const measureProcesses = async <P extends Process>(
  begin: () => Promise<ReadonlyArray<P>>,
  times: number,
  sizes: Rounds,
  last: (processes: ReadonlyArray<P>) => Promise<void> = async () => {}
): Promise<Measured> => {
  const measured = new Map<string, ReadonlyArray<number>>()
  for (let time = 1; time <= times; time++) {
    const processes = await begin()
    for (const [name, more] of await measure(processes, sizes)) {
      measured.set(name, [...measured.get(name) ?? [], ...more])
    }
    if (time === times) await last(processes)
    for (const { end } of processes) end()
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
