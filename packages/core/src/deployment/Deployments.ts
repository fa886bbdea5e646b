/**
 * The live set of resources and deployments.
 *
 * It can change while requests run: what is added takes traffic slowly, what is updated keeps its history, what is
 * drained takes no new request, and what is removed is forgotten once the requests that it is serving have ended.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Config from "../config/Config.ts"
import { type ConfigIssue, invalidConfig, type LoadBalancerError } from "../Errors.ts"
import { EventHub } from "../EventHub.ts"
import { monotonicMillis } from "../Time.ts"
import { tellChanges } from "./BreakerEvents.ts"
import * as Credential from "./Credential.ts"
import type { Deployment } from "./Deployment.ts"
import type { MembershipChanged } from "./DeploymentEvent.ts"
import { EVERY_MODEL, LiveSet } from "./LiveSet.ts"
import type { Model } from "./Model.ts"
import { Resource } from "./Resource.ts"
import * as Wildcards from "./Wildcards.ts"

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
  /** Whether a deployment is one that was named, and not what a `*` became for a model that somebody asked for. */
  readonly isNamed: (id: string) => boolean
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
  /**
   * Makes the set that of another configuration, in one step: what is in both is updated, what is only here is removed, and
   * what cannot change under way (an address, a model) is removed and added anew. Requests in flight go on. Of the
   * configuration only its resources count.
   */
  readonly replace: (config: Pick<Config.Config, "resources">) => Effect.Effect<void, LoadBalancerError>
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

/** What of a resource, and of a deployment, cannot change under way. */
const addressed = ["provider", "endpoint", "apiVersion"] as const
const fixed = ["model", "provisioned", "pool"] as const

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

/** Whether a deployment of now is in another configuration, with what cannot change under way. */
const stays = ({ config: own, name, resource }: Deployment, wanted: Config.ResourceConfig | undefined): boolean =>
  wanted !== undefined && addressed.every((key) => resource.config[key] === wanted[key])
  && wanted.deployments.some((other) => other.name === name && fixed.every((key) => own[key] === other[key]))

