/**
 * The door at the level of HTTP: any endpoint, its answer as bytes, text or JSON.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Answer } from "../attempt/Answer.ts"
import { interrupted, type StreamBreak } from "../attempt/AnswerBody.ts"
import type { Batch } from "../attempt/SseReader.ts"
import { isSafePath } from "../deployment/Resource.ts"
import type { LoadBalancerError } from "../Errors.ts"
import * as LlmRequest from "../request/LlmRequest.ts"
import { isGenerating } from "../request/Scope.ts"
import { idsOfPath, pinOf } from "../request/StoredIds.ts"

/** A request to an endpoint that has no method of its own here. */
export interface HttpRequest {
  /** Default: `POST` with a body, `GET` without one. */
  readonly method?: string | undefined
  /** Below the API's base, such as `/images/generations`. */
  readonly path: string
  /** Without the question mark. */
  readonly query?: string | undefined
  /** A JSON object, or bytes or text with `contentType`. A JSON object with a `model` is balanced over its deployments. */
  readonly body?: Readonly<Record<string, unknown>> | string | Uint8Array | undefined
  readonly contentType?: string | undefined
}

/** An answer at the level of HTTP. Its body is read once, by one of the three. */
export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** `resource/deployment` that answered. */
  readonly deployment: string
  readonly text: Effect.Effect<string, LoadBalancerError>
  readonly json: Effect.Effect<unknown, LoadBalancerError>
  readonly stream: Stream.Stream<Uint8Array, LoadBalancerError>
}

const operations: Readonly<Record<string, LlmRequest.Operation>> = {
  "/chat/completions": "chat",
  "/responses": "responses",
  "/embeddings": "embeddings"
}

/** The operation of an endpoint. */
export const operationOf = (method: string, path: string): LlmRequest.Operation =>
  method === "POST" ? operations[path] ?? "other" : "other"

/** Likewise, but for what they refer to. */
const harmless = new Set(["/responses/compact", "/responses/input_tokens"])

/** Whether repeating a request to another endpoint could do more than cost twice. */
export const mayHaveSideEffects = (method: string, path: string): boolean =>
  method !== "GET" && method !== "HEAD" && !isGenerating(path) && !harmless.has(path)

/** Where a request goes: below the API's base, and to the deployments of a model where one is known. */
interface Target {
  readonly path: string
  readonly query: string
  readonly model: string | undefined
}

/** The request that a caller of this door means, or what is wrong with it. */
export const requestOf = (
  { body, contentType, method: given, path, query = "" }: HttpRequest,
  options: LlmRequest.RequestOptions | undefined
): LlmRequest.LlmRequest | LoadBalancerError => {
  if (!isSafePath(path)) {
    return LlmRequest.invalidRequest(`"${path}" is not a path below the API's base; nothing was sent.`)
  }
  const method = given ?? (body === undefined ? "GET" : "POST")
  const target = { path, query, model: undefined }
  if (body === undefined) return passOn(method, target, LlmRequest.noBody, options)
  return typeof body === "string" || body instanceof Uint8Array
    ? passOn(method, target, LlmRequest.rawBody(body, contentType), options)
    : askJson(method, target, body, options)
}

/** A request whose body is not looked into: to any endpoint, and passed on as it is. */
export const passOn = (
  method: string,
  { model, path, query }: Target,
  body: LlmRequest.RequestBody,
  options: LlmRequest.RequestOptions | undefined
): LlmRequest.LlmRequest => {
  const hasSideEffects = mayHaveSideEffects(method, path)
  const facts = {
    ...LlmRequest.noFacts,
    model,
    pin: pinOf(idsOfPath(path), []),
    isStored: !isGenerating(path),
    hasSideEffects
  }
  return LlmRequest.make({ operation: "other", method, path, query, body, parsesEvents: false }, facts, options)
}

/** A request with a JSON object: balanced over the deployments of the model that it names. */
export const askJson = (
  method: string,
  { model, path, query }: Target,
  given: LlmRequest.Parameters,
  options: LlmRequest.RequestOptions | undefined
): LlmRequest.LlmRequest | LoadBalancerError => {
  const operation = operationOf(method, path)
  try {
    // where a URL names a deployment, it is obeyed, whatever the body says
    const parameters = model === undefined ? given : { ...given, model }
    const facts = LlmRequest.readFacts(operation, parameters)
    // what a response may have its model of is the service's to know
    if (facts.model === undefined && (operation === "chat" || operation === "embeddings")) return LlmRequest.noModel()
    const sent = facts.model === undefined
      ? parameters
      : LlmRequest.sentParameters(operation, parameters, facts.stream)
    const body = LlmRequest.jsonBody(JSON.stringify(sent), facts.openStreamOptions)
    const asked = { operation, method, path, query, body, parsesEvents: false }
    if (operation !== "other") return LlmRequest.make(asked, facts, options)
    const pin = pinOf(idsOfPath(path), facts.pin?.ids ?? [])
    const hasSideEffects = mayHaveSideEffects(method, path)
    return LlmRequest.make(asked, { ...facts, pin, isStored: !isGenerating(path), hasSideEffects }, options)
  } catch (cause) {
    return LlmRequest.invalidRequest(
      `The body cannot be written as JSON (${LlmRequest.describeCause(cause)}); nothing was sent.`
    )
  }
}

const encoder = new TextEncoder()

/** A batch as bytes: those it came in, or its events written anew. */
export const bytesOf = (batch: Batch): Uint8Array => {
  if (batch.bytes !== undefined) return batch.bytes
  let text = ""
  for (const { data, name } of batch.events) {
    if (name !== "message") text += `event: ${name}\n`
    text += `data: ${data.includes("\n") ? data.replaceAll("\n", "\ndata: ") : data}\n\n`
  }
  return encoder.encode(text)
}

/**
 * An answer as this door gives it out.
 *
 * @param onEnd called when its body has ended, or was given up
 */
export const answerOf = (answer: Answer, onEnd: () => void = () => {}): HttpAnswer => {
  const { deployment, headers, status } = answer
  const stream = Stream.mapError(bodyOf(answer, onEnd), interrupted)
  const text = answer._tag === "Whole" ? Effect.succeed(answer.text) : Stream.mkString(Stream.decodeText(stream))
  const json = answer._tag === "Whole" ? Effect.succeed<unknown>(answer.json) : Effect.map(text, parse)
  return { status, headers, deployment: deployment.id, text, json, stream }
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/**
 * The body of an answer as bytes; it fails with what broke it.
 *
 * @param onEnd called when it has ended, or was given up
 */
export const bodyOf = (answer: Answer, onEnd: () => void = () => {}): Stream.Stream<Uint8Array, StreamBreak> => {
  if (answer._tag === "Whole") return Stream.succeed(encoder.encode(answer.text))
  const { stream } = answer
  const pull = stream.pull((batch): readonly [Uint8Array] => [bytesOf(batch)])
  return Stream.ensuring(
    Stream.fromPull(Effect.succeed(pull)),
    Effect.sync(() => {
      stream.close()
      onEnd()
    })
  )
}
