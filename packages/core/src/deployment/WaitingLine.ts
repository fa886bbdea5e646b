/**
 * Where a model's requests wait when every deployment is throttled: fair among tenants, and first come, first served within
 * each.
 *
 * Only the first in line looks whether a deployment is back; it leaves the line in the same moment in which it takes its
 * reservation, so that nobody overtakes it, and whoever is interrupted leaves at once. (A fair queue in front of a
 * throttled backend, in place of retries that race each other.)
 *
 * Whose turn is next goes by start-time fair queuing (Goyal, Vin and Cheng, 1996): a tenant's `start` grows by the tokens of
 * each request that had its turn, or was sent before its turn while others wait, and the one with the least comes next. The
 * virtual time is the start of the last that had its turn; one that comes anew begins there, so that nobody saves up credit.
 * Calls that name no tenant are one together.
 */
import * as Effect from "effect/Effect"

/** A place in the line. */
export interface Place {
  /** Ends when it is its turn, or when the place was taken. */
  readonly turn: Effect.Effect<void>
  /** Whether a request of another tenant, which has less than its share of the places, took it. */
  readonly isTaken: boolean
  /** Is sent, which counts. Idempotent. */
  readonly pass: (now: number) => void
  /** Gives it up. A turn counts whether it is used or not, else it could be held for nothing. Idempotent. */
  readonly leave: (now: number) => void
  /** Leaves to wait elsewhere, which holds nobody up and counts for nothing. Idempotent. */
  readonly stepAside: (now: number) => void
}

/** Somebody whose requests wait. */
interface Tenant {
  start: number
  /** Requests that wait. */
  places: number
}

/** Whoever has a place. */
interface Waiter extends Place {
  readonly tenant: Tenant
  readonly tokens: number
  isTaken: boolean
  /** Called when the place becomes the first, or was taken, if someone waits for that. */
  onTurn: (() => void) | undefined
}

/**
 * The waiting line of one model.
 */
export class WaitingLine {
  /** In the order in which they came. */
  private readonly waiting = new Set<Waiter>()
  private first: Waiter | undefined
  /** Those that wait, or are ahead of the virtual time. */
  private readonly tenants = new Map<string | undefined, Tenant>()
  private virtualTime = 0
  /** Of whose turn it is, the start with which that began. */
  private turnStart = 0
  /** Share of the time in which someone waited, of which the past fades. */
  private share = 0
  private countedAt = -Infinity
  private memory = 1

  /** Requests that wait. */
  get length(): number {
    return this.waiting.size
  }

  /** Tenants that are remembered. */
  get tenantsKnown(): number {
    return this.tenants.size
  }

  /**
   * Whether someone is waiting more often than not. Then there is no peak to sit out: more is asked for than there is, and
   * whoever waits makes those after it wait as long. For a tenant that waits for less than its share it does not stand: its
   * turn comes soon, and the line is the doing of others.
   */
  isStanding(now: number, name?: string): boolean {
    this.count(now)
    return this.share > STANDING && !this.isBelowShare(name, this.length)
  }

  /**
   * Takes the last place of a tenant.
   *
   * @param patience for how long one waits at most, in milliseconds: a line that always has somebody stands after as long
   * @param tokens what the request needs
   */
  enter(now: number, patience: number, name?: string, tokens = 1): Place {
    this.memory = Math.max(1, MEMORY * patience)
    this.count(now)
    const tenant = this.meet(name)
    if (tenant.places++ === 0) tenant.start = Math.max(tenant.start, this.virtualTime)
    const waiter: Waiter = {
      tenant,
      tokens,
      isTaken: false,
      onTurn: undefined,
      turn: Effect.callback<void>((resume) => {
        if (this.first === waiter || waiter.isTaken) return resume(Effect.void)
        // not before the one that leaves has done what it is about
        waiter.onTurn = () => resume(Effect.yieldNow)
        return Effect.sync(() => void (waiter.onTurn = undefined))
      }),
      pass: (now) => this.leave(waiter, now, true),
      leave: (now) => this.leave(waiter, now, this.first === waiter),
      stepAside: (now) => this.leave(waiter, now, false)
    }
    this.waiting.add(waiter)
    if (this.first === undefined) this.begin()
    return waiter
  }

