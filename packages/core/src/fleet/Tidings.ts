/**
 * What happened to the deployments of one model, as a member tells it and hears of it: times to wait, what does not exist,
 * what fails, and what answers again.
 *
 * What is heard is the word of strangers. It is obeyed as far as the cap of such times, and never where this member's own
 * experience is newer and better; and where obeying would leave nothing, all that was only heard is tried.
 */
import type { Breaker } from "../deployment/Breaker.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import type { BreakerClosed, BreakerOpened, CooledDown, DeploymentMissing } from "../deployment/DeploymentEvent.ts"
import type { Model } from "../deployment/Model.ts"
import type { EventHub } from "../EventHub.ts"
import { deploymentKey, poolKey, resourceKey } from "./FleetKeys.ts"
import type { Heard, Mark, MarkHeard, RowHeard, RowSaid } from "./FleetStore.ts"
import { LONGEST_MARK } from "./StoreState.ts"

/** How the reason begins of what was heard, and not seen. */
export const TOLD = "told by the fleet"

/** A peer that answered within so many milliseconds shows that it is not our own network that fails. */
const ANSWERED_LATELY = 10_000

/** A row that is older, in milliseconds, opens nothing: the breakers that it opened are on their own way. */
const ROW_COUNTS = 5000

/** Milliseconds by which probes of the members follow each other, so that the first is heard of before the next. */
const PROBE_SPACING = 500

/** The longest over which they are spread. */
const PROBES_OVER = 60_000

/** Times that differ by less, in milliseconds, are the same: they were on their way. */
const SAME = 100

/** What of a deployment's or resource's failures was told. */
interface Row {
  failures: number
  answeredAt: number
}

type News = BreakerOpened | BreakerClosed | CooledDown | DeploymentMissing

/** What fails and answers again: a deployment, or a resource. */
interface Target {
  readonly kind: "deployment" | "resource"
  readonly name: string
  readonly key: string
  readonly breaker: Breaker
  readonly answeredAt: number
  readonly succeededAt: number
}

/**
 * Tidings of one model. Times are milliseconds of the monotonic clock.
 */
export class Tidings {
  private readonly group: Pick<Model, "deployments">
  private readonly openFor: number
  private readonly consecutiveFailures: number
  private readonly events: EventHub
  private readonly random: () => number
  /** What is to be told, by kind and key, until the store has it. */
  private readonly untold = new Map<string, Omit<Mark, "for"> & { readonly until: number }>()
  private telling: ReadonlyArray<string> = []
  /** Until when each mark holds, by kind and key, as far as it is known here already. */
  private readonly known = new Map<string, number>()
  private readonly said = new Map<string, Row>()
  /** When the last failure of each row was told. */
  private heardRows: ReadonlyMap<string, number> = new Map()

  constructor(
    group: Model | undefined,
    settings: { readonly openFor: number; readonly consecutiveFailures: number },
    events: EventHub,
    random: () => number
  ) {
    this.group = group ?? { deployments: [] }
    this.openFor = settings.openFor
    this.consecutiveFailures = settings.consecutiveFailures
    this.events = events
    this.random = random
  }

  /** Takes in what happened here. Returns whether it is to be told, at once. */
  notice(event: News, now: number): boolean {
    switch (event._tag) {
      case "CooledDown": {
        const deployment = this.deployment(event.deployment)
        if (deployment === undefined) return false
        const { coolFor, pool, reason } = event
        const shared = pool === undefined ? undefined : poolKey(deployment)
        const isNews = shared !== undefined && this.tell("cooldown", shared, coolFor, reason, now)
        return this.tell("cooldown", deploymentKey(deployment), coolFor, reason, now) || isNews
      }
      case "DeploymentMissing": {
        const deployment = this.deployment(event.deployment)
        if (deployment === undefined) return false
        const { endsAt, reason } = deployment.cooldown
        return this.tell("missing", deploymentKey(deployment), endsAt - now, reason, now)
      }
      case "BreakerOpened":
      case "BreakerClosed": {
        const target = this.targets().find(({ kind, name }) => kind === event.target && name === event.name)
        if (target === undefined) return false
        if (event._tag === "BreakerClosed") return this.tell("closed", target.key, 1000, "", now)
        const { openFor, reason } = event
        return !isOwnAffair(reason) && this.answersElsewhere(target.key, now)
          && this.tell("open", target.key, openFor, reason, now)
      }
    }
  }

