/**
 * Requests of clients that think they speak to one service: their URL, headers and body, read for what the balancer
 * needs of them.
 *
 * Of a URL only path and query are used, and only below a base that is known. A JSON body is parsed once; any other is
 * taken whole, so that it can be sent again.
 */
import { isSafePath, type Resource } from "./deployment/Resource.ts"
import { askJson, operationOf, passOn } from "./HttpDoor.ts"
import type { LoadBalancerError } from "./LoadBalancerError.ts"
import * as LlmRequest from "./request/LlmRequest.ts"

/** Path and query below the API's base. */
export interface Target {
  readonly path: string
  readonly query: string
}

/** Base of URLs that name no host: for clients of our own. */
export const ownBase = "https://balanced.invalid/v1"

const openAiBase = "https://api.openai.com/v1"

/** What of a URL is asked of the API, if it is below a base that we know. */
export const targetOf = (url: string, resources: ReadonlyArray<Resource>): Target | undefined => {
  const found = below(url, ownBase) ?? below(url, openAiBase)
  if (found !== undefined) return found
  for (const resource of resources) {
    const target = below(url, resource.baseUrl)
    if (target !== undefined) return target
    const classic = resource.classicBaseUrl === undefined ? undefined : below(url, resource.classicBaseUrl)
    if (classic !== undefined) return withoutDeployment(classic)
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

/** The refusal of a URL below no base that we know. It shows no more of it than its origin. */
export const unknownTarget = (url: string): LoadBalancerError => {
  const origin = URL.canParse(url) ? new URL(url).origin : "That"
  return LlmRequest.notSent(`${origin} is not a path of an API that is balanced here; nothing was sent.`)
}

/** A foreign request, its body read. */
export interface Foreign {
  readonly method: string
  readonly target: Target
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array | undefined
  readonly contentType: string | undefined
  readonly session: string | undefined
  /** The caller's deadline, in milliseconds. */
  readonly timeout: number | undefined
}

/** What `x-stainless-timeout` of an OpenAI client says of its deadline, in milliseconds. */
export const stainlessTimeout = (seconds: string | null | undefined): number | undefined => {
  const number = Number(seconds ?? NaN)
  return number > 0 && Number.isFinite(number) ? number * 1000 : undefined
}

/** The request that is meant, or what is wrong with it. */
export const read = (foreign: Foreign): LlmRequest.LlmRequest | LoadBalancerError => {
  const { body, contentType, headers, method, target: { path, query }, timeout } = foreign
  const options: LlmRequest.CallOptions = { session: foreign.session ?? headers["x-session-id"], headers, timeout }
  if (body === undefined) return passOn(method, path, query, LlmRequest.noBody, options)
  const parameters = contentType?.includes("json") === true ? parse(body) : undefined
  if (LlmRequest.isRecord(parameters)) return askJson(method, path, query, parameters, options)
  return operationOf(method, path) === "other"
    ? passOn(method, path, query, LlmRequest.rawBody(body, contentType), options)
    : LlmRequest.notSent("The body is no JSON object; nothing was sent.")
}

const parse = (body: string | Uint8Array): unknown => {
  try {
    return JSON.parse(typeof body === "string" ? body : new TextDecoder().decode(body))
  } catch {
    return undefined
  }
}
