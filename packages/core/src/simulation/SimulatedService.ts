/**
 * One simulated resource of Azure OpenAI or OpenAI: its deployments, its keys, what it stores and what goes wrong.
 *
 * It is pure code: `handle` takes the time and a source of random numbers and gives an answer as data. The same calls
 * at the same times with the same numbers give the same answers. `SimulatedTransport` and `SimulatedHttpClient` play
 * answers in memory, on the clock of Effect; the simulator of `@evenkeel/node` plays them behind real sockets.
 *
 * **Example** (Asking without a network)
 *
 * ```ts
 * const service = SimulatedService.make({ name: "east", deployments: [{ name: "gpt-4o", tpm: 30_000 }] })
 * const answer = service.handle({
 *   method: "POST",
 *   path: "/openai/v1/chat/completions",
 *   headers: { "api-key": service.apiKey },
 *   body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "Hello" }] })
 * }, 0, SeededRandom.make(1))
 * ```
 */
import type { ResourceInput } from "../config/Config.ts"
import * as SeededRandom from "./SeededRandom.ts"
import type { SimulatedAnswer } from "./SimulatedAnswer.ts"
import * as Cache from "./SimulatedCache.ts"
import * as Deployment from "./SimulatedDeployment.ts"
import * as Errors from "./SimulatedErrors.ts"
import {
  headerOf,
  type Served,
  SimulatedExchange,
  type SimulatedRequest,
  type SimulatedResource
} from "./SimulatedExchange.ts"
import * as Fault from "./SimulatedFault.ts"
import { lookUp } from "./SimulatedLookup.ts"
import * as Operations from "./SimulatedOperations.ts"
import * as Prompt from "./SimulatedPrompt.ts"
import * as Route from "./SimulatedRoute.ts"
import * as Store from "./SimulatedStore.ts"

/**
 * What a resource is like.
 */
export interface SimulatedServiceOptions {
  readonly name: string
  /** Default `azure`. */
  readonly provider?: "azure" | "openai" | undefined
  /** Where it is found. Default `https://<name>.openai.azure.com`, or `https://api.openai.com`. */
  readonly origin?: string | undefined
  /** Default `<name>-key`. */
  readonly apiKey?: string | undefined
  /** Tokens that are accepted as `Authorization: Bearer` (Entra ID). */
  readonly bearerTokens?: ReadonlyArray<string> | undefined
  /** Default `East US`. */
  readonly region?: string | undefined
  /** Whether deployments of one resource share a prompt cache. Default `deployment`: they do not. */
  readonly cacheScope?: "deployment" | "resource" | undefined
  /** How long an unused prompt stays in the cache of the resource. Default 5 minutes. */
  readonly cacheIdleMs?: number | undefined
  /** How many headers named `x-…` it takes before it answers 431. Default 10 on Azure, any number on OpenAI. */
  readonly maxCustomHeaders?: number | undefined
  /** A prompt with this in it is blocked with a 400. Default `[blocked prompt]`. */
  readonly blockedPrompt?: string | undefined
  /** A prompt with this in it gets an answer that the filter cuts short. Default `[blocked answer]`. */
  readonly blockedAnswer?: string | undefined
  /** What goes wrong with all of it from the start. */
  readonly faults?: ReadonlyArray<Fault.SimulatedFault> | undefined
  readonly deployments: ReadonlyArray<Deployment.DeploymentOptions>
}

/**
 * What a resource did so far.
 */
export interface ServiceStats extends Readonly<SimulatedResource["counters"]> {
  /** Every value of `api-key` and `authorization` that it was sent, the first 1,000 of them. */
  readonly credentials: ReadonlyArray<string>
  readonly deployments: Readonly<Record<string, Deployment.DeploymentStats>>
}

/**
 * A simulated resource.
 */
