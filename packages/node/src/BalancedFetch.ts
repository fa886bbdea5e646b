/**
 * A balanced `fetch`, for the official client and for any other that accepts one.
 *
 * It rejects only when the caller aborts, as every fetch does. Its own failures are answers of OpenAI's shape, so that a
 * client's typed errors come out, with `x-should-retry: false`, because retrying is done. After the first content of a
 * stream a failure becomes an error event: an abort, or a bare end, would finish the caller's loop as if all were well.
 */
import type { Answer } from "@evenkeel/core/attempt/Attempt"
import { interrupted, StreamBreak } from "@evenkeel/core/attempt/GivenStream"
import { isSafePath, type Resource } from "@evenkeel/core/deployment/Resource"
import { bytesOf, operationOf, pinOfPath } from "@evenkeel/core/HttpDoor"
import type { LoadBalancer } from "@evenkeel/core/LoadBalancer"
import { LoadBalancerError } from "@evenkeel/core/LoadBalancerError"
import * as LlmRequest from "@evenkeel/core/request/LlmRequest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { errorResponse } from "./ErrorResponse.ts"
import { type ByteSource, make as leanResponse, readableOf } from "./LeanResponse.ts"

/** What the official client's subclass knows of a request before it is serialised. */
export interface ClientFacts {
  readonly operation: LlmRequest.Operation
  readonly facts: LlmRequest.Facts
  /** The deadline that the caller gave this call, in milliseconds. */
  readonly timeout: number | undefined
}

/** Keys under which the subclass hands facts over in `init`. */
export const factsKey: unique symbol = Symbol("evenkeel/facts")
export const sessionKey: unique symbol = Symbol("evenkeel/session")

/** `init` of a call, with what our own client adds. */
export interface BalancedInit extends RequestInit {
  readonly [factsKey]?: ClientFacts
  readonly [sessionKey]?: string
}

/** Base of the URLs that our own client asks for; it names no host. */
export const clientBase = "https://balanced.invalid/v1"

/** Bases that any client of OpenAI may ask for. */
const openAiBase = "https://api.openai.com/v1"

/** What the door needs of a running balancer. */
export interface FetchOptions {
  readonly balancer: LoadBalancer["Service"]
  readonly resources: () => ReadonlyArray<Resource>
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
}

/**
 * Makes the balanced fetch.
 */
export const make = (options: FetchOptions): typeof fetch => {
  const { balancer, fork, resources } = options
  return async (input, init: BalancedInit = {}) => {
    const isForeign = init[factsKey] === undefined
    const asked = input instanceof Request ? new Request(input, init) : undefined
    const url = asked?.url ?? String(input)
    const signal = asked?.signal ?? init.signal ?? undefined
    signal?.throwIfAborted()
    const target = targetOf(url, resources())
    if (target === undefined) {
      return errorResponse(LlmRequest.notSent(`${originOf(url)} is no endpoint of this balancer; nothing was sent.`), url)
    }
    const method = (asked?.method ?? init.method ?? "GET").toUpperCase()
    const request = isForeign
      ? await foreignRequest(method, target, asked ?? init)
      : clientRequest(method, target, init, init[factsKey]!)
    if (request instanceof LoadBalancerError) return errorResponse(request, url)
    return new Promise<Response>((resolve, reject) => {
      let opened: { readonly close: () => void } | undefined
      const fiber = fork(balancer.dispatch(request, (stream) => {
        opened = stream
      }))
      const abort = () => {
        fiber.interruptUnsafe()
        opened?.close()
        reject(reasonOf(signal!))
      }
      signal?.addEventListener("abort", abort, { once: true })
      fiber.addObserver((exit) => {
        signal?.removeEventListener("abort", abort)
        if (Exit.isSuccess(exit)) {
          resolve(responseOf(exit.value.answer, url, signal, fork, isForeign))
          return
        }
        const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
        resolve(errorResponse(error ?? closed, url))
      })
    })
  }
}

