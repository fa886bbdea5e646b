/**
 * What a run must have done to mean anything, and how much memory it may have kept.
 */
import type { ChaosSettings } from "./Settings.ts"
import { REFUSED, strikeKinds } from "./Strikes.ts"
import type { Tally } from "./Tally.ts"

/**
 * How much more may be in use at rest than half of the run before, in bytes. By itself it moves by some 4 MB, up over
 * several rounds and down at once. The longer the run, the smaller the leak that shows.
 */
const HEAP_GROWTH = 5_000_000

/** The same where the run is too short to have warmed up. */
const HEAP_GROWTH_COLD = 8_000_000

/** Rounds from which on a run is warm, and has met everything in more than one way. */
const LONG = 5

/** Ends of attempts that a long run must have seen, whatever its seed. */
const reasons = [
  "failed: timeout first-event",
  "failed: timeout first-content",
  "failed: timeout idle",
  "failed: reset (ECONNRESET)",
  "failed: reset (UND_ERR_SOCKET)",
  "failed: stream cut short",
  "failed: empty stream",
  "failed: an event that is no JSON",
  "failed: an answer that is no JSON object",
  "failed: http 401",
  "failed: http 502",
  "throttled: http 429",
  "throttled: rate_limit_exceeded in a 200",
  "abandoned: deadline",
  "abandoned: interrupted",
  "abandoned: stopped by the caller"
]

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
  atLeast(`attempts ${REFUSED}`, tally.reasons.of(REFUSED), 1)
  const isLong = rounds >= LONG
  if (isLong) {
    for (const reason of reasons) atLeast(`attempts ${reason}`, tally.reasons.of(reason), 1)
    atLeast("hedges", tally.events.of("Hedged"), 1)
    atLeast("errors TimedOut", tally.errors.of("TimedOut"), 1)
  }
  const calm = tally.calm.total
  atLeast("calls of a calm", calm, rounds)
  atLeast("whole answers of a calm", tally.calm.of("whole"), calm * 0.95)

  // the first rounds fill what is bounded
  const growth = heaps.at(-1)! - heaps[Math.floor((heaps.length - 1) / 2)]!
  if (growth > (isLong ? HEAP_GROWTH : HEAP_GROWTH_COLD)) {
    tally.wrong(`the heap at rest grew by ${(growth / 1e6).toFixed(1)} MB`)
  }
}
