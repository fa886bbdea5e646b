/**
 * Finds out that deployments share a quota, though nobody said so.
 *
 * Each answer tells what is left of its deployment's quota. Between two sends to a deployment its counter falls by what was
 * sent there, rises by what leaves the window, and falls by what others send. Where it counts the model's other deployments
 * too, it also falls by what was sent to those in the meantime. So the rest of each change is held against the tokens that were
 * sent to them, by least squares: a slope of -1 is one quota, of 0 is a quota of its own.
 *
 * All else is noise, which the slope's error tells, but for what comes in the same moments: another process that sends when
 * this one does, or a window that frees what is sent again; and others' requests may be large when ours are. So it is compared
 * how much larger ours were than usual at the time, for the same number of requests: that is nobody else's affair.
 */
import { remember } from "../Remember.ts"
import type { Deployment, Permit } from "./Deployment.ts"
import { LeastSquares } from "./LeastSquares.ts"
import { Pool } from "./Pool.ts"
import type { RateLimits } from "./RateLimitHeaders.ts"

/** Sends that are remembered, until their answers tell. */
const REMEMBERED = 1024

/** Sends of a model, and milliseconds, that may lie between two that are compared. */
const MOST_BETWEEN = 64
const LONGEST_BETWEEN = 2_000

/** Milliseconds between two looks, so that busy models pay no more than others. */
const LOOK_EVERY = 50

/** Sends before and after, which tell how large requests are at the time. */
const AROUND = 8

/**
 * A counter that has more than this share left, within so many milliseconds of another that has next to nothing, is another;
 * where that is so again and again, since a window may begin anew in between.
 */
const PLENTY = 0.3
const AT_ONCE = 2_000
const DISPROVED = 5

/** A counter that jumps by more than this share of its limit was set anew. */
const JUMP = 0.25

/** Below this share of a limit what is sent is what has just left the window, and the two cannot be told apart. */
const SCARCE = 0.1

/** Looks over which the past fades. */
const MEMORY = 1_000

/** So many looks at least, and so many standard errors between a slope and what is ruled out. */
const LEAST_LOOKS = 60
const SURE = 7
const LIKELY = 2.5

/** Limits of which it is remembered how all deployments that have them go together. */
const MOST_LIMITS = 16

/** How far a slope may lie from what it is taken for. */
const TOLERANCE = 0.3

/** What became of a pool that nobody configured. */
export interface PoolChange {
  readonly pool: Pool<Deployment>
  /** Those that were found to belong to it, or not to. */
  readonly joined: ReadonlyArray<Deployment>
  readonly left: ReadonlyArray<Deployment>
}

/**
 * How a counter changes with what is sent elsewhere: with as many requests, which were larger by so much than usual. All in
 * units of the usual size.
 */
class Tendency extends LeastSquares {
  constructor() {
    super(MEMORY, true)
  }

  /** Whether it falls by what is sent elsewhere; `undefined` where that is not sure. */
  get isShared(): boolean | undefined {
    if (this.samples < LEAST_LOOKS) return undefined
    const { errorOfX: error, x: slope } = this.fit
    if (Math.abs(slope + 1) <= TOLERANCE && -slope >= SURE * error) return true
    return Math.abs(slope) <= TOLERANCE && slope + 1 >= SURE * error ? false : undefined
  }

  /** Whether it likely does. */
  get isLikelyShared(): boolean {
    const { errorOfX: error, x: slope } = this.fit
    return this.samples >= LEAST_LOOKS / 3 && slope <= -0.5 && -slope >= LIKELY * error
  }
}

/** What was left at a deployment as of its last send that told, and how that goes with what is sent elsewhere. */
interface Counter {
  permit: Permit
  limit: number
  remaining: number
  tendency: Tendency
  /** How often in a row another member had plenty when this one had nothing left. */
  disproved: number
}

/**
 * What the counters of a model's deployments tell of each other.
 */
export class PoolFinder {
  private readonly sends: Array<Permit> = []
  private sent = 0
  private readonly counters = new Map<Deployment, Counter>()
  /** The same of all deployments with a limit together: that is sure long before it is of each. */
  private readonly together = new Map<number, Tendency>()
  private nextLookAt = -Infinity
  /** The send that was last told of next to nothing left. */
  private spent: Permit | undefined

  /** A request is sent. */
  send(permit: Permit): void {
    permit.serial = this.sent
    this.sends[this.sent++ % REMEMBERED] = permit
  }

  /** Deployments that are known by their counters. */
  get size(): number {
    return this.counters.size
  }

  /** A deployment is gone. */
  forget(deployment: Deployment): void {
    this.counters.delete(deployment)
  }

  /** An answer told of limits. Returns what that made sure. */
  heard(permit: Permit, limits: RateLimits, now: number): PoolChange | undefined {
    const change = this.look(permit, limits, now)
    if (change === undefined) return undefined
    // what is to show the contrary has to show all of it
    for (const one of [...change.joined, ...change.left]) {
      const counter = this.counters.get(one)
      if (counter === undefined) continue
      counter.tendency = new Tendency()
      counter.disproved = 0
    }
    if (change.left.length > 0) this.together.clear()
    return change
  }

