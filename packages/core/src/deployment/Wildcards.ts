/**
 * Wildcards: a deployment called `*` has one of its own for each model that is asked for, with quota and health of its own,
 * for as long as that is asked for.
 */
import type { Deployment } from "./Deployment.ts"
import { EVERY_MODEL, type LiveSet } from "./LiveSet.ts"
import type { Model } from "./Model.ts"

/** Deployments that wildcards may become, besides those in use; a caller's typing errors must not grow the set for ever. */
const MAX_MATERIALISED = 100

/**
 * What the wildcards of a live set become.
 */
export class Wildcards {
  private readonly set: LiveSet

  constructor(set: LiveSet) {
    this.set = set
  }

  /** Who serves a model, wildcards included. */
  serve(model: string, now: number): Model | undefined {
    if (model !== EVERY_MODEL) this.materialise(model, now)
    this.set.regroup(model)
    return this.set.served(model)
  }

  private materialise(model: string, now: number): void {
    const { set } = this
    for (const wildcard of set.models.get(EVERY_MODEL)?.deployments ?? []) {
      while (this.size >= MAX_MATERIALISED && this.makeRoom(now));
      // a resource that has a deployment for the model serves it by that
      if (set.serversOf(model).some(({ resource }) => resource === wildcard.resource)) continue
      const plain = `${wildcard.resource.name}/${model}`
      // a deployment of that name may serve another model
      const id = set.deployments.has(plain) ? `${wildcard.id}:${model}` : plain
      const own = set.insert({ ...wildcard.config, name: model, model }, wildcard.resource, -Infinity, id)
      own.wildcard = wildcard
      own.draining = wildcard.draining
    }
  }

  private get size(): number {
    let size = 0
    for (const { wildcard } of this.set.deployments.values()) if (wildcard !== undefined) size++
    return size
  }

  /** Forgets the model that was answered the longest ago, or never, of those that only wildcards serve. */
  private makeRoom(now: number): boolean {
    let oldest: Model | undefined
    let oldestAt = Infinity
    for (const model of this.set.models.values()) {
      const members = model.deployments
      if (members.length === 0 || model.line.length > 0 || !members.every((member) => isIdle(member, now))) {
        continue
      }
      const at = members.reduce((latest, { lastSuccessAt }) => Math.max(latest, lastSuccessAt), -Infinity)
      if (oldest !== undefined && at >= oldestAt) continue
      oldest = model
      oldestAt = at
    }
    if (oldest === undefined) return false
    this.set.models.delete(oldest.model)
    // they stay in the group, for a request that pauses between two attempts
    for (const deployment of oldest.deployments) this.set.delete(deployment)
    return true
  }
}

/** Whether nothing would be lost with it: nobody names or uses it, and no time is set that it must be left alone for. */
const isIdle = ({ breaker, cooldown, inFlight, wildcard }: Deployment, now: number): boolean =>
  wildcard !== undefined && inFlight === 0 && breaker.isClosed && (cooldown.allows(now) || cooldown.isMissing(now))
