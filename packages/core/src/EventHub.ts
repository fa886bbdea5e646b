/**
 * The one channel of everything that happens. Each room defines what it tells, and tells it here; see `Event`.
 */

/** What every event has. */
export interface AnyEvent {
  readonly _tag: string
  /** Milliseconds since 1970. */
  readonly at: number
}

/** Takes events of any kind, or of those that it knows. */
type Listener = (event: never) => void

/**
 * Tells whoever listens. Nothing is built where nobody does, and a listener that throws is the only one to notice.
 */
export class EventHub {
  private readonly listeners = new Set<(event: AnyEvent) => void>()
  private readonly watchers = new Set<(event: AnyEvent) => void>()
  /** Milliseconds since 1970. */
  readonly wallNow: () => number

  constructor(wallNow: () => number) {
    this.wallNow = wallNow
  }

  /** Whether an event would be heard: ask before building one on the hot path. */
  get hasListeners(): boolean {
    return this.listeners.size > 0
  }

  /** Whether what is rare would be heard: that something fails, is missing, or was checked. */
  get hasTroubleListeners(): boolean {
    return this.listeners.size > 0 || this.watchers.size > 0
  }

  /** Tells of an event, whose kind is to be named: `emit<BreakerOpened>({ … })`. */
  emit<E extends AnyEvent = never>(event: NoInfer<E>): void {
    for (const listeners of [this.listeners, this.watchers]) {
      for (const listener of listeners) {
        try {
          listener(event as AnyEvent)
        } catch {
          // telemetry that fails must not fail a request
        }
      }
    }
  }

  /**
   * Adds a listener that needs only what is rare: it is told at least that something fails, is missing, or was checked,
   * and costs the hot path nothing. Returns what removes it.
   */
  watch(listener: Listener): () => void {
    const watcher = listener as (event: AnyEvent) => void
    this.watchers.add(watcher)
    return () => {
      this.watchers.delete(watcher)
    }
  }

  /** Adds a listener, called synchronously, and returns what removes it. */
  listen(added: Listener): () => void {
    const listener = added as (event: AnyEvent) => void
    this.listeners.add(listener)
    return () => {
      this.listeners.delete(listener)
    }
  }
}
