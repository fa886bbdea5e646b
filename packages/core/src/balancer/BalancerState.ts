/**
 * What all requests of a balancer share: the live set, the settings, and what was learned of sessions, owners and retries.
 */
import type { Clock } from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { AttemptEnvironment } from "../attempt/AttemptRecord.ts"
import type { Deadlines } from "../attempt/Deadlines.ts"
import type { Config } from "../config/Config.ts"
import type { Deployments } from "../deployment/Deployments.ts"
import type { Explanation } from "../routing/Explanation.ts"
import type { Policy } from "../routing/Policy.ts"
import { ResourceOwners } from "../routing/ResourceOwners.ts"
import type { RouterOptions } from "../routing/Router.ts"
import { SessionAffinity } from "../routing/SessionAffinity.ts"
import { SessionShards } from "../routing/SessionShards.ts"
import { monotonicMillis } from "../Time.ts"
import { type Listening, Narrator } from "./Narrator.ts"
import { RetryBudget } from "./RetryBudget.ts"

/** What a balancer is made of. */
export interface BalancerOptions {
  readonly deployments: Deployments["Service"]
  readonly policy: Policy
  readonly transport: AttemptEnvironment["transport"]
  readonly clock: Clock
  readonly random: () => number
  readonly deadlines: Deadlines
  /** Told why each attempt goes where it goes. */
  readonly explain: ((explanation: Explanation) => void) | undefined
  readonly listening: Listening
  readonly prices: AttemptEnvironment["prices"]
}

/**
 * State of a balancer. One for each; all of it is in memory.
 */
export class BalancerState {
  readonly deployments: Deployments["Service"]
  readonly settings: Config
  readonly random: () => number
  readonly explain: ((explanation: Explanation) => void) | undefined
  readonly environment: AttemptEnvironment
  readonly narrator: Narrator
  readonly affinity: SessionAffinity
  readonly shards: SessionShards
  readonly budget: RetryBudget
  readonly owners = new ResourceOwners()
  readonly routing: RouterOptions
  /** Set when the balancer is closed: nothing is sent any more. */
  isClosed = false
  private readonly closing = Deferred.makeUnsafe<void>()
  private readonly clock: Clock

  constructor(
    { clock, deadlines, deployments, explain, listening, policy, prices, random, transport }: BalancerOptions
  ) {
    const { events, settings } = deployments
    this.deployments = deployments
    this.settings = settings
    this.random = random
    this.explain = explain
    this.clock = clock
    this.environment = { transport, clock, random, events, deadlines, prices, onChunks: listening.onChunks }
    this.narrator = new Narrator(events, clock, listening)
    this.affinity = new SessionAffinity(settings.session)
    this.shards = new SessionShards(settings.session)
    this.budget = new RetryBudget(settings.failover)
    this.routing = { policy, random, hot: settings.quota.hot, loadBound: settings.session.loadBound }
  }

  /** Nothing is sent any more, and nobody waits any more. */
  close(): void {
    this.isClosed = true
    Deferred.doneUnsafe(this.closing, Effect.void)
  }

  /** Waits for so long, or until the balancer is closed. */
  pause(millis: number): Effect.Effect<void> {
    return Effect.raceFirst(Effect.sleep(Math.ceil(millis)), Deferred.await(this.closing))
  }

  /** Waits for something, for so long at most, or until the balancer is closed. Whether it came. */
  waitFor(something: Effect.Effect<void>, millis: number): Effect.Effect<boolean> {
    return Effect.raceFirst(Effect.as(something, true), Effect.as(this.pause(millis), false))
  }

  /** Milliseconds of the monotonic clock. */
  get now(): number {
    return monotonicMillis(this.clock)
  }

  /** Milliseconds since 1970. */
  get wallNow(): number {
    return this.clock.currentTimeMillisUnsafe()
  }
}
