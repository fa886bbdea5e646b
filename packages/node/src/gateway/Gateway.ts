/**
 * The gateway: a balancer behind HTTP, for programs in any language. It adds the edge alone: who may come in, what they may
 * send, and how it ends. All else is the balancer's.
 *
 *     connection -> headers -> whose key -> body -> what is asked -> let in -> dispatch -> answer
 *
 * A refusal at any stage has a status that the SDKs understand, and nothing of it reaches a deployment.
 *
 * **Example** (A gateway in a program of one's own)
 *
 * ```ts
 * Layer.launch(Gateway.layer(config.gateway).pipe(Layer.provide(LoadBalancerLive)))
 * ```
 */
import { Deployments, type GatewayConfig, LoadBalancer, LoadBalancerError } from "@evenkeel/core"
import { InboundRequest, isLoopback, LlmRequest, monotonicMillis } from "@evenkeel/core/internal"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Http from "node:http"
import * as Activity from "./Activity.ts"
import * as ApiRequest from "./ApiRequest.ts"
import * as Doubts from "./Doubts.ts"
import { GatewayMetrics } from "./GatewayMetrics.ts"
import { OperatorPages } from "./OperatorPages.ts"
import { type GatewayError, Port } from "./Port.ts"
import * as Refusals from "./Refusals.ts"
import * as RequestBody from "./RequestBody.ts"
import { type Admission, type Tenant, Tenants } from "./Tenants.ts"

export { GatewayError } from "./Port.ts"

/**
 * A gateway that listens. It ends with its scope: it says that it is not ready, takes no new connection, and lets what is
 * under way end within the grace time.
 */
export class Gateway extends Context.Service<Gateway, {
  /** Of the API, such as `http://127.0.0.1:4000`. */
  readonly url: string
  /** Of the operator's pages. */
  readonly operatorUrl: string
  /** Takes over other keys and limits, while it runs. Where it listens stays. */
  readonly configure: (config: GatewayConfig) => void
}>()("@evenkeel/node/gateway/Gateway") {
  /** Layer of a gateway before a balancer. */
  static layer(config: GatewayConfig): Layer.Layer<Gateway, GatewayError, LoadBalancer | Deployments> {
    return Layer.effect(Gateway, make(config))
  }
}

const make = (config: GatewayConfig): Effect.Effect<
  Gateway["Service"],
  GatewayError,
  LoadBalancer | Deployments | Scope.Scope
> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<LoadBalancer | Deployments>()
    const { host, operator, port } = config
    const activity = yield* Activity.listen(Context.get(context, Deployments).events)
    const doubts = yield* Doubts.watch(Context.get(context, LoadBalancer), Context.get(context, Deployments))
    const edge = yield* Effect.acquireRelease(
      Effect.sync(() => new Edge(config, context, activity, doubts)),
      (edge) => edge.drain()
    )
    yield* edge.metrics.observe(() => edge.connections, () => edge.underWay)
    const url = yield* edge.open(host, false).listen(port)
    const operatorUrl = operator === undefined ? url : yield* edge.open(operator.host, true).listen(operator.port)
    return Gateway.of({ url, operatorUrl, configure: (changed) => edge.configure(changed) })
  })

/** Those that the API has. */
const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])

/**
 * The edge: what is under way, and who it is from.
 */
class Edge {
  private config: GatewayConfig
  private readonly ports: Array<Port> = []
  private readonly tenants: Tenants
  private readonly balancer: LoadBalancer["Service"]
  private readonly deployments: Deployments["Service"]
  private readonly pages: OperatorPages
  private readonly clock: Clock.Clock
  private readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly metrics: GatewayMetrics
  /** Requests to the API that are not answered to their end. */
  underWay = 0
  /** Bytes of the bodies of what is under way. */
  private held = 0
  private isDraining = false

  constructor(
    config: GatewayConfig,
    context: Context.Context<LoadBalancer | Deployments>,
    activity: Activity.Activity,
    doubts: Doubts.Doubts
  ) {
    this.config = config
    this.tenants = new Tenants(config.keys)
    this.balancer = Context.get(context, LoadBalancer)
    this.deployments = Context.get(context, Deployments)
    this.clock = Context.get(context, Clock.Clock)
    this.fork = Effect.runForkWith(context)
    this.metrics = new GatewayMetrics(context)
    this.pages = new OperatorPages(context, activity, doubts, () => ({
      isDraining: this.isDraining,
      connections: this.connections,
      requests: this.underWay,
      keys: this.tenants.snapshot(this.now)
    }))
  }

