/**
 * A waiting line as its description has it, which forgets nobody: what `WaitingLine` must be told from by nothing.
 *
 * A request is in one of these states:
 *
 *     waiting   it has a place, behind those of its tenant that came before
 *     first     it waits, and it is its turn, until it leaves: when the one before it left, of those who waited its tenant was
 *               let through the least; of equals, who came first
 *     taken     another tenant's request took its place, and it waits no more
 *     gone      it was sent, gave up, or stepped aside
 *
 * and may be told anything at any of them: to leave, twice even. What always holds:
 *
 * 1. If anybody waits, exactly one is first, and it has been told, or is told when it asks.
 * 2. Within a tenant who came first is let through first. Whoever is not the first of its tenant is never first.
 * 3. No tenant that waits is behind the virtual time, which never goes back.
 * 4. A turn that was used or given up counts its tokens, and so does what is sent while others wait; nothing else does.
 * 5. A tenant is remembered only while it waits, or is ahead of the virtual time.
 * 6. With one tenant, or none, it is first come, first served.
 */

export interface Waiting {
  readonly id: number
  readonly tenant: string | undefined
  readonly tokens: number
}

export class LineModel {
  readonly waiting: Array<Waiting> = []
  private readonly starts = new Map<string | undefined, number>()
  virtualTime = 0
  first: Waiting | undefined
  private turnStart = 0

  startOf(tenant: string | undefined): number {
    const start = this.starts.get(tenant) ?? 0
    return this.placesOf(tenant) > 0 ? start : Math.max(start, this.virtualTime)
  }

  placesOf(tenant: string | undefined): number {
    return this.waiting.filter((other) => other.tenant === tenant).length
  }

  isDue(tenant: string | undefined): boolean {
    return this.waiting.every((other) => this.startOf(tenant) <= this.startOf(other.tenant))
  }

  enter(waiting: Waiting): void {
    this.starts.set(waiting.tenant, this.startOf(waiting.tenant))
    this.waiting.push(waiting)
    if (this.first === undefined) this.begin()
  }

  /** It is sent, from its place or without one. */
  send(tenant: string | undefined, tokens: number, id?: number): void {
    if (this.waiting.length === 0) return
    this.starts.set(tenant, this.startOf(tenant) + tokens)
    this.remove(id, true)
  }

  giveUp(id: number): void {
    const { first } = this
    if (first?.id === id) this.send(first.tenant, first.tokens, id)
    else this.remove(id)
  }

  remove(id: number | undefined, isUsed = false): void {
    const at = this.waiting.findIndex((other) => other.id === id)
    if (at === -1) return
    this.waiting.splice(at, 1)
    if (this.first?.id === id) {
      const { turnStart } = this
      this.begin()
      if (isUsed) this.virtualTime = Math.max(this.virtualTime, Math.min(turnStart, this.least))
    }
    if (this.waiting.length === 0) this.starts.clear()
  }

  /** Whom a newcomer takes the place of, of so many: its own, anybody's of these, or nobody's. */
  makesRoom(tenant: string | undefined, most: number): "free" | "none" | ReadonlyArray<number> {
    if (this.waiting.length < most) return "free"
    const tenants = new Set([tenant, ...this.waiting.map((other) => other.tenant)])
    const own = this.placesOf(tenant)
    const largest = Math.max(0, ...[...tenants].map((other) => this.placesOf(other)))
    if (tenants.size === 1 || own + 1 > most / tenants.size) return "none"
    return [...tenants].filter((other) => this.placesOf(other) === largest)
      .map((other) => this.waiting.findLast(({ tenant }) => tenant === other)!.id)
  }

  private get least(): number {
    return Math.min(...this.waiting.map(({ tenant }) => this.startOf(tenant)))
  }

  private begin(): void {
    const { least } = this
    this.first = this.waiting.find(({ tenant }) => this.startOf(tenant) === least)
    this.turnStart = least
  }
}

/** The line as it was when nobody had a name: first come, first served. */
export class PlainLine {
  private readonly waiting = new Set<object>()
  private share = 0
  private countedAt = -Infinity
  private memory = 1

  get length(): number {
    return this.waiting.size
  }

  isStanding(now: number): boolean {
    this.count(now)
    return this.share > 0.4
  }

  isFirst(place: object): boolean {
    return this.waiting.values().next().value === place
  }

  enter(now: number, patience: number): object {
    const place = {}
    this.memory = Math.max(1, 1.96 * patience)
    this.count(now)
    this.waiting.add(place)
    return place
  }

  leave(place: object, now: number): void {
    this.count(now)
    this.waiting.delete(place)
  }

  private count(now: number): void {
    const elapsed = now - this.countedAt
    this.countedAt = now
    if (elapsed > 0) {
      this.share += ((this.waiting.size > 0 ? 1 : 0) - this.share) * (1 - Math.exp(-elapsed / this.memory))
    }
  }
}
