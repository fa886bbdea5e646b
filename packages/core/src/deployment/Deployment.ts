/**
 * A deployment: one model on one resource. It is the unit of quota, throttling, health and choice.
 *
 * All of its live state is here and in the four parts it owns (quota, breaker, latency, cooldown); it is read by
 * routing and changed only by the named methods below, in synchronous blocks. An attempt takes a `Permit` with `enter`
 * and gives it back exactly once with `leave`, whatever happened in between.
 */
import type { Config, DeploymentConfig } from "../config/Config.ts"
import type { Usage } from "../Errors.ts"
import type { Linked } from "../LinkedList.ts"
import { remember } from "../Remember.ts"
import { isEndpoint } from "../request/Scope.ts"
import { Breaker } from "./Breaker.ts"
import { Cooldown } from "./Cooldown.ts"
import { Latency } from "./Latency.ts"
import type { Pool } from "./Pool.ts"
import { capacityOf, Quota, type Reservation } from "./Quota.ts"
import type { Place, Resource } from "./Resource.ts"
import { OVERDUE_AT_ONCE, type Waited, Waits } from "./Waits.ts"
import { Witnesses } from "./Witnesses.ts"

/** What an attempt holds of a deployment while it runs. */
export interface Permit extends Waited, Linked<Permit> {
  readonly deployment: Deployment
  readonly reservation: Reservation
  /** Which send of its model it is, where that is counted. */
  serial: number | undefined
  /** What it is timed as. */
  readonly kind: "first-token" | "answer"
  /** Its standstill before its first byte. */
  standstillBefore: number
  /** Epochs of both breakers at entry. */
  epoch: number
  readonly resourceEpoch: number
  /** When the first byte of content arrived. */
  firstByteAt: number | undefined
  /** Set once, by `leave`. */
  left: boolean
}

/** Counters since the deployment was added, for snapshots. */
export class DeploymentTotals {
  attempts = 0
  succeeded = 0
  throttled = 0
  failed = 0
  refused = 0
  abandoned = 0
  /** Of those that succeeded: what the service itself passed on to a standard deployment, for want of room. */
  spilled = 0
  promptTokens = 0
  cachedTokens = 0
  cacheWriteTokens = 0
  completionTokens = 0
  reasoningTokens = 0
  /** USD, of those attempts whose price is known. */
  cost = 0
  /** Attempts that billed tokens at a price that nobody knows. */
  unpriced = 0
}

/**
 * Live state of one deployment. Times are milliseconds of a monotonic clock.
 */
export class Deployment {
  /** `resource/deployment`, or `resource/*:model` where that is taken; unique in the live set. */
  readonly id: string
  readonly name: string
  readonly model: string
  readonly provisioned: boolean
  readonly resource: Resource
  /** Its own, or that of its pool. */
  quota: Quota
  pool: Pool<Deployment> | undefined
  readonly breaker: Breaker
  readonly cooldown: Cooldown
  /** Of its service tiers with a capacity of their own. */
  private readonly cooldowns = new Map<string, Cooldown>()
  /** To the first token, or to the whole answer. */
  readonly latency = new Latency()
  /** From the first token to the last. */
  readonly decoding = new Latency()
  /** Tokens that an event of a stream stands for, as its answers billed: `undefined` before the first. */
  tokensPerEvent: number | undefined
  readonly totals = new DeploymentTotals()
  // the four are set by `configure`
  tier!: number
  weight!: number
  place!: Place
  /** As it was configured last: its own limits too, whatever those of a pool are. */
  config!: DeploymentConfig
  /** The wildcard that it was made for, as long as nobody names it. */
  wildcard: Deployment | undefined
  /** Attempts that have entered and not left. */
  inFlight = 0
  /** Attempts in flight whose first byte has not come. */
  waiting = 0
  draining = false
  /** The longest context that it takes by its own word, in tokens, and until when that is remembered. */
  private contextLimit = Infinity
  private contextLimitUntil = -Infinity
  lastSuccessAt = -Infinity
  /** Requests that it refused since it last answered one. */
  refusedInARow = 0
  /** When a peer last answered what it had refused. */
  refutedAt = -Infinity
  readonly witnesses = new Witnesses()
  /** Until when it is known to be slower by far than its peers. */
  slowUntil = -Infinity
  private toldOutlierAt = -Infinity
  private usageRefusedUntil = -Infinity
  /** What of each kind waits for its first byte though one is expected. */
  readonly waits = { "first-token": new Waits<Permit>(), answer: new Waits<Permit>() }
  private readonly health: Config["health"]
  private readonly addedAt: number

