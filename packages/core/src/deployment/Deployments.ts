/**
 * The live set of resources and deployments.
 *
 * It can change while requests run: what is added takes traffic slowly, what is updated keeps its history, what is
 * drained takes no new request, and what is removed is forgotten once the requests that it is serving have ended.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Config from "../config/Config.ts"
import { type ConfigIssue, invalidConfig, type LoadBalancerError } from "../Errors.ts"
import { EventHub } from "../EventHub.ts"
import { monotonicMillis } from "../Time.ts"
import * as Credential from "./Credential.ts"
import { Deployment } from "./Deployment.ts"
import type { MembershipChanged } from "./DeploymentEvent.ts"
import { Model } from "./Model.ts"
import { Resource } from "./Resource.ts"

/** Name of a deployment that serves every model under the model's own name. */
const EVERY_MODEL = "*"

/** Deployments that wildcards may become, besides those in use; a caller's typing errors must not grow the set for ever. */
const MAX_MATERIALISED = 100

/**
 * What another process saw of a deployment, so that a fleet may share what it learns.
 */
export interface Observation {
  /** Milliseconds that the service asked to wait, from now. */
  readonly cooldownFor?: number | undefined
  /** Tokens and requests of the last minute that others sent to it. */
  readonly usage?: { readonly tokens: number; readonly requests: number } | undefined
  /** `failing` opens the breaker, `healthy` closes it. */
  readonly health?: "healthy" | "failing" | undefined
}

/**
 * Service of the live set.
 */
export class Deployments extends Context.Service<Deployments, {
  /** Deployments of now, in the order in which they were added. */
  readonly all: () => ReadonlyArray<Deployment>
  readonly resources: () => ReadonlyArray<Resource>
  readonly resource: (name: string) => Resource | undefined
  /**
   * The group that serves a model, or nothing when no deployment does. Where there is no such model, the name of a
   * deployment stands for its model, if all of that name serve one.
   */
  readonly group: (model: string) => Model | undefined
  /** Models of the deployments of this name, but for resources that serve any model under the model's own name. */
  readonly modelsNamed: (name: string) => ReadonlyArray<string>
  /** One deployment of each resource, for endpoints that name no model; nothing where there is no resource. */
  readonly everywhere: () => Model | undefined
  /** Models that are served by name. */
  readonly models: () => ReadonlyArray<string>
  readonly settings: Config.Config
  readonly events: EventHub
  /**
   * Adds deployments: of a new resource, or to one that is there. A deployment that is there already is updated (model
   * and kind stay), and comes back when it was draining; another credential, proxy or TLS replaces the resource's.
   */
  readonly add: (resource: Config.ResourceInput) => Effect.Effect<void, LoadBalancerError>
  /** Changes tier, weight or limits of a deployment, by its id `resource/deployment`. Returns whether it is there. */
  readonly update: (id: string, change: DeploymentChange) => Effect.Effect<boolean, LoadBalancerError>
  /** Sends no new request to a deployment; those in flight go on. Returns whether it is there. */
  readonly drain: (id: string) => Effect.Effect<boolean>
  /** Takes a deployment out of the set; requests in flight go on. Returns whether it was there. */
  readonly remove: (id: string) => Effect.Effect<boolean>
  /** Takes in what another process saw. Returns whether the deployment is there. */
  readonly observe: (id: string, observation: Observation) => Effect.Effect<boolean>
}>()("@evenkeel/core/deployment/Deployments") {
  /** Layer of the live set of a decoded configuration. */
  static layer(settings: Config.Config): Layer.Layer<Deployments> {
    return Layer.effect(Deployments, make(settings))
  }
}

/**
 * What may be changed of a deployment while it runs. What is left out stays; a limit that is `undefined` is not known any
 * more.
 */
export type DeploymentChange = Partial<Pick<Config.DeploymentConfig, "tier" | "weight" | "tpm" | "rpm">>

const changeable: ReadonlySet<string> = new Set<keyof DeploymentChange>(["tier", "weight", "tpm", "rpm"])

/** A tier or a weight is never unknown, so one that is `undefined` was left out. */
const withoutUndefined = ({ tier, weight, ...limits }: DeploymentChange): DeploymentChange => ({
  ...limits,
  ...(tier === undefined ? {} : { tier }),
  ...(weight === undefined ? {} : { weight })
})

