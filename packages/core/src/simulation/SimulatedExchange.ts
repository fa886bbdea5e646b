/**
 * One request on its way through the simulated service: who it is for, what goes wrong with it, and the shapes that
 * its answer may take. It counts the request in when the answer is made, and out again when the answer has ended.
 */
import * as Data from "effect/Data"
import * as Answer from "./SimulatedAnswer.ts"
import * as Damage from "./SimulatedDamage.ts"
import * as Deployment from "./SimulatedDeployment.ts"
import * as Errors from "./SimulatedErrors.ts"
import type * as Fault from "./SimulatedFault.ts"
import type { Refusal } from "./SimulatedLimiter.ts"
import type { Json } from "./SimulatedPrompt.ts"
import type { Route } from "./SimulatedRoute.ts"
import type { SimulatedStore } from "./SimulatedStore.ts"

/**
 * A request as it arrives.
 */
export interface SimulatedRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly body: string
}

/**
 * The first value of a header.
 */
export const headerOf = (headers: SimulatedRequest["headers"], name: string): string | undefined => {
  const value = headers[name]
  return typeof value === "string" || value === undefined ? value : value[0]
}

/**
 * The live state of a resource.
 */
export interface SimulatedResource {
  readonly name: string
  readonly azure: boolean
  readonly region: string
  readonly blockedPrompt: string
  readonly blockedAnswer: string
  /** How the encrypted reasoning items that it makes begin. */
  readonly encryptedPrefix: string
  readonly store: SimulatedStore
  readonly counters: { requests: number; unauthorized: number; finished: number; abandoned: number; inFlight: number }
}

/**
 * What happens when an answer has ended, at `now`.
 */
export type Settle = (now: number, finished: boolean) => void

/**
 * One request, and the ways to answer it.
 */