  /** Milliseconds of the monotonic clock. */
  private get now(): number {
    return monotonicMillis(this.clock)
  }

  get connections(): number {
    return this.ports.reduce((sum, { size }) => sum + size, 0)
  }

  open(host: string, isForOperators: boolean): Port {
    const port = new Port(host, isForOperators, () => this.config, this.take)
    this.ports.push(port)
    return port
  }

  configure(config: GatewayConfig): void {
    this.config = config
    this.tenants.configure(config.keys)
  }

  drain(): Effect.Effect<void> {
    this.isDraining = true
    const told = Effect.logInfo(`Stopping: ${this.underWay} under way, for ${this.config.grace / 1000} s at most.`)
    return Effect.andThen(
      told,
      Effect.forEach(this.ports, (port) => port.drain(this.config.grace), {
        concurrency: "unbounded",
        discard: true
      })
    )
  }

  private readonly take = (request: Http.IncomingMessage, response: Http.ServerResponse, port: Port): void => {
    const { headers, method = "GET", url = "/" } = request
    const refuse = (refusal: Refusals.GatewayRefusal) => Refusals.answer(response, refusal)
    const unclear = ambiguity(request)
    if (unclear !== undefined) return refuse(unclear)
    if (!methods.has(method)) {
      response.setHeader("allow", [...methods].join(", "))
      return refuse(Refusals.badMethod)
    }
    const isClosed = this.tenants.isClosed && !port.isForOperators
    if (!isClosed && !isFromHere(headers, port.host)) return refuse(Refusals.fromElsewhere)
    const mark = url.indexOf("?")
    const path = mark === -1 ? url : url.slice(0, mark)
    const query = mark === -1 ? "" : url.slice(mark + 1)
    // one that others reach is open to nobody without keys, whatever it is told while it runs
    const isOpen = this.tenants.isClosed || isLoopback(port.host)
    const tenant = isOpen ? this.tenants.find(headers.authorization, single(headers["api-key"])) : undefined
    if (OperatorPages.has(path)) {
      const refusal = port.isForOperators || tenant?.isOperator === true
        ? undefined
        : tenant === undefined
        ? Refusals.nobodysPage
        : Refusals.notForOperators
      return this.pages.answer(request, response, path, query, refusal)
    }
    const target = port.isForOperators ? undefined : InboundRequest.targetOfPath(path, query, this.deployments)
    if (target === undefined) return refuse(Refusals.noSuchPath)
    response.once("close", () => {
      this.metrics.answered(tenant?.name, response.headersSent ? response.statusCode : undefined)
    })
    if (tenant === undefined) return refuse(Refusals.unauthorized)
    if (this.underWay >= this.config.maxRequests) return refuse(Refusals.busy)
    const encoding = headers["content-encoding"]
    if (encoding !== undefined && encoding !== "identity") return refuse(Refusals.compressed)
    let held = 0
    const hold = (bytes: number): boolean => {
      if (this.held + bytes > this.config.maxBodies) return false
      this.held += bytes
      held += bytes
      return true
    }
    response.once("close", () => {
      this.held -= held
    })
    RequestBody.read(request, this.config.maxBody, hold, (body) => {
      if (body === "aborted") return
      if (body === "too-large") return refuse(Refusals.tooLarge(this.config.maxBody))
      if (body === "no-room") return refuse(Refusals.busy)
      if (body !== undefined && RequestBody.isTooComplex(body, headers["content-type"])) {
        return refuse(Refusals.tooComplex)
      }
      // what is on its way yet takes nobody's place
      if (this.underWay >= this.config.maxRequests) return refuse(Refusals.busy)
      this.underWay++
      response.once("close", () => this.underWay--)
      this.ask(request, response, target, tenant, body).catch((cause: unknown) => {
        this.fork(ApiRequest.logFailure(cause))
        Refusals.giveUp(response)
      })
    })
  }

