/**
 * A balanced `HttpClient`: any Effect program that speaks to OpenAI over `effect/http` is balanced by this layer alone.
 *
 * Requests go where their URL's path says, below the base of any configured resource or of api.openai.com; whatever key
 * the program sets stays here. The balancer's own failures are answers of OpenAI's shape; a stream that breaks after its
 * first content fails with an `HttpClientError` whose cause is the `LoadBalancerError`.
 *
 * **Example** (Balancing a client that was not made for it)
 *
 * ```ts
 * program.pipe(Effect.provide(BalancedHttpClient.layer.pipe(Layer.provide(LoadBalancerLive))))
 * ```
 */
import * as Effect from "effect/Effect"
import type * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type { HttpClientRequest } from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { Answer } from "./attempt/Answer.ts"
import { Deployments } from "./deployment/Deployments.ts"
import * as ErrorAnswer from "./ErrorAnswer.ts"
import * as ForeignRequest from "./ForeignRequest.ts"
import { answerOf } from "./HttpDoor.ts"
import { LoadBalancer } from "./LoadBalancer.ts"
import { LoadBalancerError } from "./LoadBalancerError.ts"

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
        const answered = yield* Effect.result(balancer.dispatch(read, (stream) => {
          signal.addEventListener("abort", () => stream.close(), { once: true })
        }))
        return answered._tag === "Success"
          ? yield* responseOf(request, answered.success.answer)
          : errorResponse(request, answered.failure)
      })
    )
  })
)

const readRequest = Effect.fnUntraced(
  function*(request: HttpClientRequest, url: URL, deployments: Deployments["Service"]) {
    const target = ForeignRequest.targetOf(url.href, deployments.resources())
    if (target === undefined) return ForeignRequest.unknownTarget(url.href)
    const contentType = "contentType" in request.body ? request.body.contentType : undefined
    return ForeignRequest.read({
      method: request.method,
      target,
      headers: request.headers,
      body: yield* readBody(request, request.body),
      contentType: contentType ?? request.headers["content-type"],
      session: undefined,
      timeout: ForeignRequest.stainlessTimeout(request.headers["x-stainless-timeout"])
    })
  }
)

const readBody = (
  request: HttpClientRequest,
  body: HttpBody.HttpBody
): Effect.Effect<string | Uint8Array | undefined, HttpClientError.HttpClientError> => {
  const failed = (cause: unknown) =>
    new HttpClientError.HttpClientError({ reason: new HttpClientError.EncodeError({ request, cause }) })
  switch (body._tag) {
    case "Empty":
      return Effect.succeed(undefined)
    case "Uint8Array":
      return Effect.succeed(body.body)
    case "Raw":
      return Effect.tryPromise({ try: () => new Response(body.body as BodyInit).bytes(), catch: failed })
    case "FormData":
      return Effect.tryPromise({ try: () => new Response(body.formData).bytes(), catch: failed })
    case "Stream":
      return Effect.mapError(
        Effect.flatMap(
          Stream.toReadableStreamEffect(body.stream),
          (stream) => Effect.tryPromise(() => new Response(stream).bytes())
        ),
        failed
      )
  }
}

const errorResponse = (request: HttpClientRequest, error: LoadBalancerError) => {
  const { body, headers, status } = ErrorAnswer.make(error)
  return HttpClientResponse.fromWeb(request, new Response(ErrorAnswer.write(body), { status, headers }))
}

/** Headers that held only for the bytes as the service sent them. */
const ofTheConnection = new Set(["content-encoding", "content-length", "transfer-encoding", "connection", "keep-alive"])

/** Headers of an answer for whoever is given its body anew, and which deployment gave it. */
export const headersOf = ({ deployment, headers }: Answer): Record<string, string> => {
  const kept: Record<string, string> = { "x-evenkeel-deployment": deployment.id }
  for (const name in headers) {
    if (!ofTheConnection.has(name)) kept[name] = headers[name]!
  }
  return kept
}

const bodiless = new Set([204, 205])

const responseOf = Effect.fnUntraced(function*(request: HttpClientRequest, answer: Answer) {
  const init = { status: answer.status, headers: headersOf(answer) }
  if (answer._tag === "Whole") return HttpClientResponse.fromWeb(request, new Response(answer.text, init))
  const { stream } = answerOf(answer)
  if (bodiless.has(answer.status) || request.method === "HEAD") {
    return HttpClientResponse.fromWeb(request, new Response(null, init))
  }
  const body = yield* Stream.toReadableStreamEffect(stream, { strategy: { highWaterMark: 0 } })
  return HttpClientResponse.fromWeb(request, new Response(body, init))
})
