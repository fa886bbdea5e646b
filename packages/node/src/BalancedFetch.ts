/**
 * A balanced `fetch`, for the official client and for any other that accepts one.
 *
 * It rejects when the caller aborts, as every fetch does, and with what code of the caller's own threw, such as a
 * selector. Its own failures are answers of OpenAI's shape, so that a
 * client's typed errors come out, with `x-should-retry: false`, because retrying is done. After the first content of a
 * stream a failure becomes an error event: an abort, or a bare end, would finish the caller's loop as if all were well.
 */
import { type Deployments, type LoadBalancer, LoadBalancerError, Unavailable } from "@evenkeel/core"
import { type Answer, ErrorResponse, headersOf, InboundBody, InboundRequest, LlmRequest } from "@evenkeel/core/internal"
import * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { readableOf, reasonOf, sourceOf } from "./AnswerSource.ts"
import { make as leanResponse } from "./LeanResponse.ts"

/** What the official client's subclass knows of a request before it is serialised. */
export interface ClientFacts {
  readonly operation: LlmRequest.Operation
  readonly facts: LlmRequest.Facts
  /** Where it goes, where that is one of the three operations: nothing of the URL need be looked at. */
  readonly target: InboundRequest.Target | undefined
  /** What was written in place of the caller's body. */
  readonly body: unknown
}

/** Keys under which the subclass hands facts over in `init`. */
export const factsKey: unique symbol = Symbol("evenkeel/facts")
export const sessionKey: unique symbol = Symbol("evenkeel/session")
/** The caller's own deadline in milliseconds, or none: what the client's timer is set to is not it. */
export const timeoutKey: unique symbol = Symbol("evenkeel/timeout")
/** What the same request was answered already. */
export const answeredKey: unique symbol = Symbol("evenkeel/answered")

/** `init` of a call, with what our own client adds. */
export interface BalancedInit extends RequestInit {
  readonly [factsKey]?: ClientFacts
  readonly [sessionKey]?: string
  readonly [timeoutKey]?: number | undefined
  readonly [answeredKey]?: Promise<Response>
}

/** What the door needs of a running balancer. */
export interface FetchOptions {
  readonly balancer: LoadBalancer["Service"]
  readonly deployments: Deployments["Service"]
  /** Runs a call, and tells how it ended. */
  readonly fork: <A, E>(
    effect: Effect.Effect<A, E>,
    onExit: (exit: Exit.Exit<A, E>) => void
  ) => Fiber.Fiber<A, E>
  /** Aborted when the balancer closes. */
  readonly closing: AbortSignal
}

/**
 * Makes the balanced fetch.
 */
export const make = (options: FetchOptions): typeof fetch => {
  const { balancer, closing, deployments, fork } = options
  return async (input, init: BalancedInit = {}) => {
    const answered = init[answeredKey]
    if (answered !== undefined) return answered
    const asked = input instanceof Request ? new Request(input, init) : undefined
    const url = asked?.url ?? String(input)
    // the caller's own: a signal that only follows it may be collected before it fires
    const signal = init.signal ?? (input instanceof Request ? input.signal : undefined)
    signal?.throwIfAborted()
    const known = init[factsKey]
    const target = known?.target ?? InboundRequest.targetOf(url, deployments)
    if (target === undefined) return errorResponse(InboundRequest.unknownTarget(url))
    const method = (asked?.method ?? init.method ?? "GET").toUpperCase()
    const isForeign = known === undefined
    const request = isForeign
      ? await foreignRequest(method, target, asked ?? init, signal === undefined ? [closing] : [signal, closing])
      : clientRequest(method, target, init, known)
    signal?.throwIfAborted()
    if (closing.aborted) return errorResponse(closed(known?.facts.model))
    if (request instanceof LoadBalancerError) return errorResponse(request)
    const timeout = timeoutOf(asked ?? init)
    return new Promise<Response>((resolve, reject) => {
      let opened: { readonly close: () => void } | undefined
      let fiber: Fiber.Fiber<unknown, unknown> | undefined
      const abort = () => {
        // before the fiber ends: what its end would resolve with comes too late then
        reject(reasonOf(signal!))
        fiber?.interruptUnsafe()
        opened?.close()
      }
      signal?.addEventListener("abort", abort, { once: true })
      const onOpen = (stream: { readonly close: () => void }) => {
        opened = stream
      }
      fiber = fork(balancer.dispatch(request, { timeout }, onOpen), (exit) => {
        signal?.removeEventListener("abort", abort)
        try {
          resolve(responseOf(exit, request, method, signal, isForeign))
        } catch (cause) {
          opened?.close()
          reject(cause)
        }
      })
      // code of the caller's own may have aborted it while it began
      if (signal?.aborted === true) abort()
    })
  }
}

