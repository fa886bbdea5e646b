/**
 * A `Response` for the official client: the same to look at, without what the platform's own costs to build.
 *
 * It is an instance of `Response`, and everything that can be asked of one is answered; what is seldom asked for (clone,
 * blob, form data) is answered by a real one, built then. Measured in docs/performance.md.
 */
import { Readable } from "node:stream"
import type { InspectOptions } from "node:util"
import { type AnswerSource, readableOf } from "./AnswerSource.ts"
import { type Inspect, inspectKey } from "./Inspect.ts"
import { LeanHeaders } from "./LeanHeaders.ts"

type Content = string | AnswerSource

class LeanResponse {
  readonly status: number
  readonly headers: LeanHeaders
  #content: Content
  #body: ReadableStream<Uint8Array> | undefined
  #isUsed = false

  constructor(content: Content, status: number, headers: Readonly<Record<string, string>>) {
    this.#content = content
    this.status = status
    this.headers = new LeanHeaders(headers)
  }

  static takeEvents(response: object): AnswerSource | undefined {
    if (!(#content in response)) return undefined
    const source = response.#content
    if (typeof source === "string" || !source.hasEvents || response.bodyUsed) return undefined
    const reader = response.body.getReader()
    response.#isUsed = true
    const cancel = (): void => {
      // a second time there is nothing to cancel
      reader.cancel().catch(() => {})
      reader.releaseLock()
    }
    return { ...source, cancel }
  }

  get ok(): boolean {
    return this.status >= 200 && this.status <= 299
  }

  get statusText(): string {
    return ""
  }

  get url(): string {
    return ""
  }

  get type(): string {
    return "default"
  }

  get redirected(): boolean {
    return false
  }

  get bodyUsed(): boolean {
    return this.#isUsed || (this.#body !== undefined && Readable.isDisturbed(this.#body as never))
  }

  get body(): ReadableStream<Uint8Array> {
    return this.#body ??= typeof this.#content === "string"
      // what `text` gave out already is not there a second time
      ? new Response(this.#isUsed ? "" : this.#content).body!
      : readableOf(this.#content)
  }

  async text(): Promise<string> {
    if (typeof this.#content !== "string" || this.#body !== undefined) return this.#real().text()
    if (this.#isUsed) throw new TypeError("Body is unusable: Body has already been read")
    this.#isUsed = true
    return this.#content
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text())
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#real().arrayBuffer()
  }

  bytes(): Promise<Uint8Array> {
    return this.#real().arrayBuffer().then((buffer) => new Uint8Array(buffer))
  }

  blob(): Promise<Blob> {
    return this.#real().blob()
  }

  formData(): Promise<FormData> {
    return this.#real().formData()
  }

  clone(): Response {
    if (this.bodyUsed) throw new TypeError("Response.clone: Body has already been consumed.")
    const headers = Object.fromEntries(this.headers)
    if (typeof this.#content === "string") return make(this.#content, this.status, headers)
    const [mine, theirs] = this.body.tee()
    this.#body = mine
    // both read its bytes from now on
    this.#content = { ...this.#content, hasEvents: false }
    return new Response(theirs, { status: this.status, headers })
  }

  get [Symbol.toStringTag](): string {
    return "Response"
  }

  [inspectKey](_depth: number, options: InspectOptions, inspect: Inspect): string {
    const { bodyUsed, headers, ok, status } = this
    return `Response ${inspect({ status, ok, headers, bodyUsed }, options)}`
  }

  /** A response of the platform takes over the body. */
  #real(): Response {
    if (this.bodyUsed) throw new TypeError("Body is unusable: Body has already been read")
    this.#isUsed = true
    const body = this.#body ?? (typeof this.#content === "string" ? this.#content : readableOf(this.#content))
    return new Response(body, { status: this.status, headers: Object.fromEntries(this.headers) })
  }
}
Object.setPrototypeOf(LeanResponse.prototype, Response.prototype)

/**
 * Takes the events of a response of ours whose body nobody has touched. They are its reading: it is locked, and used.
 *
 * @throws TypeError where the body has a reader
 */
export const takeEvents = (response: Response): AnswerSource | undefined => LeanResponse.takeEvents(response)

/**
 * Makes a response of a text, or of bytes as they come.
 */
export const make = (
  content: Content,
  status: number,
  headers: Readonly<Record<string, string>>
): Response => new LeanResponse(content, status, headers) as unknown as Response
