/**
 * All that a member of a fleet knows: what is to be said, and what was heard. It speaks to no store.
 */
import type { Deployments } from "../deployment/Deployments.ts"
import type { FleetShare, FleetSnapshot } from "../deployment/Snapshot.ts"
import type { ResourceOwners } from "../routing/ResourceOwners.ts"
import { hashId, quotaKey, resourceKey } from "./FleetKeys.ts"
import type { Heard, OwnerSaid, Said } from "./FleetStore.ts"
import { Realm } from "./Realm.ts"
import { Tidings } from "./Tidings.ts"

/** The realm of what belongs to no model: who owns what is stored. */
const OWNERS = ""

/** Anything that happens; only some of it matters here. */
interface AnyEvent {
  readonly _tag: string
}

const told: ReadonlySet<string> = new Set(["CooledDown", "DeploymentMissing", "BreakerOpened", "BreakerClosed"])

/**
 * One member. Times are milliseconds of the monotonic clock.
 */
export class FleetMember {
  private readonly id: string
  private readonly deployments: Deployments["Service"]
  private readonly random: () => number
  private readonly byName = new Map<string, Realm>()
  private owners: ResourceOwners | undefined

  constructor(deployments: Deployments["Service"], random: () => number) {
    this.deployments = deployments
    this.random = random
    this.id = Array.from({ length: 4 }, () => Math.floor(random() * 0x1_0000_0000).toString(36)).join("")
  }

  /** What is exchanged, each by itself: of each model, and who owns what. */
  realms(): ReadonlyArray<Realm> {
    const models = new Set(this.deployments.all().map(({ model }) => model).filter((model) => model !== "*"))
    if (this.owners !== undefined && this.deployments.resources().length > 1) models.add(OWNERS)
    for (const [name, { group }] of this.byName) {
      // a wildcard's model may have been forgotten, and be another one now
      const isGone = !models.has(name) || (group !== undefined && group !== this.deployments.group(name))
      if (isGone) this.byName.delete(name)
    }
    return [...models].map((name) => this.realmOf(name))
  }

  /** Something happened here. Returns whether it is to be told at once. */
  notice(event: AnyEvent, now: number): boolean {
    if (!told.has(event._tag)) return false
    const heard = this.known.map(({ tidings }) => tidings.notice(event as Parameters<Tidings["notice"]>[0], now))
    return heard.includes(true)
  }

  /** What a realm said is counted, and this was heard. */
  hear(realm: Realm, said: Said, heard: Heard, sentAt: number, now: number, every: number): void {
    realm.hear(said, heard, sentAt, now, every)
    if (realm.name !== OWNERS || !Array.isArray(heard.owners)) return
    const names = new Map(this.deployments.resources().map((resource) => [resourceKey(resource), resource.name]))
    for (const { id, resource } of heard.owners as ReadonlyArray<OwnerSaid>) {
      const name = names.get(resource)
      if (name !== undefined && typeof id === "string") this.owners?.hear(id, name)
    }
  }

  /** Shares who owns what. */
  share(owners: ResourceOwners): void {
    this.owners = owners
    owners.share(hashId, (ids, name) => {
      const resource = this.deployments.resource(name)
      if (resource === undefined) return
      this.realmOf(OWNERS).own(ids.map((id) => ({ id: hashId(id), resource: resourceKey(resource) })))
    })
  }

  get members(): number {
    return Math.max(1, ...this.known.map(({ members }) => members))
  }

  /** Quotas that were spoken of in the last exchange. */
  get spoken(): number {
    return this.known.reduce((sum, { spoken }) => sum + spoken, 0)
  }

  /** Whether a request waits for room. */
  get isWaiting(): boolean {
    return this.known.some(({ waiting }) => waiting > 0)
  }

  /** Whether anything was sent of late. */
  get isActive(): boolean {
    return this.known.some(({ isActive }) => isActive)
  }

  /** @param isHeard whether the store answered the last time */
  status(now: number, isHeard: boolean): FleetSnapshot {
    const heardAt = Math.max(...this.known.map(({ heardAt }) => heardAt), -Infinity)
    const shares = this.deployments.all().flatMap((deployment): ReadonlyArray<FleetShare> => {
      const share = this.byName.get(deployment.model)?.sharesOf(quotaKey(deployment))
      return share === undefined ? [] : [{ deployment: deployment.id, tokens: share.total, ownTokens: share.own }]
    })
    return {
      isHeard,
      members: isHeard ? this.members : 1,
      heardAgo: heardAt === -Infinity ? undefined : now - heardAt,
      shares
    }
  }

  private get known(): ReadonlyArray<Realm> {
    return [...this.byName.values()]
  }

  private realmOf(name: string): Realm {
    let realm = this.byName.get(name)
    if (realm === undefined) {
      const { events, settings: { health } } = this.deployments
      const group = name === OWNERS ? undefined : this.deployments.group(name)
      const tidings = new Tidings(group, health, events, this.random)
      this.byName.set(name, realm = new Realm(name, this.id, group, tidings))
    }
    return realm
  }
}
