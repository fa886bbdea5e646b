/**
 * Layer that plays simulated services in memory as the `HttpClient` of `effect/http`.
 */
import * as Effect from "effect/Effect"
import type * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { TransportResponse } from "../transport/Transport.ts"
import type { SimulatedService } from "./SimulatedService.ts"
import * as SimulatedTransport from "./SimulatedTransport.ts"

/**
 * Layer that answers with simulated services, each found by its origin. It plays like `SimulatedTransport`.
 */
export const layer = (services: Iterable<SimulatedService>): Layer.Layer<HttpClient.HttpClient> =>
  Layer.succeed(HttpClient.HttpClient, make(services))

/**
 * Creates the client itself.
 */
export const make = (services: Iterable<SimulatedService>): HttpClient.HttpClient => {
  const transport = SimulatedTransport.make(services)
  return HttpClient.make(Effect.fnUntraced(function*(request, url, signal) {
    const failed = (cause: unknown) =>
      new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
    const body = yield* Effect.mapError(readBody(request.body), failed)
    const response = yield* Effect.mapError(
      transport.send({
        resource: url.host,
        origin: url.origin,
        path: url.pathname + url.search,
        method: request.method,
        headers: request.headers,
        body,
        onStart: ({ abort }) => signal.addEventListener("abort", abort)
      }),
      failed
    )
    const stream = yield* Stream.toReadableStreamEffect(bodyOf(response))
    return HttpClientResponse.fromWeb(
      request,
      new Response(stream, { status: response.status, headers: { ...response.headers } })
    )
  }))
}

const bodyOf = (response: TransportResponse): Stream.Stream<Uint8Array, Error> =>
  Stream.ensuring(
    Stream.fromPull(Effect.succeed(Effect.map(response.pull, (chunk) => [chunk] as const))),
    Effect.sync(response.abort)
  )

const readBody = (body: HttpBody.HttpBody): Effect.Effect<string | Uint8Array | undefined, unknown> => {
  switch (body._tag) {
    case "Uint8Array":
      return Effect.succeed(body.body)
    case "Raw":
      return Effect.succeed(typeof body.body === "string" ? body.body : undefined)
    case "Stream":
      return Stream.mkString(Stream.decodeText(body.stream))
    default:
      return Effect.succeed(undefined)
  }
}
