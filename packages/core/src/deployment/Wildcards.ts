/**
 * Wildcards: a deployment called `*` has one of its own for each model that is asked for, with quota and health of its own,
 * for as long as that is asked for.
 */
import type { Deployment } from "./Deployment.ts"
import { EVERY_MODEL, type LiveSet } from "./LiveSet.ts"
import type { Model } from "./Model.ts"

/** Deployments that wildcards may become, besides those in use; a caller's typing errors must not grow the set for ever. */
const MAX_MATERIALISED = 100

/** Who serves a model, wildcards included. */
export const serve = (set: LiveSet, model: string, now: number): Model | undefined => {
  if (model !== EVERY_MODEL) materialise(set, model, now)
  set.regroup(model)
  return set.served(model)
}

const materialise = (set: LiveSet, model: string, now: number): void => {
  for (const wildcard of set.models.get(EVERY_MODEL)?.deployments ?? []) {
    while (countOf(set) >= MAX_MATERIALISED && makeRoom(set, now));
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

const countOf = (set: LiveSet): number =>
  [...set.deployments.values()].filter(({ wildcard }) => wildcard !== undefined).length

/** Forgets the model that was answered the longest ago, or never, of those that only wildcards serve. */
const makeRoom = (set: LiveSet, now: number): boolean => {
  const idle = [...set.models.values()].filter(({ deployments, line }) =>
    deployments.length > 0 && line.length === 0 && deployments.every((member) => isIdle(member, now))
  )
  const [oldest] = idle.toSorted((a, b) => answeredAt(a) - answeredAt(b))
  if (oldest === undefined) return false
  set.models.delete(oldest.model)
  // they stay in the group, for a request that pauses between two attempts
  for (const deployment of oldest.deployments) set.delete(deployment)
  return true
}

const answeredAt = ({ deployments }: Model): number =>
  Math.max(...deployments.map(({ lastSuccessAt }) => lastSuccessAt))

/** Whether nothing would be lost with it: nobody names or uses it, and no time is set that it must be left alone for. */
const isIdle = ({ breaker, cooldown, inFlight, wildcard }: Deployment, now: number): boolean =>
  wildcard !== undefined && inFlight === 0 && breaker.isClosed && (cooldown.allows(now) || cooldown.isMissing(now))
