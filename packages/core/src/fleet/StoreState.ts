/**
 * What a store keeps and how an exchange changes it, as a plain reference: the store in memory is this, and the script that
 * runs in Redis does the same (`@evenkeel/node`).
 */
import type { Heard, Mark, OwnerSaid, QuotaHeard, QuotaSaid, Said } from "./FleetStore.ts"

/** Milliseconds of a step, by which use is counted. */
export const STEP = 250
/** Steps that a window covers, besides the one in progress: never less than the service's own minute. */
export const WINDOW_STEPS = 60_000 / STEP
/** Steps of the short slice. */
export const SLICE_STEPS = 10_000 / STEP
/** Steps by which a member's clock may be ahead of the store's. */
const AHEAD = 4
/** Steps of the whiles over which the highest share is kept. */
const SHARE_STEPS = 10_000 / STEP
/** Answers that say enough of a share together, and how far towards the highest of them it is taken. */
export const ENOUGH_SHOWN = 8
export const ABOVE_MEAN = 0.4
/** Milliseconds for which what nobody speaks of any more is kept. */
export const KEPT = 62_000
/** Milliseconds within which a member has spoken that counts as one. */
export const PRESENT = 10_000
/** Owners kept; a store may forget them all where none was added for an hour. */
export const OWNERS_KEPT = 10_000
/** The longest that a time may hold, in milliseconds: a day. */
export const LONGEST_MARK = 86_400_000
/** Most of any number that is said, so that no sum of such overflows. */
export const MOST = 1e9

/** Use of a quota, by step. */
export type Uses = Map<number, { tokens: number; requests: number; held: number }>

/** Shares that answers showed. */
class Shown {
  max = 0
  sum = 0
  count = 0
}

/** One quota. It is forgotten whole, or not at all. */
class QuotaKept {
  /** When it began, in microseconds since 1970: no two of a quota are the same. */
  readonly record: string
  readonly steps: Uses = new Map()
  readonly told = { tokens: 0, requests: 0 }
  /** Of this while, and of the one before. */
  share = new Shown()
  shareBefore = new Shown()
  while = 0
  expiresAt = 0

  constructor(record: string) {
    this.record = record
  }
}

/** What is remembered of a member: its last exchange, and what of that it hears again if it says the same again. */
interface MemberKept {
  readonly at: number
  readonly sequence: number
  readonly granted: ReadonlyMap<string, QuotaHeard["granted"]>
}

class RealmKept {
  readonly members = new Map<string, MemberKept>()
  readonly quotas = new Map<string, QuotaKept>()
  /** Until when, and since when, by kind and key. */
  readonly marks = new Map<string, { readonly until: number; readonly since: number }>()
  readonly rows = new Map<string, { readonly failures: number; readonly at: number }>()
  /** In the order in which they came; the next has the number `nextOwner`. */
  owners: Array<OwnerSaid> = []
  nextOwner = 0
}

/**
 * State of a store. Times are milliseconds since 1970, of the store's own clock.
 */
export class StoreState {
  private readonly realms = new Map<string, RealmKept>()
  /** Records begun. A real store has microseconds instead. */
  private records = 0

  /** Says and hears: one step, which nothing comes between. */
  exchange(said: Said, now: number): Heard {
    const realm = this.realmOf(said.realm)
    for (const [key, quota] of realm.quotas) if (quota.expiresAt <= now) realm.quotas.delete(key)
    for (const [member, { at }] of realm.members) if (at < now - KEPT) realm.members.delete(member)
    const before = realm.members.get(said.member)
    const isCounted = before !== undefined && said.sequence <= before.sequence
    const step = Math.floor(now / STEP)
    const kept = said.quotas.map((quota) =>
      countUses(realm, quota, isCounted, step, now, () => String(now * 1000 + this.records++ % 1000))
    )
    const isRepeated = isCounted && said.sequence === before.sequence
    const granted = isCounted
      ? said.quotas.map(({ key }) => isRepeated ? before.granted.get(key) ?? NOTHING : NOTHING)
      : grant(said, kept, step)
    realm.members.set(said.member, {
      at: now,
      sequence: isCounted ? before.sequence : said.sequence,
      granted: isCounted ? before.granted : new Map(said.quotas.map(({ key }, i) => [key, granted[i]!]))
    })
    return {
      now,
      members: [...realm.members.values()].filter(({ at }) => at >= now - PRESENT).length,
      quotas: kept.map((one, i) => heardOf(one, granted[i]!, step)),
      ...marksOf(realm, said, isCounted, now),
      ...ownersOf(realm, said, isCounted)
    }
  }

  /** Everything is forgotten, as by a restart. */
  clear(): void {
    this.realms.clear()
  }

  private realmOf(name: string): RealmKept {
    const realm = this.realms.get(name) ?? new RealmKept()
    this.realms.set(name, realm)
    return realm
  }
}

const NOTHING = { tokens: 0, requests: 0 }

/** Sets room aside for what waits: for each request, at the first quota that has it. Returns what of each quota. */
const grant = (said: Said, kept: ReadonlyArray<QuotaKept>, step: number): ReadonlyArray<QuotaHeard["granted"]> => {
  const granted = kept.map(() => ({ ...NOTHING }))
  for (const want of said.wants) {
    if (!(want > 0)) continue
    const at = kept.findIndex(({ steps }, i) => {
      const { requests, slice, tokens } = sumUp(steps, step)
      const { room } = said.quotas[i]!
      return tokens + want <= (room.tokens ?? Infinity) && requests + 1 <= (room.requests ?? Infinity)
        && slice + 1 <= (room.slice ?? Infinity)
    })
    if (at === -1) continue
    addUse(kept[at]!.steps, step, want, 1, want)
    granted[at]!.tokens += want
    granted[at]!.requests++
  }
  return granted
}

