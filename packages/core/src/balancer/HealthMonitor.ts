/**
 * Active checks: a background fiber that asks what no traffic asks.
 *
 * The free check (a list of models, or a path of yours) proves name, TLS and key, so it moves only the resource's
 * breaker: one that opened because the resource could not be reached need not wait for its open time. A deployment's
 * breaker closes only by a real request, or by a completion of one token where you pay for it
 * (`health.check.kind: "completion"`). Only what is idle or down is asked; a check delays no caller, and ends with the
 * layer's scope.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import { Attempt } from "../attempt/Attempt.ts"
import { pricesInUse } from "../attempt/AttemptCost.ts"
import type { AttemptEnvironment, AttemptFailure } from "../attempt/AttemptRecord.ts"
import { Deadlines } from "../attempt/Deadlines.ts"
import { noCredential } from "../attempt/Outcome.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import { Deployments } from "../deployment/Deployments.ts"
import type { Resource } from "../deployment/Resource.ts"
import type { LlmRequest } from "../request/LlmRequest.ts"
import { requestOf } from "../request/Parameters.ts"
import { monotonicMillis, watching } from "../Time.ts"
import { abortable } from "../transport/Abortable.ts"
import { Transport, type TransportError } from "../transport/Transport.ts"
import type { Checked } from "./CallEvent.ts"

/**
 * Service of the active checks.
 */
export class HealthMonitor extends Context.Service<HealthMonitor, {
  /** Checks everything that is idle or down, now. Never fails: what it finds is in the breakers. */
  readonly check: Effect.Effect<void>
}>()("@evenkeel/core/HealthMonitor") {
  /** Checks on the configured interval (30 s, jittered) while the scope is open. */
  static readonly layer: Layer.Layer<HealthMonitor, never, Deployments | Transport> = Layer.effect(
    HealthMonitor,
    Effect.suspend(() => make)
  )

  /** Checks nothing: breakers move by real requests alone. */
  static readonly layerNone: Layer.Layer<HealthMonitor> = Layer.succeed(HealthMonitor, { check: Effect.void })
}

/** Share of the interval that the shortest pause between rounds is; the longest is as much above it. */
const SHORTEST_PAUSE = 0.75

const make: Effect.Effect<HealthMonitor["Service"], never, Deployments | Transport | Scope.Scope> = Effect.gen(
  function*() {
    const deployments = yield* Deployments
    const transport = abortable(yield* Transport)
    const clock = yield* Clock.Clock
    const random = yield* Random.Random
    const { check: settings } = deployments.settings.health
    const environment: AttemptEnvironment = {
      transport,
      clock,
      random: () => random.nextDoubleUnsafe(),
      events: deployments.events,
      deadlines: yield* Deadlines.make(() => monotonicMillis(clock)),
      prices: yield* pricesInUse,
      onChunks: undefined
    }

    const checkedAt = new WeakMap<Resource, number>()
    /** Down, or silent for as long as the shortest pause between rounds. */
    const isDue = (lastAnswerAt: number, isDown: boolean, now: number): boolean =>
      isDown || now - lastAnswerAt >= settings.interval * SHORTEST_PAUSE

    const checkResource = (resource: Resource): Effect.Effect<void> =>
      Effect.suspend(() => {
        const now = monotonicMillis(clock)
        const { breaker } = resource
        const lastAnswerAt = Math.max(resource.lastAnswerAt, checkedAt.get(resource) ?? -Infinity)
        if (!isDue(lastAnswerAt, !breaker.isClosed, now)) return Effect.void
        const epoch = breaker.allows(now) ? breaker.enter(now) : breaker.enterCheck()
        if (epoch === undefined) return Effect.void
        const settle = ({ problem }: Probed) => {
          const endedAt = monotonicMillis(clock)
          const { events } = deployments
          if (events.hasTroubleListeners) {
            const duration = endedAt - now
            events.emit<Checked>({ _tag: "Checked", at: events.wallNow(), resource: resource.name, problem, duration })
          }
          if (problem !== undefined) return breaker.fail(epoch, endedAt, environment.random(), problem)
          checkedAt.set(resource, endedAt)
          breaker.succeed(epoch, endedAt)
        }
        return probe(resource, transport, settings.path).pipe(
          Effect.raceFirst(Effect.as(environment.deadlines.sleep(settings.timeout), unanswered("timeout"))),
          Effect.onExit((exit) =>
            Effect.sync(() => Exit.isSuccess(exit) ? settle(exit.value) : breaker.release(epoch))
          ),
          // what is nobody's fault is no finding
          Effect.ignore
        )
      })

    const checkDeployment = (deployment: Deployment): Effect.Effect<void> =>
      Effect.suspend(() => {
        const now = monotonicMillis(clock)
        const isPassable = !deployment.draining && deployment.model !== "*" && deployment.breaker.allows(now)
          && deployment.resource.breaker.allows(now) && deployment.isCool(now)
        const isDown = !deployment.breaker.isClosed
        if (!isPassable || !isDue(deployment.lastSuccessAt, isDown, now)) return Effect.void
        const group = deployments.group(deployment.model)
        if (group === undefined) return Effect.void
        const promptTokens = group.estimate.prompt(oneToken(deployment.model).characters)
        if (!deployment.quota.spares(now, promptTokens + 1)) return Effect.void
        return Effect.asVoid(askOneToken(deployment, deployments, environment))
      })

    const check = Effect.suspend(() => {
      switch (settings.kind) {
        case "none":
          return Effect.void
        case "completion":
          return Effect.forEach(deployments.all(), checkDeployment, { concurrency: "unbounded", discard: true })
        default:
          return Effect.forEach(deployments.resources(), checkResource, { concurrency: "unbounded", discard: true })
      }
    })

    if (settings.kind !== "none") {
      const round = Effect.suspend(() => {
        // spread by half, so that a fleet that started together does not ask together
        const pause = settings.interval * (SHORTEST_PAUSE + environment.random() * 2 * (1 - SHORTEST_PAUSE))
        return Effect.andThen(Effect.sleep(Math.ceil(pause)), check)
      })
      yield* Effect.forkScoped(watching(Effect.forever(round)))
    }
    return HealthMonitor.of({ check })
  }
)

