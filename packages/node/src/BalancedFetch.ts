/**
 * A balanced `fetch`, for the official client and for any other that accepts one.
 *
 * It rejects only when the caller aborts, as every fetch does. Its own failures are answers of OpenAI's shape, so that a
 * client's typed errors come out, with `x-should-retry: false`, because retrying is done. After the first content of a
 * stream a failure becomes an error event: an abort, or a bare end, would finish the caller's loop as if all were well.
 */
import type { Answer } from "@evenkeel/core/attempt/Answer"
import { interrupted, StreamBreak } from "@evenkeel/core/attempt/GivenStream"
import { headersOf } from "@evenkeel/core/BalancedHttpClient"
import type { Resource } from "@evenkeel/core/deployment/Resource"
import * as ErrorAnswer from "@evenkeel/core/ErrorAnswer"
import * as ForeignRequest from "@evenkeel/core/ForeignRequest"
import { bytesOf, mayHaveSideEffects } from "@evenkeel/core/HttpDoor"
import type { LoadBalancer } from "@evenkeel/core/LoadBalancer"
import { LoadBalancerError, Unavailable } from "@evenkeel/core/LoadBalancerError"
import * as LlmRequest from "@evenkeel/core/request/LlmRequest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { type ByteSource, make as leanResponse, readableOf } from "./LeanResponse.ts"

/** What the official client's subclass knows of a request before it is serialised. */
export interface ClientFacts {
  readonly operation: LlmRequest.Operation
  readonly facts: LlmRequest.Facts
  /** Where it goes, where that is one of the three operations: nothing of the URL need be looked at. */
  readonly target: ForeignRequest.Target | undefined
}

/** Keys under which the subclass hands facts over in `init`. */
export const factsKey: unique symbol = Symbol("evenkeel/facts")
export const sessionKey: unique symbol = Symbol("evenkeel/session")
/** The caller's own deadline in milliseconds, or none: what the client's timer is set to is not it. */
export const timeoutKey: unique symbol = Symbol("evenkeel/timeout")

/** `init` of a call, with what our own client adds. */
export interface BalancedInit extends RequestInit {
  readonly [factsKey]?: ClientFacts
  readonly [sessionKey]?: string
  readonly [timeoutKey]?: number | undefined
}

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
    const asked = input instanceof Request ? new Request(input, init) : undefined
    const url = asked?.url ?? String(input)
    // the caller's own: a signal that only follows it may be collected before it fires
    const signal = init.signal ?? (input instanceof Request ? input.signal : undefined)
    signal?.throwIfAborted()
    const known = init[factsKey]
    const target = known?.target ?? ForeignRequest.targetOf(url, resources())
    if (target === undefined) return errorResponse(ForeignRequest.unknownTarget(url))
    const method = (asked?.method ?? init.method ?? "GET").toUpperCase()
    const isForeign = known === undefined
    const request = isForeign
      ? await untilAborted(foreignRequest(method, target, asked ?? init), signal)
      : clientRequest(method, target, init, known)
    if (request instanceof LoadBalancerError) return errorResponse(request)
    return new Promise<Response>((resolve, reject) => {
      let opened: { readonly close: () => void } | undefined
      const fiber = fork(balancer.dispatch(request, (stream) => {
        opened = stream
      }))
      const abort = () => {
        // before the fiber ends: what its end would resolve with comes too late then
        reject(reasonOf(signal!))
        fiber.interruptUnsafe()
        opened?.close()
      }
      signal?.addEventListener("abort", abort, { once: true })
      fiber.addObserver((exit) => {
        signal?.removeEventListener("abort", abort)
        if (Exit.isSuccess(exit)) {
          resolve(responseOf(exit.value.answer, method, signal, fork, isForeign))
          return
        }
        const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
        resolve(errorResponse(error ?? closed(request)))
      })
    })
  }
}

const reasonOf = (signal: AbortSignal): unknown =>
  signal.reason ?? new DOMException("This operation was aborted", "AbortError")

/** A body may take a while to be read, or never come. */
const untilAborted = <A>(reading: Promise<A>, signal: AbortSignal | undefined): Promise<A> => {
  if (signal === undefined) return reading
  return new Promise((resolve, reject) => {
    const abort = () => reject(reasonOf(signal))
    signal.addEventListener("abort", abort, { once: true })
    reading.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort))
  })
}

