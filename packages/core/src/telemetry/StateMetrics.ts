/**
 * The state of a balancer as gauges, read when someone looks.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { reasonWord } from "../attempt/ReasonWord.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import type { Resource } from "../deployment/Resource.ts"
import { resourceStateOf, stateOf } from "../deployment/Snapshot.ts"
import type { Event } from "../Event.ts"
import type { LiveState } from "./LiveState.ts"
import type { Meter } from "./Meter.ts"
import { counted, type Facts, type Instrument, labelsOf, observed } from "./Names.ts"

const states = ["healthy", "cooling-down", "open", "half-open", "draining"] as const

/** The reason of what does not exist. */
const MISSING = "missing"

/** Counters of what seldom happens to a deployment of a model. */
const rare = [counted.hedges, counted.hedgeWins, counted.panics, counted.spillovers]

/** How the reason begins of what was heard from another process. */
const TOLD = "told"

const resourceStates = ["healthy", "open", "half-open"] as const

/** Gauges of one thing, by name, until it is gone. */
class Gauges {
  private readonly meter: Meter
  private readonly gauges = new Map<string, () => void>()
  private readonly instruments = new Set<Instrument>()
  /** What the thing is told by. */
  facts: Facts = {}

  constructor(meter: Meter) {
    this.meter = meter
  }

  observe(instrument: Instrument, read: () => number, more?: Facts): void {
    const labels = labelsOf(instrument, { ...this.facts, ...more })
    const key = `${instrument.name} ${labels.join(" ")}`
    if (this.gauges.has(key)) return
    this.gauges.set(key, this.meter.observe(instrument, labels, read))
    this.instruments.add(instrument)
  }

  /** Whether there is any of an instrument. */
  has(instrument: Instrument): boolean {
    return this.instruments.has(instrument)
  }

  get isEmpty(): boolean {
    return this.gauges.size === 0
  }

  stop(): void {
    for (const stop of this.gauges.values()) stop()
    this.gauges.clear()
    this.instruments.clear()
  }
}

/**
 * Keeps gauges for whatever there is: deployments, models and resources come and go, and some of what they tell is not
 * known from the beginning.
 */
export class StateMetrics {
  private readonly meter: Meter
  private readonly state: LiveState
  private readonly own: Gauges
  private readonly deployments = new Map<Deployment, Gauges>()
  private readonly resources = new Map<Resource, Gauges>()
  private readonly models = new Map<string, Gauges>()
  private isStopped = false

  private constructor(meter: Meter, state: LiveState) {
    this.meter = meter
    this.state = state
    this.own = new Gauges(meter)
    this.own.observe(observed.retriesLeft, state.retriesLeft)
    this.own.observe(observed.sessions, state.sessions)
    this.own.observe(observed.fleetMembers, () => state.fleet?.().members ?? 0)
    this.own.observe(observed.fleetAge, () => (state.fleet?.().heardAgo ?? 0) / 1000)
    this.refresh()
  }

