/**
 * A `Response` for the official client: the same to look at, without what the platform's own costs to build.
 *
 * It is an instance of `Response`, and everything that can be asked of one is answered; what is seldom asked for (clone,
 * blob, form data, a real `ReadableStream`) is answered by a real one, built then. Measured in docs/performance.md.
 */

/** Bytes as a door gives them out: `undefined` is the end. */
export interface ByteSource {
  readonly next: () => Promise<Uint8Array | undefined>
  readonly cancel: (reason?: unknown) => void
}

/** A real `ReadableStream` over a source, that pulls nothing ahead of its reader. */
export const readableOf = (source: ByteSource): ReadableStream<Uint8Array> =>
  new ReadableStream<Uint8Array>({
    async pull(controller) {
      const bytes = await source.next()
      if (bytes === undefined) controller.close()
      else controller.enqueue(bytes)
    },
    cancel: (reason) => source.cancel(reason)
  }, { highWaterMark: 0 })

/** Headers as they came, under lower-case names: what `Headers` answers, without its checks of each. */
class LeanHeaders {
  readonly #values: Record<string, string>

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
    this.#values[name.toLowerCase()] = String(value)
  }

  append(name: string, value: string): void {
    const known = this.get(name)
    this.set(name, known === null ? value : `${known}, ${value}`)
  }

  delete(name: string): void {
    delete this.#values[name.toLowerCase()]
  }

  forEach(callback: (value: string, name: string, parent: Headers) => void, thisArg?: unknown): void {
    for (const [name, value] of this.entries()) callback.call(thisArg, value, name, this as unknown as Headers)
  }

  *entries(): Generator<[string, string]> {
    for (const name of Object.keys(this.#values).toSorted()) yield [name, this.#values[name]!]
  }

  *keys(): Generator<string> {
    for (const [name] of this.entries()) yield name
  }

  *values(): Generator<string> {
    for (const [, value] of this.entries()) yield value
  }

  [Symbol.iterator](): Generator<[string, string]> {
    return this.entries()
  }

  get [Symbol.toStringTag](): string {
    return "Headers"
  }
}
Object.setPrototypeOf(LeanHeaders.prototype, Headers.prototype)

/** A body with a reader of its own; anything else a `ReadableStream` can do, a real one does. */
class LeanBody {
  readonly #source: ByteSource
  #isLocked = false
  #real: ReadableStream<Uint8Array> | undefined

  constructor(source: ByteSource) {
    this.#source = source
  }

  /** Whether someone reads, or has read, it. */
  get isDisturbed(): boolean {
    return this.#isLocked || this.#real !== undefined
  }

  get locked(): boolean {
    return this.#real?.locked ?? this.#isLocked
  }

  getReader(options?: ReadableStreamGetReaderOptions): unknown {
    if (this.#real !== undefined || options?.mode === "byob") return this.real().getReader(options as never)
    if (this.#isLocked) throw new TypeError("Invalid state: ReadableStream is locked")
    this.#isLocked = true
    const source = this.#source
    let finish: () => void
    const closed = new Promise<void>((resolve) => {
      finish = resolve
    })
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
        this.#isLocked = false
      }
    }
  }

  cancel(reason?: unknown): Promise<void> {
    if (this.#real !== undefined) return this.#real.cancel(reason)
    this.#source.cancel(reason)
    return Promise.resolve()
  }

  tee(): unknown {
    return this.real().tee()
  }

  pipeThrough(...args: Parameters<ReadableStream["pipeThrough"]>): unknown {
    return this.real().pipeThrough(...args)
  }

  pipeTo(...args: Parameters<ReadableStream["pipeTo"]>): Promise<void> {
    return this.real().pipeTo(...args)
  }

  values(options?: ReadableStreamIteratorOptions): unknown {
    return this.real().values(options)
  }

  [Symbol.asyncIterator](options?: ReadableStreamIteratorOptions): unknown {
    return this.real().values(options)
  }

  get [Symbol.toStringTag](): string {
    return "ReadableStream"
  }

  real(): ReadableStream<Uint8Array> {
    if (this.#isLocked) throw new TypeError("Invalid state: ReadableStream is locked")
    return this.#real ??= readableOf(this.#source)
  }
}
Object.setPrototypeOf(LeanBody.prototype, ReadableStream.prototype)

type Content = string | ByteSource

class LeanResponse {
  readonly status: number
  readonly headers: LeanHeaders
  readonly #content: Content
  readonly #url: string
  #body: LeanBody | undefined
  #isUsed = false

  constructor(content: Content, status: number, headers: Readonly<Record<string, string>>, url: string) {
    this.#content = content
    this.status = status
    this.headers = new LeanHeaders(headers)
    this.#url = url
  }

  get ok(): boolean {
    return this.status >= 200 && this.status <= 299
  }

  get statusText(): string {
    return ""
  }

  get url(): string {
    return this.#url
  }

  get type(): string {
    return "default"
  }

  get redirected(): boolean {
    return false
  }

  get bodyUsed(): boolean {
    return this.#isUsed || this.#body?.isDisturbed === true
  }

  get body(): LeanBody {
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
    if (typeof this.#content === "string") {
      return new LeanResponse(this.#content, this.status, Object.fromEntries(this.headers), this.#url) as never
    }
    throw new TypeError("Response.clone: a stream that is being balanced cannot be read twice; use tee()")
  }

  get [Symbol.toStringTag](): string {
    return "Response"
  }

  /** A real response takes over the body. */
  #real(): Response {
    if (this.bodyUsed) throw new TypeError("Body is unusable: Body has already been read")
    this.#isUsed = true
    const body = typeof this.#content === "string" ? this.#content : readableOf(this.#content)
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
  headers: Readonly<Record<string, string>>,
  url: string
): Response => new LeanResponse(content, status, headers, url) as unknown as Response
