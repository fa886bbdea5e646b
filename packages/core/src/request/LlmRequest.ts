/**
 * What the caller asked, once: the facts that routing needs, and a body that is serialised once and reused by every
 * attempt, whichever deployment's name goes into it.
 */
import * as Hash from "effect/Hash"
import * as Record from "effect/Record"
import { LoadBalancerError, Rejected } from "../Errors.ts"
import { isRecord, textOf as text } from "./Json.ts"
import { countCharacters } from "./PromptSize.ts"
import type { RequestBody } from "./RequestBody.ts"
import { traitsOf } from "./RequestTraits.ts"
import { scopeOf } from "./Scope.ts"
import { type HardPin, idsOfMessages, idsOfParameters, pinOf } from "./StoredIds.ts"

export { isRecord }
export { jsonBody, noBody, rawBody, type RequestBody } from "./RequestBody.ts"

/** What is asked for. `other` is any endpoint that the balancer only passes on. */
export type Operation = "chat" | "responses" | "embeddings" | "other"

/** What a caller says of its request beside the parameters. */
export interface RequestOptions {
  /**
   * Requests of one session share a prompt prefix, and should meet a warm prompt cache. Default: what the header
   * `x-session-id` says, or one of those that coding agents send, else `prompt_cache_key`.
   */
  readonly session?: string | undefined
  /** Extra request headers. Only those that may cross the border are sent; see docs/guide.md. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/**
 * The facts of a request's parameters: everything that routing reads of a body.
 */
export interface Facts {
  /** The model as the caller named it; `undefined` for endpoints that name none. */
  readonly model: string | undefined
  /** Whether an event stream was asked for. */
  readonly stream: boolean
  /**
   * The caller's `stream_options` of a chat stream, where they leave open whether it tells its usage: then it is asked for,
   * and its extra chunk is for us alone, and taken out. Empty where there are none.
   */
  readonly openStreamOptions: Parameters | undefined
  /** Characters that count as prompt. */
  readonly characters: number
  /** Output tokens that the caller allowed, times the choices; `undefined` when no limit was set. */
  readonly outputLimit: number | undefined
  readonly session: string | undefined
  readonly pin: HardPin | undefined
  /** Whether the answer may be asked for later, by its id, which only the resource that made it knows. */
  readonly isStored: boolean
  /** Whether repeating it could do more than cost twice, so that it is only repeated when surely not processed. */
  readonly hasSideEffects: boolean
  /** Settings that it names, for telemetry: none of them is content. */
  readonly traits: Parameters | undefined
}

/**
 * A request as the balancer sees it.
 */
export interface LlmRequest extends Facts {
  readonly operation: Operation
  readonly method: string
  /** Below the API's base, such as `/chat/completions`. */
  readonly path: string
  readonly query: string
  /** What the service's word about it is about, besides the deployment; see `request/Scope`. */
  readonly scope: string | undefined
  /** Whether the door gives out parsed events, so that each is parsed, and one that is no JSON breaks the stream. */
  readonly parsesEvents: boolean
  readonly body: RequestBody
  /** Extra headers that may cross the border. */
  readonly headers: Readonly<Record<string, string>> | undefined
}

/** What a door says of a request besides its facts. */
export interface RequestLine extends Omit<LlmRequest, keyof Facts | "scope" | "headers"> {
  /** Headers that crossed the border already; else those of the options are looked through. */
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * A request of its facts and its options.
 */
export const make = (asked: RequestLine, facts: Facts, options: RequestOptions | undefined): LlmRequest => {
  const given = options?.headers === undefined
    ? undefined
    : Record.mapKeys(options.headers, (name) => name.toLowerCase())
  const lookUp = (name: string) => given?.[name]
  return {
    ...asked,
    ...facts,
    scope: scopeOf(asked.operation, asked.path, facts.model, facts.traits?.["service_tier"]),
    session: sessionOf(options?.session) ?? (given === undefined ? undefined : sessionOfHeaders(lookUp))
      ?? sessionOf(facts.session),
    headers: asked.headers ?? (given === undefined ? undefined : forwardedHeaders(lookUp))
  }
}

const LONG_SESSION = 256

/** An empty session is none; a very long one is remembered by its hash. */
const sessionOf = (session: unknown): string | undefined => {
  if (typeof session !== "string" || session === "") return undefined
  if (session.length <= LONG_SESSION) return session
  return `${session.slice(0, 64)}:${session.length}:${Hash.string(session)}:${Hash.string(session.slice(1))}`
}

/**
 * Headers that name a session, in this order: ours, and those that coding agents send, as of their sources in 2026. The
 * same that Bifrost reads (`HarnessSessionHeaders` of maximhq/bifrost). None of them crosses the border.
 */
const sessionHeaders = [
  "x-session-id", // ours, and OpenCode's
  "x-claude-code-session-id", // Claude Code
  "x-session-affinity", // OpenCode, packages/opencode/src/session/llm/request.ts
  "session-id", // Codex CLI, codex-rs/codex-api/src/requests/headers.rs
  "session_id", // Codex CLI before it was renamed
  "thread-id", // Codex CLI, where it sends no session
  "conversation_id" // Codex CLI before that
]

/** The session that a caller's headers name, looked up by lower-case name. */
export const sessionOfHeaders = (lookUp: (name: string) => string | null | undefined): string | undefined => {
  for (const name of sessionHeaders) {
    const session = lookUp(name)?.trim()
    if (session !== undefined && session !== "") return sessionOf(session)
  }
  return undefined
}

/** Characters that a model's name may have. */
const LONGEST_MODEL = 256

/** What is wrong with a request before it is sent, whichever door it came by. */
export const problemOf = ({ headers, method, model = "" }: LlmRequest): LoadBalancerError | undefined => {
  if (!/^[A-Za-z]+$/.test(method)) return invalidRequest("The method is none of HTTP's; nothing was sent.")
  // it is remembered, shown and logged
  if (model.length > LONGEST_MODEL || /\p{Cc}/u.test(model)) {
    return invalidRequest(
      `No model has a name of more than ${LONGEST_MODEL} characters, or of several lines; nothing was sent.`
    )
  }
  for (const name in headers) {
    if (!headerValue.test(headers[name]!)) {
      return invalidRequest(`The header \`${name}\` has a character that a header cannot carry; nothing was sent.`)
    }
  }
  return undefined
}

const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/

/**
 * Headers of a caller that may cross the border, by lower-case name. Everything else stays here: credentials, cookies,
 * routing and the client's own chatter, of which Azure answers 431 above ten custom headers.
 */
const forwarded = new Set([
  "accept",
  "accept-language",
  "traceparent",
  "tracestate",
  "x-ms-client-request-id",
  "x-client-request-id",
  "openai-beta",
  "aoai-evals",
  "x-ms-spillover-deployment",
  "x-ms-oai-image-generation-deployment",
  "idempotency-key"
])

/** Of a caller's headers, looked up by lower-case name, those that may cross the border. */
export const forwardedHeaders = (
  lookUp: (name: string) => string | null | undefined
): Readonly<Record<string, string>> => {
  const allowed: Record<string, string> = {}
  for (const name of forwarded) {
    const value = lookUp(name)
    if (typeof value === "string") allowed[name] = value
  }
  return allowed
}

/** The error of a request that was wrong before it was sent, in the words and shape of the service. */
export const invalidRequest = (description: string): LoadBalancerError => {
  const body = { error: { message: description, type: "invalid_request_error", param: null, code: "invalid_request" } }
  const reason = new Rejected({ status: 400, code: "invalid_request", description, body, headers: {}, by: "balancer" })
  return new LoadBalancerError({ reason, attempts: [] })
}

/** Whether parameters make no sense without a model. A response may name a stored prompt instead. */
export const needsModel = (operation: Operation, parameters: Parameters): boolean =>
  operation !== "other" && !(operation === "responses" && isRecord(parameters["prompt"]))

/** The error of a request that names no model. */
export const noModel = (): LoadBalancerError =>
  invalidRequest("`model` is missing: name the model that you want, such as \"gpt-4o\"; nothing was sent.")

/** The first line of whatever was thrown. */
export const describeCause = (cause: unknown): string =>
  cause instanceof Error ? cause.message.split("\n")[0]! : String(cause)

/** Parameters as any of the three operations has them; what is not one of these fields is only passed on. */
export interface Parameters {
  readonly [key: string]: unknown
}

const positive = (value: unknown): number | undefined =>
  typeof value === "number" && value > 0 && Number.isFinite(value) ? value : undefined

/**
 * Reads the facts of parameters. Nothing is validated: that is the service's work, and whatever is odd is passed on.
 */
export const readFacts = (operation: Operation, parameters: Parameters): Facts => {
  const stream = parameters["stream"] === true && operation !== "embeddings"
  const choices = positive(parameters["n"]) ?? 1
  const limit = positive(parameters["max_completion_tokens"]) ?? positive(parameters["max_tokens"])
    ?? positive(parameters["max_output_tokens"])
  return {
    model: text(parameters["model"]),
    stream,
    openStreamOptions: operation === "chat" && stream ? openOptions(parameters) : undefined,
    characters: charactersOf(operation, parameters),
    outputLimit: operation === "embeddings" ? 0 : limit === undefined ? undefined : limit * choices,
    session: text(parameters["prompt_cache_key"]),
    pin: pinIn(operation, parameters),
    isStored: operation === "responses" || (operation === "chat" && parameters["store"] === true),
    hasSideEffects: operation === "responses"
      && (parameters["background"] === true || parameters["store"] === true),
    traits: traitsOf(parameters)
  }
}

const pinIn = (operation: Operation, parameters: Parameters): HardPin | undefined => {
  if (operation === "embeddings") return undefined
  return pinOf([], operation === "chat" ? idsOfMessages(parameters["messages"]) : idsOfParameters(parameters))
}

const noOptions: Parameters = {}

/** Azure's own data (`data_sources`) takes no stream options; and a word of the caller's is kept, whichever it is. */
const openOptions = (parameters: Parameters): Parameters | undefined => {
  if (parameters["data_sources"] !== undefined) return undefined
  const options = parameters["stream_options"] ?? noOptions
  return isRecord(options) && (options["include_usage"] ?? undefined) === undefined ? options : undefined
}

const promptFields: Readonly<Record<Operation, ReadonlyArray<string>>> = {
  chat: ["messages", "tools", "functions", "response_format"],
  responses: ["input", "instructions", "tools", "text"],
  embeddings: ["input"],
  other: ["prompt", "input", "messages"]
}

const charactersOf = (operation: Operation, parameters: Parameters): number => {
  let characters = 0
  for (const field of promptFields[operation]) {
    const value = parameters[field]
    if (value !== undefined) characters += countCharacters(value)
  }
  return characters
}

/** Facts of a request whose body is not looked into. */
export const noFacts: Facts = { ...readFacts("other", {}), outputLimit: 0 }

/**
 * Parameters as they are sent: without the model and the open options of a chat stream, which `withModel` puts in, and
 * with `stream` as the method says.
 */
export const sentParameters = (operation: Operation, parameters: Parameters, stream: boolean): Parameters => {
  const sent: Record<string, unknown> = { ...parameters, model: undefined }
  if (operation === "embeddings") return sent
  if (stream) sent["stream"] = true
  else if (sent["stream"] === true) delete sent["stream"]
  if (operation === "chat" && stream && openOptions(parameters) !== undefined) delete sent["stream_options"]
  return sent
}