/** The error of a request that nobody but its balancer's closing interrupted. */
const closed = (request: LlmRequest.LlmRequest): LoadBalancerError => {
  const reason = new Unavailable({ model: request.model ?? "", limitedBy: "closed" })
  return new LoadBalancerError({ reason, attempts: [] })
}

// --- the request ----------------------------------------------------------------------------------------------------

/** A request of our own client: its facts are known, and its body lacks the model. */
const clientRequest = (
  method: string,
  target: ForeignRequest.Target,
  init: BalancedInit,
  known: ClientFacts
): LlmRequest.LlmRequest => {
  const given = lookUpIn(init.headers)
  const session = init[sessionKey] ?? given("x-session-id") ?? known.facts.session
  const body = typeof init.body === "string" ? LlmRequest.jsonBody(init.body) : LlmRequest.noBody
  const headers = LlmRequest.crossingHeaders(given)
  return LlmRequest.make(
    { operation: known.operation, method, ...target, body, parsesEvents: false, headers },
    known.facts,
    { session, timeout: init[timeoutKey] }
  )
}

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
  target: ForeignRequest.Target,
  init: Request | BalancedInit
): Promise<LlmRequest.LlmRequest | LoadBalancerError> => {
  const headers = new Headers(init.headers ?? {})
  const timeout = timeoutKey in init
    ? (init as BalancedInit)[timeoutKey]
    : ForeignRequest.stainlessTimeout(headers.get("x-stainless-timeout"))
  if (init.body instanceof FormData) {
    const model = init.body.get("model")
    if (typeof model === "string" && model !== "") {
      return formRequest(method, target, headers, init.body, model, timeout, (init as BalancedInit)[sessionKey])
    }
  }
  const hasBody = init.body !== undefined && init.body !== null
  const carrier = init instanceof Request ? init : new Response(hasBody ? init.body : null)
  return ForeignRequest.read({
    method,
    target,
    headers: Object.fromEntries(headers),
    body: hasBody ? new Uint8Array(await carrier.arrayBuffer()) : undefined,
    contentType: headers.get("content-type") ?? carrier.headers.get("content-type") ?? undefined,
    session: (init as BalancedInit)[sessionKey],
    timeout
  })
}

/** A form with a model, such as an upload to be transcribed: balanced like any other request that names one. */
const formRequest = async (
  method: string,
  target: ForeignRequest.Target,
  headers: Headers,
  form: FormData,
  model: string,
  timeout: number | undefined,
  given: string | undefined
): Promise<LlmRequest.LlmRequest> => {
  // written once with a mark in the model's place, which each attempt fills with its deployment's name
  const mark = `evenkeel-${crypto.randomUUID()}`
  const marked = new FormData()
  let hasModel = false
  for (const [name, value] of form) {
    marked.append(name, name === "model" && !hasModel ? mark : value)
    hasModel ||= name === "model"
  }
  const carrier = new Response(marked)
  const contentType = carrier.headers.get("content-type") ?? undefined
  const bytes = Buffer.from(await carrier.arrayBuffer())
  const at = bytes.indexOf(mark)
  const before = bytes.subarray(0, at)
  const after = bytes.subarray(at + mark.length)
  const body: LlmRequest.RequestBody = {
    contentType,
    withModel: (name = model) => Buffer.concat([before, Buffer.from(name), after])
  }
  const asked = { operation: "other", method, ...target, body, parsesEvents: false } as const
  const facts = { ...LlmRequest.noFacts, model, hasSideEffects: mayHaveSideEffects(method, target.path) }
  const session = given ?? headers.get("x-session-id") ?? undefined
  return LlmRequest.make(asked, facts, { headers: Object.fromEntries(headers), timeout, session })
}

// --- the answer -----------------------------------------------------------------------------------------------------

const responseOf = (
  answer: Answer,
  method: string,
  signal: AbortSignal | undefined,
  fork: FetchOptions["fork"],
  isForeign: boolean
): Response => {
  const headers = headersOf(answer)
  const { status } = answer
  if (method === "HEAD" || status === 204 || status === 205) return new Response(null, { status, headers })
  const content = answer._tag === "Whole" ? answer.text : sourceOf(answer, signal, fork)
  if (!isForeign) return leanResponse(content, status, headers)
  return new Response(typeof content === "string" ? content : readableOf(content), { status, headers })
}

/** An error as a response. */
const errorResponse = (error: LoadBalancerError): Response => {
  const { body, headers, status } = ErrorAnswer.make(error)
  return leanResponse(ErrorAnswer.write(body), status, headers)
}