  /** Gauges of a balancer, until the scope ends. */
  static attach(meter: Meter, state: LiveState): Effect.Effect<StateMetrics, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => new StateMetrics(meter, state)),
      (metrics) => Effect.sync(() => metrics.stop())
    )
  }

  /** Looks again where something may have come, gone, or become known. */
  observe(event: Event): void {
    // a balancer that closes tells of what ends with it
    if (this.isStopped) return
    switch (event._tag) {
      case "MembershipChanged":
        if (event.change === "updated") this.forget()
        return this.refresh()
      case "PoolChanged":
        this.forget()
        return this.refresh()
      case "AttemptEnded": {
        const { attempt: { deployment: id }, model } = event
        // without it, to ask for the group would have a wildcard become a deployment
        if (!this.models.has(model)) return this.refresh()
        for (const deployment of this.state.deployments.group(model)?.deployments ?? []) {
          if (deployment.id !== id) continue
          const gauges = this.deployments.get(deployment)
          // what a wildcard became is told by nothing else
          if (gauges === undefined) this.refresh()
          else limits(deployment, gauges, this.state.now)
        }
        return
      }
      case "BreakerOpened":
      case "CooledDown":
        return this.outages(event._tag === "CooledDown" ? event.deployment : event.name, event.reason)
    }
  }

  private stop(): void {
    this.isStopped = true
    for (const kind of [this.deployments, this.resources, this.models]) {
      for (const gauges of kind.values()) gauges.stop()
    }
    for (const { id } of this.deployments.keys()) this.meter.leave(id)
    this.own.stop()
  }

  /** A tier is a label, and so is whose quota it is; and a limit may be known no more. */
  private forget(): void {
    for (const gauges of this.deployments.values()) gauges.stop()
  }

  private refresh(): void {
    const { meter, state: { deployments } } = this
    this.keep(this.deployments, deployments.all(), (one, gauges) => this.deployment(one, gauges), {
      came: ({ id }) => meter.enter(id),
      gone: ({ id }) => meter.leave(id)
    })
    this.keep(this.resources, deployments.resources(), (one, gauges) => this.resource(one, gauges))
    this.keep(this.models, deployments.models(), (one, gauges) => this.model(one, gauges))
  }

  /** Has gauges for all that there are, and for nothing that is gone. */
  private keep<A>(
    known: Map<A, Gauges>,
    all: ReadonlyArray<A>,
    begin: (one: A, gauges: Gauges) => void,
    tell?: { readonly came: (one: A) => void; readonly gone: (one: A) => void }
  ): void {
    const live = new Set(all)
    for (const [one, gauges] of known) {
      if (live.has(one)) continue
      gauges.stop()
      known.delete(one)
      tell?.gone(one)
    }
    for (const one of live) {
      let gauges = known.get(one)
      if (gauges === undefined) {
        known.set(one, gauges = new Gauges(this.meter))
        tell?.came(one)
      }
      if (gauges.isEmpty) begin(one, gauges)
    }
  }

  private resource(resource: Resource, gauges: Gauges): void {
    gauges.facts = { resource: resource.name, region: resource.place.region }
    for (const state of resourceStates) {
      gauges.observe(observed.resource, () => resourceStateOf(resource) === state ? 1 : 0, { state })
    }
  }

  private model(model: string, gauges: Gauges): void {
    const { deployments, now } = this.state
    const group = deployments.group(model)
    if (group === undefined) return
    gauges.facts = { model }
    const countOf = (wanted: string) =>
      group.deployments.filter((deployment) => stateOf(deployment, now()).state === wanted).length
    for (const state of states) gauges.observe(observed.deployments, () => countOf(state), { state })
    gauges.observe(observed.queue, () => group.line.length)
  }

  private deployment(deployment: Deployment, gauges: Gauges): void {
    const { now } = this.state
    const { id, model, place: { region, resource, tier }, pool, provisioned, quota } = deployment
    gauges.facts = {
      deployment: id,
      resource,
      region,
      tier: String(tier),
      model,
      provisioned: String(provisioned),
      quota: pool?.name ?? id
    }
    for (const state of states) {
      gauges.observe(observed.state, () => stateOf(deployment, now()).state === state ? 1 : 0, { state })
    }
    gauges.observe(observed.info, () => 1)
    gauges.observe(observed.quotaWait, () => quota.timeUntilFits(now(), 1) / 1000)
    gauges.observe(observed.recovery, () => (stateOf(deployment, now()).opensIn ?? 0) / 1000)
    gauges.observe(observed.active, () => deployment.inFlight)
    gauges.observe(observed.waiting, () => deployment.waiting)
    gauges.observe(observed.utilisation, () => quota.utilisation(now()))
    gauges.observe(observed.tokensUsed, () => quota.ownTokens.sum(now()), { client: "self" })
    gauges.observe(observed.tokensUsed, () => quota.othersTokensUsed(now()), { client: "others" })
    gauges.observe(observed.requestsUsed, () => quota.ownRequests.sum(now()), { client: "self" })
    gauges.observe(observed.requestsUsed, () => quota.othersRequestsUsed(now()), { client: "others" })
    gauges.observe(observed.slowness, () => deployment.slowness(now()))
    gauges.observe(observed.warmth, () => deployment.warmth(now()))
    limits(deployment, gauges, now)
    // it may be out since before it was looked at; and what other processes tell is no event of this one
    this.outage(deployment, gauges, stateOf(deployment, now()).reason)
    this.outage(deployment, gauges, TOLD)
    this.outage(deployment, gauges, MISSING)
    // a counter that begins at its first event hides that from whoever asks how fast it grows
    for (const instrument of rare) this.meter.count(instrument, labelsOf(instrument, gauges.facts))
  }

  /** A deployment, or all of a resource, is out for a reason, which may be new. */
  private outages(name: string, reason: string): void {
    for (const [deployment, gauges] of this.deployments) {
      const { id, resource } = deployment
      if (id === name || resource.name === name) this.outage(deployment, gauges, reason)
    }
  }

  private outage(deployment: Deployment, gauges: Gauges, reason: string | undefined): void {
    if (reason === undefined) return
    const word = reasonWord(reason)
    gauges.observe(observed.outage, () => {
      const now = this.state.now()
      const { reason, state } = stateOf(deployment, now)
      if (state === "healthy" || state === "draining") return 0
      // whatever status says so, it is not there
      const why = state === "cooling-down" && deployment.cooldown.isMissing(now) ? MISSING : reasonWord(reason ?? "")
      return why === word ? 1 : 0
    }, { reason: word })
  }
}

/** Limits, and what is left of them, where they have become known. */
const limits = ({ quota }: Deployment, gauges: Gauges, now: () => number): void => {
  if (quota.tokenLimit !== Infinity && !gauges.has(observed.tokenLimit)) {
    gauges.observe(observed.tokenLimit, () => quota.tokenLimit)
    gauges.observe(observed.tokenUtilisation, () => quota.tokensUsed(now()) / quota.tokenLimit)
  }
  if (quota.requestLimit !== Infinity && !gauges.has(observed.requestLimit)) {
    gauges.observe(observed.requestLimit, () => quota.requestLimit)
    gauges.observe(observed.requestUtilisation, () => quota.requestsUsed(now()) / quota.requestLimit)
  }
  if (quota.tokensRemaining !== undefined && !gauges.has(observed.tokensRemaining)) {
    gauges.observe(observed.tokensRemaining, () => quota.tokensRemaining ?? 0)
  }
  if (quota.requestsRemaining !== undefined && !gauges.has(observed.requestsRemaining)) {
    gauges.observe(observed.requestsRemaining, () => quota.requestsRemaining ?? 0)
  }
}