/** The error of a change that comes too late. */
const tooLate = (source: string): LoadBalancerError =>
  invalidConfig(source, [{ path: "", message: "comes too late: the load balancer was closed; create another" }])

const make = (settings: Config.Config): Effect.Effect<Deployments["Service"], never, Scope.Scope> =>
  Effect.gen(function*() {
    let isClosed = false
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        isClosed = true
      })
    )
    const clock = yield* Clock.Clock
    const entraTokens = yield* Credential.EntraTokens
    const events = new EventHub()
    const resources = new Map<string, Resource>()
    const deployments = new Map<string, Deployment>()
    const configs = new Map<string, Config.DeploymentConfig>()
    const groups = new Map<string, Model>()
    const resourceConfigs = new Map<string, Config.ResourceConfig>()
    const materialised = new Map<string, string>()

    const emitChange = (deployment: string, change: MembershipChanged["change"]) => {
      if (events.hasListeners) {
        events.emit<MembershipChanged>({
          _tag: "MembershipChanged",
          at: clock.currentTimeMillisUnsafe(),
          deployment,
          change
        })
      }
    }

    /** What a wildcard became. */
    const ownOf = (id: string): ReadonlyArray<string> =>
      [...materialised].filter(([, wildcard]) => wildcard === id).map(([own]) => own)

    const insert = (
      config: Config.DeploymentConfig,
      resource: Resource,
      addedAt: number,
      id?: string
    ): Deployment => {
      const deployment = new Deployment(config, resource, settings, addedAt, id)
      deployments.set(deployment.id, deployment)
      configs.set(deployment.id, config)
      return deployment
    }

    /** A wildcard deployment has one of its own for each model that is asked for, with quota and health of its own. */
    const materialise = (model: string): void => {
      for (const wildcard of groups.get(EVERY_MODEL)?.deployments ?? []) {
        while (materialised.size >= MAX_MATERIALISED && makeRoom());
        // a resource that has a deployment for the model serves it by that
        if (serversOf(model).some(({ resource }) => resource === wildcard.resource)) continue
        const plain = `${wildcard.resource.name}/${model}`
        // a deployment of that name may serve another model
        const id = deployments.has(plain) ? `${wildcard.id}:${model}` : plain
        const own = insert({ ...configs.get(wildcard.id)!, name: model, model }, wildcard.resource, -Infinity, id)
        own.draining = wildcard.draining
        materialised.set(id, wildcard.id)
      }
    }

    /** Whether nothing would be lost with it: nobody uses it, and no time is set that it must be left alone for. */
    const isIdle = ({ breaker, cooldown, id, inFlight }: Deployment, now: number): boolean =>
      materialised.has(id) && inFlight === 0 && breaker.isClosed && (cooldown.allows(now) || cooldown.isMissing(now))

    /** Forgets the model that was answered the longest ago, or never, of those that only wildcards serve. */
    const makeRoom = (): boolean => {
      const now = monotonicMillis(clock)
      let oldest: Model | undefined
      let oldestAt = Infinity
      for (const group of groups.values()) {
        const members = group.deployments
        if (members.length === 0 || group.line.length > 0 || !members.every((member) => isIdle(member, now))) continue
        const at = members.reduce((latest, { lastSuccessAt }) => Math.max(latest, lastSuccessAt), -Infinity)
        if (oldest !== undefined && at >= oldestAt) continue
        oldest = group
        oldestAt = at
      }
      if (oldest === undefined) return false
      groups.delete(oldest.model)
      // they stay in the group, for a request that pauses between two attempts
      for (const { id } of oldest.deployments) {
        deployments.delete(id)
        configs.delete(id)
        materialised.delete(id)
      }
      return true
    }

    const serversOf = (model: string): ReadonlyArray<Deployment> =>
      [...deployments.values()].filter((deployment) => deployment.model === model)

    /** A group outlives its last deployment: a request that waits meanwhile finds the one that is added next. */
    const regroup = (model: string): void => {
      const members = serversOf(model)
      let group = groups.get(model)
      if (group === undefined) {
        if (members.length === 0) return
        group = new Model(model)
        groups.set(model, group)
      }
      group.deployments = members.toSorted((a, b) => a.tier - b.tier)
      group.hasStandard = members.some(({ provisioned }) => !provisioned)
    }

    const groupOf = (model: string): Model | undefined => {
      const group = groups.get(model)
      return group === undefined || group.deployments.length === 0 ? undefined : group
    }

    const withWildcards = (model: string): Model | undefined => {
      if (model !== EVERY_MODEL) materialise(model)
      regroup(model)
      return groupOf(model)
    }

    /** What of an addition contradicts what is there: an address or a model cannot change under way. */
    const contradictions = (config: Config.ResourceConfig): ReadonlyArray<ConfigIssue> => {
      const known = resourceConfigs.get(config.name)
      if (known === undefined || !resources.has(config.name)) return []
      const issues: Array<ConfigIssue> = []
      for (const key of ["provider", "endpoint", "apiVersion"] as const) {
        if (known[key] === config[key]) continue
        const message =
          `differs from that of the resource "${config.name}", which is there; give another name, or remove`
          + " its deployments first"
        issues.push({ path: key, message })
      }
      config.deployments.forEach((deployment, i) => {
        const id = `${config.name}/${deployment.name}`
        const there = configs.get(id)
        for (const key of ["model", "provisioned"] as const) {
          if (there === undefined || there[key] === deployment[key] || materialised.has(id)) continue
          issues.push({
            path: `deployments[${i}].${key}`,
            message: "cannot change under way; remove the deployment first"
          })
        }
      })
      return issues
    }

    const forget = (id: string): void => {
      const deployment = deployments.get(id)!
      deployment.draining = true
      deployments.delete(id)
      configs.delete(id)
      materialised.delete(id)
      regroup(deployment.model)
      emitChange(id, "removed")
    }

    const addResource = (config: Config.ResourceConfig, addedAt: number, now: number): void => {
      let resource = resources.get(config.name)
      const known = resourceConfigs.get(config.name)
      resourceConfigs.set(config.name, config)
      const credential = Credential.make(config.provider, config.auth, entraTokens, config.headers)
      if (resource === undefined) {
        resource = new Resource(config, credential, settings.health)
        resources.set(config.name, resource)
      } else {
        if (known === undefined || !Credential.isSame(known, config)) resource.renewCredential(credential, now)
        const settings = [known?.proxy, known?.tls, config.proxy, config.tls]
        if (settings.some((setting) => setting !== undefined)) resource.reconnect(config)
      }
      for (const deployment of config.deployments) {
        const known = deployments.get(`${config.name}/${deployment.name}`)
        if (known === undefined) {
          emitChange(insert(deployment, resource, addedAt).id, "added")
        } else if (known.model !== deployment.model || known.provisioned !== deployment.provisioned) {
          // what a wildcard became gives way
          known.draining = true
          materialised.delete(known.id)
          emitChange(insert(deployment, resource, addedAt).id, "added")
          withWildcards(known.model)
        } else {
          // named explicitly, it no longer comes and goes with a wildcard
          materialised.delete(known.id)
          for (const id of [known.id, ...ownOf(known.id)]) {
            deployments.get(id)!.configure(deployment)
            deployments.get(id)!.draining = false
            configs.set(id, { ...deployment, name: configs.get(id)!.name, model: configs.get(id)!.model })
          }
          emitChange(known.id, "updated")
        }
        // what the resource's wildcard became for the model gives way too
        for (const other of serversOf(deployment.model)) {
          if (other.resource === resource && materialised.has(other.id)) forget(other.id)
        }
        withWildcards(deployment.model)
      }
      if (config.deployments.some(({ model }) => model === EVERY_MODEL)) {
        for (const model of groups.keys()) {
          if (groupOf(model) !== undefined) withWildcards(model)
        }
      }
    }

    for (const resource of settings.resources) addResource(resource, -Infinity, monotonicMillis(clock))

    const modelsNamed = (name: string): ReadonlyArray<string> => {
      const wild = new Set(serversOf(EVERY_MODEL).map(({ resource }) => resource))
      const found = new Set<string>()
      for (const deployment of deployments.values()) {
        if (deployment.name === name && !wild.has(deployment.resource)) found.add(deployment.model)
      }
      return [...found]
    }

    const namedGroup = (name: string): Model | undefined => {
      const [model, other] = modelsNamed(name)
      return model === undefined || other !== undefined ? undefined : groupOf(model)
    }

    const everywhere = new Model(EVERY_MODEL)
    const oneOfEach = (): Model | undefined => {
      const first = new Map<Resource, Deployment>()
      for (const deployment of deployments.values()) {
        if (first.get(deployment.resource)?.draining !== false) first.set(deployment.resource, deployment)
      }
      everywhere.deployments = [...first.values()]
      return first.size === 0 ? undefined : everywhere
    }

    const withDeployment = (id: string, change: (deployment: Deployment) => void) =>
      Effect.sync(() => {
        const deployment = deployments.get(id)
        if (deployment === undefined) return false
        change(deployment)
        return true
      })

    return Deployments.of({
      all: () => [...deployments.values()],
      resources: () => [...resources.values()],
      resource: (name) => resources.get(name),
      group: (model) => groupOf(model) ?? namedGroup(model) ?? withWildcards(model),
      modelsNamed,
      everywhere: oneOfEach,
      models: () => [...groups.keys()].filter((model) => groupOf(model) !== undefined),
      settings,
      events,
      add: (input) =>
        Effect.flatMap(Config.decodeEffect({ resources: [input] }, "the given resource"), ({ resources }) => {
          if (isClosed) return Effect.fail(tooLate("the given resource"))
          const issues = contradictions(resources[0]!)
          if (issues.length > 0) return Effect.fail(invalidConfig("the given resource", issues))
          const now = monotonicMillis(clock)
          addResource(resources[0]!, now, now)
          return Effect.void
        }),
      update: (id, change) =>
        Effect.suspend(() => {
          if (isClosed) return Effect.fail(tooLate("the given change"))
          const known = configs.get(id)
          if (known === undefined) return Effect.succeed(false)
          // decoded like any other configuration, so that a mistake is told in the same words
          const carrier = { name: "resource", provider: "compatible", endpoint: "https://resource.invalid" } as const
          const wanted = withoutUndefined(change)
          const input = { resources: [{ ...carrier, deployments: [{ ...known, ...wanted }] }] }
          return Effect.flatMap(Config.decodeEffect(input, "the given change"), ({ resources }) => {
            const fixed = Object.keys(wanted).filter((key) => !changeable.has(key))
            if (fixed.length > 0) {
              const issues = fixed.map((path) => ({ path, message: "cannot change under way" }))
              return Effect.fail(invalidConfig("the given change", issues))
            }
            const config = resources[0]!.deployments[0]!
            const decoded = Object.fromEntries(
              Object.keys(wanted).map((key) => [key, config[key as keyof typeof config]])
            )
            for (const changed of [id, ...ownOf(id)]) {
              const deployment = deployments.get(changed)!
              const own = { ...configs.get(changed)!, ...decoded }
              configs.set(changed, own)
              deployment.configure(own)
              regroup(deployment.model)
            }
            emitChange(id, "updated")
            return Effect.succeed(true)
          })
        }),
      drain: (id) =>
        withDeployment(id, () => {
          for (const own of [id, ...ownOf(id)]) {
            deployments.get(own)!.draining = true
            emitChange(own, "draining")
          }
        }),
      remove: (id) =>
        withDeployment(id, (deployment) => {
          const own = ownOf(id)
          forget(id)
          for (const became of own) forget(became)
          if (![...deployments.values()].some((other) => other.resource === deployment.resource)) {
            resources.delete(deployment.resource.name)
            deployment.resource.remove()
          }
        }),
      observe: (id, observation) =>
        withDeployment(id, (deployment) => {
          const now = monotonicMillis(clock)
          if (observation.cooldownFor !== undefined && observation.cooldownFor > 0) {
            deployment.cooldown.begin(now, observation.cooldownFor, "told by another process")
          }
          if (observation.usage !== undefined) {
            deployment.quota.observeOthers(now, observation.usage.tokens, observation.usage.requests)
          }
          if (observation.health === "healthy") deployment.breaker.reset(now)
          else if (observation.health === "failing" && deployment.breaker.isClosed) {
            // many processes tell of one outage
            deployment.breaker.trip(now, 0.5, "told by another process")
          }
        })
    })
  })