const make = (settings: Config.Config): Effect.Effect<Deployments["Service"], never, Scope.Scope> =>
  Effect.gen(function*() {
    let isClosed = false
    yield* Effect.addFinalizer(() => Effect.sync(() => void (isClosed = true)))
    const clock = yield* Clock.Clock
    const entraTokens = yield* Credential.EntraTokens
    const events = new EventHub(() => clock.currentTimeMillisUnsafe())
    const set = new LiveSet(settings, events)
    const serve = (model: string) => Wildcards.serve(set, model, monotonicMillis(clock))

    const emitChange = (deployment: string, change: MembershipChanged["change"]) => {
      if (!events.hasListeners) return
      events.emit<MembershipChanged>({ _tag: "MembershipChanged", at: events.wallNow(), deployment, change })
    }

    /** What of an addition contradicts what is there: an address or a model cannot change under way. */
    const contradictions = (config: Config.ResourceConfig): ReadonlyArray<ConfigIssue> => {
      const known = set.resources.get(config.name)?.config
      if (known === undefined) return []
      const message = `differs from that of the resource "${config.name}", which is there; give another name, or remove`
        + " its deployments first"
      const issues: Array<ConfigIssue> = addressed.filter((key) => known[key] !== config[key])
        .map((path) => ({ path, message }))
      config.deployments.forEach((deployment, i) => {
        const there = set.deployments.get(`${config.name}/${deployment.name}`)
        if (there === undefined || there.wildcard !== undefined) return
        for (const key of fixed) {
          if (there.config[key] === deployment[key]) continue
          const path = `deployments[${i}].${key}`
          issues.push({ path, message: "cannot change under way; remove the deployment first" })
        }
      })
      return issues
    }

    const forget = (deployment: Deployment): void => {
      deployment.draining = true
      set.delete(deployment)
      set.regroup(deployment.model)
      emitChange(deployment.id, "removed")
    }

    const addResource = (config: Config.ResourceConfig, addedAt: number, now: number): void => {
      let resource = set.resources.get(config.name)
      const credential = Credential.make(config, entraTokens)
      if (resource === undefined) {
        resource = new Resource(config, credential, settings.health)
        tellChanges(resource.breaker, "resource", resource.name, events)
        set.resources.set(config.name, resource)
      } else {
        const { auth, headers, proxy, tls } = resource.config
        resource.config = config
        if (!Equal.equals([auth, headers], [config.auth, config.headers])) resource.renewCredential(credential, now)
        if ([proxy, tls, config.proxy, config.tls].some((setting) => setting !== undefined)) resource.reconnect(config)
      }
      for (const deployment of config.deployments) {
        const known = set.deployments.get(`${config.name}/${deployment.name}`)
        if (known === undefined) {
          emitChange(set.insert(deployment, resource, addedAt).id, "added")
        } else if (known.model !== deployment.model || known.provisioned !== deployment.provisioned) {
          // what a wildcard became gives way
          known.draining = true
          set.delete(known)
          emitChange(set.insert(deployment, resource, addedAt).id, "added")
          serve(known.model)
        } else {
          // named explicitly, it no longer comes and goes with a wildcard
          known.wildcard = undefined
          const before = [known.config, known.draining]
          for (const own of set.withOwn(known)) {
            const { model, name, rpm, tpm } = own.config
            // of a pool, what one member leaves out another has given
            const limits = deployment.pool === undefined
              ? {}
              : { tpm: deployment.tpm ?? tpm, rpm: deployment.rpm ?? rpm }
            set.configure(own, { ...deployment, ...limits, name, model })
            own.draining = false
          }
          if (!Equal.equals(before, [known.config, known.draining])) emitChange(known.id, "updated")
        }
        // what the resource's wildcard became for the model gives way too
        for (const other of set.serversOf(deployment.model)) {
          if (other.resource === resource && other.wildcard !== undefined) forget(other)
        }
        serve(deployment.model)
      }
      if (config.deployments.some(({ model }) => model === EVERY_MODEL)) {
        for (const model of set.models.keys()) {
          if (set.served(model) !== undefined) serve(model)
        }
      }
    }

    const removeDeployment = (deployment: Deployment): void => {
      const { resource } = deployment
      for (const own of set.withOwn(deployment)) forget(own)
      if (![...set.deployments.values()].some((other) => other.resource === resource)) {
        set.resources.delete(resource.name)
        resource.remove()
      }
    }

    for (const resource of settings.resources) addResource(resource, -Infinity, monotonicMillis(clock))

    const withDeployment = (id: string, change: (deployment: Deployment) => void) =>
      Effect.sync(() => {
        const deployment = set.deployments.get(id)
        if (deployment === undefined) return false
        change(deployment)
        return true
      })

    return Deployments.of({
      all: () => [...set.deployments.values()],
      isNamed: (id) => set.deployments.has(id) && set.deployments.get(id)!.wildcard === undefined,
      resources: () => [...set.resources.values()],
      resource: (name) => set.resources.get(name),
      group: (model) => set.served(model) ?? set.servedAs(model) ?? serve(model),
      modelsNamed: (name) => set.modelsNamed(name),
      everywhere: () => set.oneOfEach(),
      models: () => [...set.models.keys()].filter((model) => set.served(model) !== undefined),
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
          const known = set.deployments.get(id)
          if (known === undefined) return Effect.succeed(false)
          // decoded like any other configuration, so that a mistake is told in the same words
          const carrier = { name: "resource", provider: "compatible", endpoint: "https://resource.invalid" } as const
          const wanted = withoutUndefined(change)
          const input = { resources: [{ ...carrier, deployments: [{ ...known.config, ...wanted }] }] }
          return Effect.flatMap(Config.decodeEffect(input, "the given change"), ({ resources }) => {
            const refused = Object.keys(wanted).filter((key) => !changeable.has(key))
            if (refused.length > 0) {
              const issues = refused.map((path) => ({ path, message: "cannot change under way" }))
              return Effect.fail(invalidConfig("the given change", issues))
            }
            const config = resources[0]!.deployments[0]!
            const decoded = Object.fromEntries(
              Object.keys(wanted).map((key) => [key, config[key as keyof typeof config]])
            )
            for (const own of set.withOwn(known)) {
              set.configure(own, { ...own.config, ...decoded })
              set.regroup(own.model)
            }
            emitChange(id, "updated")
            return Effect.succeed(true)
          })
        }),
      drain: (id) =>
        withDeployment(id, (deployment) => {
          for (const own of set.withOwn(deployment)) {
            own.draining = true
            emitChange(own.id, "draining")
          }
        }),
      remove: (id) => withDeployment(id, removeDeployment),
      replace: ({ resources }) =>
        Effect.suspend(() => {
          if (isClosed) return Effect.fail(tooLate("the given configuration"))
          const now = monotonicMillis(clock)
          const wanted = new Map(resources.map((resource) => [resource.name, resource]))
          for (const deployment of set.deployments.values()) {
            const { resource, wildcard } = deployment
            if (wildcard === undefined && !stays(deployment, wanted.get(resource.name))) removeDeployment(deployment)
          }
          for (const resource of resources) addResource(resource, now, now)
          return Effect.void
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
