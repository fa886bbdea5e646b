/**
 * Parameters of the official client as a request.
 */
import type { LoadBalancerError } from "../Errors.ts"
import * as LlmRequest from "./LlmRequest.ts"

/** The request that parameters make, or what is wrong with them. */
export const requestOf = (
  operation: LlmRequest.Operation,
  path: string,
  params: object,
  stream: boolean,
  options: LlmRequest.RequestOptions | undefined
): LlmRequest.LlmRequest | LoadBalancerError => {
  if (!LlmRequest.isRecord(params)) return LlmRequest.invalidRequest("The parameters are no object; nothing was sent.")
  try {
    const facts = LlmRequest.readFacts(operation, { ...params, stream })
    if (facts.model === undefined && LlmRequest.needsModel(operation, params)) return LlmRequest.noModel()
    const written = JSON.stringify(LlmRequest.sentParameters(operation, params, stream))
    const body = LlmRequest.jsonBody(written, facts.openStreamOptions)
    return LlmRequest.make({ operation, method: "POST", path, query: "", body, parsesEvents: stream }, facts, options)
  } catch (cause) {
    const why = LlmRequest.describeCause(cause)
    return LlmRequest.invalidRequest(`The parameters cannot be written as JSON (${why}); nothing was sent.`)
  }
}

/** The request that is meant, by the fields that it has. */
export const requestMeant = (params: object, options: LlmRequest.RequestOptions | undefined) =>
  LlmRequest.isRecord(params) && "messages" in params
    ? requestOf("chat", "/chat/completions", params, false, options)
    : requestOf("responses", "/responses", params, false, options)