const reasonOf = (signal: AbortSignal): unknown => signal.reason ?? new DOMException("This operation was aborted", "AbortError")

/** A request that was interrupted by nobody but the closing of its balancer. */
const closed = LlmRequest.notSent("The load balancer was closed.")

// --- the request ----------------------------------------------------------------------------------------------------

interface Target {
  readonly path: string
  readonly query: string
}

/** Path and query below the API's base, if the URL is below one that we know. Nothing else of it is used. */
const targetOf = (url: string, resources: ReadonlyArray<Resource>): Target | undefined => {
  const found = below(url, clientBase) ?? below(url, openAiBase)
  if (found !== undefined) return found
  for (const resource of resources) {
    const target = below(url, resource.baseUrl)
    if (target !== undefined) return resource.apiVersion === undefined ? target : withoutDeployment(target)
  }
  return undefined
}

const below = (url: string, base: string): Target | undefined => {
  if (!url.startsWith(base)) return undefined
  const mark = url.indexOf("?", base.length)
  const path = mark === -1 ? url.slice(base.length) : url.slice(base.length, mark)
  return isSafePath(path) ? { path, query: mark === -1 ? "" : url.slice(mark + 1) } : undefined
}

/** Azure's classic URLs name a deployment and a version, both of which the chosen deployment decides. */
const withoutDeployment = ({ path, query }: Target): Target => {
  const parameters = new URLSearchParams(query)
  parameters.delete("api-version")
  return { path: path.replace(/^\/deployments\/[^/]+(?=\/)/, ""), query: parameters.toString() }
}

const originOf = (url: string): string => {
  try {
    return new URL(url).origin
  } catch {
    return "That"
  }
}

/** A request of our own client: its facts are known, and its body lacks the model. */
const clientRequest = (
  method: string,
  target: Target,
  init: BalancedInit,
  known: ClientFacts
): LlmRequest.LlmRequest => {
  const headers = new Headers(init.headers ?? {})
  const session = init[sessionKey] ?? headers.get("x-session-id") ?? known.facts.session
  const body = typeof init.body === "string" ? LlmRequest.jsonBody(init.body) : LlmRequest.noBody
  return LlmRequest.make(
    { operation: known.operation, method, ...target, body, parsesEvents: false },
    known.facts,
    { session, headers: Object.fromEntries(headers), timeout: known.timeout }
  )
}

