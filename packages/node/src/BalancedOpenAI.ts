/**
 * The official client with a balanced `fetch` below it.
 *
 * Every method, helper and error class of it works. What the balancer has to know of a request (model, stream, output
 * limit, session) is read from the parameters before they are serialised, and they are serialised once, without the
 * client's observing of every key. What is no plain data the client serialises itself, as it likes to watch that.
 */
import { InboundRequest, LlmRequest, operationOf } from "@evenkeel/core/internal"
import { types } from "node:util"
import OpenAI, { type ClientOptions, OpenAIError } from "openai"
import { type ClientFacts, factsKey, sessionKey, timeoutKey } from "./BalancedFetch.ts"
import { eventStreams } from "./EventStreams.ts"
import { asking, initOf, type Inside, isPlainRequest, type Prepared } from "./PlainRequests.ts"

type Options = Parameters<OpenAI["post"]>[1] extends infer O ? Exclude<Awaited<O>, undefined> : never

/** How much longer than the balancer's own deadline the client's timer runs, in milliseconds: it must never be first. */
const TIMER_MARGIN = 60_000

/** The longest timer there is. As a client's `timeout`: nobody set one, and each call has its model's own deadline. */
const NO_TIMEOUT = 2_147_483_647

const deadlineKey: unique symbol = Symbol("evenkeel/deadline")

/** The client's own options, which `withOptions` hands to the constructor again, and ours among them. */
interface BalancedOptions extends ClientOptions {
  readonly [deadlineKey]: (model: string | undefined) => number
}

