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
 * What the wildcards of a live set became.
 */
export class Wildcards {
  private readonly set: LiveSet
  /** The wildcard of each, by id. */
  private readonly materialised = new Map<string, string>()

  constructor(set: LiveSet) {
    this.set = set
  }

  /** Whether a deployment comes and goes with a wildcard. */
  has(id: string): boolean {
    return this.materialised.has(id)
  }

  /** It is gone, or named explicitly from now on. */
  forget(id: string): void {
    this.materialised.delete(id)
  }

  /** What a wildcard became. */
  ownOf(id: string): ReadonlyArray<string> {
    return [...this.materialised].filter(([, wildcard]) => wildcard === id).map(([own]) => own)
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
      while (this.materialised.size >= MAX_MATERIALISED && this.makeRoom(now));
      // a resource that has a deployment for the model serves it by that
      if (set.serversOf(model).some(({ resource }) => resource === wildcard.resource)) continue
      const plain = `${wildcard.resource.name}/${model}`
      // a deployment of that name may serve another model
      const id = set.deployments.has(plain) ? `${wildcard.id}:${model}` : plain
      const config = { ...set.configs.get(wildcard.id)!, name: model, model }
      set.insert(config, wildcard.resource, -Infinity, id).draining = wildcard.draining
      this.materialised.set(id, wildcard.id)
    }
  }

  /** Whether nothing would be lost with it: nobody uses it, and no time is set that it must be left alone for. */
  private isIdle({ breaker, cooldown, id, inFlight }: Deployment, now: number): boolean {
    return this.has(id) && inFlight === 0 && breaker.isClosed && (cooldown.allows(now) || cooldown.isMissing(now))
  }

  /** Forgets the model that was answered the longest ago, or never, of those that only wildcards serve. */
  private makeRoom(now: number): boolean {
    let oldest: Model | undefined
    let oldestAt = Infinity
    for (const model of this.set.models.values()) {
      const members = model.deployments
      if (members.length === 0 || model.line.length > 0 || !members.every((member) => this.isIdle(member, now))) {
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
    for (const { id } of oldest.deployments) {
      this.set.delete(id)
      this.forget(id)
    }
    return true
  }
}