export interface SimulatedService {
  readonly name: string
  readonly provider: "azure" | "openai"
  /** Scheme and host. */
  readonly origin: string
  /** The key that it was made with. */
  readonly apiKey: string
  /** Names of its deployments. */
  readonly deployments: ReadonlyArray<string>
  /**
   * How a client is configured for it: its own key, and the limits that its deployments began with. The origin is that
   * of a server, if one plays it; an API version makes it classic.
   */
  readonly config: (options?: {
    readonly origin?: string | undefined
    readonly apiVersion?: string | undefined
  }) => ResourceInput
  /** Whether headers carry a credential of this resource. */
  readonly accepts: (headers: SimulatedRequest["headers"]) => boolean
  /** Answers a request that arrives `now` (wall clock, ms). The answer must be played, or abandoned. */
  readonly handle: (request: SimulatedRequest, now: number, random: () => number) => SimulatedAnswer
  /** Switches a fault on, for one deployment or for the whole resource (`*`). */
  readonly fault: (target: string, fault: Fault.SimulatedFault) => void
  /** Switches the faults of a target off; all of them if none is named. */
  readonly clear: (target?: string) => void
  /** The faults that are on, by target. */
  readonly faults: () => Readonly<Record<string, ReadonlyArray<Fault.SimulatedFault>>>
  /** Uses up quota of a deployment, as other clients do. */
  readonly consume: (deployment: string, tokens: number, requests: number, now: number) => void
  /** Changes the limits of a deployment. */
  readonly setLimits: (
    deployment: string,
    limits: { readonly tpm?: number | undefined; readonly rpm?: number | undefined }
  ) => void
  /** Replaces the credentials that are accepted. */
  readonly setCredentials: (credentials: {
    readonly apiKey: string
    readonly bearerTokens?: ReadonlyArray<string> | undefined
  }) => void
  readonly stats: (now: number) => ServiceStats
}

/**
 * Creates a simulated resource.
 */
