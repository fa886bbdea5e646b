/**
 * Six simulated deployments of one model on six resources, and how the balancer is told of them.
 *
 * Tier 1 is provisioned and small: it is always used first, and what it cannot take goes to tier 2.
 */
import type { ConfigInput } from "@evenkeel/core"
import { type Simulator, startSimulator } from "@evenkeel/node"

export const model = "gpt-4o"

interface Member {
  readonly resource: string
  readonly name: string
  readonly tier: number
  /** Tokens a minute. */
  readonly tpm: number
  /** Time to the first token of a short prompt, in milliseconds. */
  readonly baseMs: number
}

const members: ReadonlyArray<Member> = [
  { resource: "east", name: "gpt-4o-ptu", tier: 1, tpm: 60_000, baseMs: 150 },
  { resource: "sweden", name: "gpt-4o-ptu", tier: 1, tpm: 30_000, baseMs: 180 },
  { resource: "west", name: "gpt-4o", tier: 2, tpm: 120_000, baseMs: 200 },
  { resource: "france", name: "gpt-4o", tier: 2, tpm: 90_000, baseMs: 220 },
  { resource: "japan", name: "gpt-4o", tier: 2, tpm: 70_000, baseMs: 240 },
  { resource: "brazil", name: "gpt-4o", tier: 2, tpm: 50_000, baseMs: 260 }
]

/** Ids as the balancer has them. */
export const idOf = (resource: string): string => {
  const member = members.find((member) => member.resource === resource)!
  return `${member.resource}/${member.name}`
}

export const startFleet = (): Promise<Simulator> =>
  startSimulator({
    resources: members.map(({ baseMs, name, resource, tier, tpm }) => ({
      name: resource,
      deployments: [{
        name,
        model,
        tpm,
        rpm: tier === 1 ? undefined : tpm / 100,
        provisioned: tier === 1,
        outputTokens: 40,
        latency: { baseMs, perPromptTokenMs: 0.1, perOutputTokenMs: 8, tokensPerEvent: 2 }
      }]
    }))
  })

/**
 * The configuration: six resources, as a user would write them. Times of health are a quarter of the defaults, because
 * the whole demo is so short; an attempt more than the default, because two of six may be full and one broken.
 */
export const configOf = (simulator: Simulator, duration: number): ConfigInput => ({
  resources: simulator.resources.map((resource) => ({
    ...resource.config(),
    deployments: members.filter((member) => member.resource === resource.name).map(({ name, tier, tpm }) =>
      tier === 1
        // provisioned throughput has no quota that a client could count: its own headers tell how full it is
        ? { name, model, tier, provisioned: true }
        : { name, model, tier, tpm, rpm: tpm / 100 }
    )
  })),
  health: {
    openFor: duration / 16,
    maxOpenFor: duration / 5,
    slowStart: duration / 5,
    check: { interval: duration / 20, timeout: 1_000 }
  },
  quota: { headerMaxAge: duration / 20 },
  failover: { attempts: 4 }
})
