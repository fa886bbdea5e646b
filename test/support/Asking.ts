/**
 * Asks the router where a request would go.
 */
import type { Deployment } from "#core/deployment/Deployment"
import { decide, type Decision, type NoCandidate, type Query } from "#core/routing/Router"
import { assert } from "@effect/vitest"
import type { Policy } from "@evenkeel/core"
import { demandOf, makeGroup } from "./Parts.ts"

const first: Policy.Policy = (candidates) => candidates[0]!

const options = { policy: first, hot: 0.85, loadBound: 1.25 }

export interface Asked extends Partial<Omit<Query, "group">> {
  readonly policy?: Policy.Policy
  readonly random?: () => number
  readonly now?: number
  readonly tokens?: number
}

export const ask = (deployments: ReadonlyArray<Deployment>, asked: Asked = {}): Decision | NoCandidate => {
  const { now = 0, policy = first, random = () => 0.5, tokens = 10, ...query } = asked
  const whole = {
    group: makeGroup(deployments),
    demand: demandOf(tokens),
    tried: new Set<Deployment>(),
    session: undefined,
    shard: 0,
    warm: undefined
  }
  return decide({ ...whole, ...query }, { ...options, policy, random }, now)
}

export const chosen = (deployments: ReadonlyArray<Deployment>, asked: Asked = {}): string => {
  const decision = ask(deployments, asked)
  assert(decision._tag === "Decision")
  return decision.deployment.resource.name
}

export const none = (deployments: ReadonlyArray<Deployment>, asked: Asked = {}): NoCandidate => {
  const decision = ask(deployments, asked)
  assert(decision._tag === "NoCandidate")
  return decision
}