  /** What is to be told now. */
  marks(now: number): ReadonlyArray<Mark> {
    // a time that the service set and that an answer contradicted is to be tried elsewhere, too
    for (const deployment of this.group.deployments) {
      const { cooldown, lastSuccessAt } = deployment
      const key = deploymentKey(deployment)
      const until = this.known.get(`cooldown ${key}`) ?? 0
      if (until > now + SAME && cooldown.endsAt <= now && now - lastSuccessAt < SAME) {
        this.tell("closed", key, 1000, "", now)
      }
    }
    this.telling = [...this.untold.keys()]
    return [...this.untold.values()].map(({ key, kind, until }) => ({
      kind,
      key,
      for: Math.max(0, Math.ceil(until - now))
    }))
  }

  /** What was seen of failures since it was last told. */
  rows(now: number): ReadonlyArray<RowSaid> {
    return this.targets().flatMap(({ answeredAt, breaker, key, kind, name }): ReadonlyArray<RowSaid> => {
      const row = this.said.get(`${kind} ${name}`) ?? { failures: 0, answeredAt: -Infinity }
      // what was answered before others failed says nothing of now
      const answered = answeredAt > Math.max(row.answeredAt, this.heardRows.get(key) ?? Infinity)
      const isNews = breaker.failuresInARow !== row.failures
      if (!isNews && !answered) return []
      const failures = breaker.failuresInARow - (answered ? 0 : row.failures)
      this.said.set(`${kind} ${name}`, {
        failures: breaker.failuresInARow,
        answeredAt: answered ? answeredAt : row.answeredAt
      })
      // where nothing answers, it may be our own network
      return failures > 0 && !this.answersElsewhere(key, now) ? [] : [{ key, failures, answered }]
    })
  }

  /** What the others told. */
  hear(heard: Heard, now: number, members: number): void {
    for (const name of this.telling) this.untold.delete(name)
    this.telling = []
    const targets = this.targets()
    for (const mark of listOf(heard.marks)) this.hearMark(mark, targets, now, members)
    const rows = listOf(heard.rows)
    this.heardRows = new Map(rows.map(({ age, key }) => [key, now - age]))
    for (const row of rows) this.hearRow(row, targets, now, members)
    this.tryWhereNothingIsLeft(now)
    for (const [name, until] of this.known) if (until <= now) this.known.delete(name)
  }

  private hearMark(
    { age, for: holds, key, kind }: MarkHeard,
    targets: ReadonlyArray<Target>,
    now: number,
    members: number
  ): void {
    if (!(holds > 0 && holds <= LONGEST_MARK && age >= 0)) return
    const name = `${kind} ${key}`
    const until = now + holds
    if (until <= (this.known.get(name) ?? 0) + SAME) return
    this.known.set(name, until)
    const toldAt = now - age
    for (const target of targets) {
      if (target.key !== key) continue
      if (kind === "closed") target.breaker.hearClosed(now)
      else if (kind === "open" && target.succeededAt < toldAt) this.open(target, holds, now, members)
    }
    for (const deployment of this.group.deployments) {
      if (kind === "cooldown" && poolKey(deployment) === key) deployment.pool!.cooldown.hear(now, holds, TOLD, false)
      if (deploymentKey(deployment) !== key) continue
      const { cooldown, lastSuccessAt } = deployment
      if (kind === "closed") cooldown.doubtHeard(now)
      else if (kind === "cooldown" || (kind === "missing" && lastSuccessAt < toldAt)) {
        const before = cooldown.endsAt
        cooldown.hear(now, holds, kind === "missing" ? `${TOLD}: missing` : TOLD, kind === "missing")
        if (cooldown.endsAt > Math.max(before, now)) this.tellCooledDown(deployment, now)
      }
    }
  }

