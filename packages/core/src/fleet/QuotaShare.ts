/**
 * What a member has said of one quota, and what it has heard: so that each use is said once, and others are all but own.
 *
 * Nothing is noted while requests are served. At each exchange the ledger's own minute is compared with what was said of it.
 */
import type { Deployment } from "../deployment/Deployment.ts"
import type { Quota } from "../deployment/Quota.ts"
import type { QuotaHeard, StepUse } from "./FleetStore.ts"
import { addUse, MOST, SLICE_STEPS, STEP, sumUp, type Uses, WINDOW_STEPS } from "./StoreState.ts"

/** What others may send between two exchanges is taken for its mean and so many standard deviations. */
const DEVIATIONS = 3

/**
 * One quota as a member knows it. `now` is milliseconds of the monotonic clock, `offset` what is to be added for the store's.
 */
export class QuotaShare {
  readonly key: string
  /** Those that draw on it. */
  deployments: ReadonlyArray<Deployment> = []
  /** What the store has counted of ours, by step of its clock. */
  private counted: Uses = new Map()
  /** The store's record that `counted` is in; `""` before any was heard. */
  record = ""
  /** The same, once the exchange that is under way is counted. */
  private next: Uses = new Map()
  /** Of the last minute: of all members, and of this one. */
  total = 0
  own = 0

  constructor(key: string) {
    this.key = key
  }

  /** Of its deployments: one where they are a pool here, too, and else one each. */
  get ledgers(): ReadonlyArray<Quota> {
    return [...new Set(this.deployments.map(({ quota }) => quota))]
  }

  /** Whether we used it of late, or wait for it. */
  isActive(now: number): boolean {
    return this.counted.size > 0
      || this.ledgers.some((quota) => quota.ownRequests.sum(now) > 0 || quota.fleetUse.wanted > 0)
  }

  /** What is new to say: what was sent, and what is set aside and not sent yet, less what was said. */
  changes(now: number, offset: number): ReadonlyArray<StepUse> {
    const current = Math.floor((now + offset) / STEP)
    const uses: Uses = new Map()
    for (const quota of this.ledgers) {
      const stepOf = (beganAt: number) => Math.floor((beganAt + offset) / STEP)
      quota.ownTokens.each(now, (beganAt, tokens) => addUse(uses, stepOf(beganAt), tokens, 0, 0))
      quota.ownRequests.each(now, (beganAt, requests) => addUse(uses, stepOf(beganAt), 0, requests, 0))
      const { heldRequests, heldTokens } = quota.fleetUse
      if (heldRequests > 0) addUse(uses, current, heldTokens, heldRequests, heldTokens)
    }
    this.next = uses
    const changes: Array<StepUse> = []
    const least = current - WINDOW_STEPS
    for (const [step, use] of uses) {
      const { held, requests, tokens } = this.counted.get(step) ?? NONE
      if (step < least || (use.tokens === tokens && use.requests === requests && use.held === held)) continue
      changes.push({ step, tokens: use.tokens - tokens, requests: use.requests - requests, held: use.held - held })
    }
    for (const [step, { held, requests, tokens }] of this.counted) {
      if (step < least || uses.has(step) || (tokens === 0 && requests === 0)) continue
      changes.push({ step, tokens: -tokens, requests: -requests, held: -held })
    }
    return changes
  }

  /** The store has counted what was said, and says this. */
  heard(word: QuotaHeard, storeNow: number, now: number, spell: Spell): void {
    const current = Math.floor(storeNow / STEP)
    // of another record, nothing was counted: all is said again the next time
    this.counted = word.record === this.record ? this.next : new Map()
    this.record = word.record
    const granted = { tokens: countOf(word.granted.tokens), requests: countOf(word.granted.requests) }
    if (granted.requests > 0) {
      addUse(this.counted, current, granted.tokens, granted.requests, granted.tokens)
      this.deployments[0]?.quota.fleetUse.hold(granted.tokens, granted.requests)
    }
    const { held, requests, slice, tokens } = sumUp(this.counted, current)
    this.total = countOf(word.tokens)
    this.own = tokens
    const others = {
      tokens: Math.max(0, this.total - tokens),
      requests: Math.max(0, countOf(word.requests) - requests),
      slice: Math.max(0, countOf(word.slice) - slice),
      held: Math.max(0, countOf(word.held) - held)
    }
    const spare = spareOf(others, spell)
    for (const quota of this.ledgers) {
      const own = quota.ownTokens.sum(now)
      // of several ledgers on one quota, each counts the others as such
      const beside = this.ledgers.length === 1 ? 0 : Math.max(0, tokens - own)
      quota.hearFleet(now, { ...others, tokens: others.tokens + beside, ...spare }, word.share)
    }
  }

  /** The highest share that answers to us showed since this was last asked. */
  takeShown(): number {
    return Math.max(...this.ledgers.map((quota) => quota.fleetUse.takeShown()))
  }

  /** What was set aside is given back with the next exchange. */
  release(): void {
    for (const quota of this.ledgers) quota.fleetUse.release()
  }

  /** What was said is gone, as after a silence of more than a window. */
  forget(): void {
    this.counted = new Map()
  }
}

/** How long it is until others are heard of again, in milliseconds, and whether there are any. */
interface Spell {
  readonly millis: number
  readonly hasOthers: boolean
}

const NONE = { tokens: 0, requests: 0, held: 0 }

/** What was heard is checked like anything that strangers say. */
export const countOf = (heard: unknown): number =>
  typeof heard === "number" && heard > 0 ? Math.min(MOST, Math.floor(heard)) : 0

/** What others are likely to send at most until they are heard of again: so many requests, of their usual size. */
const spareOf = (
  { requests, slice, tokens }: { readonly tokens: number; readonly requests: number; readonly slice: number },
  { hasOthers, millis }: Spell
): { readonly spareTokens: number; readonly spareRequests: number } => {
  if (!hasOthers || requests === 0) return { spareTokens: 0, spareRequests: 0 }
  const mean = Math.max(requests / WINDOW_STEPS, slice / SLICE_STEPS) * (millis / STEP)
  const likely = mean + DEVIATIONS * Math.sqrt(mean)
  return { spareTokens: Math.ceil(likely * (tokens / requests)), spareRequests: Math.ceil(likely) }
}