const countUses = (
  realm: RealmKept,
  quota: QuotaSaid,
  isCounted: boolean,
  step: number,
  now: number,
  newRecord: () => string
): QuotaKept => {
  const kept = realm.quotas.get(quota.key) ?? new QuotaKept(newRecord())
  realm.quotas.set(quota.key, kept)
  kept.expiresAt = now + KEPT
  const current = Math.floor(step / SHARE_STEPS)
  if (current !== kept.while) {
    kept.shareBefore = current === kept.while + 1 ? kept.share : new Shown()
    kept.share = new Shown()
    kept.while = current
  }
  if (quota.share > 0 && !isCounted) {
    kept.share.max = Math.min(1, Math.max(kept.share.max, quota.share))
    kept.share.sum += Math.min(1, quota.share)
    kept.share.count++
  }
  if (!isCounted) {
    for (const use of quota.record === kept.record ? quota.uses : []) {
      if (use.step < step - WINDOW_STEPS || use.step > step + AHEAD) continue
      addUse(kept.steps, use.step, use.tokens, use.requests, use.held)
    }
    if (quota.told.tokens > 0) kept.told.tokens = quota.told.tokens
    if (quota.told.requests > 0) kept.told.requests = quota.told.requests
  }
  return kept
}

const heardOf = (kept: QuotaKept, granted: QuotaHeard["granted"], step: number): QuotaHeard => {
  const { record, share, shareBefore, steps, told } = kept
  const count = share.count + shareBefore.count
  const mean = (share.sum + shareBefore.sum) / Math.max(1, count)
  const above = ABOVE_MEAN * (Math.max(share.max, shareBefore.max) - mean)
  return { record, ...sumUp(steps, step), granted, told: { ...told }, share: count < ENOUGH_SHOWN ? 0 : mean + above }
}

/** What is in the window as of a step, and of the requests those in the short slice. What has left it is forgotten. */
export const sumUp = (steps: Uses, now: number): Pick<QuotaHeard, "tokens" | "requests" | "slice" | "held"> => {
  let [tokens, requests, slice, held] = [0, 0, 0, 0]
  for (const [step, use] of steps) {
    if (step < now - WINDOW_STEPS) {
      steps.delete(step)
      continue
    }
    tokens += use.tokens
    requests += use.requests
    held += use.held
    if (step >= now - SLICE_STEPS) slice += use.requests
  }
  return { tokens, requests, slice, held }
}

/** A step never holds less than nothing. */
export const addUse = (steps: Uses, step: number, tokens: number, requests: number, held: number): void => {
  const use = steps.get(step) ?? { tokens: 0, requests: 0, held: 0 }
  use.tokens = Math.min(MOST, Math.max(0, use.tokens + tokens))
  use.requests = Math.min(MOST, Math.max(0, use.requests + requests))
  use.held = Math.min(MOST, Math.max(0, use.held + held))
  steps.set(step, use)
}

/** Times hold as a maximum, and are never shortened, but for what answers again. */
const marksOf = (realm: RealmKept, said: Said, isCounted: boolean, now: number): Pick<Heard, "marks" | "rows"> => {
  for (const { for: holds, key, kind } of said.marks) {
    if (kind === "closed") {
      realm.marks.delete(`open ${key}`)
      realm.rows.delete(key)
    }
    const name = `${kind} ${key}`
    const until = now + Math.min(LONGEST_MARK, kind === "closed" ? PRESENT : holds)
    if (until > (realm.marks.get(name)?.until ?? 0)) realm.marks.set(name, { until, since: now })
    if (kind === "open") realm.marks.delete(`closed ${key}`)
  }
  for (const { answered, failures, key } of isCounted ? [] : said.rows) {
    const row = realm.rows.get(key)
    const sum = Math.min(MOST, Math.max(0, (answered ? 0 : row?.failures ?? 0) + failures))
    realm.rows.set(key, { failures: sum, at: failures > 0 ? now : row?.at ?? 0 })
  }
  const marks: Array<Heard["marks"][number]> = []
  for (const [name, { since, until }] of realm.marks) {
    if (until <= now) {
      realm.marks.delete(name)
      continue
    }
    const space = name.indexOf(" ")
    const kind = name.slice(0, space) as Mark["kind"]
    marks.push({ kind, key: name.slice(space + 1), for: until - now, age: now - since })
  }
  const rows: Array<Heard["rows"][number]> = []
  for (const [key, { at, failures }] of realm.rows) {
    if (failures <= 0 || now - at > KEPT) realm.rows.delete(key)
    else rows.push({ key, failures, age: now - at })
  }
  return { marks, rows }
}

const ownersOf = (realm: RealmKept, said: Said, isCounted: boolean): Pick<Heard, "owners" | "cursor"> => {
  for (const owner of isCounted ? [] : said.owners) {
    realm.owners.push(owner)
    realm.nextOwner++
  }
  if (realm.owners.length > OWNERS_KEPT) realm.owners = realm.owners.slice(-OWNERS_KEPT)
  const first = realm.nextOwner - realm.owners.length
  const heardUpTo = said.cursor === "" ? 0 : Number(said.cursor)
  // a store that was restarted counts from the beginning
  const from = heardUpTo > realm.nextOwner ? first : Math.max(first, heardUpTo)
  return { owners: realm.owners.slice(from - first), cursor: String(realm.nextOwner) }
}