export class SimulatedExchange extends Data.Class<{
  readonly resource: SimulatedResource
  readonly request: SimulatedRequest
  /** What its body says, where it names a model and can be read. */
  readonly body: Json | undefined
  readonly route: Route | undefined
  readonly deployment: Deployment.SimulatedDeployment | undefined
  /** The deployment or model that was asked for, known or not. */
  readonly asked: string
  /** The faults that strike this request. */
  readonly struck: ReadonlyArray<Fault.SimulatedFault>
  readonly id: string
  readonly now: number
  readonly random: () => number
}> {
  /** Seconds since 1970. */
  get created(): number {
    return Math.floor(this.now / 1_000)
  }

  /** How long a refusal takes. */
  get errorMs(): number {
    return this.deployment?.latency.errorMs ?? Deployment.defaultLatency.errorMs
  }

  /** Answers over HTTP. */
  http(
    answer: {
      readonly status: number
      readonly headers: Readonly<Record<string, string>>
      readonly headersAt: number
      readonly parts: Answer.SimulatedParts
    },
    settle?: Settle
  ): Answer.HttpAnswer {
    return {
      _tag: "Http",
      ...answer,
      parts: Damage.delay(answer.parts, this.struck),
      headers: {
        ...this.ownHeaders(),
        ...answer.headers,
        ...Damage.addedHeaders(this.struck, this.deployment?.name)
      },
      ...this.track(answer.status, settle)
    }
  }

  /** Answers with a body of JSON, all at once, unless a fault spoils it. */
  json(
    body: string,
    at = this.factorOf("slow") * this.errorMs,
    headers?: Readonly<Record<string, string>>,
    settle?: Settle
  ): Answer.HttpAnswer {
    const spoiled = Damage.spoilWhole(body, this.struck)
    return this.http({
      status: 200,
      headers: { "content-type": spoiled.contentType, ...headers },
      headersAt: at,
      parts: Answer.whole(spoiled.body, at, spoiled.ending)
    }, settle)
  }

  /** Answers with what the deployment made, and tells of its limits. */
  whole(body: string, at: number, settle: Settle): Answer.HttpAnswer {
    return this.json(body, at, this.limitHeaders(), settle)
  }

  /** The headers that tell of the deployment's limits. `refusal` is given if they came with a 429 for it. */
  limitHeaders(refusal?: Refusal): Readonly<Record<string, string>> {
    const { deployment, now, resource } = this
    return deployment === undefined ? {} : Deployment.limitHeaders(deployment, resource.azure, now, refusal)
  }

  /** Answers with an error. */
  refuse(
    error: Errors.ErrorResponse,
    headers?: Readonly<Record<string, string>>,
    settle?: Settle
  ): Answer.HttpAnswer {
    return this.http({
      status: error.status,
      headers: { "content-type": error.contentType ?? "application/json", ...headers },
      headersAt: this.errorMs,
      parts: Answer.whole(error.body, this.errorMs)
    }, settle)
  }

  /** By how much faults stretch time. */
  factorOf(kind: "slow" | "slowDecoding"): number {
    return this.struck.reduce((all, fault) => fault.kind === kind ? all * fault.factor : all, 1)
  }

  /** The error that a `status` fault answers with. */
  errorOf(fault: Fault.FaultOf<"status">): Errors.ErrorResponse {
    return Damage.errorOf(fault, this.resource.azure, this.errorContext(10_000))
  }

  /** Answers with a documented error. */
  refuseAs(name: Errors.ErrorName): Answer.HttpAnswer {
    return this.refuse(Errors.make(name, this.errorContext(0)))
  }

  /** Answers 429 with the body that this deployment sends. */
  throttle(options: {
    readonly retryAfterMs?: number | undefined
    readonly error?: Errors.ErrorName | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
  }): Answer.HttpAnswer {
    const { retryAfterMs } = options
    const error = options.error ?? this.deployment?.options.throttleBody ?? this.usualThrottle()
    return this.refuse(Errors.make(error, this.errorContext(retryAfterMs ?? 0)), {
      ...(retryAfterMs === undefined ? undefined : Deployment.retryHeaders(retryAfterMs)),
      ...options.headers
    })
  }

  /** Does not answer. */
  broken(how: "reset" | "hang", at: number, settle?: Settle): Answer.BrokenAnswer {
    return { _tag: "Broken", how, because: "connect", at, ...this.track(how, settle) }
  }

  /** Does not even connect. */
  refused(fault: Fault.FaultOf<"refused">): Answer.BrokenAnswer {
    const { afterMs = 0, because = "connect" } = fault
    return { _tag: "Broken", how: "refused", because, at: afterMs, ...this.track("refused") }
  }

  private track(status: number | Answer.BrokenAnswer["how"], settle?: Settle) {
    const own = this.deployment?.counters
    const all = own === undefined ? [this.resource.counters] : [this.resource.counters, own]
    for (const counters of all) counters.inFlight++
    if (own !== undefined) {
      own.statuses[status] = (own.statuses[status] ?? 0) + 1
      if (status === 429) own.throttled++
      else if (typeof status === "string" || status >= 400) own.failed++
    }
    let open = true
    const end = (how: "finished" | "abandoned") => (now: number): void => {
      if (!open) return
      open = false
      for (const counters of all) {
        counters.inFlight--
        counters[how]++
      }
      settle?.(now, how === "finished")
    }
    return { finished: end("finished"), abandoned: end("abandoned") }
  }

  private ownHeaders(): Record<string, string> {
    if (!this.resource.azure) {
      return { "x-request-id": this.id, "openai-version": "2020-10-01", "openai-organization": "org-simulated" }
    }
    return {
      "x-request-id": this.id,
      "apim-request-id": this.id,
      "x-ms-region": this.resource.region,
      "x-ms-client-request-id": headerOf(this.request.headers, "x-ms-client-request-id") ?? "Not-Set",
      ...(this.deployment === undefined ? undefined : { "x-ms-deployment-name": this.deployment.name })
    }
  }

  private errorContext(retryAfterMs: number): Errors.ErrorContext {
    return {
      deployment: this.asked,
      model: this.deployment?.model ?? this.asked,
      region: this.resource.region,
      apiVersion: this.route?.apiVersion ?? "v1",
      operation: operationNames[this.route?.operation ?? "chat"] ?? "ChatCompletions_Create",
      retryAfterSeconds: Math.ceil(retryAfterMs / 1_000)
    }
  }

  private usualThrottle(): Errors.ErrorName {
    if (!this.resource.azure) return "openai-tokens-429"
    return this.route?.protocol === "classic" && this.route.operation !== "responses"
      ? "azure-classic-429"
      : "azure-v1-429"
  }
}

/**
 * One request that found its deployment.
 */
export type Served = SimulatedExchange & {
  readonly body: Json
  readonly route: Route
  readonly deployment: Deployment.SimulatedDeployment
}

const operationNames: Readonly<Record<string, string>> = {
  embeddings: "Embeddings_Create",
  responses: "Responses_Create"
}
