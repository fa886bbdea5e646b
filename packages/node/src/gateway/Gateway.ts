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
import { InboundRequest, isLoopback, type LlmRequest } from "@evenkeel/core/internal"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import type { AddressInfo, Socket } from "node:net"
import * as Activity from "./Activity.ts"
import * as ApiRequest from "./ApiRequest.ts"
import { OperatorPages } from "./OperatorPages.ts"
import * as Refusals from "./Refusals.ts"
import * as RequestBody from "./RequestBody.ts"
import { type Admission, type Tenant, Tenants } from "./Tenants.ts"

/** The gateway cannot listen. */
export class GatewayError extends Data.TaggedError("GatewayError")<{
  readonly host: string
  readonly port: number
  /** The system's word for it, such as `EADDRINUSE`. */
  readonly code: string
}> {
  override get message(): string {
    const { code, host, port } = this
    const hint = code === "EADDRINUSE"
      ? ": something else listens there; give another port as `gateway.port`, or 0 for any"
      : code === "EACCES"
      ? ": ports below 1024 are for root; give another as `gateway.port`"
      : code === "EADDRNOTAVAIL" || code === "ENOTFOUND"
      ? ": this machine has no such address; give one of its own as `gateway.host`"
      : ""
    return `The gateway cannot listen at ${host}:${port} (${code})${hint}.`
  }
}

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

/** How often it is looked for requests that are late, in milliseconds. */
const LOOK_EVERY = 1000

const make = (config: GatewayConfig): Effect.Effect<
  Gateway["Service"],
  GatewayError,
  LoadBalancer | Deployments | Scope.Scope
> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<LoadBalancer | Deployments>()
    const activity = yield* Activity.listen(Context.get(context, Deployments).events)
    const edge = new Edge(config, context, activity)
    const api = yield* listen(edge, config, "api")
    const operators = config.operator === undefined
      ? api
      : yield* listen(edge, { ...config, ...config.operator }, "operators")
    return Gateway.of({ url: api, operatorUrl: operators, configure: (changed) => edge.configure(changed) })
  })

/** Which pages a port has. */
type Side = "api" | "operators"

const listen = (
  edge: Edge,
  config: Pick<GatewayConfig, "host" | "port" | "maxHeaders" | "receive" | "keepAlive">,
  side: Side
): Effect.Effect<string, GatewayError, Scope.Scope> =>
  Effect.gen(function*() {
    const { host, port } = config
    const server = Http.createServer({
      maxHeaderSize: config.maxHeaders,
      requestTimeout: config.receive,
      headersTimeout: config.receive,
      keepAliveTimeout: config.keepAlive,
      connectionsCheckingInterval: Math.min(LOOK_EVERY, config.receive),
      noDelay: true
    }, (request, response) => edge.take(request, response, side))
    server.on("connection", (socket) => edge.connected(socket))
    server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => edge.misread(error, socket))
    server.on("upgrade", (_request, socket: Socket) => socket.end(Refusals.asBytes(Refusals.noUpgrade)))
    yield* Effect.acquireRelease(
      Effect.callback<void, GatewayError>((resume) => {
        const fail = ({ code }: NodeJS.ErrnoException) =>
          resume(Effect.fail(new GatewayError({ host, port, code: code ?? "unknown" })))
        server.once("error", fail)
        server.listen(port, host, () => {
          server.off("error", fail)
          resume(Effect.void)
        })
      }),
      () => edge.drain(server)
    )
    const address = server.address() as AddressInfo
    return `http://${address.family === "IPv6" ? `[${address.address}]` : address.address}:${address.port}`
  })

/**
 * The edge: what is open, what is under way, and who it is from.
 */
class Edge {
  private config: GatewayConfig
  private readonly tenants: Tenants
  private readonly balancer: LoadBalancer["Service"]
  private readonly deployments: Deployments["Service"]
  private readonly pages: OperatorPages
  private readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  private connections = 0
  private underWay = 0
  private isDraining = false

  constructor(
    config: GatewayConfig,
    context: Context.Context<LoadBalancer | Deployments>,
    activity: Activity.Activity
  ) {
    this.config = config
    this.tenants = new Tenants(config.keys)
    this.balancer = Context.get(context, LoadBalancer)
    this.deployments = Context.get(context, Deployments)
    this.fork = Effect.runForkWith(context)
    this.pages = new OperatorPages(context, activity, () => ({
      isDraining: this.isDraining,
      connections: this.connections,
      requests: this.underWay,
      keys: this.tenants.snapshot(performance.now())
    }))
  }

  configure(config: GatewayConfig): void {
    this.config = config
    this.tenants.configure(config.keys)
  }

  // --- connections --------------------------------------------------------------------------------------------------