/** The error of a request that nobody but its balancer's closing interrupted. */
export const closed = (model = ""): LoadBalancerError =>
  new LoadBalancerError({ reason: new Unavailable({ model, limitedBy: "closed" }), attempts: [] })

// --- the request ----------------------------------------------------------------------------------------------------

/** A request of our own client: its facts are known, and its body lacks the model. */
const clientRequest = (
  method: string,
  target: InboundRequest.Target,
  init: BalancedInit,
  known: ClientFacts
): LlmRequest.LlmRequest => {
  const given = lookUpIn(init.headers)
  const session = init[sessionKey] ?? LlmRequest.sessionOfHeaders(given)
  const { openStreamOptions } = known.facts
  const body = typeof init.body === "string" ? LlmRequest.jsonBody(init.body, openStreamOptions) : LlmRequest.noBody
  const headers = LlmRequest.forwardedHeaders(given)
  const { path, query } = target
  return LlmRequest.make(
    { operation: known.operation, method, path, query, body, parsesEvents: false, headers },
    known.facts,
    { session }
  )
}

/** The caller's deadline, in milliseconds. */
const timeoutOf = (init: Request | BalancedInit): number | undefined =>
  timeoutKey in init
    ? (init as BalancedInit)[timeoutKey]
    : InboundRequest.stainlessTimeout(lookUpIn(init.headers)("x-stainless-timeout"))

/** Looks headers up by lower-case name, in whatever form a client gives them. */
const lookUpIn = (headers: HeadersInit | undefined): (name: string) => string | null | undefined => {
  if (headers instanceof Headers) return (name) => headers.get(name)
  if (headers === undefined || Array.isArray(headers)) {
    const real = new Headers(headers ?? {})
    return (name) => real.get(name)
  }
  const values: Record<string, string> = {}
  for (const name in headers) {
    const value: unknown = headers[name]
    if (typeof value === "string") values[name.toLowerCase()] = value
  }
  return (name) => values[name]
}

/** A request of another client, its body read whole so that it can be sent again. */
const foreignRequest = async (
  method: string,
  target: InboundRequest.Target,
  init: Request | BalancedInit,
  signals: ReadonlyArray<AbortSignal>
): Promise<LlmRequest.LlmRequest | LoadBalancerError> => {
  const headers = new Headers(init.headers ?? {})
  const { body, contentType } = await readBody(init, signals)
  return InboundRequest.read({
    method,
    target,
    headers: Object.fromEntries(headers),
    body,
    contentType: headers.get("content-type") ?? contentType,
    session: (init as BalancedInit)[sessionKey]
  })
}

const readBody = async (
  init: Request | BalancedInit,
  signals: ReadonlyArray<AbortSignal>
): Promise<Pick<InboundRequest.Foreign, "body" | "contentType">> => {
  const { body } = init
  if (body === undefined || body === null) return { body: undefined, contentType: undefined }
  if (body instanceof FormData) return { body, contentType: undefined }
  if (typeof body === "string") return { body, contentType: "text/plain;charset=UTF-8" }
  const carrier = init instanceof Request ? init : new Response(body)
  const contentType = carrier.headers.get("content-type") ?? undefined
  return { body: await InboundBody.readAll(carrier, signals), contentType }
}

// --- the answer -----------------------------------------------------------------------------------------------------

/** What became of a request, as a response. Throws what code of the caller's own threw. */
const responseOf = (
  exit: Exit.Exit<Answer, LoadBalancerError>,
  request: LlmRequest.LlmRequest,
  method: string,
  signal: AbortSignal | undefined,
  isForeign: boolean
): Response => {
  if (Exit.isFailure(exit)) {
    const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
    if (error === undefined && Cause.hasDies(exit.cause)) throw Cause.squash(exit.cause)
    return errorResponse(error ?? closed(request.model))
  }
  const answer = exit.value
  const headers = headersOf(answer)
  const { status } = answer
  if (method === "HEAD" || status === 204 || status === 205) return new Response(null, { status, headers })
  const content = answer._tag === "Whole" ? answer.text : sourceOf(answer, signal)
  if (!isForeign) return leanResponse(content, status, headers)
  return new Response(typeof content === "string" ? content : readableOf(content), { status, headers })
}

/** An error as a response. */
const errorResponse = (error: LoadBalancerError): Response => {
  const { body, headers, status } = ErrorResponse.make(error)
  return leanResponse(body, status, headers)
}
