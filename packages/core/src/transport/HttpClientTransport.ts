/**
 * A transport over any `HttpClient` of `effect/http`, for runtimes where undici is not, and for clients that carry
 * middleware of your own. It is slower than undici; see docs/performance.md.
 *
 * A redirect is never followed, since it would take key and prompt elsewhere: a client of `fetch` is told not to, and an
 * answer that came from another address than was asked is a failure.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { abortable } from "./Abortable.ts"
import {
  isLocalTrouble,
  Transport,
  TransportError,
  type TransportRequest,
  type TransportResponse
} from "./Transport.ts"

/**
 * Layer of the transport.
 */
export const layer: Layer.Layer<Transport, never, HttpClient.HttpClient> = Layer.effect(
  Transport,
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const init: RequestInit = { ...yield* fetchInitOf(client), redirect: "manual" }
    const scoped = HttpClient.withScope(client)
    return abortable({
      send: (request) =>
        Effect.suspend(() => {
          if (wantsOwnConnection(request)) return Effect.fail(cannotConnect)
          // closed with an unread answer, it closes the connection
          const scope = Scope.makeUnsafe()
          request.onStart?.({ abort: closing(scope) })
          return scoped.execute(requestOf(request)).pipe(
            Effect.mapError((error) => errorOf(error, false)),
            Effect.flatMap((answered) => {
              if (isRedirected(answered, request.origin)) {
                return Effect.fail(new TransportError({ kind: "protocol", code: "redirect" }))
              }
              return Effect.succeed(responseOf(answered, scope))
            }),
            Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
            Effect.provideService(Scope.Scope, scope)
          )
        }).pipe(
          Effect.provideService(FetchHttpClient.RequestInit, init),
          // trace context is a custom header, of which Azure counts ten; spans are the balancer's own
          Effect.provideService(HttpClient.TracerPropagationEnabled, false),
          Effect.provideService(HttpClient.TracerDisabledWhen, () => true)
        )
    })
  })
)

/**
 * What a client of `fetch` was given for each call, such as a proxy of its runtime: seen only from within the client. So
 * it is looked at in place of a first request, and nothing is sent.
 */
const fetchInitOf = (client: HttpClient.HttpClient): Effect.Effect<RequestInit | undefined> =>
  Effect.map(
    Effect.exit(client.postprocess(Effect.flatMap(Effect.context<never>(), (context) => Effect.die(context)))),
    (exit) => {
      const context = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      return Context.isContext(context) ? Context.getOrUndefined(context, FetchHttpClient.RequestInit) : undefined
    }
  )

/** A client's connections are its own: what a resource's proxy or TLS must see to would be gone round in silence. */
const wantsOwnConnection = ({ connection }: TransportRequest): boolean =>
  connection !== undefined &&
  (connection.tls !== undefined || (connection.proxy !== undefined && connection.proxy !== "none"))

const cannotConnect = new TransportError({
  kind: "connect",
  code: "`proxy` and `tls` of a resource need UndiciTransport; set them in the HttpClient"
})

/** Whether an answer is of another address than was asked, or hides, as an opaque redirect does, what it is. */
const isRedirected = ({ request, status, url }: HttpClientResponse, origin: string): boolean => {
  if (status === 0) return true
  if (url === "") return false
  const asked = Option.getOrUndefined(HttpClientRequest.toUrl(request))
  return new URL(url).origin !== origin || (asked !== undefined && asked.href !== url)
}

const requestOf = ({ body, headers, method, origin, path }: TransportRequest) => {
  const request = HttpClientRequest.make(method as "POST")(origin + path, { headers })
  if (body === undefined) return request
  const contentType = headers["content-type"]
  return typeof body === "string"
    ? HttpClientRequest.bodyText(request, body, contentType)
    : HttpClientRequest.bodyUint8Array(request, body, contentType)
}

const closing = (scope: Scope.Closeable) => () => {
  Effect.runFork(Scope.close(scope, Exit.void))
}

const responseOf = (response: HttpClientResponse, scope: Scope.Closeable): TransportResponse => {
  let chunks: ReadonlyArray<Uint8Array> = []
  let index = 0
  let upstream: Pull.Pull<ReadonlyArray<Uint8Array>, HttpClientError.HttpClientError> | undefined
  const next = Effect.suspend(() =>
    upstream !== undefined
      ? upstream
      : Effect.flatMap(Scope.provide(Stream.toPull(response.stream), scope), (pull) => {
        upstream = pull
        return pull
      })
  )
  const pull: Pull.Pull<Uint8Array, TransportError> = Effect.suspend(() => {
    if (index < chunks.length) return Effect.succeed(chunks[index++]!)
    return Effect.matchEffect(next, {
      onSuccess: (more) => {
        chunks = more
        index = 0
        return pull
      },
      onFailure: (error): Pull.Pull<never, TransportError> => {
        return Cause.isDone(error) ? Cause.done() : Effect.fail(errorOf(error, true))
      }
    })
  })
  const abort = closing(scope)
  return {
    status: response.status,
    headers: response.headers,
    pull,
    text: Effect.mapError(response.text, (error) => errorOf(error, true)),
    abort,
    discard: abort
  }
}

/** What a client's error says of the connection: most keep it as the cause, Node's with a code. */
const errorOf = (error: HttpClientError.HttpClientError, hasAnswered: boolean): TransportError => {
  const code = codeOf(error.reason.cause)
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return new TransportError({ kind: "dns", code })
  if (code === "ECONNREFUSED") return new TransportError({ kind: "connect", code })
  if (code === "UND_ERR_CONNECT_TIMEOUT") return new TransportError({ kind: "connect-timeout", code })
  if (isLocalTrouble(code) && !hasAnswered) return new TransportError({ kind: "local", code })
  const isHttp = error.reason._tag === "TransportError" || hasAnswered
  return new TransportError({ kind: isHttp ? "reset" : "protocol", code: code ?? error.reason._tag })
}

const codeOf = (cause: unknown): string | undefined => {
  for (let at = cause, depth = 0; typeof at === "object" && at !== null && depth < 5; depth++) {
    if ("code" in at && typeof at.code === "string") return at.code
    at = "cause" in at ? at.cause : undefined
  }
  return undefined
}
