/**
 * A `Response` for the official client: the same to look at, without what the platform's own costs to build.
 *
 * It is an instance of `Response`, and everything that can be asked of one is answered; what is seldom asked for (clone,
 * blob, form data, a real `ReadableStream`) is answered by a real one, built then. Measured in docs/performance.md.
 */

import type { InspectOptions } from "node:util"

type Inspect = (value: unknown, options: InspectOptions) => string

/** Bytes as a door gives them out: `undefined` is the end. */
export interface ByteSource {
  readonly next: () => Promise<Uint8Array | undefined>
  readonly cancel: (reason?: unknown) => void
}

const underlying = (source: ByteSource): UnderlyingDefaultSource<Uint8Array> => ({
  async pull(controller) {
    const bytes = await source.next()
    if (bytes === undefined) controller.close()
    else controller.enqueue(bytes)
  },
  cancel: (reason) => source.cancel(reason)
})

/** A `ReadableStream` over a source, that pulls nothing ahead of its reader. */
export const readableOf = (source: ByteSource): ReadableStream<Uint8Array> =>
  new ReadableStream(underlying(source), { highWaterMark: 0 })

/** How these print: what they inherit would look for the platform's private fields. */
const inspectKey = Symbol.for("nodejs.util.inspect.custom")

/** Headers as they came, under lower-case names: what `Headers` answers, without its checks of each. */
class LeanHeaders {
  readonly #values: Record<string, string>
  #sorted: ReadonlyArray<string> | undefined

  constructor(values: Readonly<Record<string, string>>) {
    this.#values = values
  }

  get(name: string): string | null {
    return this.#values[name.toLowerCase()] ?? null
  }

  has(name: string): boolean {
    return this.#values[name.toLowerCase()] !== undefined
  }

  getSetCookie(): Array<string> {
    const value = this.get("set-cookie")
    return value === null ? [] : [value]
  }

  set(name: string, value: string): void {
    this.#sorted = undefined
    this.#values[name.toLowerCase()] = String(value)
  }

  append(name: string, value: string): void {
    const known = this.get(name)
    this.set(name, known === null ? value : `${known}, ${value}`)
  }

  delete(name: string): void {
    this.#sorted = undefined
    delete this.#values[name.toLowerCase()]
  }

  forEach(callback: (value: string, name: string, parent: Headers) => void, thisArg?: unknown): void {
    for (const [name, value] of this.entries()) callback.call(thisArg, value, name, this as unknown as Headers)
  }

  entries(): IterableIterator<[string, string]> {
    return this.#names().map((name): [string, string] => [name, this.#values[name]!]).values()
  }

  keys(): IterableIterator<string> {
    return this.#names().values()
  }

  values(): IterableIterator<string> {
    return this.#names().map((name) => this.#values[name]!).values()
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries()
  }

  #names(): ReadonlyArray<string> {
    return this.#sorted ??= Object.keys(this.#values).toSorted()
  }

  get [Symbol.toStringTag](): string {
    return "Headers"
  }

  [inspectKey](_depth: number, options: InspectOptions, inspect: Inspect): string {
    return `Headers ${inspect(Object.fromEntries(this), options)}`
  }
}
Object.setPrototypeOf(LeanHeaders.prototype, Headers.prototype)

/**
 * A real `ReadableStream`, whose ordinary reader asks the source directly: the platform's own queue and promises cost
 * more than everything else on the way of a chunk.
 */
class LeanBody extends ReadableStream<Uint8Array> {
  readonly #source: ByteSource
  #isReading = false
  #isDisturbed = false

  constructor(source: ByteSource) {
    super(underlying(source), { highWaterMark: 0 })
    this.#source = source
  }

  /** Whether any of it was read, or it was given up. */
  get isDisturbed(): boolean {
    return this.#isDisturbed || super.locked
  }

  override get locked(): boolean {
    return this.#isReading || super.locked
  }

  override getReader(options?: ReadableStreamGetReaderOptions): never {
    if (options?.mode !== undefined || super.locked) return super.getReader(options as never) as never
    if (this.#isReading) throw new TypeError("Invalid state: ReadableStream is locked")
    this.#isReading = true
    this.#isDisturbed = true
    const source = this.#source
    const { promise: closed, resolve: finish } = Promise.withResolvers<void>()
    return {
      closed,
      read: async () => {
        const value = await source.next()
        if (value !== undefined) return { done: false, value }
        finish()
        return { done: true, value: undefined }
      },
      cancel: async (reason?: unknown) => {
        source.cancel(reason)
        finish()
      },
      releaseLock: () => {
        this.#isReading = false
      }
    } as never
  }

  override cancel(reason?: unknown): Promise<void> {
    this.#isDisturbed = true
    return super.cancel(reason)
  }

  [inspectKey](): string {
    return `ReadableStream { locked: ${this.locked} }`
  }
}

type Content = string | ByteSource

class LeanResponse {
  readonly status: number
  readonly headers: LeanHeaders
  readonly #content: Content
  #body: ReadableStream<Uint8Array> | undefined
  #isUsed = false

  constructor(content: Content, status: number, headers: Readonly<Record<string, string>>) {
    this.#content = content
    this.status = status
    this.headers = new LeanHeaders(headers)
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
    return this.#isUsed || (this.#body instanceof LeanBody ? this.#body.isDisturbed : this.#body?.locked === true)
  }

  get body(): ReadableStream<Uint8Array> {
    return this.#body ??= new LeanBody(typeof this.#content === "string" ? once(this.#content) : this.#content)
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

const once = (text: string): ByteSource => {
  let left: Uint8Array | undefined = new TextEncoder().encode(text)
  return {
    next: async () => {
      const bytes = left
      left = undefined
      return bytes
    },
    cancel: () => {
      left = undefined
    }
  }
}

/**
 * Makes a response of a text, or of bytes as they come.
 */
export const make = (
  content: Content,
  status: number,
  headers: Readonly<Record<string, string>>
): Response => new LeanResponse(content, status, headers) as unknown as Response
