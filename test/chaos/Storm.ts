/**
 * A storm: strikes dealt from a shuffled deck, several at a time, each until it was met. What was not met is dealt again.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { EVERYWHERE, type StrikeKind, strikeKinds, type Struck } from "./Strikes.ts"

const LINGER_MILLIS = 30_000

/** Requests that a strike should meet before it ends. */
const ENOUGH = 3

export class Storm {
  private readonly struck: Struck
  private readonly taken = new Set<string>()
  private deck: Array<StrikeKind> = []

  constructor(struck: Struck) {
    this.struck = struck
  }

  /** Ends when every strike has ended, some while after so many milliseconds. */
  async rage(millis: number): Promise<void> {
    const until = performance.now() + millis
    const beat = Math.min(600, millis / strikeKinds.length)
    const strikes: Array<Promise<void>> = []
    while (performance.now() < until) {
      strikes.push(this.deal())
      await sleep(beat * (0.5 + this.struck.random()))
    }
    await Promise.all(strikes)
  }

  /** Goes on with what no request has met yet, though not for ever. */
  async linger(): Promise<void> {
    const until = performance.now() + LINGER_MILLIS
    while (this.unmet().length > 0 && performance.now() < until) {
      this.deck = shuffled(this.unmet(), this.struck.random)
      await Promise.all([...this.deck.map(() => this.deal()), sleep(50)])
    }
    this.deck = []
  }

  private unmet(): ReadonlyArray<StrikeKind> {
    return strikeKinds.filter(({ name }) => this.struck.tally.struck.of(name) === 0)
  }

  /** Begins the next of the deck that finds a place, and ends with it. */
  private async deal(): Promise<void> {
    if (this.deck.length === 0) this.deck = shuffled(strikeKinds, this.struck.random)
    for (const [i, kind] of this.deck.entries()) {
      const place = kind.place(this.struck, (place) => this.isFree(place))
      if (place === undefined) continue
      this.deck.splice(i, 1)
      return this.strike(kind, place)
    }
  }

  private async strike(kind: StrikeKind, place: string): Promise<void> {
    const { random, tally } = this.struck
    this.taken.add(place)
    const strike = await kind.begin(this.struck, place)
    const least = performance.now() + 200 + random() * 1_000
    const most = least + 1_000
    while (performance.now() < least || (strike.met() < ENOUGH && performance.now() < most)) await sleep(50)
    const met = strike.met()
    await strike.end()
    this.taken.delete(place)
    tally.struck.add(kind.name, met)
    if (met === 0) this.deck.push(kind)
  }

  private isFree(place: string): boolean {
    return !this.taken.has(place) && !(place.endsWith(`/*`) && this.taken.has(EVERYWHERE))
  }
}

const shuffled = <A>(items: ReadonlyArray<A>, random: () => number): Array<A> => {
  const left = [...items]
  for (let i = left.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[left[i], left[j]] = [left[j]!, left[i]!]
  }
  return left
}
