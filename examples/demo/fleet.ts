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
  /** Tokens a minute, in a demo of the usual length. */
  readonly tpm: number
  /** Time to the first token of a short prompt, in milliseconds. */
  readonly baseMs: number
}

const members: ReadonlyArray<Member> = [
  { resource: "east", name: "ptu", tier: 1, tpm: 60_000, baseMs: 140 },
  { resource: "west", name: "gpt-4o", tier: 2, tpm: 120_000, baseMs: 180 },
  { resource: "france", name: "gpt-4o", tier: 2, tpm: 100_000, baseMs: 200 },
  { resource: "sweden", name: "gpt-4o", tier: 2, tpm: 80_000, baseMs: 200 },
  { resource: "japan", name: "gpt-4o", tier: 2, tpm: 60_000, baseMs: 220 },
  { resource: "brazil", name: "gpt-4o", tier: 2, tpm: 50_000, baseMs: 240 }
]

/** The length of a demo, in milliseconds, for which the quotas are made. */
const USUAL = 20_000

/** A minute's quota of pay-as-you-go, for a demo of any length: its share in use moves in the same way. */
const limitsOf = ({ tpm }: Member, duration: number) => {
  const scaled = Math.round(tpm * duration / USUAL)
  return { tpm: scaled, rpm: Math.round(scaled / 100) }
}

/** The id that the balancer has for the deployment of a resource. */
export const idOf = (resource: string): string => {
  const { name } = members.find((member) => member.resource === resource)!
  return `${resource}/${name}`
}

export const startFleet = (duration: number): Promise<Simulator> =>
  startSimulator({
    resources: members.map((member) => ({
      name: member.resource,
      deployments: [{
        name: member.name,
        model,
        ...(member.tier === 1
          ? { provisioned: true, tpm: member.tpm, burstMs: duration / 2 }
          : limitsOf(member, duration)),
        outputTokens: 50,
        latency: { baseMs: member.baseMs, perPromptTokenMs: 0.1, perOutputTokenMs: 8, tokensPerEvent: 2 }
      }]
    }))
  })

/**
 * The configuration, as a user would write it. Times are far below the defaults, because the whole demo is so short.
 */
export const configOf = (simulator: Simulator, duration: number): ConfigInput => ({
  resources: simulator.resources.map((resource) => {
    const member = members.find(({ resource: name }) => name === resource.name)!
    const { name, tier } = member
    const deployment = tier === 1
      // provisioned throughput has no quota that could be counted: the service tells how full it is
      ? { name, model, tier, provisioned: true }
      : { name, model, tier, ...limitsOf(member, duration) }
    return { ...resource.config(), deployments: [deployment] }
  }),
  health: {
    openFor: duration / 16,
    maxOpenFor: duration / 5,
    slowStart: duration / 8,
    check: { interval: duration / 20, timeout: 1_000 }
  },
  quota: { headerMaxAge: duration / 6 }
})
