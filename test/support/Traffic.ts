/**
 * Traffic over deployments under virtual time, without a balancer: gates, a policy, reservations, and answers that come
 * after a while. Small enough to read, so that a policy's quality is what is measured and nothing else.
 */
import type { Deployment, Permit } from "#core/deployment/Deployment"
import { refusalOf } from "#core/deployment/Gate"
import * as SeededRandom from "#core/simulation/SeededRandom"
import type { Policy } from "@evenkeel/core"
import { candidatesAt, demandOf, makeGroup } from "./Parts.ts"

export interface Traffic {
  readonly perSecond: number
  readonly seconds: number
  readonly tokens: number
  readonly seed: number
  /** Milliseconds until an answer; a second, more or less, unless a test says otherwise. */
  readonly latency?: (deployment: Deployment) => number
  /** Called at the end of each second. */
  readonly onSecond?: (now: number) => void
}

export interface Driven {
  /** Requests that each deployment got, in the order of the deployments. */
  readonly counts: ReadonlyArray<number>
  /** Requests for which no deployment passed its gates. */
  readonly refused: number
}

interface Sent {
  readonly permit: Permit
  readonly endsAt: number
}

const aSecond = () => 1000

export const drive = (policy: Policy.Policy, deployments: ReadonlyArray<Deployment>, traffic: Traffic): Driven => {
  const { latency = aSecond, onSecond, perSecond, seconds, seed, tokens } = traffic
  const random = SeededRandom.make(seed)
  const { expected } = makeGroup(deployments)
  const counts = new Map(deployments.map((deployment) => [deployment, 0]))
  let refused = 0
  let flying: Array<Sent> = []

  const land = (now: number): void => {
    const landed = flying.filter(({ endsAt }) => endsAt <= now).toSorted((a, b) => a.endsAt - b.endsAt)
    flying = flying.filter(({ endsAt }) => endsAt > now)
    for (const { endsAt, permit } of landed) {
      const { deployment } = permit
      deployment.firstByte(permit, endsAt)
      deployment.latency.observe(expected.ratio("answer", endsAt - permit.startedAt, 1), endsAt)
      deployment.leave(permit)
    }
  }

  const send = (now: number): void => {
    const demand = demandOf(tokens)
    const passing = deployments.filter((deployment) => refusalOf(deployment, demand, now) === undefined)
    const candidates = candidatesAt(passing, now)
    if (candidates.length === 0) {
      refused++
      return
    }
    const { deployment } = policy(candidates, random)
    counts.set(deployment, counts.get(deployment)! + 1)
    const permit = deployment.enter(now, tokens)
    flying.push({ permit, endsAt: now + latency(deployment) * (0.9 + 0.2 * random()) })
  }

  for (let second = 0; second < seconds; second++) {
    for (let i = 0; i < perSecond; i++) {
      const now = 1000 * (second + (i + random()) / perSecond)
      land(now)
      send(now)
    }
    land(1000 * (second + 1))
    onSecond?.(1000 * (second + 1))
  }
  return { counts: [...counts.values()], refused }
}

/** What every deployment ran at on average over the last so many seconds of the traffic, in their order. */
export const utilisations = (
  policy: Policy.Policy,
  deployments: ReadonlyArray<Deployment>,
  traffic: Traffic,
  last: number
): ReadonlyArray<number> => {
  const sums = deployments.map(() => 0)
  drive(policy, deployments, {
    ...traffic,
    onSecond: (now) => {
      if (now <= 1000 * (traffic.seconds - last)) return
      deployments.forEach((deployment, i) => sums[i]! += deployment.quota.utilisation(now))
    }
  })
  return sums.map((sum) => sum / last)
}
