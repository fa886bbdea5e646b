/**
 * The deployments of one model, and what they teach about it together: tokens per character, answer lengths and the
 * latency to expect.
 */
import { TokenEstimate } from "../request/PromptSize.ts"
import type { Deployment, Permit } from "./Deployment.ts"
import { ExpectedLatency, FAR_SLOWER } from "./Latency.ts"
import { PoolFinder } from "./PoolFinder.ts"
import { WaitingLine } from "./WaitingLine.ts"
import { evenly, type Evidence, REMEMBERED_FOR, type Worse } from "./Witnesses.ts"

const RECENTLY = 30_000

/** How long failures are not counted in full before they are judged, after one that was pardoned, in milliseconds. */
const DOUBT = 60_000

/** How long what waits is no sign that its deployment hangs, after a request that waited for its own sake, in milliseconds. */
const WAITS_DOUBT = 10_000

/**
 * Live state of a model.
 */
export class Model {
  readonly model: string
  readonly estimate = new TokenEstimate()
  readonly expected = new ExpectedLatency()
  /** Whether answers were seen to reason, which they may do in silence. */
  reasons = false
  /** Whether answers were seen to tell what they billed, and how many did not before one did. */
  tellsUsage = false
  untold = 0
  /** Requests that wait for a deployment to come back. */
  readonly line = new WaitingLine()
  /** Whether its deployments share quotas. */
  readonly pools = new PoolFinder()
  private doubtfulUntil = -Infinity
  private illAt = -Infinity
  /** In order of tier. Replaced whole when the set changes. */
  deployments: ReadonlyArray<Deployment> = []
  /** Whether any of them is not provisioned. */
  hasStandard = false

  constructor(model: string) {
    this.model = model
  }

  /** Whether a deployment other than this one answered within the last 30 s. */
  hasHealthyPeer(self: Deployment, now: number): boolean {
    return this.deployments.some((peer) => peer !== self && now - peer.lastSuccessAt <= RECENTLY)
  }

  /** A request got no answer from deployments that answer others: there may be more like it. */
  doubt(now: number): void {
    this.doubtfulUntil = now + DOUBT
  }

  /** A deployment answered: what it did not, of those that were sent before, may well wait for its own sake anywhere. */
  answered(permit: Permit, now: number): void {
    if (!permit.deployment.waits[permit.kind].overtake(permit, now)) return
    for (const deployment of this.deployments) deployment.waits[permit.kind].doubt(now + WAITS_DOUBT)
  }

  /** Whether failures may well be their requests' own, as others lately were. */
  isDoubtful(now: number): boolean {
    return now < this.doubtfulUntil
  }

  /** Requests find no deployment that takes them now: those that are failing are missed. */
  hurry(): void {
    for (const { breaker, resource } of this.deployments) {
      breaker.hurry()
      resource.breaker.hurry()
    }
  }

  /** A request fared ill somewhere: from now on it matters how others fare. */
  heardIll(now: number): void {
    this.illAt = now
  }

  /** Whether any fared ill that is remembered. */
  hasIll(now: number): boolean {
    return now - this.illAt <= REMEMBERED_FOR
  }

  /** Whether a deployment's requests fare worse than those of its peers, since it last came back; see `Witnesses`. */
  worse(self: Deployment, now: number, evidence: Evidence): Worse {
    const { breaker, resource, slowUntil, witnesses } = self
    const backAt = Math.max(breaker.reopenedAt, resource.breaker.reopenedAt, now < slowUntil ? -Infinity : slowUntil)
    return witnesses.worseThan(this.deployments, now, evidence, backAt)
  }

  /** Whether a ratio to what is expected is higher by far than what another deployment of the model has typically. */
  isFarSlower(ratio: number, of: "latency" | "decoding", self: Deployment, now: number): boolean {
    // it is the model's mean that is expected: what is below is slow only where most of the others are
    if (ratio <= 1) return false
    if (ratio > FAR_SLOWER) return true
    for (const peer of evenly(this.deployments)) {
      const typical = peer === self ? undefined : peer[of].typical.value(now)
      if (typical !== undefined && ratio > FAR_SLOWER * typical) return true
    }
    return false
  }

  /** Whether most of the others that are in use seem half as slow at least: then that is none's own. */
  areOthersSlow(self: Deployment, now: number): boolean {
    const half = self.slowness(now) / 2
    let slow = 0
    let others = 0
    for (const peer of evenly(this.deployments)) {
      if (peer === self || (peer.waiting === 0 && now - peer.lastSuccessAt > RECENTLY)) continue
      others++
      if (peer.slowness(now) > half) slow++
    }
    return slow > others / 2
  }

  /** Share of their requests that the others answered of late, as far as they say. */
  peersShare(self: Deployment, now: number): number {
    const peers = this.deployments.filter((peer) => peer !== self)
    return peers.length === 0 ? 1 : peers.reduce((sum, peer) => sum + peer.breaker.likelyShare(now), 0) / peers.length
  }
}
