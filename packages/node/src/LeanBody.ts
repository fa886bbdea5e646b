/**
 * Bodies of answers: a real `ReadableStream`, whose ordinary reader asks the source directly. The platform's own queue
 * and promises cost more than everything else on the way of a chunk.
 */
import { Readable } from "node:stream"
import { inspectKey } from "./Inspect.ts"

/** Bytes as a door gives them out, asked for one by one: `undefined` is the end. */
export interface ByteSource {
  readonly next: () => Promise<Uint8Array | undefined>
  readonly cancel: (reason?: unknown) => void
}

/** Whether any of a body was read, or it was given up. */
export const isDisturbed = (body: ReadableStream<Uint8Array>): boolean =>
  body instanceof LeanBody && body.isRead || Readable.isDisturbed(body as never)

/** A `ReadableStream` over a source, that pulls nothing ahead of its reader. */
export const readableOf = (source: ByteSource): ReadableStream<Uint8Array> =>
  new ReadableStream(underlying(source), { highWaterMark: 0 })

const underlying = (source: ByteSource): UnderlyingDefaultSource<Uint8Array> => ({
  async pull(controller) {
    const bytes = await source.next()
    if (bytes === undefined) controller.close()
    else controller.enqueue(bytes)
  },
  cancel: (reason) => source.cancel(reason)
})

type ReadResult = { readonly done: false; readonly value: Uint8Array } | {
  readonly done: true
  readonly value: undefined
}

const ended: ReadResult = { done: true, value: undefined }

const locked = (): TypeError => new TypeError("Invalid state: ReadableStream is locked")

const released = (): TypeError => new TypeError("Invalid state: Reader released")

/** A source that is asked for one thing at a time, and keeps what was asked for by a reader that left. */
class SharedSource implements ByteSource {
  private readonly source: ByteSource
  private asked: Promise<Uint8Array | undefined> | undefined

  constructor(source: ByteSource) {
    this.source = source
  }

  /** What comes next: the same until it is taken. */
  peek(): Promise<Uint8Array | undefined> {
    return this.asked ??= this.source.next()
  }

  take(): void {
    this.asked = undefined
  }

  async next(): Promise<Uint8Array | undefined> {
    const bytes = await this.peek()
    this.take()
    return bytes
  }

  cancel(reason?: unknown): void {
    this.asked = undefined
    this.source.cancel(reason)
  }
}

/**
 * A body. Whoever does more with it than to read it gets what the platform does.
 */
export class LeanBody extends ReadableStream<Uint8Array> {
  readonly #source: SharedSource
  #reader: LeanReader | undefined
  #isRead = false

  constructor(given: ByteSource) {
    const source = new SharedSource(given)
    super(underlying(source), { highWaterMark: 0 })
    this.#source = source
  }

  /** Whether its own reader read any of it. */
  get isRead(): boolean {
    return this.#isRead
  }

  override get locked(): boolean {
    return this.#reader !== undefined || super.locked
  }

  override getReader(options?: ReadableStreamGetReaderOptions): never {
    if (this.#reader !== undefined) throw locked()
    if (options?.mode !== undefined || super.locked) return super.getReader(options as never) as never
    this.#reader = new LeanReader(
      this.#source,
      () => {
        this.#isRead = true
      },
      () => {
        this.#reader = undefined
      }
    )
    return this.#reader as never
  }

  override cancel(reason?: unknown): Promise<void> {
    return this.#reader === undefined ? super.cancel(reason) : Promise.reject(locked())
  }

  override tee(): [ReadableStream<Uint8Array>, ReadableStream<Uint8Array>] {
    if (this.#reader !== undefined) throw locked()
    return super.tee() as [ReadableStream<Uint8Array>, ReadableStream<Uint8Array>]
  }

  override pipeTo(...given: Parameters<ReadableStream<Uint8Array>["pipeTo"]>): Promise<void> {
    return this.#reader === undefined ? super.pipeTo(...given) : Promise.reject(locked())
  }

  override pipeThrough(...given: ReadonlyArray<unknown>): never {
    if (this.#reader !== undefined) throw locked()
    return super.pipeThrough(...(given as [never])) as never
  }

  override values(options?: ReadableStreamIteratorOptions): never {
    if (this.#reader !== undefined) throw locked()
    return super.values(options) as never
  }

  override [Symbol.asyncIterator](options?: ReadableStreamIteratorOptions): never {
    return this.values(options)
  }

  [inspectKey](): string {
    return `ReadableStream { locked: ${this.locked} }`
  }
}

interface Read {
  readonly resolve: (result: ReadResult) => void
  readonly reject: (cause: unknown) => void
}

/** The ordinary reader of a body. */
class LeanReader {
  readonly #source: SharedSource
  readonly #onUse: () => void
  readonly #onRelease: () => void
  readonly #closed = Promise.withResolvers<void>()
  /** Reads that wait, in their order. */
  #reads: Array<Read> = []
  #failure: { readonly cause: unknown } | undefined
  #isReleased = false

  constructor(source: SharedSource, onUse: () => void, onRelease: () => void) {
    this.#source = source
    this.#onUse = onUse
    this.#onRelease = onRelease
    // nobody has to look at it
    this.#closed.promise.catch(() => {})
  }

  get closed(): Promise<void> {
    return this.#closed.promise
  }

  read(): Promise<ReadResult> {
    if (this.#isReleased) return Promise.reject(released())
    if (this.#failure !== undefined) return Promise.reject(this.#failure.cause)
    this.#onUse()
    return new Promise((resolve, reject) => {
      this.#reads.push({ resolve, reject })
      if (this.#reads.length === 1) this.#serve()
    })
  }

  #serve(): void {
    this.#source.peek().then((value) => this.#give(value), (cause: unknown) => this.#fail(cause))
  }

  #give(value: Uint8Array | undefined): void {
    const read = this.#reads.shift()
    // released meanwhile: it is the next reader's
    if (read === undefined) return
    this.#source.take()
    if (value === undefined) this.#closed.resolve()
    read.resolve(value === undefined ? ended : { done: false, value })
    if (this.#reads.length > 0) this.#serve()
  }

  #fail(cause: unknown): void {
    if (this.#isReleased) return
    this.#source.take()
    this.#failure = { cause }
    this.#closed.reject(cause)
    this.#rejectAll(cause)
  }

  #rejectAll(cause: unknown): void {
    const reads = this.#reads
    this.#reads = []
    for (const { reject } of reads) reject(cause)
  }

  cancel(reason?: unknown): Promise<void> {
    if (this.#isReleased) return Promise.reject(released())
    this.#onUse()
    this.#source.cancel(reason)
    this.#closed.resolve()
    return Promise.resolve()
  }

  releaseLock(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    this.#closed.reject(released())
    this.#rejectAll(released())
    this.#onRelease()
  }
}
