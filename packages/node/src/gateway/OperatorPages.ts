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

/** Whether there is such a page. */
export const has = (path: string): boolean => paths.has(path) || Page.has(path)

/** The pages of one gateway. */
export type OperatorPages = ReturnType<typeof make>

/**
 * Makes the pages of one gateway.
 *
 * @param gateway its own state, as it is now
 */
export const make = (
  context: Context.Context<LoadBalancer | Deployments>,
  activity: Activity,
  doubts: Doubts,
  gateway: () => GatewaySnapshot
) => {
  const balancer = Context.get(context, LoadBalancer)
  const clock = Context.get(context, Clock.Clock)
  const startedAt = monotonicMillis(clock)
  const decisions = new Decisions()

  const status = (): Status => {
    const at = clock.currentTimeMillisUnsafe()
    const uptime = monotonicMillis(clock) - startedAt
    const snapshot = Effect.runSync(balancer.snapshot)
    return { ...snapshot, gateway: { ...gateway(), ...activity.snapshot(snapshot.deployments, at), at, uptime } }
  }

  const giveDecisions = (response: ServerResponse, query: URLSearchParams): void => {
    const after = query.get("after")
    const latest = decisions.latest(after === null ? undefined : Number(after))
    give(response, 200, query.has("brief") ? latest.map(brief) : latest)
  }

  const giveReadiness = (response: ServerResponse, isOpen: boolean): void => {
    const { isDraining } = gateway()
    const unready = unreadyIn(Effect.runSync(balancer.snapshot), doubts)
    const isReady = unready.length === 0 && !isDraining
    const reasons = isOpen ? { draining: isDraining, unready } : {}
    give(response, isReady ? 200 : 503, { status: isReady ? "ready" : "not ready", ...reasons })
  }

  const explain = (request: IncomingMessage, response: ServerResponse, query: URLSearchParams): void =>
    RequestBody.read(request, MOST_PARAMETERS, () => true, (body) => {
      if (body === "aborted") return
      if (body === "too-large" || body === "no-room") {
        return Refusals.answer(response, Refusals.tooLarge(MOST_PARAMETERS))
      }
      const given = body === undefined ? { model: query.get("model") ?? "" } : parse(body)
      const session = query.get("session") ?? undefined
      const explained = Effect.runSyncExit(Effect.result(balancer.explain(given as { model: string }, { session })))
      // a policy may throw
      if (Exit.isFailure(explained)) return Refusals.giveUp(response)
      if (Result.isSuccess(explained.value)) {
        const { success } = explained.value
        return give(response, 200, { text: String(success), explanation: success })
      }
      const { body: text, headers, status } = ErrorResponse.make(explained.value.failure)
      giveText(response, status, headers["content-type"]!, text)
    })

  /** @param refusal why it is closed to whoever asks; `undefined` for an operator */
  const answer = (
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    query: string,
    refusal: Refusals.GatewayRefusal | undefined
  ): void => {
    const { method } = request
    const isRead = method === "GET" || method === "HEAD"
    if (!isRead && !(path === "/explain" && method === "POST")) {
      response.setHeader("allow", path === "/explain" ? "GET, POST" : "GET")
      return Refusals.answer(response, Refusals.badMethod)
    }
    if (Page.has(path)) return Page.give(response, path)
    if (path === "/healthz") return give(response, 200, { status: "alive" })
    if (path === "/readyz") return giveReadiness(response, refusal === undefined)
    if (refusal !== undefined) return Refusals.answer(response, refusal)
    switch (path) {
      case "/status":
        return give(response, 200, status())
      case "/decisions":
        return giveDecisions(response, new URLSearchParams(query))
      case "/metrics": {
        const { contentType, options } = PrometheusPage
        return giveText(response, 200, contentType, PrometheusMetrics.formatUnsafe(context, options))
      }
      default:
        return explain(request, response, new URLSearchParams(query))
    }
  }

  return { decisions, answer }
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
