/**
 * Requests of clients that think they speak to one service: their URL, headers and body, read for what the balancer
 * needs of them.
 *
 * Of a URL only path and query are used, and only below a base that is known. A JSON body is parsed once; any other is
 * taken whole, so that it can be sent again.
 */
import type { Deployments } from "../deployment/Deployments.ts"
import { isSafePath, type Resource } from "../deployment/Resource.ts"
import type { LoadBalancerError } from "../Errors.ts"
import * as LlmRequest from "../request/LlmRequest.ts"
import { askJson, operationOf, passOn } from "./HttpRequest.ts"
import * as InboundBody from "./InboundBody.ts"

/** What of a URL is asked of the API. */
export interface Target {
  /** Below the API's base. */
  readonly path: string
  readonly query: string
  /** The model that is served by the deployment which a classic URL of Azure names. */
  readonly model: string | undefined
}

/** Base of URLs that name no host: for clients of our own. */
export const ownBase = "https://balanced.invalid/v1"

const openAiBase = "https://api.openai.com/v1"

/** What of a URL is asked of the API, if it is below a base that we know, in whatever words its origin is written. */
export const targetOf = (url: string, deployments: Deployments["Service"]): Target | undefined => {
  const target = knownTarget(url, deployments)
  if (target !== undefined) return target
  const plain = withPlainOrigin(url)
  return plain === url ? undefined : knownTarget(plain, deployments)
}

/** The path is left as it is: reading it as a URL would take its `..` away before they are seen. */
const withPlainOrigin = (url: string): string => {
  const origin = /^https?:\/\/[^/?#@\\]+/i.exec(url)?.[0]
  return origin === undefined || !URL.canParse(origin) ? url : new URL(origin).origin + url.slice(origin.length)
}

const knownTarget = (url: string, deployments: Deployments["Service"]): Target | undefined => {
  const found = below(url, ownBase) ?? below(url, openAiBase)
  if (found !== undefined) return found
  for (const resource of deployments.resources()) {
    const target = below(url, resource.baseUrl)
    if (target !== undefined) return target
    const classic = resource.classicBaseUrl === undefined ? undefined : below(url, resource.classicBaseUrl)
    if (classic !== undefined) return withoutDeployment(classic, resource, deployments)
  }
  return undefined
}

const below = (url: string, base: string): Target | undefined => {
  if (!url.startsWith(base)) return undefined
  const whole = url.slice(base.length)
  const mark = whole.indexOf("?")
  const path = mark === -1 ? whole : whole.slice(0, mark)
  return isSafePath(path) ? { path, query: mark === -1 ? "" : whole.slice(mark + 1), model: undefined } : undefined
}

/** Azure's classic URLs name a deployment, which stands for its model. */
const withoutDeployment = (
  { path, query }: Target,
  resource: Resource,
  deployments: Deployments["Service"]
): Target => {
  const [scope, name] = /^\/deployments\/([^/]+)(?=\/)/.exec(path) ?? ["", undefined]
  const named = name === undefined ? undefined : decodeURIComponent(name)
  const deployment = deployments.all().find((other) => other.resource === resource && other.name === named)
  return { path: path.slice(scope.length), query, model: deployment?.model ?? named }
}

/** The refusal of a URL below no base that we know. It shows no more of it than its origin. */
export const unknownTarget = (url: string): LoadBalancerError => {
  const origin = URL.canParse(url) ? new URL(url).origin : "That"
  return LlmRequest.invalidRequest(`${origin} is not a path of an API that is balanced here; nothing was sent.`)
}

/** A foreign request, its body read. */
export interface Foreign {
  readonly method: string
  readonly target: Target
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array<ArrayBuffer> | FormData | undefined
  readonly contentType: string | undefined
  readonly session: string | undefined
}

/** What `x-stainless-timeout` of an OpenAI client says of its deadline, in milliseconds. */
export const stainlessTimeout = (seconds: string | null | undefined): number | undefined => {
  const number = Number(seconds ?? NaN)
  return number > 0 && Number.isFinite(number) ? number * 1000 : undefined
}

/** The request that is meant, or what is wrong with it. */
export const read = async (foreign: Foreign): Promise<LlmRequest.LlmRequest | LoadBalancerError> => {
  const { body, contentType, headers, method, target } = foreign
  const options: LlmRequest.RequestOptions = { session: foreign.session, headers }
  if (body === undefined) return passOn(method, target, LlmRequest.noBody, options)
  if (body instanceof FormData) return ofForm(method, target, body, options)
  const type = contentType?.toLowerCase() ?? ""
  const operation = operationOf(method, target.path)
  // the three operations take nothing else, whatever the body is said to be
  const parameters = type.includes("json") || operation !== "other" ? parse(body) : undefined
  if (LlmRequest.isRecord(parameters)) return askJson(method, target, parameters, options)
  if (operation !== "other") return LlmRequest.invalidRequest("The body is no JSON object; nothing was sent.")
  const form = type.startsWith("multipart/form-data") ? await InboundBody.parseForm(body, contentType!) : undefined
  return form === undefined
    ? passOn(method, target, LlmRequest.rawBody(body, contentType), options)
    : ofForm(method, target, form, options)
}

/** A form with a model, such as an upload to be transcribed, is balanced like any other request that names one. */
const ofForm = async (
  method: string,
  target: Target,
  form: FormData,
  options: LlmRequest.RequestOptions
): Promise<LlmRequest.LlmRequest> => {
  const given = form.get("model")
  const model = target.model ?? (typeof given === "string" && given !== "" ? given : undefined)
  return model === undefined
    ? passOn(method, target, await InboundBody.writeForm(form), options)
    : passOn(method, { ...target, model }, await InboundBody.writeModelForm(form, model), options)
}

const parse = (body: string | Uint8Array): unknown => {
  try {
    return JSON.parse(typeof body === "string" ? body : new TextDecoder().decode(body))
  } catch {
    return undefined
  }
}
