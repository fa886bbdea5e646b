/**
 * How a plain request of the official client is asked for: one whose facts are known and whose body is written, and of which
 * nobody wants more than its answer.
 */
import { LlmRequest } from "@evenkeel/core/internal"
import type { ClientOptions } from "openai"
import { answeredKey, type BalancedInit, factsKey } from "./BalancedFetch.ts"

/** Options as the client has them when it prepares a request. */
export interface Prepared {
  method: string
  path: string
  body?: unknown
  stream?: boolean
  timeout?: number
  maxRetries?: number
  headers?: unknown
  query?: unknown
  signal?: AbortSignal | null
  fetchOptions?: BalancedInit
  __metadata?: Record<string, unknown>
}

/** What a client has for itself alone, of what is used here. */
export interface Inside {
  readonly baseURL: string
  readonly logLevel: unknown
  readonly fetch: typeof globalThis.fetch
  readonly fetchOptions: unknown
  readonly _options: ClientOptions
  readonly prepareOptions: (options: Prepared) => Promise<void>
  /** Asks for an answer, and makes an error of what is none. */
  makeRequest: (
    this: Inside,
    options: Prepared | PromiseLike<Prepared>,
    retries: number | null,
    log: string | undefined
  ) => Promise<unknown>
}

/** Levels at which it logs nothing of a request that succeeds. */
const quiet: ReadonlySet<unknown> = new Set(["warn", "error", "off"])

/**
 * A plain request is asked for at once. What the client does around it costs as much as balancing it twice over: a log that
 * nobody reads, and a timer and signals that never tell of anything before the balancer does. Of a failure it is told, to
 * make its error of that; and where it has no such method any more, it asks as it always did.
 */
export const asking = (makeRequest: Inside["makeRequest"], fetch: typeof globalThis.fetch): Inside["makeRequest"] =>
  async function(input, retries, log) {
    const options = await input
    const isFirst = retries === null && options.maxRetries === undefined
    const isPlain = isFirst && this.fetch === fetch && quiet.has(this.logLevel)
      && (options.signal ?? options.fetchOptions?.signal ?? undefined) === undefined
    if (!isPlain) return makeRequest.call(this, options, retries, log)
    await this.prepareOptions(options)
    if (!isPlainRequest(this, options)) return makeRequest.call(this, options, retries, log)
    const startTime = Date.now()
    const controller = new AbortController()
    const init = initOf(options)
    // nobody has the controller of a whole answer
    const sent = options.stream === true ? { ...init, signal: controller.signal } : init
    const answered = fetch(this.baseURL + options.path, sent)
    const response = await answered.catch(() => undefined)
    if (response?.ok === true) return { response, options, controller, requestLogID: "", startTime }
    // the caller may send its own options again
    const again = { ...options, fetchOptions: { ...options.fetchOptions, [answeredKey]: answered } }
    return makeRequest.call(this, again, retries, log)
  }

/** Whether the facts of a request are known and its body is written, and nobody gave headers or a query besides. */
export const isPlainRequest = (client: Inside, { body, fetchOptions, headers, query }: Prepared): boolean => {
  const { _options: { defaultHeaders, defaultQuery }, fetchOptions: ofAll } = client
  return typeof body === "string" && fetchOptions?.[factsKey] !== undefined && isOnlyContentType(headers)
    && query === undefined && defaultHeaders === undefined && defaultQuery === undefined && ofAll === undefined
}

/** What is handed to `fetch`. */
export const initOf = ({ body, fetchOptions, headers, method, signal }: Prepared): BalancedInit => ({
  method,
  headers: headers as Record<string, string>,
  body: body as string,
  ...(signal === undefined || signal === null ? {} : { signal }),
  ...fetchOptions
})

/** Whether the caller gave no headers of its own, which the client would check. */
const isOnlyContentType = (headers: unknown): boolean =>
  LlmRequest.isRecord(headers) && Object.keys(headers).length === 1 && "content-type" in headers
