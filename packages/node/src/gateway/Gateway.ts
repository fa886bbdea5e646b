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
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Http from "node:http"
import * as Activity from "./Activity.ts"
import * as ApiRequest from "./ApiRequest.ts"
import * as Doubts from "./Doubts.ts"
import { GatewayMetrics } from "./GatewayMetrics.ts"
import * as OperatorPages from "./OperatorPages.ts"
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
      Effect.sync(() => makeEdge(config, context, activity, doubts)),
      (edge) => edge.drain
    )
    yield* edge.metrics.observe(edge.connections, edge.underWay)
    const url = yield* edge.open(host, false).listen(port)
    const operatorUrl = operator === undefined ? url : yield* edge.open(operator.host, true).listen(operator.port)
    return Gateway.of({ url, operatorUrl, configure: edge.configure })
  })

/** Those that the API has. */
const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])

/**
 * The edge: what is under way, and who it is from.
 */
const makeEdge = (
  begun: GatewayConfig,
  context: Context.Context<LoadBalancer | Deployments>,
  activity: Activity.Activity,
  doubts: Doubts.Doubts
) => {
  const balancer = Context.get(context, LoadBalancer)
  const deployments = Context.get(context, Deployments)
  const clock = Context.get(context, Clock.Clock)
  const fork = Effect.runForkWith(context)
  const metrics = new GatewayMetrics(context)
  const tenants = new Tenants(begun.keys)
  const ports: Array<Port> = []
  let config = begun
  /** Requests to the API that are not answered to their end. */
  let underWay = 0
  /** Bytes of the bodies of what is under way. */
  let held = 0
  let isDraining = false
  /** Milliseconds of the monotonic clock. */
  const now = (): number => monotonicMillis(clock)
  const connections = (): number => ports.reduce((sum, { size }) => sum + size, 0)
  const pages = OperatorPages.make(context, activity, doubts, () => ({
    isDraining,
    connections: connections(),
    requests: underWay,
    keys: tenants.snapshot(now())
  }))

  const open = (host: string, isForOperators: boolean): Port => {
    const port = new Port(host, isForOperators, () => config, take)
    ports.push(port)
    return port
  }

  const configure = (changed: GatewayConfig): void => {
    config = changed
    tenants.configure(changed.keys)
  }

  const drain = Effect.suspend(() => {
    isDraining = true
    const told = Effect.logInfo(`Stopping: ${underWay} under way, for ${config.grace / 1000} s at most.`)
    const drained = Effect.forEach(ports, (port) => port.drain(config.grace), {
      concurrency: "unbounded",
      discard: true
    })
    return Effect.andThen(told, drained)
  })

  const take = (request: Http.IncomingMessage, response: Http.ServerResponse, port: Port): void => {
    const { headers, method = "GET", url = "/" } = request
    const refuse = (refusal: Refusals.GatewayRefusal) => Refusals.answer(response, refusal)
    const unclear = ambiguity(request)
    if (unclear !== undefined) return refuse(unclear)
    if (!methods.has(method)) {
      response.setHeader("allow", [...methods].join(", "))
      return refuse(Refusals.badMethod)
    }
    const isClosed = tenants.isClosed && !port.isForOperators
    if (!isClosed && !isFromHere(headers, port.host)) return refuse(Refusals.fromElsewhere)
    const mark = url.indexOf("?")
    const path = mark === -1 ? url : url.slice(0, mark)
    const query = mark === -1 ? "" : url.slice(mark + 1)
    // one that others reach is open to nobody without keys, whatever it is told while it runs
    const isOpen = tenants.isClosed || isLoopback(port.host)
    const tenant = isOpen ? tenants.find(headers.authorization, single(headers["api-key"])) : undefined
    if (OperatorPages.has(path)) {
      const refusal = port.isForOperators || tenant?.isOperator === true
        ? undefined
        : tenant === undefined
        ? Refusals.nobodysPage
        : Refusals.notForOperators
      return pages.answer(request, response, path, query, refusal)
    }
    const target = port.isForOperators ? undefined : InboundRequest.targetOfPath(path, query, deployments)
    if (target === undefined) return refuse(Refusals.noSuchPath)
    response.once("close", () => {
      metrics.answered(tenant?.name, response.headersSent ? response.statusCode : undefined)
    })
    if (tenant === undefined) return refuse(Refusals.unauthorized)
    if (underWay >= config.maxRequests) return refuse(Refusals.busy)
    const encoding = headers["content-encoding"]
    if (encoding !== undefined && encoding !== "identity") return refuse(Refusals.compressed)
    let own = 0
    const hold = (bytes: number): boolean => {
      if (held + bytes > config.maxBodies) return false
      held += bytes
      own += bytes
      return true
    }
    response.once("close", () => {
      held -= own
    })
    RequestBody.read(request, config.maxBody, hold, (body) => {
      if (body === "aborted") return
      if (body === "too-large") return refuse(Refusals.tooLarge(config.maxBody))
      if (body === "no-room") return refuse(Refusals.busy)
      if (body !== undefined && RequestBody.isTooComplex(body, headers["content-type"])) {
        return refuse(Refusals.tooComplex)
      }
      // what is on its way yet takes nobody's place
      if (underWay >= config.maxRequests) return refuse(Refusals.busy)
      underWay++
      response.once("close", () => underWay--)
      ask(request, response, target, tenant, body).catch((cause: unknown) => {
        fork(ApiRequest.logFailure(cause))
        Refusals.giveUp(response)
      })
    })
  }

  /** What is asked, once its body is there. */
  const ask = async (
    { headers, method = "GET" }: Http.IncomingMessage,
    response: Http.ServerResponse,
    target: InboundRequest.Target,
    tenant: Tenant,
    body: Buffer<ArrayBuffer> | undefined
  ): Promise<void> => {
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
      if (method !== "POST" && target.path === "/models") return giveModels(response, modelsFor(tenant))
      const known = method === "GET"
        ? modelsFor(tenant).find((model) => target.path === `/models/${encodeURIComponent(model)}`)
        : undefined
      if (known !== undefined) return giveJson(response, modelOf(known))
      const isOfResponse = target.path.startsWith("/responses/")
      if (tenant.models !== undefined && !isOfResponse) return Refusals.answer(response, Refusals.noModel)
    } else if (tenant.models !== undefined && !tenant.models.has(asked.model)) {
      return Refusals.answer(response, Refusals.wrongModel(asked.model))
    }
    const admission = tenant.admit(now(), tokensOf(asked), asked.stream)
    if ("limit" in admission) {
      return Refusals.answer(response, Refusals.throttled(admission.limit, admission.retryAfter))
    }
    dispatch(asked, tenant, admission, response, InboundRequest.stainlessTimeout(given["x-stainless-timeout"]))
  }

  const dispatch = (
    request: LlmRequest.LlmRequest,
    tenant: Tenant,
    admission: Admission,
    response: Http.ServerResponse,
    timeout: number | undefined
  ): void => {
    const options = {
      timeout,
      tenant: tenant.name,
      explain: pages.decisions.listener(now(), clock.currentTimeMillisUnsafe())
    }
    const fiber = fork(
      ApiRequest.serve(balancer, request, options, response, (usage) => {
        tenant.settle(admission, now(), usage)
        if (typeof usage === "object") metrics.billed(tenant.name, request.model, usage)
      })
    )
    response.once("close", () => fiber.interruptUnsafe())
  }

  /** Tokens that a request may need, as the balancer reckons them. */
  const tokensOf = ({ characters, model, outputLimit }: LlmRequest.LlmRequest): number => {
    const estimate = model === undefined ? undefined : deployments.group(model)?.estimate
    return estimate === undefined ? 0 : estimate.prompt(characters) + (outputLimit ?? estimate.unlimitedOutput)
  }

  const modelsFor = ({ models }: Tenant): ReadonlyArray<string> =>
    deployments.models().filter((model) => model !== "*" && (models === undefined || models.has(model)))

  return { connections, underWay: () => underWay, metrics, open, configure, drain }
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
