/**
 * The summary of a run, for people.
 */
import type { ChaosSettings } from "./Settings.ts"
import type { Counts, Tally } from "./Tally.ts"

export interface Measured {
  readonly seconds: number
  /** Bytes in use when nothing was asked, after each round. */
  readonly heaps: ReadonlyArray<number>
  /** Fibers at rest, after each round. */
  readonly fibers: ReadonlyArray<number>
  /** The most connections that were open at once, and those that were left after closing. */
  readonly connections: { readonly most: number; readonly left: number }
  /** How long the process did not get to its work, in nanoseconds: on a busy machine time limits pass for that alone. */
  readonly pauses: { readonly percentile: (percentage: number) => number; readonly max: number }
}

export const summaryOf = (settings: ChaosSettings, tally: Tally, measured: Measured): string => {
  const { connections, fibers, heaps, pauses, seconds } = measured
  const { doors, errors, events, left, reasons, struck, underWay, whole } = tally
  const mean = underWay.reduce((sum, count) => sum + count, 0) / Math.max(1, underWay.length)
  const verdict = tally.verdict()
  return [
    `Chaos of seed ${settings.seed}: ${seconds.toFixed(0)} s, ${settings.rounds} rounds, about ${
      mean.toFixed(0)
    } calls under way`,
    "",
    table("Calls", doors),
    table("Whole answers", whole),
    table("Typed errors", errors),
    table("Left by their caller", left),
    table("Requests that strikes met", struck),
    table("Events of the balancers", events),
    table("Attempts that failed", reasons, 24),
    `Heap at rest, MB: ${heaps.map((heap) => (heap / 1e6).toFixed(1)).join(", ")}`,
    `Fibers at rest: ${fibers.join(", ")}`,
    `Pauses of the process, ms: ${millis(pauses.percentile(50))} median, ${millis(pauses.percentile(99))} p99, ${
      millis(pauses.max)
    } longest`,
    `Connections: ${connections.most} at most, ${connections.left} after closing`,
    "",
    verdict.length === 0 ? "Everything held." : `WRONG:\n${verdict.map((what) => `  - ${what}`).join("\n")}`
  ].join("\n")
}

const millis = (nanoseconds: number): string => (nanoseconds / 1e6).toFixed(0)

const table = (title: string, counts: Counts, most = Infinity): string => {
  const entries = counts.entries()
  const shown = entries.slice(0, most).map(([name, count]) => `  ${String(count).padStart(7)}  ${name}`)
  const rest = entries.length > most ? [`           and ${entries.length - most} more`] : []
  return [`${title}: ${counts.total}`, ...shown, ...rest, ""].join("\n")
}
