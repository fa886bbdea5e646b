/**
 * Pages for the operator, for Prometheus and for whoever probes the gateway.
 *
 * - `/`: what people look at, made in the browser of `/status` and `/decisions`. It and its assets hold no data, and need no key.
 * - `/healthz`: alive. `/readyz`: a usable deployment for each model, as far as is known, else 503 and which have none. Both
 *   without a key; whoever has none is told nothing but yes or no.
 * - `/status`: the balancer's snapshot, and the gateway's own. `/metrics`: for Prometheus. `/decisions`: the last ones, and why;
 *   `?after=…` those made later than that, `?brief` without the explanation as data.
 * - `/explain?model=…&session=…`, or `POST` with a request's parameters: where such a request would go now, and why.
 */
import { type Deployments, LoadBalancer, type Snapshot } from "@evenkeel/core"
import { ErrorResponse, monotonicMillis, PrometheusPage } from "@evenkeel/core/internal"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Result from "effect/Result"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Activity, ActivitySnapshot } from "./Activity.ts"
import { brief, Decisions } from "./Decisions.ts"
import type { Doubts } from "./Doubts.ts"
import * as Page from "./Page.ts"
import * as Refusals from "./Refusals.ts"
import * as RequestBody from "./RequestBody.ts"
import type { TenantSnapshot } from "./Tenants.ts"

/** The gateway's own state. */
export interface GatewaySnapshot {
  readonly isDraining: boolean
  readonly connections: number
  readonly requests: number
  readonly keys: ReadonlyArray<TenantSnapshot>
}

/** What `/status` answers. */
export interface Status extends Snapshot {
  readonly gateway: GatewaySnapshot & ActivitySnapshot & { readonly at: number; readonly uptime: number }
}

/** A model without a usable deployment, and why each of its own is none. */
export interface Unready {
  readonly model: string
  readonly deployments: Readonly<Record<string, string>>
}

const paths = new Set(["/healthz", "/readyz", "/status", "/metrics", "/decisions", "/explain"])

/** Bytes that parameters to be explained may have. */
const MOST_PARAMETERS = 1_048_576

/**
 * The pages of one gateway.
 */
export class OperatorPages {
  readonly decisions = new Decisions()
  private readonly context: Context.Context<LoadBalancer | Deployments>
  private readonly balancer: LoadBalancer["Service"]
  private readonly activity: Activity
  private readonly doubts: Doubts
  private readonly gateway: () => GatewaySnapshot
  private readonly clock: Clock.Clock
  private readonly startedAt: number

  constructor(
    context: Context.Context<LoadBalancer | Deployments>,
    activity: Activity,
    doubts: Doubts,
    gateway: () => GatewaySnapshot
  ) {
    this.context = context
    this.activity = activity
    this.doubts = doubts
    this.balancer = Context.get(context, LoadBalancer)
    this.gateway = gateway
    this.clock = Context.get(context, Clock.Clock)
    this.startedAt = monotonicMillis(this.clock)
  }

  static has(path: string): boolean {
    return paths.has(path) || Page.has(path)
  }

  /** @param refusal why it is closed to whoever asks; `undefined` for an operator */
  answer(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    query: string,
    refusal: Refusals.GatewayRefusal | undefined
  ): void {
    const { method } = request
    const isRead = method === "GET" || method === "HEAD"
    if (!isRead && !(path === "/explain" && method === "POST")) {
      response.setHeader("allow", path === "/explain" ? "GET, POST" : "GET")
      return Refusals.answer(response, Refusals.badMethod)
    }
    if (Page.has(path)) return Page.give(response, path)
    if (path === "/healthz") return give(response, 200, { status: "alive" })
    if (path === "/readyz") return this.giveReadiness(response, refusal === undefined)
    if (refusal !== undefined) return Refusals.answer(response, refusal)
    switch (path) {
      case "/status":
        return give(response, 200, this.status())
      case "/decisions":
        return this.giveDecisions(response, new URLSearchParams(query))
      case "/metrics":
        return giveText(
          response,
          200,
          PrometheusPage.contentType,
          PrometheusMetrics.formatUnsafe(this.context, PrometheusPage.options)
        )
      default:
        return this.explain(request, response, new URLSearchParams(query))
    }
  }

  status(): Status {
    const at = this.clock.currentTimeMillisUnsafe()
    const uptime = monotonicMillis(this.clock) - this.startedAt
    const snapshot = Effect.runSync(this.balancer.snapshot)
    const activity = this.activity.snapshot(snapshot.deployments, at)
    return { ...snapshot, gateway: { ...this.gateway(), ...activity, at, uptime } }
  }

  private giveDecisions(response: ServerResponse, query: URLSearchParams): void {
    const after = query.get("after")
    const decisions = this.decisions.latest(after === null ? undefined : Number(after))
    give(response, 200, query.has("brief") ? decisions.map(brief) : decisions)
  }

  private giveReadiness(response: ServerResponse, isOpen: boolean): void {
    const { isDraining } = this.gateway()
    const unready = unreadyIn(Effect.runSync(this.balancer.snapshot), this.doubts)
    const isReady = unready.length === 0 && !isDraining
    const reasons = isOpen ? { draining: isDraining, unready } : {}
    give(response, isReady ? 200 : 503, { status: isReady ? "ready" : "not ready", ...reasons })
  }

  private explain(request: IncomingMessage, response: ServerResponse, query: URLSearchParams): void {
    RequestBody.read(request, MOST_PARAMETERS, () => true, (body) => {
      if (body === "aborted") return
      if (body === "too-large" || body === "no-room") {
        return Refusals.answer(response, Refusals.tooLarge(MOST_PARAMETERS))
      }
      const given = body === undefined ? { model: query.get("model") ?? "" } : parse(body)
      const session = query.get("session") ?? undefined
      const explained = Effect.runSyncExit(
        Effect.result(this.balancer.explain(given as { model: string }, { session }))
      )
      // a policy may throw
      if (Exit.isFailure(explained)) return Refusals.giveUp(response)
      if (Result.isSuccess(explained.value)) {
        const { success } = explained.value
        return give(response, 200, { text: String(success), explanation: success })
      }
      const { body: text, headers, status } = ErrorResponse.make(explained.value.failure)
      giveText(response, status, headers["content-type"]!, text)
    })
  }
}

/** Models that have no deployment to send to now. */
export const unreadyIn = ({ deployments, models }: Snapshot, doubts: Doubts): ReadonlyArray<Unready> => {
  const answered = new Set(deployments.filter(({ totals }) => totals.succeeded > 0).map(({ resource }) => resource))
  return models.flatMap(({ name }) => {
    const own = deployments.filter(({ model }) => model === name)
    const reasons = own.map(({ reason, resource, state }) =>
      state !== "healthy" ? reason ?? state : answered.has(resource) ? undefined : doubts.get(resource)
    )
    if (own.length === 0 || reasons.includes(undefined)) return []
    return [{ model: name, deployments: Object.fromEntries(own.map(({ id }, i) => [id, reasons[i]!])) }]
  })
}

const parse = (body: Uint8Array): unknown => {
  try {
    return JSON.parse(Buffer.from(body).toString("utf8"))
  } catch {
    return undefined
  }
}

const give = (response: ServerResponse, status: number, value: unknown): void =>
  giveText(response, status, "application/json", JSON.stringify(value))

const giveText = (response: ServerResponse, status: number, type: string, text: string): void => {
  response.writeHead(status, {
    "content-type": type,
    "content-length": String(Buffer.byteLength(text)),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff"
  })
  response.end(response.req.method === "HEAD" ? undefined : text)
}
