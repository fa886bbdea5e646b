/**
 * What is in the live set: resources, deployments, and the models that these serve. It is changed by the methods below,
 * each in one synchronous block.
 */
import type { Config, DeploymentConfig } from "../config/Config.ts"
import type { EventHub } from "../EventHub.ts"
import { tellChanges } from "./BreakerEvents.ts"
import { Deployment } from "./Deployment.ts"
import { Model } from "./Model.ts"
import { Pool } from "./Pool.ts"
import { Quota } from "./Quota.ts"
import type { Resource } from "./Resource.ts"

/** Name of a deployment that serves every model under the model's own name. */
export const EVERY_MODEL = "*"

/**
 * Live set of one balancer.
 */
export class LiveSet {
  readonly settings: Config
  readonly resources = new Map<string, Resource>()
  /** In the order in which they were added. */
  readonly deployments = new Map<string, Deployment>()
  /** A model outlives its last deployment: a request that waits meanwhile finds the one that is added next. */
  readonly models = new Map<string, Model>()
  /** By name and model. */
  readonly pools = new Map<string, Pool<Deployment>>()
  private readonly events: EventHub
  private readonly everywhere = new Model(EVERY_MODEL)

  constructor(settings: Config, events: EventHub) {
    this.settings = settings
    this.events = events
  }

  insert(config: DeploymentConfig, resource: Resource, addedAt: number, id?: string): Deployment {
    const pool = this.poolOf(config)
    const [known] = pool?.members ?? []
    const { rpm, tpm } = known?.config ?? config
    const own = { ...config, tpm: config.tpm ?? tpm, rpm: config.rpm ?? rpm }
    const deployment = new Deployment(own, resource, this.settings, addedAt, id, pool)
    tellChanges(deployment.breaker, "deployment", deployment.id, this.events)
    this.deployments.set(deployment.id, deployment)
    this.configure(deployment, own)
    return deployment
  }

  /** Its limits are those of all that are configured to share its quota. */
  configure(deployment: Deployment, config: DeploymentConfig): void {
    const { pool } = deployment
    const { rpm, tpm } = config
    for (const member of pool?.isFound === false ? pool.members : [deployment]) {
      member.configure(member === deployment ? config : { ...member.config, tpm, rpm })
    }
  }

  delete(deployment: Deployment): void {
    const { pool } = deployment
    this.deployments.delete(deployment.id)
    pool?.members.delete(deployment)
    if (pool?.members.size === 0 && !pool.isFound) this.pools.delete(keyOf(pool.name, deployment.model))
    this.models.get(deployment.model)?.pools.forget(deployment)
  }

  /** Pools of one name are one for each model. */
  private poolOf({ model, pool: name }: DeploymentConfig): Pool<Deployment> | undefined {
    if (name === undefined) return undefined
    const key = keyOf(name, model)
    const { health, quota } = this.settings
    const pool = this.pools.get(key) ?? new Pool(name, new Quota({ ...quota, provisioned: false }), health)
    this.pools.set(key, pool)
    return pool
  }

  /** A deployment, and what it became where it is a wildcard. */
  withOwn(deployment: Deployment): ReadonlyArray<Deployment> {
    return [...this.deployments.values()].filter((one) => one === deployment || one.wildcard === deployment)
  }

  serversOf(model: string): ReadonlyArray<Deployment> {
    return [...this.deployments.values()].filter((deployment) => deployment.model === model)
  }

  /** Puts together anew who serves a model. */
  regroup(model: string): void {
    const members = this.serversOf(model)
    if (members.length === 0 && !this.models.has(model)) return
    const group = this.models.get(model) ?? new Model(model)
    this.models.set(model, group)
    group.deployments = members.toSorted((a, b) => a.tier - b.tier)
    group.hasStandard = members.some(({ provisioned }) => !provisioned)
  }

  /** A model, if any deployment serves it. */
  served(model: string): Model | undefined {
    const known = this.models.get(model)
    return known === undefined || known.deployments.length === 0 ? undefined : known
  }

  /** Models of the deployments of a name, but for resources that serve any model under the model's own name. */
  modelsNamed(name: string): ReadonlyArray<string> {
    const wild = new Set(this.serversOf(EVERY_MODEL).map(({ resource }) => resource))
    const named = [...this.deployments.values()].filter((one) => one.name === name && !wild.has(one.resource))
    return [...new Set(named.map(({ model }) => model))]
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

const keyOf = (pool: string, model: string): string => `${pool}\u0000${model}`
