/**
 * What is in the live set: resources, deployments, and the models that these serve. It is changed by the methods below,
 * each in one synchronous block.
 */
import type { Config, DeploymentConfig, ResourceConfig } from "../config/Config.ts"
import { Deployment } from "./Deployment.ts"
import { Model } from "./Model.ts"
import type { Resource } from "./Resource.ts"

/** Name of a deployment that serves every model under the model's own name. */
export const EVERY_MODEL = "*"

/**
 * Live set of one balancer.
 */
export class LiveSet {
  readonly settings: Config
  readonly resources = new Map<string, Resource>()
  readonly resourceConfigs = new Map<string, ResourceConfig>()
  /** In the order in which they were added. */
  readonly deployments = new Map<string, Deployment>()
  readonly configs = new Map<string, DeploymentConfig>()
  /** A model outlives its last deployment: a request that waits meanwhile finds the one that is added next. */
  readonly models = new Map<string, Model>()
  private readonly everywhere = new Model(EVERY_MODEL)

  constructor(settings: Config) {
    this.settings = settings
  }

  insert(config: DeploymentConfig, resource: Resource, addedAt: number, id?: string): Deployment {
    const deployment = new Deployment(config, resource, this.settings, addedAt, id)
    this.deployments.set(deployment.id, deployment)
    this.configs.set(deployment.id, config)
    return deployment
  }

  configure(id: string, config: DeploymentConfig): void {
    this.configs.set(id, config)
    this.deployments.get(id)!.configure(config)
  }

  delete(id: string): void {
    this.deployments.delete(id)
    this.configs.delete(id)
  }

  serversOf(model: string): ReadonlyArray<Deployment> {
    return [...this.deployments.values()].filter((deployment) => deployment.model === model)
  }

  /** Puts together anew who serves a model. */
  regroup(model: string): void {
    const members = this.serversOf(model)
    let known = this.models.get(model)
    if (known === undefined) {
      if (members.length === 0) return
      known = new Model(model)
      this.models.set(model, known)
    }
    known.deployments = members.toSorted((a, b) => a.tier - b.tier)
    known.hasStandard = members.some(({ provisioned }) => !provisioned)
  }

  /** A model, if any deployment serves it. */
  served(model: string): Model | undefined {
    const known = this.models.get(model)
    return known === undefined || known.deployments.length === 0 ? undefined : known
  }

  /** Models of the deployments of a name, but for resources that serve any model under the model's own name. */
  modelsNamed(name: string): ReadonlyArray<string> {
    const wild = new Set(this.serversOf(EVERY_MODEL).map(({ resource }) => resource))
    const found = new Set<string>()
    for (const deployment of this.deployments.values()) {
      if (deployment.name === name && !wild.has(deployment.resource)) found.add(deployment.model)
    }
    return [...found]
  }

  /** The model of all deployments of a name, if they serve one. */
  servedAs(name: string): Model | undefined {
    const [model, other] = this.modelsNamed(name)
    return model === undefined || other !== undefined ? undefined : this.served(model)
  }

  /** One deployment of each resource. */
  oneOfEach(): Model | undefined {
    const first = new Map<Resource, Deployment>()
    for (const deployment of this.deployments.values()) {
      if (first.get(deployment.resource)?.draining !== false) first.set(deployment.resource, deployment)
    }
    this.everywhere.deployments = [...first.values()]
    return first.size === 0 ? undefined : this.everywhere
  }
}
