/**
 * Deployments without a balancer around them, for tests of what is synchronous.
 */
import type { Config } from "#core/config/Config"
import * as Credential from "#core/deployment/Credential"
import { Deployment } from "#core/deployment/Deployment"
import type { Demand } from "#core/deployment/Gate"
import { Model } from "#core/deployment/Model"
import { Resource } from "#core/deployment/Resource"
import { Candidate } from "#core/routing/Policy"
import { type ConfigInput, decodeConfig } from "@evenkeel/core"
import { Result } from "effect"

/** One deployment on a resource of its own. */
export interface PartOptions {
  readonly name?: string
  readonly tier?: number
  readonly weight?: number
  readonly tpm?: number
  readonly rpm?: number
  readonly provisioned?: boolean
}

export type Sections = Partial<Omit<ConfigInput, "resources">>

const noEntra = () => () => Promise.reject(new Error("no Entra ID here"))

/** A decoded configuration of one resource for each deployment, named `r0`, `r1`, … unless they have names. */
export const makeConfig = (parts: ReadonlyArray<PartOptions>, sections: Sections = {}): Config =>
  Result.getOrThrow(decodeConfig({
    resources: parts.map(({ name, ...rest }, i) => ({
      name: name ?? `r${i}`,
      provider: "compatible",
      endpoint: "http://127.0.0.1:1/v1",
      deployments: [{ name: "gpt", ...rest }]
    })),
    ...sections
  }))

/** Deployments in the order given, warm from the start unless they were added at a time. */
export const makeDeployments = (
  parts: ReadonlyArray<PartOptions>,
  sections: Sections = {},
  addedAt = -Infinity
): Array<Deployment> => {
  const config = makeConfig(parts, sections)
  return config.resources.map((resource) => {
    const credential = Credential.make(resource, noEntra)
    const made = new Resource(resource, credential, config.health)
    return new Deployment(resource.deployments[0]!, made, config, addedAt)
  })
}

/** The group of a model that these deployments serve. */
export const makeGroup = (deployments: ReadonlyArray<Deployment>): Model => {
  const group = new Model("gpt")
  group.deployments = deployments.toSorted((a, b) => a.tier - b.tier)
  group.hasStandard = deployments.some(({ provisioned }) => !provisioned)
  return group
}

/** What a request asks of the gates: so many tokens, of which few are prompt. */
export const demandOf = (tokens: number, more: Partial<Demand> = {}): Demand => ({
  tokens,
  promptTokens: 20,
  isStandardOnly: false,
  hasStandard: true,
  scope: undefined,
  told: undefined,
  resources: undefined,
  ...more
})

/** These deployments as a policy sees them at a time. */
export const candidatesAt = (deployments: ReadonlyArray<Deployment>, now: number): ReadonlyArray<Candidate> =>
  deployments.map((deployment) => new Candidate(deployment, { now }))

/** Takes a deployment out with failures of its own. */
export const failUntilOpen = (deployment: Deployment, now: number): void => {
  for (let i = 0; i < 100 && deployment.breaker.isClosed; i++) {
    deployment.breaker.fail(deployment.breaker.epoch, now, 0.5, "down")
  }
}
