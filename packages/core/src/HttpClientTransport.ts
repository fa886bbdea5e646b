/**
 * A transport over any `HttpClient` of `effect/http`, for runtimes where undici is not, and for clients that carry
 * middleware of your own. It is slower than undici; see docs/performance.md.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Transport, TransportError, type TransportRequest, type TransportResponse } from "./Transport.ts"

/**
 * Layer of the transport.
 */
export const layer: Layer.Layer<Transport, never, HttpClient.HttpClient> = Layer.effect(
  Transport,
  Effect.map(HttpClient.HttpClient, (client) =>
    Transport.of({
      send: (request) =>
        client.execute(requestOf(request)).pipe(
          Effect.map((answered) => {
            const response = responseOf(answered)
            request.onResponse?.(response)
            return response
          }),
          Effect.mapError((error) => errorOf(error, false)),
          // trace context is a custom header, of which Azure counts ten; spans are the balancer's own
          Effect.provideService(HttpClient.TracerPropagationEnabled, false),
          Effect.provideService(HttpClient.TracerDisabledWhen, () => true)
        )
    }))
)

const requestOf = ({ body, headers, method, origin, path }: TransportRequest) => {
  const request = HttpClientRequest.make(method as "POST")(origin + path, { headers })
  if (body === undefined) return request
  const contentType = headers["content-type"]
  return typeof body === "string"
    ? HttpClientRequest.bodyText(request, body, contentType)
    : HttpClientRequest.bodyUint8Array(request, body, contentType)
}

const responseOf = (response: HttpClientResponse): TransportResponse => {
  const scope = Scope.makeUnsafe()
  let chunks: ReadonlyArray<Uint8Array> = []
  let index = 0
  let upstream: Pull.Pull<ReadonlyArray<Uint8Array>, HttpClientError.HttpClientError> | undefined
  const aborted = Deferred.makeUnsafe<never, TransportError>()
  const next = Effect.suspend(() =>
    upstream !== undefined
      ? upstream
      : Effect.flatMap(Scope.provide(Stream.toPull(response.stream), scope), (pull) => {
        upstream = pull
        return pull
      })
  )
  const pull: Pull.Pull<Uint8Array, TransportError> = Effect.suspend(() => {
    if (Deferred.isDoneUnsafe(aborted)) return Deferred.await(aborted)
    if (index < chunks.length) return Effect.succeed(chunks[index++]!)
    return Effect.matchEffect(Effect.raceFirst(next, Deferred.await(aborted)), {
      onSuccess: (more) => {
        chunks = more
        index = 0
        return pull
      },
      onFailure: (error): Pull.Pull<never, TransportError> => {
        if (Cause.isDone(error)) return Cause.done()
        return Effect.fail(error._tag === "TransportError" ? error : errorOf(error, true))
      }
    })
  })
  const abort = () => {
    const isFirst = Deferred.doneUnsafe(
      aborted,
      Effect.fail(new TransportError({ kind: "reset", code: "ABORTED" }))
    )
    if (isFirst) Effect.runFork(Scope.close(scope, Exit.void))
  }
  return {
    status: response.status,
    headers: response.headers,
    pull,
    text: Effect.raceFirst(Effect.mapError(response.text, (error) => errorOf(error, true)), Deferred.await(aborted)),
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