  constructor(
    config: DeploymentConfig,
    resource: Resource,
    settings: Config,
    addedAt: number,
    id = `${resource.name}/${config.name}`,
    pool?: Pool<Deployment>
  ) {
    this.id = id
    this.name = config.name
    this.model = config.model
    this.provisioned = config.provisioned
    this.resource = resource
    this.quota = pool?.quota ?? new Quota({ ...settings.quota, provisioned: config.provisioned })
    if (pool !== undefined) this.join(pool)
    this.configure(config)
    this.breaker = new Breaker(settings.health)
    this.cooldown = new Cooldown(settings.health)
    this.health = settings.health
    this.addedAt = addedAt
  }

  /** Changes what may change while requests are in flight. */
  configure(config: DeploymentConfig): void {
    this.tier = config.tier
    this.weight = config.weight
    this.place = { ...this.resource.place, tier: config.tier }
    this.config = config
    const { rpm, tpm } = this.pool?.isFound === true ? this.pool.leastLimits : config
    this.quota.configure(tpm, rpm)
  }

  /** From now on it draws on a pool's quota. */
  join(pool: Pool<Deployment>): void {
    this.pool?.members.delete(this)
    this.pool = pool
    this.quota = pool.quota
    pool.members.add(this)
  }

  /** It has a quota of its own after all. What of the pool is in use counts there too, until it leaves the window. */
  leavePool(now: number): void {
    this.pool?.members.delete(this)
    this.pool = undefined
    this.quota = this.quota.copy(now)
    this.quota.configure(this.config.tpm, this.config.rpm)
  }

  /** Deployments that share its quota, itself included. */
  get sharers(): number {
    return this.pool === undefined ? 1 : this.pool.members.size
  }

  /** What share of the traffic it can carry, in tokens a minute: its part of the quota. `NaN` when no limit is known. */
  get capacity(): number {
    return this.pool === undefined ? this.quota.capacity : this.quota.capacity / this.sharers
  }

  /** The same as configured, equal in every process: what rendezvous hashing weighs by. What was found, others need not know. */
  get configuredCapacity(): number {
    const { rpm = Infinity, tpm = Infinity } = this.config
    return capacityOf(tpm, rpm) / (this.pool?.isFound === true ? 1 : this.sharers)
  }

  /** Whether no time is set before which it, or its pool, is to be left alone; or one may try. */
  isCool(now: number): boolean {
    return this.cooldown.allows(now) && this.pool?.cooldown.allows(now) !== false
  }

  /** The first time at which a request may pass its cooldown and its pool's. */
  get coolAt(): number {
    return this.pool === undefined ? this.cooldown.opensAt : Math.max(this.cooldown.opensAt, this.pool.cooldown.opensAt)
  }

  /** The cooldown of a scope, if it was ever told to wait. */
  cooldownOf(scope: string | undefined): Cooldown | undefined {
    return scope === undefined ? this.cooldown : this.cooldownsOf(scope).get(scope)
  }

  /** The cooldown of a scope that is told to wait. */
  coolingOf(scope: string | undefined): Cooldown {
    if (scope === undefined) return this.cooldown
    const cooldown = this.cooldownOf(scope) ?? new Cooldown(this.health)
    // endpoints are the callers' words
    remember(this.cooldownsOf(scope), scope, cooldown, MOST_SCOPES)
    return cooldown
  }

  /** Of what is not its own traffic: an endpoint of its resource, such as `/batches`, or a service tier. */
  private cooldownsOf(scope: string): Map<string, Cooldown> {
    return isEndpoint(scope) ? this.resource.cooldowns : this.cooldowns
  }

  /**
   * Share of its weight that a deployment gets: from the floor to 1 over the slow start while it comes back, and no more
   * than the share of requests that it answers.
   */
  warmth(now: number): number {
    const { breaker, resource } = this
    const share = breaker.successShare(now)
    if (!breaker.hasTripped && !resource.breaker.hasTripped && this.addedAt === -Infinity) return share
    const { slowStart, slowStartFloor } = this.health
    const age = now - Math.max(this.addedAt, breaker.reopenedAt, resource.breaker.reopenedAt)
    return age >= slowStart ? share : Math.max(slowStartFloor, share * (age / slowStart))
  }