  /** What is asked, once its body is there. */
  private async ask(
    { headers, method = "GET" }: Http.IncomingMessage,
    response: Http.ServerResponse,
    target: InboundRequest.Target,
    tenant: Tenant,
    body: Buffer<ArrayBuffer> | undefined
  ): Promise<void> {
    const contentType = headers["content-type"]
    const given = headers as Readonly<Record<string, string>>
    const isHeldToModel = tenant.models !== undefined
    const foreign = { method, target, headers: given, body, contentType, session: undefined, isHeldToModel }
    const asked = await InboundRequest.read(foreign)
    if (response.destroyed) return
    if (asked instanceof LoadBalancerError) return ApiRequest.giveError(asked, response)
    const problem = LlmRequest.problemOf(asked)
    if (problem !== undefined) return ApiRequest.giveError(problem, response)
    if (asked.model === undefined) {
      if (method !== "POST" && target.path === "/models") return giveModels(response, this.modelsFor(tenant))
      const known = method === "GET"
        ? this.modelsFor(tenant).find((model) => target.path === `/models/${encodeURIComponent(model)}`)
        : undefined
      if (known !== undefined) return giveJson(response, modelOf(known))
      const isOfResponse = target.path.startsWith("/responses/")
      if (tenant.models !== undefined && !isOfResponse) return Refusals.answer(response, Refusals.noModel)
    } else if (tenant.models !== undefined && !tenant.models.has(asked.model)) {
      return Refusals.answer(response, Refusals.wrongModel(asked.model))
    }
    const admission = tenant.admit(this.now, this.tokensOf(asked), asked.stream)
    if ("limit" in admission) {
      return Refusals.answer(response, Refusals.throttled(admission.limit, admission.retryAfter))
    }
    this.dispatch(asked, tenant, admission, response, InboundRequest.stainlessTimeout(given["x-stainless-timeout"]))
  }

  private dispatch(
    request: LlmRequest.LlmRequest,
    tenant: Tenant,
    admission: Admission,
    response: Http.ServerResponse,
    timeout: number | undefined
  ): void {
    const options = {
      timeout,
      tenant: tenant.name,
      explain: this.pages.decisions.listener(this.now, this.clock.currentTimeMillisUnsafe())
    }
    const fiber = this.fork(
      ApiRequest.serve(this.balancer, request, options, response, (usage) => {
        tenant.settle(admission, this.now, usage)
        if (typeof usage === "object") this.metrics.billed(tenant.name, request.model, usage)
      })
    )
    response.once("close", () => fiber.interruptUnsafe())
  }

  /** Tokens that a request may need, as the balancer reckons them. */
  private tokensOf({ characters, model, outputLimit }: LlmRequest.LlmRequest): number {
    const estimate = model === undefined ? undefined : this.deployments.group(model)?.estimate
    return estimate === undefined ? 0 : estimate.prompt(characters) + (outputLimit ?? estimate.unlimitedOutput)
  }

  private modelsFor({ models }: Tenant): ReadonlyArray<string> {
    return this.deployments.models().filter((model) => model !== "*" && (models === undefined || models.has(model)))
  }
}

const single = (header: string | ReadonlyArray<string> | undefined): string | undefined =>
  typeof header === "string" ? header : header?.[0]

const giveModels = (response: Http.ServerResponse, models: ReadonlyArray<string>): void => {
  giveJson(response, { object: "list", data: models.map(modelOf) })
}

const modelOf = (id: string) => ({ id, object: "model", created: 0, owned_by: "evenkeel" })

const giveJson = (response: Http.ServerResponse, value: unknown): void => {
  const body = JSON.stringify(value)
  response.writeHead(200, { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) })
  response.end(body)
}

/** What two readers of a request might understand differently: for whom it is, and where its body ends. */
const ambiguity = ({ headers, httpVersion }: Http.IncomingMessage): Refusals.GatewayRefusal | undefined => {
  const { host, "transfer-encoding": coding } = headers
  if (host === undefined ? httpVersion !== "1.0" : host.includes(",")) return Refusals.unreadable(undefined)
  if (coding !== undefined && coding.toLowerCase() !== "chunked") return Refusals.transferEncoding
  return headers.upgrade?.toLowerCase() === "websocket" ? Refusals.noUpgrade : undefined
}

/**
 * Whether a request is from a program, where that is all that lets it in: neither from a page of another site, nor, where
 * only this machine is listened to, from one whose name was made to mean this machine.
 */
const isFromHere = ({ host = "", origin }: Http.IncomingHttpHeaders, listensAt: string): boolean => {
  const name = host.replace(/:\d+$/, "").toLowerCase()
  if (isLoopback(listensAt) && !isLoopback(name)) return false
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === host)
}