  connected(socket: Socket): void {
    this.connections++
    socket.once("close", () => this.connections--)
    if (this.connections <= this.config.maxConnections) return
    socket.end(Refusals.asBytes(Refusals.busy))
    socket.destroySoon()
  }

  /** What a client sent cannot be read, or was not there in time. */
  misread({ code }: NodeJS.ErrnoException, socket: Socket): void {
    // an answer that has begun cannot be followed by another status
    const isAnswering = (socket as { readonly _httpMessage?: unknown })._httpMessage !== undefined
    if (!socket.writable || code === "ECONNRESET" || isAnswering) socket.destroy()
    else socket.end(Refusals.asBytes(Refusals.unreadable(code)), () => socket.destroy())
  }

  /** Takes no new connection, and ends once what is under way has, or the grace time is over. */
  drain(server: Http.Server): Effect.Effect<void> {
    return Effect.callback((resume) => {
      this.isDraining = true
      const timer = setTimeout(() => server.closeAllConnections(), this.config.grace)
      // a connection that has nothing to do is closed at once, one that has when it is done
      const idle = setInterval(() => server.closeIdleConnections(), 50)
      server.close(() => {
        clearTimeout(timer)
        clearInterval(idle)
        resume(Effect.void)
      })
    })
  }

  // --- requests -----------------------------------------------------------------------------------------------------

  take(request: Http.IncomingMessage, response: Http.ServerResponse, side: Side): void {
    const { url = "/" } = request
    const mark = url.indexOf("?")
    const path = mark === -1 ? url : url.slice(0, mark)
    const query = mark === -1 ? "" : url.slice(mark + 1)
    if (this.isDraining) response.shouldKeepAlive = false
    if (!this.tenants.isClosed && !isFromHere(request, this.config.host)) {
      return Refusals.answer(response, Refusals.fromElsewhere)
    }
    const tenant = this.tenants.find(request.headers.authorization, single(request.headers["api-key"]))
    if (OperatorPages.has(path)) {
      const isOpen = side === "operators" || tenant?.isOperator === true
      return this.pages.answer(request, response, path, query, isOpen)
    }
    const target = side === "api" ? InboundRequest.targetOfPath(path, query, this.deployments) : undefined
    if (target === undefined) return Refusals.answer(response, Refusals.noSuchPath)
    if (tenant === undefined) return Refusals.answer(response, Refusals.unauthorized)
    if (this.isDraining) return Refusals.answer(response, Refusals.stopping)
    if (this.underWay >= this.config.maxRequests) return Refusals.answer(response, Refusals.busy)
    const encoding = request.headers["content-encoding"]
    if (encoding !== undefined && encoding !== "identity") return Refusals.answer(response, Refusals.compressed)
    this.underWay++
    response.once("close", () => this.underWay--)
    RequestBody.read(request, this.config.maxBody, (body) => {
      if (body === "aborted") return
      if (body === "too-large") return Refusals.answer(response, Refusals.tooLarge(this.config.maxBody))
      void this.ask(request, response, target, tenant, body)
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
    const asked = await InboundRequest.read({ method, target, headers: given, body, contentType, session: undefined })
    if (response.destroyed) return
    if (asked instanceof LoadBalancerError) return ApiRequest.giveError(asked, response)
    const models = this.modelsFor(tenant)
    if (asked.model === undefined) {
      if (method === "GET" && target.path === "/models") return giveModels(response, models)
      const isOfResponse = target.path.startsWith("/responses/")
      if (tenant.models !== undefined && !isOfResponse) return Refusals.answer(response, Refusals.noModel)
    } else if (tenant.models !== undefined && !tenant.models.has(asked.model)) {
      return Refusals.answer(response, Refusals.wrongModel(asked.model))
    }
    const admission = tenant.admit(performance.now(), this.tokensOf(asked), asked.stream)
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
    const options = { timeout, explain: this.pages.decisions.listener() }
    const fiber = this.fork(
      ApiRequest.serve(this.balancer, request, options, response, this.config.stall, ({ usage }) => {
        tenant.settle(admission, performance.now(), usage)
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
  const data = models.map((id) => ({ id, object: "model", created: 0, owned_by: "evenkeel" }))
  const body = JSON.stringify({ object: "list", data })
  response.writeHead(200, { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) })
  response.end(body)
}

/**
 * Whether a request is from a program on this machine, where that is all that lets it in: neither from a page of another
 * site, nor from one whose name was made to mean this machine.
 */
const isFromHere = ({ headers }: Http.IncomingMessage, listensAt: string): boolean => {
  if (!isLoopback(listensAt)) return true
  const host = (headers.host ?? "").replace(/:\d+$/, "").toLowerCase()
  if (!isLoopback(host)) return false
  const { origin } = headers
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === headers.host)
}
