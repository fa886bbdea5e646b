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

/**
 * A body. Whoever does more with it than to read it gets what the platform does.
 */
export class LeanBody extends ReadableStream<Uint8Array> {
  readonly #source: ByteSource
  #reader: LeanReader | undefined
  #isRead = false

  constructor(source: ByteSource) {
    super(underlying(source), { highWaterMark: 0 })
    this.#source = source
  }

  /** Whether its own reader was asked for. */
  get isRead(): boolean {
    return this.#isRead
  }

  override get locked(): boolean {
    return this.#reader !== undefined || super.locked
  }

  override getReader(options?: ReadableStreamGetReaderOptions): never {
    if (this.#reader !== undefined) throw locked()
    if (options?.mode !== undefined || super.locked) return super.getReader(options as never) as never
    this.#isRead = true
    this.#reader = new LeanReader(this.#source, () => {
      this.#reader = undefined
    })
    return this.#reader as never
  }

  override cancel(reason?: unknown): Promise<void> {
    if (this.#reader !== undefined) return Promise.reject(locked())
    return super.cancel(reason)
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

/** The ordinary reader of a body. */
class LeanReader {
  readonly #source: ByteSource
  readonly #onRelease: () => void
  readonly #closed = Promise.withResolvers<void>()
  /** The last read that was asked for, and how many have not been answered yet. */
  #last: Promise<ReadResult> | undefined
  #waiting = 0
  #failure: { readonly cause: unknown } | undefined
  #isReleased = false

  constructor(source: ByteSource, onRelease: () => void) {
    this.#source = source
    this.#onRelease = onRelease
    // nobody has to look at it
    this.#closed.promise.catch(() => {})
  }

  get closed(): Promise<void> {
    return this.#closed.promise
  }

  read(): Promise<ReadResult> {
    if (this.#isReleased) return Promise.reject(released())
    // a source is asked for one thing at a time
    this.#last = this.#last !== undefined && this.#waiting > 0 ? this.#last.then(() => this.#next()) : this.#next()
    this.#waiting++
    return this.#last
  }

  async #next(): Promise<ReadResult> {
    try {
      if (this.#failure !== undefined) throw this.#failure.cause
      const value = await this.#source.next()
      if (value !== undefined) return { done: false, value }
      this.#closed.resolve()
      return ended
    } catch (cause) {
      this.#failure = { cause }
      this.#closed.reject(cause)
      throw cause
    } finally {
      this.#waiting--
    }
  }

  cancel(reason?: unknown): Promise<void> {
    if (this.#isReleased) return Promise.reject(released())
    this.#source.cancel(reason)
    this.#closed.resolve()
    return Promise.resolve()
  }

  releaseLock(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    this.#closed.reject(released())
    this.#onRelease()
  }
}

const released = (): TypeError => new TypeError("Invalid state: Reader released")
