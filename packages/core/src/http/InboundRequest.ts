/**
 * Requests of clients that think they speak to one service: their URL, headers and body, read for what the balancer
 * needs of them.
 *
 * Of a URL only path and query are used, whatever its host. A JSON body is parsed once; any other is taken whole, so that
 * it can be sent again.
 */
import type { Deployments } from "../deployment/Deployments.ts"
import { isSafePath } from "../deployment/Resource.ts"
import type { LoadBalancerError } from "../Errors.ts"
import * as LlmRequest from "../request/LlmRequest.ts"
import { askJson, operationOf, passOn, type Target } from "./HttpRequest.ts"
import * as InboundBody from "./InboundBody.ts"

export type { Target } from "./HttpRequest.ts"

/** Base of URLs that name no host: for clients of our own. */
export const ownBase = "https://balanced.invalid/v1"

/**
 * What a URL asks of the API: its path and query count, and its host does not. `undefined` where the path is not one of
 * the API's, or the URL has a user in it. Its model is that of the deployment which a classic URL of Azure names.
 */
export const targetOf = (url: string, deployments: Deployments["Service"]): Target | undefined => {
  // left as it is written: reading it as a URL would take its `..` away before they are seen
  const [, path = "", query = ""] = /^https?:\/\/[^/?#@\\]+([^?]*)\??(.*)$/is.exec(url) ?? []
  return targetOfPath(path, query, deployments)
}

/**
 * The same of a path and a query (without its question mark) alone. An API's base ends before the first endpoint that is
 * known; what is before that may be anything, such as a gateway's prefix or a Foundry project. An endpoint that is not
 * known is taken only right below `/v1`, `/openai/v1`, `/openai` or the path of a configured resource.
 */
export const targetOfPath = (path: string, query: string, deployments: Deployments["Service"]): Target | undefined => {
  if (!isSafePath(path)) return undefined
  const known = baseBeforeEndpoint.exec(path)
  const end = known === null ? longestBase(path, deployments) : known.index + known[0].length
  if (end === undefined) return undefined
  const below = path.slice(end)
  const [scope, name] = /^\/deployments\/([^/]+)(?=\/)/.exec(below) ?? ["", undefined]
  const model = name === undefined ? undefined : modelOf(decodeURIComponent(name), deployments)
  return { path: below.slice(scope.length), query, model }
}

/** First segments of the API's endpoints. */
const endpoints = [
  "agents|assistants|audio|batches|chat|completions|containers|conversations|decisions|embeddings|evals|files",
  "fine_tuning|images|models|moderations|organization|realtime|responses|skills|threads|uploads|vector_stores|videos"
].join("|")

/** The first of these is the base: what follows an endpoint may be an id, in whatever words. */
const baseBeforeEndpoint = new RegExp(`/(?:v1|openai)(?=(?:/deployments/[^/]+)?/(?:${endpoints})(?:/|$))`)

const ownBases = ["/v1", "/openai/v1", "/openai"]

/** Length of the longest base that a path is below. */
const longestBase = (path: string, deployments: Deployments["Service"]): number | undefined => {
  let longest: number | undefined
  for (const base of [...ownBases, ...deployments.resources().flatMap(({ basePaths }) => basePaths)]) {
    if (path.startsWith(`${base}/`) && base.length >= (longest ?? 0)) longest = base.length
  }
  return longest
}

/** Azure's classic URLs name a deployment. It stands for its model, if all of that name serve one. */
const modelOf = (name: string, deployments: Deployments["Service"]): string => {
  const [model, other] = deployments.modelsNamed(name)
  return model === undefined || other !== undefined ? name : model
}

/** The refusal of a URL whose path is not one of the API's. It shows no more of it than its origin. */
export const unknownTarget = (url: string): LoadBalancerError => {
  const origin = URL.canParse(url) && /^https?:/i.test(url) ? new URL(url).origin : "https://anything"
  return LlmRequest.invalidRequest(
    `This URL is not one of the API's. Give the client ${origin}/v1 as its base URL; of whatever host, only the path counts. Nothing was sent.`
  )
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
  /** Whether it is held to one model, for who may not use all: a service might see another of several. */
  readonly isHeldToModel?: boolean | undefined
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
  if (body instanceof FormData) return ofForm(method, target, body, options)
  const type = contentType?.toLowerCase() ?? ""
  const operation = operationOf(method, target.path)
  const isEmpty = body === undefined || body.length === 0
  if (isEmpty && operation === "other") return passOn(method, target, LlmRequest.noBody, options)
  const isJson = /\bjson\b/.test(type)
  // the three operations take nothing else, whatever the body is said to be
  const parameters = !isEmpty && (isJson || operation !== "other") ? parse(body) : undefined
  if (LlmRequest.isRecord(parameters)) return askJson(method, target, parameters, options)
  if (isEmpty || operation !== "other" || (isJson && parameters === undefined)) {
    return LlmRequest.invalidRequest("The body is no JSON object; nothing was sent.")
  }
  const form = type.startsWith("multipart/form-data") ? await InboundBody.parseForm(body, contentType!) : undefined
  return form === undefined
    ? passOn(method, target, LlmRequest.rawBody(body, contentType), options)
    : foreign.isHeldToModel === true && form.getAll("model").length > 1
    ? LlmRequest.invalidRequest("The form names more than one model; nothing was sent.")
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

const decoder = new TextDecoder()

const parse = (body: string | Uint8Array): unknown => {
  try {
    return JSON.parse(typeof body === "string" ? body : decoder.decode(body))
  } catch {
    return undefined
  }
}