  /** A request without a place is sent, which counts while others wait. */
  pass(name: string | undefined, tokens: number): void {
    if (this.length > 0) this.charge(this.meet(name), tokens)
  }

  /** Whether no tenant waits that was let through less than this one. */
  isDue(name?: string): boolean {
    const own = Math.max(this.tenants.get(name)?.start ?? 0, this.virtualTime)
    for (const { places, start } of this.tenants.values()) if (places > 0 && start < own) return false
    return true
  }

  /**
   * Whether there is a place among so many. Where there is none, a tenant that has less than its share of them takes the
   * newest of the tenant that has most.
   */
  makeRoom(now: number, most: number, name?: string): boolean {
    if (this.length < most) return true
    if (!this.isBelowShare(name, most)) return false
    const [largest] = [...this.tenants.values()].toSorted((a, b) => b.places - a.places)
    const newest = [...this.waiting].findLast(({ tenant }) => tenant === largest)
    if (newest === undefined) return false
    newest.isTaken = true
    this.leave(newest, now, false)
    newest.onTurn?.()
    return true
  }

  /** Whether a tenant has, with one more, at most its equal share of so many places, where others wait. */
  private isBelowShare(name: string | undefined, places: number): boolean {
    const own = this.tenants.get(name)?.places ?? 0
    let waiting = own === 0 ? 1 : 0
    for (const tenant of this.tenants.values()) if (tenant.places > 0) waiting++
    return waiting > 1 && (own + 1) * waiting <= places
  }

  private leave(waiter: Waiter, now: number, counts: boolean): void {
    this.count(now)
    if (!this.waiting.delete(waiter)) return
    const { tenant } = waiter
    tenant.places--
    if (counts) this.charge(tenant, waiter.tokens)
    if (this.first !== waiter) return
    const { turnStart } = this
    this.begin()
    // one that came during the turn may be behind that
    const least = this.first?.tenant.start ?? turnStart
    if (counts) this.virtualTime = Math.max(this.virtualTime, Math.min(turnStart, least))
    this.first?.onTurn?.()
  }

  private charge(tenant: Tenant, tokens: number): void {
    // where the size is not known, a request is one; and what none can have would end all differences
    const cost = Math.min(tokens >= 1 ? tokens : 1, MOST_TOKENS)
    tenant.start = Math.max(tenant.start, this.virtualTime) + cost
  }

  /** The turn begins of the first of the tenant that had least. Forgets those that do not wait and are behind. */
  private begin(): void {
    let several = -1
    for (const [name, { places, start }] of this.tenants) {
      if (places > 0) several++
      else if (start <= this.virtualTime || this.length === 0) this.tenants.delete(name)
    }
    this.first = undefined
    for (const waiter of this.waiting) {
      if (this.first === undefined || waiter.tenant.start < this.first.tenant.start) this.first = waiter
      if (several === 0) break
    }
    if (this.first !== undefined) this.turnStart = this.first.tenant.start
  }

  private meet(name: string | undefined): Tenant {
    let tenant = this.tenants.get(name)
    if (tenant !== undefined) return tenant
    if (this.tenants.size >= MOST_IDLE) this.forgetOne()
    this.tenants.set(name, tenant = { start: this.virtualTime, places: 0 })
    return tenant
  }

  /** Of many who do not wait, the one that is known for longest. */
  private forgetOne(): void {
    for (const [name, { places }] of this.tenants) {
      if (places === 0) {
        this.tenants.delete(name)
        return
      }
    }
  }

  private count(now: number): void {
    const elapsed = now - this.countedAt
    this.countedAt = now
    if (elapsed > 0) {
      this.share += ((this.waiting.size > 0 ? 1 : 0) - this.share) * (1 - Math.exp(-elapsed / this.memory))
    }
  }
}

/** Share of the time above which a line stands, and over how many times the longest wait it is taken: `-1 / ln(1 - share)`. */
const STANDING = 0.4
const MEMORY = 1.96

/** Most that a request counts: no context is as long, and sums of it stay exact. */
const MOST_TOKENS = 1e7

/** Tenants from which on one that does not wait is forgotten for each that comes. */
const MOST_IDLE = 1000