/** Asks a deployment for one token, as an attempt like any other. Returns what is wrong, or nothing. */
export const askOneToken = (
  deployment: Deployment,
  deployments: Deployments["Service"],
  environment: AttemptEnvironment
): Effect.Effect<string | undefined> =>
  Effect.acquireUseRelease(
    Effect.sync(() => reserveCheck(deployment, deployments, environment)),
    (attempt) => attempt === undefined ? Effect.undefined : Effect.match(attempt.run, checked),
    (attempt, exit) => Effect.sync(() => attempt?.release(exit))
  )

const reserveCheck = (
  deployment: Deployment,
  deployments: Deployments["Service"],
  environment: AttemptEnvironment
): Attempt | undefined => {
  const { model } = deployment
  const { settings } = deployments
  const group = deployments.group(model)
  if (group === undefined) return undefined
  const now = monotonicMillis(environment.clock)
  const request = oneToken(model)
  const promptTokens = group.estimate.prompt(request.characters)
  const permit = deployment.enter(now, promptTokens + 1)
  return new Attempt({
    request,
    permit,
    group,
    promptTokens,
    timeouts: settings.timeouts,
    configured: settings.timeouts,
    patience: undefined,
    deadline: now + settings.health.check.timeout,
    asksUsage: false,
    isRenewal: false,
    source: undefined,
    isRepeat: false,
    wasTold: false,
    onOpen: undefined,
    earlier: [],
    role: "check",
    placement: undefined,
    selection: undefined,
    trace: undefined,
    onEnd: undefined
  }, environment)
}

/** What is wrong. Whoever refuses, or tells to wait, is there. */
const checked = {
  onSuccess: () => undefined,
  onFailure: ({ outcome }: AttemptFailure) => {
    if (outcome._tag === "Refused" || outcome._tag === "Throttled") return undefined
    return outcome._tag === "Failed" && outcome.effect === "missing" ? "missing" : outcome.reason
  }
}

/** What a free check found. */
export interface Probed {
  /** What is wrong with name, TLS or key. */
  readonly problem: string | undefined
  /** Of the answer, where there was one. */
  readonly status: number | undefined
}

/** Where it asks, unless a path is configured. */
export const MODELS = "/models"

/** Asks for the list of models, or for the configured path. */
export const probe = (
  resource: Resource,
  transport: Transport["Service"],
  path: string | undefined
): Effect.Effect<Probed, TransportError> =>
  Effect.gen(function*() {
    const headers = yield* resource.credential.headers
    const response = yield* transport.send({
      resource: resource.name,
      origin: resource.origin,
      path: resource.pathOf(path ?? MODELS, "", undefined),
      method: "GET",
      headers: { accept: "application/json", "user-agent": "evenkeel", ...headers },
      body: undefined,
      connection: resource.connection,
      isRepeatable: true
    })
    response.discard()
    const { status } = response
    return { problem: status === 401 || status === 403 ? `http ${status}` : undefined, status }
  }).pipe(
    Effect.catch((error) => {
      if (error._tag === "CredentialError") return Effect.succeed(unanswered(noCredential(error.message).reason))
      return error.blameless ? Effect.fail(error) : Effect.succeed(unanswered(error.message))
    })
  )

/** A check without an answer. */
export const unanswered = (problem: string): Probed => ({ problem, status: undefined })

const oneToken = (model: string): LlmRequest => {
  const parameters = { model, messages: [{ role: "user", content: "." }], max_completion_tokens: 1 }
  return requestOf("chat", "/chat/completions", parameters, false, undefined) as LlmRequest
}