  /**
   * Begins an attempt: reserves its tokens and takes the breakers' probe slots where they are not closed.
   *
   * @param expected milliseconds until its first token, or its answer; `Infinity` when nobody knows
   * @param scope what it is besides the deployment's own traffic; an endpoint counts against no quota
   */
  enter(
    now: number,
    tokens: number,
    expected = Infinity,
    kind: Permit["kind"] = "first-token",
    scope?: string
  ): Permit {
    const isOwn = !isEndpoint(scope)
    const reservation = this.quota.reserve(now, isOwn ? tokens : 0, isOwn ? 1 : 0)
    if (isOwn) {
      this.cooldown.enter(now)
      this.pool?.cooldown.enter(now)
    }
    if (scope !== undefined) this.cooldownOf(scope)?.enter(now)
    this.inFlight++
    this.waiting++
    this.totals.attempts++
    const permit: Permit = {
      deployment: this,
      reservation,
      startedAt: now,
      serial: undefined,
      expected,
      kind,
      standstill: 0,
      standstillBefore: 0,
      // an endpoint says nothing of any deployment, so it is no probe
      epoch: isOwn ? this.breaker.enter(now) : -1,
      resourceEpoch: this.resource.breaker.enter(now),
      firstByteAt: undefined,
      left: false,
      list: undefined,
      previous: undefined,
      next: undefined
    }
    if (expected !== Infinity) this.waits[kind].add(permit)
    return permit
  }

  /**
   * Slowness as a ratio to what is expected of the model: of first tokens or answers, of decoding, or of what has not
   * answered yet, whichever is the worst. So a hang is noticed before its first time limit.
   */
  slowness(now: number): number {
    const worst = Math.max(this.latency.ratio(now), this.decoding.ratio(now))
    if (this.waiting === 0) return worst
    return Math.max(worst, this.waits["first-token"].slowness(now), this.waits.answer.slowness(now))
  }

  /**
   * Whether it is slower by far than its peers, and not by accident, or keeps several waiting at once. One that is slow may be
   * so for its own sake; it is not worth the warm caches of all the sessions that live here.
   */
  isFarSlower(now: number): boolean {
    if (now < this.slowUntil) return true
    if (this.waiting < OVERDUE_AT_ONCE) return false
    return this.waits["first-token"].areOverdue(now) || this.waits.answer.areOverdue(now)
  }

  /** Whether a prompt of so many tokens is longer than it takes. */
  isTooLong(promptTokens: number, now: number): boolean {
    return promptTokens > this.contextLimit && now < this.contextLimitUntil
  }

  /** It refused a prompt as too long, and said how many tokens it takes. */
  limitContext(tokens: number, now: number): void {
    this.contextLimit = tokens
    this.contextLimitUntil = now + CONTEXT_LIMIT_REMEMBERED
  }

  /** The first byte of content arrived: the attempt no longer waits. */
  firstByte(permit: Permit, now: number): void {
    if (permit.firstByteAt !== undefined) return
    permit.firstByteAt = now
    permit.standstillBefore = permit.standstill
    permit.standstill = 0
    this.waiting--
    this.waits[permit.kind].delete(permit)
  }

  /** A stream of so many tokens came in so many events. */
  streamed(tokens: number, events: number): void {
    const ratio = tokens / Math.max(1, events)
    const known = this.tokensPerEvent ?? ratio
    this.tokensPerEvent = known + (ratio - known) / EVENTS_MEMORY
  }

  /** Ends an attempt's part in the counts. Returns false when it had ended before. */
  leave(permit: Permit): boolean {
    if (permit.left) return false
    permit.left = true
    this.inFlight--
    if (permit.firstByteAt === undefined) this.waiting--
    this.waits[permit.kind].delete(permit)
    return true
  }

  /** Whether people are to be told now that its peers do better: once a minute at most. */
  isNewsThatWorse(now: number): boolean {
    if (now - this.toldOutlierAt < OUTLIER_TOLD_EVERY) return false
    this.toldOutlierAt = now
    return true
  }

  /** Whether the usage of a stream is asked for here, where the caller does not say. */
  asksUsage(now: number): boolean {
    return this.resource.config.streamUsage && now >= this.usageRefusedUntil
  }

  /** It takes no `stream_options`. Asked again in an hour: services learn, and a refusal costs one short send. */
  refuseUsage(now: number): void {
    this.usageRefusedUntil = now + USAGE_REFUSED_FOR
  }

  /** Adds what an answer billed, and what that cost in USD, where that is known. */
  bill(usage: Usage, cost: number | undefined): void {
    const { totals } = this
    totals.promptTokens += usage.promptTokens
    totals.cachedTokens += usage.cachedTokens
    totals.cacheWriteTokens += usage.cacheWriteTokens
    totals.completionTokens += usage.completionTokens
    totals.reasoningTokens += usage.reasoningTokens
    if (cost === undefined) totals.unpriced++
    else totals.cost += cost
  }
}

/** Scopes whose cooldowns are remembered. */
const MOST_SCOPES = 32

/** How often it is told that a deployment does worse than its peers, in milliseconds. */
const OUTLIER_TOLD_EVERY = 60_000

/** How long a context limit is remembered, in milliseconds: a deployment may be given another model. */
const CONTEXT_LIMIT_REMEMBERED = 600_000

/** Streams over which it is remembered how many tokens an event has. */
const EVENTS_MEMORY = 10

const USAGE_REFUSED_FOR = 3_600_000