  private look(permit: Permit, limits: RateLimits, now: number): PoolChange | undefined {
    const { limitTokens: limit, remainingTokens: remaining } = limits
    const { deployment, serial } = permit
    if (limit === undefined || remaining === undefined || serial === undefined || deployment.draining) return undefined
    const known = this.counters.get(deployment)
    if (known === undefined || known.limit !== limit) {
      this.counters.set(deployment, { permit, limit, remaining, tendency: new Tendency(), disproved: 0 })
      // one quota has one limit
      return known !== undefined && deployment.pool?.isFound === true
        ? leave(deployment, deployment.pool, now)
        : undefined
    }
    const { permit: earlier, remaining: before, tendency } = known
    if (earlier.serial! > serial) return undefined
    known.permit = permit
    known.remaining = remaining
    const disproved = this.disprove(permit, remaining / limit)
    if (disproved !== undefined) return leave(disproved, disproved.pool!, now)
    if (this.counters.size === 1 || now < this.nextLookAt || !mayShare(deployment)) return undefined
    if (Math.min(remaining, before) < SCARCE * limit || !this.isNear(earlier, permit)) return undefined
    this.nextLookAt = now + LOOK_EVERY
    let [here, elsewhere, requests] = [0, 0, 0]
    for (let i = earlier.serial! + 1; i <= serial; i++) {
      const { deployment: target, reservation } = this.sends[i % REMEMBERED]!
      if (reservation.isRefunded) continue
      if (target === deployment) here += reservation.tokens
      else if (this.isAlike(target, limit)) {
        elsewhere += reservation.tokens
        requests++
      }
    }
    const rest = remaining - before + here
    const usual = this.usualSize(earlier, permit)
    if (Math.abs(rest) > JUMP * limit || usual === 0) return undefined
    const excess = elsewhere / usual - requests
    tendency.add(excess, requests, rest / usual)
    this.togetherOf(limit).add(excess, requests, rest / usual)
    return this.judge(deployment, known, now)
  }

  /** Tokens of a request about the time of these. */
  private usualSize(earlier: Permit, later: Permit): number {
    let tokens = 0
    const first = Math.max(0, earlier.serial! - AROUND, this.sent - REMEMBERED)
    const last = Math.min(this.sent, later.serial! + AROUND)
    for (let i = first; i < last; i++) tokens += this.sends[i % REMEMBERED]!.reservation.tokens
    return tokens / (last - first)
  }

  /** The member of a found pool that told too often that nothing is left, when others have plenty. */
  private disprove(permit: Permit, left: number): Deployment | undefined {
    const { spent } = this
    if (permit.deployment.pool?.isFound !== true) return undefined
    if (left < SCARCE) this.spent = permit
    if (spent === undefined || spent.deployment === permit.deployment) return undefined
    if (spent.deployment.pool !== permit.deployment.pool || permit.startedAt - spent.startedAt > AT_ONCE) {
      return undefined
    }
    const told = this.counters.get(spent.deployment)
    if (told === undefined) return undefined
    told.disproved = left > PLENTY ? told.disproved + 1 : 0
    if (left > PLENTY) this.spent = undefined
    return told.disproved >= DISPROVED ? spent.deployment : undefined
  }

  private judge(deployment: Deployment, { limit, tendency }: Counter, now: number): PoolChange | undefined {
    const { pool } = deployment
    if (pool !== undefined) return tendency.isShared === false ? leave(deployment, pool, now) : undefined
    const areAll = this.togetherOf(limit).isShared === true
    const isSharer = (one: Tendency) => one.isShared === true || (areAll && one.isLikelyShared)
    if (!isSharer(tendency)) return undefined
    const sharers = [...this.counters].filter(([peer, counter]) =>
      this.isAlike(peer, limit) && (peer.pool !== undefined || isSharer(counter.tendency))
    )
    return sharers.length > 1 ? join(sharers.map(([peer]) => peer), now) : undefined
  }

  private togetherOf(limit: number): Tendency {
    const together = this.together.get(limit) ?? new Tendency()
    remember(this.together, limit, together, MOST_LIMITS)
    return together
  }

  /** Whether a deployment has the same limit, and may draw on the same quota. */
  private isAlike(deployment: Deployment, limit: number): boolean {
    return mayShare(deployment) && this.counters.get(deployment)?.limit === limit
  }

  /** Whether all that was sent between two is remembered, and little enough. */
  private isNear(earlier: Permit, later: Permit): boolean {
    return later.startedAt - earlier.startedAt <= LONGEST_BETWEEN && later.serial! - earlier.serial! <= MOST_BETWEEN
      && this.sent - earlier.serial! < REMEMBERED
  }
}

/** Whether it may belong to a pool that nobody configured. */
const mayShare = ({ pool, provisioned }: Deployment): boolean => !provisioned && pool?.isFound !== false

/** Puts deployments on one quota. */
const join = (sharers: ReadonlyArray<Deployment>, now: number): PoolChange => {
  const first = sharers[0]!
  const pool = sharers.find((sharer) => sharer.pool !== undefined)?.pool
    ?? new Pool(first.id, first.quota, first.cooldown.options, true)
  const joined = sharers.filter((sharer) => sharer.pool !== pool)
  for (const sharer of joined) {
    if (sharer.quota !== pool.quota) pool.quota.absorb(sharer.quota, now)
    sharer.join(pool)
  }
  return { pool, joined, left: [] }
}

/** Gives a member a quota of its own again, and the last one that would be left too. */
const leave = (member: Deployment, pool: Pool<Deployment>, now: number): PoolChange => {
  const left = pool.members.size > 2 ? [member] : [...pool.members]
  for (const one of left) one.leavePool(now)
  return { pool, joined: [], left }
}
