/**
 * What requests got of one deployment of late, well or not, to be compared with what its peers gave theirs.
 *
 * Requests of no session are spread over deployments by chance and load, and sessions by their names: what is a request's own
 * fault strikes all deployments alike, in proportion to what they are asked of its kind. One that does worse than chance
 * explains does so itself. (Chernoff's bound on the binomial tail, over both kinds of request: `n` times the relative entropy
 * of its own share and its peers'. Envoy's outlier detection by success rate compares likewise, for failures alone.)
 */

/** So many witnesses of each kind are remembered, and for so long, in milliseconds. */
const REMEMBERED = 64
export const REMEMBERED_FOR = 300_000

/** Of one session so many at most: what one asks may all have the same fault. */
const OF_ONE_SESSION = 3

/** What strikes several at once is one accident: one must have begun after the first was heard of. */
const ACCIDENTS = 2

/** Fewer witnesses of peers than this say nothing; and of one kind of request half of that. */
const LEAST_OF_PEERS = 8

/** Peers that are asked at most, evenly over all. */
const MOST_PEERS = 64

/** Witnesses since a moment, and how many of them fared ill. */
interface Tally {
  count: number
  ill: number
}

/** Witnesses of one kind of request. */
class Ring {
  readonly heardAt = new Float64Array(REMEMBERED).fill(-Infinity)
  /** Which accident struck it; 0 for none. */
  readonly accidents = new Int32Array(REMEMBERED)
  readonly sessions = new Int32Array(REMEMBERED)
  private readonly numbers = new Float64Array(REMEMBERED)
  private next = 0

  add(number: number, accident: number, session: number, now: number): void {
    const place = this.placeFor(session)
    this.heardAt[place] = now
    this.sessions[place] = session
    this.accidents[place] = accident
    this.numbers[place] = number
  }

  recant(number: number): void {
    const place = this.numbers.indexOf(number)
    if (place !== -1) this.accidents[place] = 0
  }

  addTo(tally: Tally, since: number): void {
    for (let i = 0; i < REMEMBERED; i++) {
      if (this.heardAt[i]! < since) continue
      tally.count++
      if (this.accidents[i] !== 0) tally.ill++
    }
  }

  /** The place of the oldest: of the same session, where that has its share. */
  private placeFor(session: number): number {
    let oldest = -1
    let ofSession = 0
    const looked = session === 0 ? 0 : REMEMBERED
    for (let i = 0; i < looked; i++) {
      if (this.sessions[i] !== session) continue
      ofSession++
      if (oldest === -1 || this.numbers[i]! < this.numbers[oldest]!) oldest = i
    }
    return ofSession >= OF_ONE_SESSION ? oldest : this.next++ % REMEMBERED
  }
}

/** What it takes to find a deployment worse. */
export interface Evidence {
  /** Requests of no session, and sessions, that must have fared ill: one alone may do so for its own sake. */
  readonly sources: number
  /** How unlikely that many are by chance: the logarithm of how many times it takes. Half of it where it came back lately. */
  readonly beyondChance: number
  /** How much higher than with peers the share of those is that fare ill, for that to be clear. */
  readonly clearly: number
  /** Where peers say nothing: so many must have been heard, and more than this share of them fare ill. */
  readonly alone?: { readonly least: number; readonly share: number }
}

/** More fare ill than with peers, and more than chance explains; and clearly so. */
export type Worse = "more" | "clearly" | undefined

/**
 * Witnesses of one deployment. Times are milliseconds of a monotonic clock.
 */
export class Witnesses {
  /** Of requests that might have gone anywhere, and of those that their sessions brought here. */
  private readonly kinds = [new Ring(), new Ring()] as const
  private last = 0
  private lastAccident = 0
  private accidentAt = -Infinity

  /**
   * Hears one that fared well or ill. Returns its number, by which it may recant.
   *
   * @param session hash of its session; 0 for none
   * @param startedAt when its attempt began
   */
  hear(isWell: boolean, session: number, startedAt: number, now: number): number {
    const accident = isWell ? 0 : this.accidentOf(startedAt, now)
    this.kinds[session === 0 ? 0 : 1].add(++this.last, accident, session | 0, now)
    return this.last
  }

