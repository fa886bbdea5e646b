/**
 * Whether the demo showed what it says: that things really broke, and that no caller noticed.
 */
import type { Served } from "./journal.ts"
import { mean } from "./journal.ts"
import type { Moments } from "./script.ts"
import { latency, percent, several } from "./text.ts"
import type { Tally } from "./traffic.ts"

export interface Verdict {
  readonly holds: boolean
  readonly text: string
  /** What is worth knowing beside it. */
  readonly more?: string | undefined
}

export interface Evidence {
  readonly tally: Tally
  /** Calls that were answered, in the order in which they ended. */
  readonly served: ReadonlyArray<Served>
  readonly movedOn: ReadonlyMap<string, ReadonlyMap<string, number>>
  readonly moments: Moments
  /** Ids of the deployments that the script broke; undefined if it broke all of them. */
  readonly broken: { readonly killed: string; readonly throttled: string; readonly slowed: string } | undefined
  /** How often the simulated service answered 429 for the throttled one. */
  readonly throttledAnswers: number
}

export const judge = (evidence: Evidence): ReadonlyArray<Verdict> => [
  noErrors(evidence),
  ...(evidence.broken === undefined
    ? []
    : [
      killed(evidence, evidence.broken.killed),
      throttled(evidence, evidence.broken.throttled),
      slowed(evidence, evidence.broken.slowed)
    ]),
  ...Array.from(
    evidence.tally.errors,
    ([message, count]) => ({ holds: false, text: `${several(count, "caller")}: ${message}` })
  )
]

const noErrors = ({ tally }: Evidence): Verdict => {
  const { answered, failed, inSessions, started, streamed } = tally
  const all = `${several(started, "call")}, ${streamed} of them streamed and ${inSessions} in sessions`
  if (failed > 0) return { holds: false, text: `${all}: ${several(failed, "caller")} saw an error` }
  return { holds: started > 0 && answered === started, text: `${all}: no caller saw an error` }
}

const killed = ({ moments, movedOn, served }: Evidence, id: string): Verdict => {
  const moved = sum(movedOn.get(id)?.values() ?? [])
  const { revivedAt = Infinity } = moments
  const again = served.filter(({ deployment, startedAt }) => deployment === id && startedAt > revivedAt).length
  return {
    holds: moments.killedAt !== undefined && moved > 0 && again > 0,
    text: `${id} was down: ${several(moved, "call")} moved on; it served ${again} after its return`
  }
}

const throttled = ({ movedOn, throttledAnswers }: Evidence, id: string): Verdict => {
  const moved = sum(movedOn.get(id)?.values() ?? [])
  return {
    holds: throttledAnswers > 0 && moved > 0,
    text: `${id} answered 429 ${several(throttledAnswers, "time")}: ${several(moved, "call")} moved on`
  }
}

const slowed = ({ moments, served }: Evidence, id: string): Verdict => {
  const { healedAt = 0, slowedAt = 0 } = moments
  const before = served.filter(({ startedAt }) => startedAt < slowedAt)
  const during = served.filter(({ startedAt }) => startedAt >= slowedAt && startedAt < healedAt)
  const was = meanFirstToken(before, id)
  const became = meanFirstToken(during, id)
  const had = shareOf(before, id)
  // nobody can know before the first slow answers have come
  const kept = shareOf(during.filter(({ startedAt }) => startedAt > slowedAt + (became ?? 0)), id)
  const isComparable = had !== undefined && kept !== undefined
  return {
    holds: was !== undefined && became !== undefined && became > 2 * was && (!isComparable || kept < had),
    text: `${id} was slowed down: first token ${latency(was)}, then ${latency(became)}`,
    more: isComparable
      ? `its share of the calls without a session: ${percent(had)}, then ${percent(kept)}`
      : undefined
  }
}

const meanFirstToken = (served: ReadonlyArray<Served>, id: string): number | undefined =>
  mean(
    served.flatMap(({ deployment, firstToken }) => deployment === id && firstToken !== undefined ? [firstToken] : [])
  )

/** Fewer calls than these say nothing of a share. */
const ENOUGH = 20

/** Sessions stay where their prompt is cached; all others may go where they like. */
const shareOf = (served: ReadonlyArray<Served>, id: string): number | undefined => {
  const free = served.filter(({ isSession }) => !isSession)
  return free.length < ENOUGH ? undefined : free.filter(({ deployment }) => deployment === id).length / free.length
}

const sum = (counts: Iterable<number>): number => {
  let total = 0
  for (const count of counts) total += count
  return total
}
