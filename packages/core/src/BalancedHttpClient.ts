/**
 * A balanced `HttpClient`: any Effect program that speaks to OpenAI over `effect/http` is balanced by this layer alone.
 *
 * Of a URL only path and query count, whatever its host (docs/guide.md, The fetch); whatever key the program sets stays
 * here. The balancer's own failures are answers of OpenAI's shape. After the first content of a
 * stream the service's own error comes as its last event, and any other break fails with an `HttpClientError` whose cause
 * is the `LoadBalancerError`.
 *
 * **Example** (Balancing a client that was not made for it)
 *
 * ```ts
 * program.pipe(Effect.provide(BalancedHttpClient.layer.pipe(Layer.provide(LoadBalancerLive))))
 * ```
 */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type { HttpClientRequest } from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { Answer } from "./attempt/Answer.ts"
import { interrupted, type StreamBreak } from "./attempt/AnswerBody.ts"
import { Deployments } from "./deployment/Deployments.ts"
import { LoadBalancerError } from "./Errors.ts"
import * as ErrorResponse from "./http/ErrorResponse.ts"
import { bodyOf, bytesOf } from "./http/HttpAnswer.ts"
import * as InboundBody from "./http/InboundBody.ts"
import * as InboundRequest from "./http/InboundRequest.ts"
import { LoadBalancer } from "./LoadBalancer.ts"

/**
 * Layer of the balanced client.
 */
export const layer: Layer.Layer<HttpClient.HttpClient, never, LoadBalancer | Deployments> = Layer.effect(
  HttpClient.HttpClient,
  Effect.gen(function*() {
    const balancer = yield* LoadBalancer
    const deployments = yield* Deployments
    return HttpClient.make((request, url, signal) =>
      Effect.gen(function*() {
        const read = yield* readRequest(request, url, deployments)
        if (read instanceof LoadBalancerError) return errorResponse(request, read)
        const timeout = InboundRequest.stainlessTimeout(request.headers["x-stainless-timeout"])
        const answered = yield* Effect.result(balancer.dispatch(read, { timeout }, (stream) => {
          signal.addEventListener("abort", () => stream.close(), { once: true })
        }))
        return answered._tag === "Success"
          ? yield* responseOf(request, answered.success)
          : errorResponse(request, answered.failure)
      })
    )
  })
)

const readRequest = Effect.fnUntraced(
  function*(request: HttpClientRequest, url: URL, deployments: Deployments["Service"]) {
    const target = InboundRequest.targetOf(url.href, deployments)
    if (target === undefined) return InboundRequest.unknownTarget(url.href)
    const { headers, method } = request
    const { body, contentType } = yield* readBody(request)
    return yield* Effect.promise(() =>
      InboundRequest.read({
        method,
        target,
        headers,
        body,
        contentType: contentType ?? headers["content-type"],
        session: undefined
      })
    )
  }
)

/** A body, read whole, and what its writer says it is. */
interface ReadBody {
  readonly body: Uint8Array<ArrayBuffer> | FormData | undefined
  readonly contentType: string | undefined
}

const readBody = (request: HttpClientRequest): Effect.Effect<ReadBody, HttpClientError.HttpClientError> => {
  const failed = (cause: unknown) =>
    new HttpClientError.HttpClientError({ reason: new HttpClientError.EncodeError({ request, cause }) })
  const { body } = request
  switch (body._tag) {
    case "Empty":
      return Effect.succeed({ body: undefined, contentType: undefined })
    case "FormData":
      return Effect.succeed({ body: body.formData, contentType: undefined })
    case "Uint8Array":
      return Effect.succeed({ body: new Uint8Array(body.body), contentType: body.contentType })
    case "Raw":
      return Effect.tryPromise({
        try: async (signal) => {
          const carrier = new Response(body.body as BodyInit)
          const contentType = body.contentType ?? carrier.headers.get("content-type") ?? undefined
          return { body: await InboundBody.readAll(carrier, [signal]), contentType }
        },
        catch: failed
      })
    case "Stream":
      return Effect.flatMap(Effect.mapError(Stream.runCollect(body.stream), failed), (chunks) =>
        Effect.try({
          try: () => ({ body: InboundBody.join(chunks), contentType: body.contentType }),
          catch: failed
        }))
  }
}

const errorResponse = (request: HttpClientRequest, error: LoadBalancerError) => {
  const { body, headers, status } = ErrorResponse.make(error)
  return HttpClientResponse.fromWeb(request, new Response(body, { status, headers }))
}

/** Headers that held only for the bytes as the service sent them, for its connection, or for its host. */
const ofTheConnection = new Set([
  "content-encoding",
  "content-length",
  "transfer-encoding",
  "trailer",
  "te",
  "connection",
  "keep-alive",
  "upgrade",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authentication-info",
  "alt-svc",
  "strict-transport-security"
])

/** Headers of an answer for whoever is given its body anew, and which deployment gave it. */
export const headersOf = ({ deployment, headers }: Answer): Record<string, string> => {
  // a header carries no more than ASCII
  const id = /[^\x20-\x7e]/.test(deployment.id) ? encodeURI(deployment.id.toWellFormed()) : deployment.id
  const kept: Record<string, string> = { "x-evenkeel-deployment": id }
  const named = headers["connection"]?.toLowerCase().split(/[,\s]+/)
  for (const name in headers) {
    if (!ofTheConnection.has(name) && named?.includes(name) !== true) kept[name] = headers[name]!
  }
  return kept
}

const bodiless = new Set([204, 205])

/** What breaks a stream, as its last event where the service itself said it. */
const lastEventOf = (broken: StreamBreak): Stream.Stream<Uint8Array, LoadBalancerError> => {
  if (broken.isDelivered) return Stream.empty
  const event = ErrorResponse.ownEventOf(broken)
  return event === undefined
    ? Stream.fail(interrupted(broken))
    : Stream.succeed(bytesOf({ events: [event], bytes: undefined }))
}

const responseOf = Effect.fnUntraced(function*(request: HttpClientRequest, answer: Answer) {
  const init = { status: answer.status, headers: headersOf(answer) }
  if (answer._tag === "Whole") return HttpClientResponse.fromWeb(request, new Response(answer.text, init))
  if (bodiless.has(answer.status) || request.method === "HEAD") {
    return HttpClientResponse.fromWeb(request, new Response(null, init))
  }
  const body = yield* Stream.toReadableStreamEffect(Stream.catch(bodyOf(answer), lastEventOf), {
    strategy: { highWaterMark: 0 }
  })
  return HttpClientResponse.fromWeb(request, new Response(body, init))
})