/** A client's class, with what the balancer has to know read before a request is serialised. */
const balanced = (
  Client: typeof OpenAI,
  fetch: typeof globalThis.fetch
): new(options: BalancedOptions) => OpenAI => {
  // of another copy of the client, whose streams throw errors of its own, we know no stream's class
  const readsEvents = Client.OpenAIError === OpenAIError
  class BalancedOpenAI extends Client {
    readonly #deadlineOf: (model: string | undefined) => number

    constructor(options: BalancedOptions) {
      super(options)
      // without what OPENAI_CUSTOM_HEADERS adds: meant for another client, it would be sent to every resource
      if (options.defaultHeaders === undefined) delete this._options.defaultHeaders
      else this._options.defaultHeaders = options.defaultHeaders
      this.#deadlineOf = options[deadlineKey]
    }

    protected override async prepareOptions(input: FinalRequestOptions): Promise<void> {
      const options = input as unknown as Prepared
      options.maxRetries = 0
      const given = options.fetchOptions ?? {}
      const own = options.timeout ?? (this.timeout === NO_TIMEOUT ? undefined : this.timeout)
      // the next page copies the client's timer too
      const timeout = timeoutKey in given ? given[timeoutKey] : own
      // the next page of a list copies its options, and a caller may send its own again with another body
      const facts = given[factsKey]?.body === options.body
        ? given[factsKey]
        : takeFacts(options, this._options.defaultQuery)
      // one that is no number is the balancer's to understand, or to refuse
      const timer = (timeout ?? this.#deadlineOf(facts?.facts.model)) + TIMER_MARGIN
      options.timeout = timer < NO_TIMEOUT ? timer : NO_TIMEOUT
      options.fetchOptions = facts === undefined
        ? { ...given, [timeoutKey]: timeout }
        : { ...given, [timeoutKey]: timeout, [factsKey]: facts }
      // hidden from the client's log, which prints the options; a caller may have its own
      if (readsEvents && facts?.facts.stream === true && !("__streamClass" in options)) {
        Object.defineProperty(options, "__streamClass", { value: eventStreams })
      }
    }

    /**
     * A request whose facts are known and whose body is written needs nothing more of the client: its credential and its
     * telemetry headers never cross the border, and to build and check a dozen of them costs as much as a whole attempt.
     */
    override async buildRequest(input: FinalRequestOptions, more?: { readonly retryCount?: number }): Promise<Built> {
      const options = input as unknown as Prepared
      if (!isPlainRequest(this as unknown as Inside, options)) return super.buildRequest(input, more)
      const { timeout } = options
      return { req: initOf(options) as unknown as Built["req"], url: this.baseURL + options.path, timeout: timeout! }
    }
  }
  // a class that somebody made of the client's own may have to see each request
  const isOwn = Object.getPrototypeOf(Client.prototype) === Object.prototype
  const inside = BalancedOpenAI.prototype as unknown as Partial<Inside>
  if (isOwn && inside.makeRequest?.length === 3) inside.makeRequest = asking(inside.makeRequest, fetch)
  return BalancedOpenAI
}

type Built = Awaited<ReturnType<OpenAI["buildRequest"]>>

type FinalRequestOptions = Awaited<Parameters<OpenAI["request"]>[0]>

/**
 * Reads the facts of a request with a JSON body and a model, and puts in its place the body as it is sent. Anything else
 * is left to the balanced fetch to look at.
 */
const takeFacts = (options: Prepared, defaultQuery: object | undefined): ClientFacts | undefined => {
  const { body } = options
  if (!LlmRequest.isRecord(body) || !isPlainBody(body)) return undefined
  if (typeof body["model"] !== "string" || body["model"] === "") return undefined
  // what is neither is no stream as it is written, which the client finds out itself
  if (typeof (body["stream"] ?? false) !== "boolean") return undefined
  if (options.__metadata?.["finalizeMultipart"] === true) return undefined
  const operation = operationOf(options.method.toUpperCase(), options.path)
  if (operation === "other") return undefined
  const facts = LlmRequest.readFacts(operation, body)
  const sent = LlmRequest.sentParameters(operation, body, facts.stream)
  const headers = options.headers
  const isPlain = headers === undefined || (LlmRequest.isRecord(headers) && !(Symbol.iterator in headers))
  // a parser that reads its format from the body needs it as it is
  if (isPlain && options.__metadata?.["captureResponseParser"] === undefined) {
    options.body = JSON.stringify(sent)
    options.headers = { ...(headers as object | undefined), "content-type": "application/json" }
  } else {
    options.body = sent
  }
  const hasQuery = options.query !== undefined || defaultQuery !== undefined
  const target = hasQuery ? undefined : { path: options.path, query: "", model: undefined }
  return { operation, facts, target, body: options.body }
}

/**
 * Whether a body is read as often as one likes, and written as it is read. Long conversations are not walked through: of
 * what is in them the client watches nothing.
 */
const isPlainBody = (body: Record<string, unknown>): boolean => hasPlainFields(body, 0)

const conversations: ReadonlySet<string> = new Set(["messages", "input"])

/** Deeper than any schema. What goes round in circles has no end. */
const DEEPEST = 100

const hasPlainFields = (object: Record<string, unknown>, depth: number): boolean => {
  if (types.isProxy(object) || Object.getPrototypeOf(object) !== Object.prototype) return false
  if (object["toJSON"] !== undefined) return false
  for (const key in object) {
    const field = Object.getOwnPropertyDescriptor(object, key)
    if (field === undefined || field.get !== undefined) return false
    if (depth === 0 && conversations.has(key)) continue
    if (!isPlain(field.value, depth + 1)) return false
  }
  return true
}

const isPlain = (value: unknown, depth: number): boolean => {
  if (typeof value !== "object" || value === null) return true
  if (depth > DEEPEST) return false
  if (!Array.isArray(value)) return hasPlainFields(value as Record<string, unknown>, depth)
  return !types.isProxy(value) && value.every((inner) => isPlain(inner, depth + 1))
}

/** A class of the official client, whichever copy or version of it. */
export type OpenAIClass<Client> = new(options: never) => Client

/**
 * Makes the client.
 *
 * @param deadlineOf the total deadline of a model's requests, in milliseconds; the longest where the model is not known
 * @param Client the caller's own class of it
 */
export const make = (
  fetch: typeof globalThis.fetch,
  deadlineOf: (model: string | undefined) => number,
  Client: OpenAIClass<OpenAI> | undefined
): OpenAI => {
  const options: BalancedOptions = {
    baseURL: InboundRequest.ownBase,
    // never sent: each attempt is authenticated with its resource's own credential
    apiKey: "balanced",
    adminAPIKey: "balanced",
    organization: null,
    project: null,
    maxRetries: 0,
    timeout: NO_TIMEOUT,
    fetch,
    [deadlineKey]: deadlineOf
  }
  return new (balanced((Client ?? OpenAI) as typeof OpenAI, fetch))(options)
}

/** Methods through which every resource of the client sends. The last argument is the options. */
const senders = new Set<PropertyKey>(["get", "post", "put", "patch", "delete"])

/**
 * A view of the client whose requests belong to a session. It shares everything with it, and costs next to nothing.
 */
export const inSession = (client: OpenAI, session: string): OpenAI => {
  const add = (options: Options | undefined): Options => {
    const given = (options ?? {}) as Prepared
    return { ...given, fetchOptions: { ...given.fetchOptions, [sessionKey]: session } } as unknown as Options
  }
  const addLater = (options: unknown): unknown =>
    options instanceof Promise ? options.then(add) : add(options as Options | undefined)
  const views = new Map<PropertyKey, unknown>()
  const view: OpenAI = new Proxy(client, {
    get: (target, property) => {
      const known = views.get(property)
      if (known !== undefined) return known
      const value: unknown = Reflect.get(target, property, target)
      const seen = viewOf(target, property, value)
      if (seen !== value) views.set(property, seen)
      return seen
    }
  })
  const viewOf = (target: OpenAI, property: PropertyKey, value: unknown): unknown => {
    if (typeof value === "function") {
      const method = value as (...args: Array<unknown>) => unknown
      if (senders.has(property)) {
        return (path: unknown, options: unknown) => method.call(target, path, addLater(options))
      }
      if (property === "getAPIList") {
        return (path: unknown, page: unknown, options: unknown) => method.call(target, path, page, addLater(options))
      }
      if (property === "request") {
        return (options: unknown, retries: unknown) => method.call(target, addLater(options), retries)
      }
      if (property === "withOptions") {
        return (options: unknown) => inSession(method.call(target, options) as OpenAI, session)
      }
      return property === "constructor" ? value : method.bind(target)
    }
    return isResource(value, target) ? new value.constructor(view) : value
  }
  return view
}

interface ClientResource {
  readonly constructor: new(client: OpenAI) => object
}

/** A group of the client's methods, such as `client.chat`. */
const isResource = (value: unknown, client: OpenAI): value is ClientResource =>
  typeof value === "object" && value !== null && "_client" in value && value._client === client
