/**
 * What a member says and hears of one model: of its quotas, of what waits, and what happened to its deployments.
 */
import type { Model } from "../deployment/Model.ts"
import type { Quota } from "../deployment/Quota.ts"
import { quotaKey } from "./FleetKeys.ts"
import type { Heard, OwnerSaid, QuotaSaid, Said } from "./FleetStore.ts"
import { countOf, QuotaShare } from "./QuotaShare.ts"
import { KEPT } from "./StoreState.ts"
import type { Tidings } from "./Tidings.ts"

/** Most requests for which room is asked at a time. */
const MOST_WANTED = 8

/** Share of the time in which requests wait from which on more is asked for than there is, and over how many milliseconds. */
const SCARCE = 0.08
const SCARCE_OVER = 20_000

/** How long nothing of what waits was sent before one request goes past the fleet's word, to see. */
const STARVES_AFTER = 10_000

/** Of more quotas than so many, those that we do not use are asked for in every fourth exchange only. */
const FEW = 32
const IDLE_EVERY = 4

/** What an exchange counts, and says again until it is known that it was counted. */
interface Pending {
  readonly said: Pick<Said, "sequence" | "rows" | "owners">
  readonly uses: ReadonlyMap<string, Pick<QuotaSaid, "record" | "uses">>
  readonly at: number
}

/**
 * One model, or what is of none, as a member knows it.
 */
export class Realm {
  readonly name: string
  private readonly member: string
  readonly group: Model | undefined
  readonly tidings: Tidings
  private readonly quotas = new Map<string, QuotaShare>()
  private readonly owners: Array<OwnerSaid> = []
  private sequence = 0
  private rounds = 0
  private pending: Pending | undefined
  private cursor = ""
  /** What is to be added to the monotonic clock for the store's; `undefined` before it was heard. */
  private offset: number | undefined
  private ownRequests = 0
  private progressAt = -Infinity
  /** Share of the time of late in which requests waited for room. */
  private scarcity = 0
  private saidAt = -Infinity
  /** Requests that wait for room, as of the last exchange. */
  waiting = 0
  /** Quotas that were spoken of in the last exchange. */
  spoken = 0
  /** When it was last heard, and how many members spoke of late. */
  heardAt = -Infinity
  members = 1

  /** @param group the model's deployments; `undefined` for what is of no model */
  constructor(name: string, member: string, group: Model | undefined, tidings: Tidings) {
    this.name = name
    this.member = member
    this.group = group
    this.tidings = tidings
  }

  /** Whether anything was sent in the last minute. */
  get isActive(): boolean {
    return this.ownRequests > 0
  }

  /** Who owns what is told with the next exchange. */
  own(owners: ReadonlyArray<OwnerSaid>): void {
    this.owners.push(...owners)
    if (this.owners.length > MOST_OWNERS) this.owners.splice(0, this.owners.length - MOST_OWNERS)
  }

  /** Of each quota: what all members sent in the last minute, and this one. */
  sharesOf(key: string): { readonly total: number; readonly own: number } | undefined {
    return this.quotas.get(key)
  }

  /** What is to be said now. */
  say(now: number): Said {
    this.refresh()
    this.rounds++
    // what nobody knows to be counted by now has left the window
    if (this.pending !== undefined && now - this.pending.at > KEPT) this.pending = undefined
    if (now - this.heardAt > KEPT) { for (const share of this.quotas.values()) share.forget() }
    const all = [...this.quotas.values()]
    const active = all.filter((share) => share.isActive(now))
    const wants = this.wants(now)
    const isScarce = this.scarcity > SCARCE
    const { offset, pending } = this
    const asked = pending !== undefined
      ? all.filter(({ key }) => pending.uses.has(key))
      : all.length <= FEW || this.rounds % IDLE_EVERY === 1
      ? all
      : active
    const quotas = asked.toSorted((a, b) => rankOf(a, now) - rankOf(b, now)).map((share): QuotaSaid => {
      const { quota } = share.deployments[0]!
      const { key, record } = share
      const again = pending?.uses.get(key)
      return {
        key,
        record: again?.record ?? record,
        uses: again?.uses ?? (offset === undefined || record === "" ? [] : share.changes(now, offset)),
        room: rankOf(share, now) < OUT ? roomOf(quota, isScarce) : NO_ROOM,
        told: quota.told,
        share: share.takeShown()
      }
    })
    const counted = pending?.said
      ?? { sequence: ++this.sequence, rows: this.tidings.rows(now), owners: this.owners.splice(0) }
    this.pending ??= { said: counted, uses: new Map(quotas.map((quota) => [quota.key, quota])), at: now }
    this.spoken = quotas.length
    const marks = this.tidings.marks(now)
    return { member: this.member, realm: this.name, ...counted, quotas, wants, marks, cursor: this.cursor }
  }