const encoder = new TextEncoder()

/**
 * A stream as bytes, with what breaks it told as an error event. One fiber serves all reads: it waits for each.
 */
const sourceOf = (
  answer: Exclude<Answer, { readonly _tag: "Whole" }>,
  signal: AbortSignal | undefined,
  fork: FetchOptions["fork"]
): ByteSource => {
  const { stream } = answer
  const next: Effect.Effect<Uint8Array, StreamBreak | Cause.Done> = answer._tag === "Stream"
    ? Effect.map(answer.stream.next, bytesOf)
    : answer.stream.next
  let reader:
    | { readonly resolve: (bytes: Uint8Array | undefined) => void; readonly reject: (cause: unknown) => void }
    | undefined
  let wake: (() => void) | undefined
  let fiber: Fiber.Fiber<void, StreamBreak | Cause.Done> | undefined
  let isOver = false

  /** Gives the one that reads what it waits for. */
  const give = (bytes: Uint8Array | undefined): void => {
    const waiting = reader
    reader = undefined
    waiting?.resolve(bytes)
  }
  const finish = (): void => {
    isOver = true
    signal?.removeEventListener("abort", abort)
  }
  const demand = Effect.callback<void>((resume) => {
    if (reader === undefined) wake = () => resume(Effect.void)
    else resume(Effect.void)
  })
  const serve: Effect.Effect<void, StreamBreak | Cause.Done> = Effect.flatMap(
    demand,
    () =>
      Effect.flatMap(next, (bytes) => {
        give(bytes)
        // what is over needs no one to wait; what is left of it is asked for anew
        return stream.isOver ? Effect.void : serve
      })
  )
  const onEnd = (ended: typeof fiber, exit: Exit.Exit<void, StreamBreak | Cause.Done>): void => {
    // ended by its reader or by its caller's abort, who know; or put to rest, to be asked anew
    if (isOver || ended !== fiber) return
    fiber = undefined
    wake = undefined
    if (Exit.isSuccess(exit)) return
    finish()
    const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
    if (error === undefined) lastWord = encodeError({ error: closedBody })
    else if (error instanceof StreamBreak && !error.isTold) {
      if (answer._tag === "Raw") {
        const waiting = reader
        reader = undefined
        waiting?.reject(new TypeError("terminated", { cause: interrupted(error) }))
        return
      }
      lastWord = encodeError(errorEvent(error))
    }
    if (reader !== undefined) giveLast()
  }
  let lastWord: Uint8Array | undefined
  const giveLast = (): void => {
    const bytes = lastWord
    lastWord = undefined
    give(bytes)
  }
  const abort = (): void => {
    finish()
    const waiting = reader
    reader = undefined
    waiting?.reject(reasonOf(signal!))
    stop()
  }
  const stop = (): void => {
    fiber?.interruptUnsafe()
    stream.close()
  }
  const rest = (): void => {
    signal?.removeEventListener("abort", abort)
    if (reader !== undefined) return
    const resting = fiber
    fiber = undefined
    wake = undefined
    resting?.interruptUnsafe()
  }
  if (!stream.isOver) {
    signal?.addEventListener("abort", abort, { once: true })
    stream.onOver = rest
  }
  return {
    next: () =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(reasonOf(signal))
        reader = { resolve, reject }
        if (isOver) return giveLast()
        if (fiber === undefined) {
          const started = fork(serve)
          fiber = started
          started.addObserver((exit) => onEnd(started, exit))
          return
        }
        const serving = wake
        wake = undefined
        serving?.()
      }),
    cancel: () => {
      finish()
      give(undefined)
      stop()
    }
  }
}

const encodeError = (body: unknown): Uint8Array => encoder.encode(`event: error\ndata: ${JSON.stringify(body)}\n\n`)

const closedBody = {
  message: "The load balancer was closed.",
  type: "stream_interrupted",
  code: "stream_interrupted",
  param: null
}

/** The error event of a broken stream: the service's own words where it had some. */
const errorEvent = (broken: StreamBreak): unknown => {
  const { outcome } = broken.failure
  const body = "body" in outcome && LlmRequest.isRecord(outcome.body) ? outcome.body : undefined
  if (body !== undefined && (LlmRequest.isRecord(body["error"]) || typeof body["message"] === "string")) return body
  return {
    error: {
      message: interrupted(broken).message,
      type: "stream_interrupted",
      code: "stream_interrupted",
      param: null
    }
  }
}
