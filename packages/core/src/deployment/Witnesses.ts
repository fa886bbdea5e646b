/**
 * What requests got of one deployment of late, well or not, to be compared with what its peers gave theirs.
 *
 * Requests of no session are spread over deployments by chance and load, and sessions by their names: what is a request's own
 * fault strikes all deployments alike, in proportion to what they are asked of its kind. One that does worse than chance
 * explains does so itself. (Cochran, Mantel and Haenszel's test over both kinds of request. Envoy's outlier detection by
 * success rate compares likewise, for failures alone.)
 */

/** So many witnesses of each kind are remembered, and for so long, in milliseconds. */
const REMEMBERED = 64
const LONGEST = 300_000

/** Of one session so many at most: what one asks may all have the same fault. */
const OF_ONE_SESSION = 3

/** What strikes several at once is one accident: one must have begun after the first was heard of. */
const ACCIDENTS = 2

/** The share of requests that fare ill is higher than with peers by this much, and by so many standard errors. */
const CLEARLY = 0.2
const STANDARD_ERRORS = 4

/** Fewer witnesses of peers than this say nothing. */
const LEAST_OF_PEERS = 8

/** Peers that are asked at most. */
export const MOST_PEERS = 20

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
  private readonly sessions = new Int32Array(REMEMBERED)
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
  /** Witnesses that are needed at least. */
  readonly least: number
  /** Where peers say nothing: more than this share of its own must fare ill; 1 for never. */
  readonly alone: number
}

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

  /** Whether they fare worse than those of the peers, since the first of them that fared ill. */
  isWorseThan(
    peers: ReadonlyArray<{ readonly witnesses: Witnesses }>,
    now: number,
    { alone, least }: Evidence
  ): boolean {
    const since = this.illSince(now)
    if (since === undefined) return false
    const others = peers.filter(({ witnesses }) => witnesses !== this).slice(0, MOST_PEERS)
    const all: Tally = { count: 0, ill: 0 }
    let peersCount = 0
    // how many more fare ill than by chance, what that varies by, and what it is relative to
    let excess = 0
    let variance = 0
    let weight = 0
    for (const kind of [0, 1] as const) {
      const own: Tally = { count: 0, ill: 0 }
      const theirs: Tally = { count: 0, ill: 0 }
      this.kinds[kind].addTo(own, since)
      for (const { witnesses } of others) witnesses.kinds[kind].addTo(theirs, since)
      all.count += own.count
      all.ill += own.ill
      peersCount += theirs.count
      if (own.count === 0 || theirs.count === 0) continue
      const count = own.count + theirs.count
      const share = (own.ill + theirs.ill) / count
      excess += own.ill - own.count * share
      weight += own.count * theirs.count / count
      variance += own.count * theirs.count * share * (1 - share) / (count - 1)
    }
    if (all.count < least) return false
    if (peersCount >= LEAST_OF_PEERS) {
      return excess >= CLEARLY * weight && weight > 0 && excess >= STANDARD_ERRORS * Math.sqrt(variance)
    }
    return all.ill > alone * all.count
  }

  /** When the first was heard of that fared ill; `undefined` where it may have been one accident. */
  private illSince(now: number): number | undefined {
    let since = Infinity
    let first = Infinity
    let last = -Infinity
    for (const { accidents, heardAt } of this.kinds) {
      for (let i = 0; i < REMEMBERED; i++) {
        if (accidents[i] === 0 || now - heardAt[i]! > LONGEST) continue
        since = Math.min(since, heardAt[i]!)
        first = Math.min(first, accidents[i]!)
        last = Math.max(last, accidents[i]!)
      }
    }
    return last - first >= ACCIDENTS - 1 ? since : undefined
  }

  private accidentOf(startedAt: number, now: number): number {
    if (startedAt >= this.accidentAt) {
      this.lastAccident++
      this.accidentAt = now
    }
    return this.lastAccident
  }
}
