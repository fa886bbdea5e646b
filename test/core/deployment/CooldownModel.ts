/**
 * What a cooldown should be: a list of the waits that were asked for, and of the requests that passed meanwhile.
 */
import type { CooldownOptions } from "#core/deployment/Cooldown"

interface Wait {
  readonly until: number
  readonly reason: string
}

export class CooldownModel {
  private readonly waits: Array<Wait> = []
  /** When it began to hold, or was last broken by a probe. */
  private heldSince = -Infinity
  private readonly missing: Array<Wait> = []
  private missed = 0
  private readonly options: CooldownOptions

  constructor(options: CooldownOptions) {
    this.options = options
  }

  /** The first that lasts as long as any. */
  private get longest(): Wait | undefined {
    const until = Math.max(...this.waits.map((wait) => wait.until))
    return this.waits.find((wait) => wait.until === until)
  }

  get endsAt(): number {
    return this.longest?.until ?? 0
  }

  get reason(): string {
    return this.longest?.reason ?? ""
  }

  allows(now: number): boolean {
    return now >= this.endsAt || now - this.heldSince >= this.options.maxCooldown
  }

  isMissing(now: number): boolean {
    return this.missing.some(({ until }) => now < until)
  }

  enter(now: number): void {
    if (now < this.endsAt) this.heldSince = now
  }

  begin(now: number, wait: number | undefined, reason: string): number {
    if (now >= this.endsAt) this.heldSince = now
    this.waits.push({ until: now + (wait ?? this.options.cooldown), reason })
    return this.endsAt - now
  }

  beginMissing(now: number, reason: string): number {
    if (this.isMissing(now)) return this.endsAt - now
    const wait = Math.min(30_000 * 2 ** this.missed, this.options.maxCooldown)
    this.missed++
    this.missing.push({ until: now + wait, reason })
    return this.begin(now, wait, reason)
  }

  found(): void {
    this.missed = 0
  }
}