  /** One that fared ill, so far, did not in the end. */
  recant(number: number): void {
    for (const kind of this.kinds) kind.recant(number)
  }

  /**
   * Whether they fare worse than those of the peers, since the first of them that fared ill.
   *
   * @param backAt when it last came back: what was heard before says nothing of how it does now, but that it may do so again
   */
  worseThan(
    peers: ReadonlyArray<{ readonly witnesses: Witnesses }>,
    now: number,
    { alone, beyondChance, clearly, sources }: Evidence,
    backAt = -Infinity
  ): Worse {
    const since = this.illSince(Math.max(backAt, now - REMEMBERED_FOR))
    if (since === undefined) return undefined
    const all: Tally = { count: 0, ill: 0 }
    let peersCount = 0
    // how unlikely it is by chance, and by how much the share is higher, of those that can be compared
    let surprise = 0
    let excess = 0
    let compared = 0
    for (const kind of [0, 1] as const) {
      const own: Tally = { count: 0, ill: 0 }
      const theirs: Tally = { count: 0, ill: 0 }
      this.kinds[kind].addTo(own, since)
      for (const peer of evenly(peers)) {
        if (peer.witnesses !== this) peer.witnesses.kinds[kind].addTo(theirs, since)
      }
      all.count += own.count
      all.ill += own.ill
      peersCount += theirs.count
      if (own.count === 0 || theirs.count < LEAST_OF_PEERS / 2) continue
      const share = own.ill / own.count
      const usual = (theirs.ill + 1) / (theirs.count + 2)
      surprise += Math.sign(share - usual) * own.count * relativeEntropy(share, usual)
      excess += own.ill - own.count * theirs.ill / theirs.count
      compared += own.count
    }
    if (peersCount < LEAST_OF_PEERS) {
      const isAloneWorse = alone !== undefined && all.count >= alone.least && all.ill > alone.share * all.count
      return isAloneWorse ? "clearly" : undefined
    }
    const least = now - backAt < REMEMBERED_FOR ? beyondChance / 2 : beyondChance
    if (surprise < least || this.illSources(since) < sources) return undefined
    return excess >= clearly * compared ? "clearly" : "more"
  }

  /** When the first was heard of that fared ill; `undefined` where it may have been one accident. */
  private illSince(from: number): number | undefined {
    let since = Infinity
    let first = Infinity
    let last = -Infinity
    for (const { accidents, heardAt } of this.kinds) {
      for (let i = 0; i < REMEMBERED; i++) {
        if (accidents[i] === 0 || heardAt[i]! < from) continue
        since = Math.min(since, heardAt[i]!)
        first = Math.min(first, accidents[i]!)
        last = Math.max(last, accidents[i]!)
      }
    }
    return last - first >= ACCIDENTS - 1 ? since : undefined
  }

  private illSources(since: number): number {
    let free = 0
    const sessions = new Set<number>()
    for (const { accidents, heardAt, sessions: of } of this.kinds) {
      for (let i = 0; i < REMEMBERED; i++) {
        if (accidents[i] === 0 || heardAt[i]! < since) continue
        if (of[i] === 0) free++
        else sessions.add(of[i]!)
      }
    }
    return free + sessions.size
  }

  /** The share of those that fared well, since the first that did not. */
  wellShare(now: number): number {
    const since = this.illSince(now - REMEMBERED_FOR)
    if (since === undefined) return 1
    const tally: Tally = { count: 0, ill: 0 }
    for (const kind of this.kinds) kind.addTo(tally, since)
    return 1 - tally.ill / tally.count
  }

  private accidentOf(startedAt: number, now: number): number {
    if (startedAt >= this.accidentAt) {
      this.lastAccident++
      this.accidentAt = now
    }
    return this.lastAccident
  }
}

/** Of many the same number as of few, evenly. */
export const evenly = <A>(all: ReadonlyArray<A>): ReadonlyArray<A> =>
  all.length <= MOST_PEERS
    ? all
    : Array.from({ length: MOST_PEERS }, (_, i) => all[Math.floor(i * all.length / MOST_PEERS)]!)

const relativeEntropy = (share: number, usual: number): number =>
  (share === 0 ? 0 : share * Math.log(share / usual))
  + (share === 1 ? 0 : (1 - share) * Math.log((1 - share) / (1 - usual)))