/** A request of another client: a JSON body is parsed, once; any other is read whole, so that it can be sent again. */
const foreignRequest = async (
  method: string,
  target: Target,
  init: Request | BalancedInit
): Promise<LlmRequest.LlmRequest | LoadBalancerError> => {
  const headers = new Headers(init.headers ?? {})
  const stainless = Number(headers.get("x-stainless-timeout") ?? NaN)
  const options: LlmRequest.CallOptions = {
    session: (init as BalancedInit)[sessionKey] ?? headers.get("x-session-id") ?? undefined,
    headers: Object.fromEntries(headers),
    timeout: stainless > 0 ? stainless * 1000 : undefined
  }
  const asked = { operation: operationOf(method, target.path), method, ...target, parsesEvents: false }
  const pin = pinOfPath(target.path)
  if (init.body === undefined || init.body === null) {
    return LlmRequest.make({ ...asked, body: LlmRequest.noBody }, { ...LlmRequest.noFacts, pin }, options)
  }
  const carrier = init instanceof Request ? init : new Response(init.body)
  const contentType = headers.get("content-type") ?? carrier.headers.get("content-type") ?? undefined
  const bytes = new Uint8Array(await carrier.arrayBuffer())
  const parameters = contentType?.includes("json") === true ? parse(new TextDecoder().decode(bytes)) : undefined
  if (LlmRequest.isRecord(parameters)) {
    const facts = LlmRequest.readFacts(asked.operation, parameters)
    const sent = facts.model === undefined ? parameters : LlmRequest.sentParameters(asked.operation, parameters, facts.stream)
    const hasSideEffects = facts.hasSideEffects || (facts.model === undefined && method !== "GET")
    return LlmRequest.make({ ...asked, body: LlmRequest.jsonBody(JSON.stringify(sent)) }, { ...facts, pin: facts.pin ?? pin, hasSideEffects }, options)
  }
  if (asked.operation !== "other") return LlmRequest.notSent("The body is no JSON object; nothing was sent.")
  const facts = { ...LlmRequest.noFacts, pin, hasSideEffects: true }
  return LlmRequest.make({ ...asked, body: LlmRequest.rawBody(bytes, contentType) }, facts, options)
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

// --- the answer -----------------------------------------------------------------------------------------------------

const responseOf = (
  answer: Answer,
  url: string,
  signal: AbortSignal | undefined,
  fork: FetchOptions["fork"],
  isForeign: boolean
): Response => {
  const headers = headersOf(answer)
  const content = answer._tag === "Whole" ? answer.text : sourceOf(answer, signal, fork)
  if (!isForeign) return leanResponse(content, answer.status, headers, url)
  const isBodiless = answer.status === 204 || answer.status === 205 || answer.status === 304
  const body = isBodiless ? null : typeof content === "string" ? content : readableOf(content)
  return new Response(body, { status: answer.status, headers })
}

/** Headers of the answer, without those that only held for its bytes as they were sent. */
const headersOf = ({ deployment, headers }: Answer): Record<string, string> => {
  const kept: Record<string, string> = { "x-evenkeel-deployment": deployment.id }
  for (const name in headers) {
    if (!ofTheConnection.has(name)) kept[name] = headers[name]!
  }
  return kept
}

const ofTheConnection = new Set(["content-encoding", "content-length", "transfer-encoding", "connection", "keep-alive"])

const encoder = new TextEncoder()

/** A stream as bytes, with what breaks it told as an error event. */
const sourceOf = (
  answer: Exclude<Answer, { readonly _tag: "Whole" }>,
  signal: AbortSignal | undefined,
  fork: FetchOptions["fork"]
): ByteSource => {
  const { stream } = answer
  const next: Effect.Effect<Uint8Array, StreamBreak | Cause.Done> = answer._tag === "Stream"
    ? Effect.map(answer.stream.next, bytesOf)
    : answer.stream.next
  let isOver = false
  let stopWaiting: (() => void) | undefined
  const finish = () => {
    isOver = true
    signal?.removeEventListener("abort", abort)
  }
  const abort = () => {
    isOver = true
    stream.close()
    stopWaiting?.()
  }
  signal?.addEventListener("abort", abort, { once: true })
  return {
    next: () =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(reasonOf(signal))
        if (isOver) return resolve(undefined)
        const fiber = fork(next)
        stopWaiting = () => {
          fiber.interruptUnsafe()
          if (signal?.aborted === true) reject(reasonOf(signal))
          else resolve(undefined)
        }
        fiber.addObserver((exit) => {
          stopWaiting = undefined
          if (Exit.isSuccess(exit)) return resolve(exit.value)
          finish()
          const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
          if (!(error instanceof StreamBreak) || error.isTold) return resolve(undefined)
          if (answer._tag === "Raw") return reject(new TypeError("terminated", { cause: interrupted(error) }))
          resolve(encoder.encode(`event: error\ndata: ${JSON.stringify(errorEvent(error))}\n\n`))
        })
      }),
    cancel: () => {
      finish()
      stream.close()
      stopWaiting?.()
    }
  }
}

/** The error event of a broken stream: the service's own words where it had some. */
const errorEvent = (broken: StreamBreak): unknown => {
  const { outcome } = broken.failure
  const body = "body" in outcome && LlmRequest.isRecord(outcome.body) ? outcome.body : undefined
  if (body !== undefined && LlmRequest.isRecord(body["error"])) return body
  return {
    error: {
      message: interrupted(broken).message,
      type: "stream_interrupted",
      code: "stream_interrupted",
      param: null
    }
  }
}