  /** As many failures in a row as open a breaker, seen by all together. */
  private hearRow(
    { age, failures, key }: RowHeard,
    targets: ReadonlyArray<Target>,
    now: number,
    members: number
  ): void {
    if (!(failures >= this.consecutiveFailures && age >= 0 && age <= ROW_COUNTS)) return
    for (const target of targets) {
      if (target.key === key && target.breaker.isClosed && target.answeredAt < now - age) {
        this.open(target, this.openFor * (1 + this.random()) / 2, now, members)
      }
    }
  }

  private open({ breaker }: Target, holds: number, now: number, members: number): void {
    // who opened it probes first; the others follow one after the other, and hear of it before
    breaker.hearOpen(now, holds + this.random() * Math.min(PROBES_OVER, members * PROBE_SPACING), TOLD)
  }

  private tellCooledDown({ cooldown, id }: Deployment, now: number): void {
    if (!this.events.hasListeners) return
    const { endsAt, reason } = cooldown
    const [at, coolFor] = [this.events.wallNow(), endsAt - now]
    this.events.emit<CooledDown>({ _tag: "CooledDown", at, deployment: id, pool: undefined, reason, coolFor })
  }

  /** Where what was heard would leave no deployment, a request may try each of those that only strangers speak ill of. */
  private tryWhereNothingIsLeft(now: number): void {
    const isLeft = (deployment: Deployment) =>
      !deployment.draining && deployment.isCool(now) && deployment.breaker.isClosed &&
      deployment.resource.breaker.isClosed
    if (this.group.deployments.some(isLeft)) return
    for (const { cooldown, pool } of this.group.deployments) {
      if (cooldown.isHeard(now)) cooldown.doubtHeard(now)
      if (pool?.cooldown.isHeard(now) === true) pool.cooldown.doubtHeard(now)
    }
  }

  private tell(kind: Mark["kind"], key: string, holds: number, reason: string, now: number): boolean {
    const until = now + Math.min(LONGEST_MARK, holds)
    const name = `${kind} ${key}`
    if (reason.startsWith(TOLD) || holds <= 0 || until <= (this.known.get(name) ?? 0) + SAME) return false
    this.known.set(name, until)
    this.untold.set(name, { kind, key, until })
    return true
  }

  private deployment(id: string): Deployment | undefined {
    return this.group.deployments.find((deployment) => deployment.id === id)
  }

  /** Whether something else answered of late: then it is not our own network that fails. */
  private answersElsewhere(key: string, now: number): boolean {
    return this.group.deployments.some((peer) =>
      deploymentKey(peer) !== key && resourceKey(peer.resource) !== key && now - peer.lastSuccessAt <= ANSWERED_LATELY
    )
  }

  private targets(): ReadonlyArray<Target> {
    const { deployments } = this.group
    const resources = new Set(deployments.map(({ resource }) => resource))
    return [
      ...deployments.map((deployment): Target => ({
        kind: "deployment",
        name: deployment.id,
        key: deploymentKey(deployment),
        breaker: deployment.breaker,
        answeredAt: deployment.lastSuccessAt,
        succeededAt: deployment.lastSuccessAt
      })),
      ...[...resources].map((resource): Target => ({
        kind: "resource",
        name: resource.name,
        key: resourceKey(resource),
        breaker: resource.breaker,
        answeredAt: resource.lastAnswerAt,
        succeededAt: resource.lastSuccessAt
      }))
    ]
  }
}

/** What is ours alone: our key, our rights, our own machine. */
const isOwnAffair = (reason: string): boolean =>
  reason.startsWith(TOLD) || /^(?:http 40[13]|no credential|local|told by another process)\b/.test(reason)

const listOf = <A>(heard: ReadonlyArray<A>): ReadonlyArray<A> => Array.isArray(heard) ? heard : []
