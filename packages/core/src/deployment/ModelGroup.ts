/**
 * The deployments of one model, and what they teach about it together: tokens per character, answer lengths and the
 * latency to expect.
 */
import { TokenEstimate } from "../request/TokenEstimate.ts"
import type { Deployment } from "./Deployment.ts"
import { ExpectedLatency } from "./Latency.ts"
import { Overload } from "./Overload.ts"
import { WaitingLine } from "./WaitingLine.ts"

const RECENTLY = 30_000

/**
 * Live state of a model.
 */
export class ModelGroup {
  readonly model: string
  readonly estimate = new TokenEstimate()
  readonly expected = new ExpectedLatency()
  /** Whether answers were seen to reason, which they may do in silence. */
  reasons = false
  /** Requests that wait for a deployment to come back. */
  readonly line = new WaitingLine()
  readonly overload = new Overload()
  /** In order of tier. Replaced whole when the set changes. */
  deployments: ReadonlyArray<Deployment> = []
  /** Whether any of them is not provisioned. */
  hasStandard = false

  constructor(model: string) {
    this.model = model
  }

  /** Whether a deployment other than this one answered within the last 30 s. */
  hasHealthyPeer(self: Deployment, now: number): boolean {
    for (const peer of this.deployments) {
      if (peer !== self && now - peer.lastSuccessAt <= RECENTLY) return true
    }
    return false
  }
}