  /**
   * What was said is counted, and this was heard.
   *
   * @param sentAt when it was said
   * @param every milliseconds until the next exchange, at most
   */
  hear(said: Said, heard: Heard, sentAt: number, now: number, every: number): void {
    const { now: storeNow } = heard
    if (!Number.isFinite(storeNow) || !Array.isArray(heard.quotas)) throw new TypeError("no answer of a store")
    const offset = storeNow - (sentAt + now) / 2
    if (this.offset === undefined || Math.abs(offset - this.offset) > CLOCK_JUMP) this.offset = offset
    this.heardAt = now
    this.pending = undefined
    this.cursor = typeof heard.cursor === "string" ? heard.cursor : ""
    this.members = Math.max(1, countOf(heard.members))
    const spell = { millis: every + (now - sentAt), hasOthers: this.members > 1 }
    said.quotas.forEach((quota, i) => {
      const word = heard.quotas[i]
      const share = this.quotas.get(quota.key)
      if (word === undefined || share === undefined) return
      share.heard(word, storeNow, now, spell)
      for (const { quota } of share.deployments) {
        quota.hearLimits(countOf(word.told.tokens), countOf(word.told.requests))
      }
    })
    this.tidings.hear(heard, now, this.members)
  }

  /** Requests that wait, by the tokens that they need. What is set aside and not waited for is given back. */
  private wants(now: number): ReadonlyArray<number> {
    const shares = [...this.quotas.values()]
    let size = 0
    let held = 0
    let requests = 0
    for (const { ledgers } of shares) {
      for (const quota of ledgers) {
        const use = quota.fleetUse
        size = Math.max(size, use.wanted)
        use.wanted = 0
        held += use.heldRequests
        requests += quota.ownRequests.sum(now)
      }
    }
    if (requests > this.ownRequests || size === 0) this.progressAt = now
    this.ownRequests = requests
    this.waiting = size === 0 ? 0 : Math.min(MOST_WANTED, Math.max(1, this.group?.line.length ?? 0))
    const isWaiting = this.waiting > 0 ? 1 : 0
    this.scarcity += (isWaiting - this.scarcity) * (1 - Math.exp((this.saidAt - now) / SCARCE_OVER))
    this.saidAt = now
    if (this.waiting === 0) { for (const share of shares) share.release() }
    if (now - this.progressAt > STARVES_AFTER) this.tryOne(shares, size, now)
    return Array.from({ length: Math.max(0, this.waiting - held) }, () => size)
  }

  /** Nothing was sent for long, though requests wait: what is said of others may be wrong, or a lie. One request sees. */
  private tryOne(shares: ReadonlyArray<QuotaShare>, size: number, now: number): void {
    this.progressAt = now
    const best = shares.toSorted((a, b) => rankOf(a, now) - rankOf(b, now))[0]
    best?.deployments[0]?.quota.fleetUse.hold(size, 1)
  }

  /** Deployments come and go. */
  private refresh(): void {
    const byKey = Map.groupBy(this.group?.deployments ?? [], quotaKey)
    for (const key of this.quotas.keys()) if (!byKey.has(key)) this.quotas.delete(key)
    for (const [key, deployments] of byKey) {
      const share = this.quotas.get(key) ?? new QuotaShare(key)
      share.deployments = deployments
      this.quotas.set(key, share)
    }
  }
}

/** Owners that are remembered to be told, while the store cannot be reached. */
const MOST_OWNERS = 1000

/** A store's clock that is off by so much more than it was is another store's. */
const CLOCK_JUMP = 250

const NO_ROOM = { tokens: 0, requests: 0, slice: 0 } as const

/**
 * Up to where the store may set room aside for us.
 *
 * @param isScarce whether more is asked for than there is: then it goes by what the service counts, not the ledgers
 */
const roomOf = ({ fleetUse, requestLimit, sliceLimit, tokenLimit }: Quota, isScarce: boolean): QuotaSaid["room"] => ({
  tokens: finite(Math.floor(tokenLimit / (isScarce ? fleetUse.share : 1))),
  requests: finite(requestLimit),
  slice: finite(sliceLimit)
})

const finite = (limit: number): number | null => limit === Infinity ? null : limit

/** A rank from here on takes no request now. */
const OUT = 1e6

/** In which order room is asked for: the first tier first, and in it what is least in use; what takes nothing last. */
const rankOf = ({ deployments }: QuotaShare, now: number): number => {
  let rank = 2 * OUT
  for (const deployment of deployments) {
    const { breaker, draining, quota, resource, tier } = deployment
    if (draining || !breaker.allows(now) || !resource.breaker.allows(now) || !deployment.isCool(now)) continue
    rank = Math.min(rank, tier * 1000 + quota.utilisation(now))
  }
  return rank
}