export const make = (options: SimulatedServiceOptions): SimulatedService => {
  const provider = options.provider ?? "azure"
  const azure = provider === "azure"
  const apiKey = options.apiKey ?? `${options.name}-key`
  const maxCustomHeaders = options.maxCustomHeaders ?? (azure ? 10 : Infinity)
  let accepted = { apiKey, bearerTokens: options.bearerTokens ?? [] }

  const nameHash = SeededRandom.hash(options.name).toString(36)
  const resource: SimulatedResource = {
    name: options.name,
    azure,
    region: options.region ?? "East US",
    blockedPrompt: options.blockedPrompt ?? "[blocked prompt]",
    blockedAnswer: options.blockedAnswer ?? "[blocked answer]",
    encryptedPrefix: `gAAAAAB${nameHash}_`,
    store: Store.make(),
    counters: { requests: 0, unauthorized: 0, finished: 0, abandoned: 0, inFlight: 0 }
  }
  const { counters } = resource
  const faults = Fault.makeSet(options.faults)
  const credentials = new Set<string>()
  const sharedCache = options.cacheScope === "resource" ? Cache.make({ idleMs: options.cacheIdleMs }) : undefined
  const deployments = new Map(
    options.deployments.map((deployment) => [deployment.name, Deployment.make(deployment, options.name, sharedCache)])
  )
  if (deployments.size < options.deployments.length) {
    throw new RangeError(`The deployments of ${options.name} must have different names`)
  }

  const deploymentOf = (name: string): Deployment.SimulatedDeployment => {
    const found = deployments.get(name)
    if (found === undefined) throw new RangeError(`${options.name} has no deployment ${name}`)
    return found
  }
  /** OpenAI knows models; Azure knows deployments only. */
  const lookup = (asked: string): Deployment.SimulatedDeployment | undefined =>
    deployments.get(asked) ??
      (azure ? undefined : Array.from(deployments.values()).find((deployment) => deployment.model === asked))

  const accepts = (headers: SimulatedRequest["headers"], protocol?: Route.Protocol): boolean => {
    const key = headerOf(headers, "api-key")
    if (azure && key !== undefined) return key === accepted.apiKey
    const authorization = headerOf(headers, "authorization")
    if (authorization?.startsWith("Bearer ") !== true) return false
    const token = authorization.slice("Bearer ".length)
    return accepted.bearerTokens.includes(token) || (token === accepted.apiKey && protocol !== "classic")
  }
  const record = (headers: SimulatedRequest["headers"]): void => {
    for (const name of ["api-key", "authorization"]) {
      const credential = headerOf(headers, name)
      if (credential !== undefined && credentials.size < 1_000) credentials.add(credential)
    }
  }

  const origin = options.origin ?? (azure ? `https://${options.name}.openai.azure.com` : "https://api.openai.com")

  return {
    name: options.name,
    provider,
    origin,
    apiKey,
    deployments: Array.from(deployments.keys()),
    config: (overrides) => ({
      name: options.name,
      provider,
      endpoint: `${overrides?.origin ?? origin}${azure ? "" : "/v1"}`,
      apiVersion: overrides?.apiVersion,
      region: options.region,
      apiKey: accepted.apiKey,
      deployments: options.deployments.map(({ model, name, pool, provisioned, rpm, tpm }) => ({
        name,
        model,
        provisioned,
        pool: pool?.options.name,
        tpm: pool === undefined ? tpm : pool.options.tpm,
        rpm: pool === undefined ? rpm : pool.options.rpm
      }))
    }),
    accepts: (headers) => accepts(headers),

    handle(request, now, random) {
      const route = Route.parse(provider, request.method, request.path)
      const answer = route && answers[route.operation]
      const body = answer && Prompt.parse(request.body)
      const model = body?.["model"]
      const asked = route?.deployment ?? (typeof model === "string" ? model : "")
      const deployment = lookup(asked)
      const serial = counters.requests++
      if (deployment !== undefined) deployment.counters.requests++
      record(request.headers)
      const struck = [...faults.draw(request, random), ...(deployment?.faults.draw(request, random) ?? [])]
      const id = `${nameHash}${serial.toString(36)}${Math.floor(random() * 2 ** 32).toString(36)}`
      const exchange = new SimulatedExchange({
        resource,
        request,
        body,
        route,
        deployment,
        asked,
        struck,
        id,
        now,
        random
      })

      const refused = Fault.find(struck, "refused")
      if (refused !== undefined) return exchange.refused(refused)
      if (!accepts(request.headers, route?.protocol)) {
        counters.unauthorized++
        const byKey = "api-key" in request.headers
        return exchange.refuseAs(!azure ? "openai-wrong-key" : byKey ? "azure-wrong-key" : "azure-wrong-token")
      }
      if (countCustomHeaders(request) > maxCustomHeaders) return exchange.refuseAs("too-many-headers")
      // Faults at the door cost no quota. Those further in do: they come after admission.
      const throttle = Fault.find(struck, "throttle")
      if (throttle !== undefined) return exchange.throttle(throttle)
      const status = Fault.find(struck, "status")
      if (status !== undefined) {
        const error = exchange.errorOf(status)
        if (error.status < 500 && error.status !== 408) return exchange.refuse(error, status.headers)
      }

      if (route === undefined) return Operations.faultInside(exchange) ?? exchange.refuseAs("not-found")
      if (Route.isTooOld(route)) return exchange.refuse(Errors.responsesTooOld)
      if (answer === undefined) return lookUp(exchange, deployments.values())
      if (body === undefined) {
        return exchange.refuse(Errors.invalidRequest("We could not parse the JSON body of your request.", null))
      }
      if (deployment === undefined) {
        return exchange.refuseAs(azure ? "deployment-not-found" : "openai-model-not-found")
      }
      if (deployment.embeds !== (route.operation === "embeddings")) {
        return exchange.refuse(Errors.wrongOperation(route.operation, deployment.model))
      }
      try {
        return answer(exchange as Served)
      } catch (problem) {
        if (problem instanceof Prompt.Problem) return exchange.refuse(problem.answer)
        throw problem
      }
    },

    fault(target, fault) {
      ;(target === "*" ? faults : deploymentOf(target).faults).add(fault)
    },
    clear(target) {
      if (target === undefined || target === "*") faults.clear()
      const cleared = target === undefined ? deployments.values() : target === "*" ? [] : [deploymentOf(target)]
      for (const deployment of cleared) deployment.faults.clear()
    },
    faults: () =>
      Object.fromEntries([
        ["*", faults.list()],
        ...Array.from(deployments.values(), (deployment) => [deployment.name, deployment.faults.list()])
      ]),
    consume: (deployment, tokens, requests, now) => deploymentOf(deployment).limiter.consume(tokens, requests, now),
    setLimits: (deployment, limits) => deploymentOf(deployment).limiter.setLimits(limits),
    setCredentials(credentials) {
      accepted = { apiKey: credentials.apiKey, bearerTokens: credentials.bearerTokens ?? [] }
    },
    stats: (now) => ({
      ...counters,
      credentials: Array.from(credentials),
      deployments: Object.fromEntries(
        Array.from(deployments.values(), (deployment) => [deployment.name, Deployment.stats(deployment, now)])
      )
    })
  }
}

/** Operations of which the body names a model. */
const answers: { readonly [O in Route.Operation]?: (exchange: Served) => SimulatedAnswer } = {
  chat: Operations.generate,
  responses: Operations.generate,
  embeddings: Operations.embed,
  compact: Operations.compact,
  inputTokens: Operations.compact
}

/** Azure takes at most 10 of them. Which ones count is not documented; these are the likely ones. */
const countCustomHeaders = (request: SimulatedRequest): number =>
  Object.keys(request.headers).filter((name) => name.startsWith("x-") && !name.startsWith("x-ms-")).length
