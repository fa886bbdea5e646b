/**
 * What a run must have done to mean anything, and how much memory it may have kept.
 */
import type { ChaosSettings } from "./Settings.ts"
import { REFUSED, strikeKinds } from "./Strikes.ts"
import type { Tally } from "./Tally.ts"

/** How much more may be in use at rest than before, in bytes. */
const HEAP_GROWTH = 3_000_000

/** Tells of everything of which there was too little or too much. */
export const tellShortfalls = (
  tally: Tally,
  { calls, rounds, seconds }: ChaosSettings,
  heaps: ReadonlyArray<number>
) => {
  const atLeast = (what: string, count: number, least: number): void => {
    if (count < least) tally.wrong(`too little: ${count} ${what}, expected at least ${least}`)
  }
  for (const { name } of strikeKinds) atLeast(`requests met "${name}"`, tally.struck.of(name), 1)
  const all = tally.doors.total
  atLeast("calls", all, calls * seconds / 10)
  atLeast("whole answers", tally.whole.total, all * 0.4)
  atLeast("calls that were left", tally.left.total, all * 0.05)
  for (const how of ["broke out of the loop", "aborted", "interrupted"]) atLeast(how, tally.left.of(how), 1)
  for (const tag of ["FailedOver", "BreakerOpened", "BreakerClosed", "CooledDown", "Waiting", "SessionMoved"]) {
    atLeast(`events ${tag}`, tally.events.of(tag), 1)
  }
  for (const name of ["StreamInterrupted", "Throttled", "Unavailable"]) {
    atLeast(`errors ${name}`, tally.errors.of(name), 1)
  }
  atLeast(`attempts that ${REFUSED}`, tally.reasons.of(REFUSED), 1)
  const calm = tally.calm.total
  atLeast("calls of a calm", calm, rounds)
  atLeast("whole answers of a calm", tally.calm.of("whole"), calm * 0.95)

  // the first rounds fill what is bounded
  const growth = heaps.at(-1)! - heaps[Math.floor((heaps.length - 1) / 2)]!
  if (growth > HEAP_GROWTH) tally.wrong(`the heap at rest grew by ${(growth / 1e6).toFixed(1)} MB`)
}
