/**
 * Contestants in processes of their own, as programs have it, alone or each beside the one that all are compared with. In one process
 * they run on code that the others have shaped; and of many by turns, each would be idle for so long that V8 takes back what
 * it had made ready.
 */
import { askChild, startChild } from "./Child.ts"
import { figureOf, measureProcesses, type Process, type ProcessRounds, ratioOf } from "./Measure.ts"
import type { Row } from "./Report.ts"

/** Suites whose module has a `door`: a contestant by its name, for a process of its own. */
export type Suite = "calls" | "streams" | "stubbed" | "telemetry"

/** Starts a contestant of a suite in a process of its own. */
const start = async (suite: Suite, endpoint: string, kind: string, name: string): Promise<Process> => {
  const { child } = await startChild("./Alone.ts", [suite, endpoint, kind, name])
  let cpu = 0
  const run = async (calls: number) => {
    cpu = await askChild<number>(child, calls)
  }
  return { name, run, cpu: () => cpu, end: () => child.disconnect() }
}

/**
 * What each of them takes, as a share of what the base takes beside it.
 *
 * @param goals the most that is good enough, by name
 */
export const pairs = async (
  suite: Suite,
  endpoint: string,
  kind: string,
  base: string,
  names: ReadonlyArray<string>,
  sizes: ProcessRounds,
  goals: Readonly<Record<string, number | undefined>> = {}
): Promise<ReadonlyArray<Row>> => {
  const rows: Array<Row> = []
  for (const name of names) {
    const begin = () => Promise.all([base, name].map((one) => start(suite, endpoint, kind, one)))
    // oxlint-disable-next-line no-await-in-loop -- by turns is how it is measured
    const measured = await measureProcesses(begin, sizes.begins, sizes)
    if (rows.length === 0) rows.push({ what: base, unit: "x", figure: one, cpu: figureOf(measured.get(base)!) })
    const figure = ratioOf(measured, name, base)
    rows.push({ what: name, unit: "x", figure, goal: goals[name], cpu: figureOf(measured.get(name)!) })
  }
  return rows
}

/**
 * What a call of each of them takes, in microseconds.
 *
 * @param goals the most that is good enough, by name
 */
export const alone = async (
  suite: Suite,
  kind: string,
  names: ReadonlyArray<string>,
  sizes: ProcessRounds,
  goals: Readonly<Record<string, number>>
): Promise<ReadonlyArray<Row>> => {
  const rows: Array<Row> = []
  for (const name of names) {
    // oxlint-disable-next-line no-await-in-loop -- nothing else may run beside it
    const measured = await measureProcesses(async () => [await start(suite, "", kind, name)], sizes.begins, sizes)
    rows.push({ what: name, unit: "us", figure: figureOf(measured.get(name)!), goal: goals[name] })
  }
  return rows
}

const one = figureOf([1])
