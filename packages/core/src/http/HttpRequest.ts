/**
 * Requests at the level of HTTP: to any endpoint.
 */
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

/** What is asked of the API. */
export interface Target {
  /** Below the API's base. */
  readonly path: string
  readonly query: string
  /** The model over whose deployments it is balanced, where one is known before the body is read. */
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
