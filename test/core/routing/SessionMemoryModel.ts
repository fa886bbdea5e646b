/**
 * What the memory of sessions should be: a list of places, in the order in which they were last written.
 */
import type { SessionAffinityOptions } from "#core/routing/SessionAffinity"

/** What of a deployment matters here. */
interface Leaving {
  readonly draining: boolean
}

interface Place<A> {
  readonly session: string
  readonly deployment: A
  readonly startedAt: number
  readonly writtenAt: number
}

export class SessionMemoryModel<A extends Leaving> {
  private places: ReadonlyArray<Place<A>> = []
  private readonly options: SessionAffinityOptions

  constructor(options: SessionAffinityOptions) {
    this.options = options
  }

  get size(): number {
    return this.places.length
  }

  /** What went cold is forgotten as soon as someone asks. */
  recall(session: string, now: number): A | undefined {
    const place = this.placeOf(session)
    if (place === undefined) return undefined
    if (now <= place.writtenAt + this.options.idle) return place.deployment
    this.places = this.without(session)
    return undefined
  }

  commit(session: string, deployment: A, startedAt: number, now: number): A | undefined {
    const before = this.placeOf(session)
    if (before !== undefined && startedAt < before.startedAt) return undefined
    this.places = this.without(session)
    if (deployment.draining) return undefined
    this.places = [...this.places, { session, deployment, startedAt, writtenAt: now }].slice(-this.options.capacity)
    return before?.deployment === deployment ? undefined : before?.deployment
  }

  private placeOf(session: string): Place<A> | undefined {
    return this.places.find((place) => place.session === session)
  }

  private without(session: string): ReadonlyArray<Place<A>> {
    return this.places.filter((place) => place.session !== session)
  }
}
