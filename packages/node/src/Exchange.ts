/**
 * One request on one connection, and its answer as it comes.
 *
 * It pulls nothing ahead of its reader, and tells an end of a connection that had ended before, unseen, from one that may
 * have come of the request.
 */
import { TransportError, type TransportResponse } from "@evenkeel/core"
import { aborted } from "@evenkeel/core/internal"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import type Undici from "undici"
import type { ConnectionHandler, PooledConnection } from "./ConnectionPools.ts"
import { errorOf } from "./NetworkError.ts"

/** Bytes that may wait unread before the peer is held back. */
const HIGH_WATER = 64 * 1024

/** How long the rest of a discarded body may take, in milliseconds, before its connection is closed. */
const DISCARD_WITHIN = 1000

/**
 * A connection that had ended unseen says so as soon as something is sent on it. One that ends later than this, in
 * milliseconds, may have ended because of what was sent.
 */
const STALE_WITHIN = 3000

/**
 * Undici's handler, and what is read from it.
 */
export class Exchange implements ConnectionHandler, TransportResponse {
  status = 0
  headers: Readonly<Record<string, string>> = {}
  pooled: PooledConnection | undefined
  private readonly onStart: (response: TransportResponse) => void
  private readonly onFail: (error: TransportError) => void
  private controller: Undici.Dispatcher.DispatchController | undefined
  private chunks: Array<Buffer> = []
  private unread = 0
  /** Whether the body is compressed, though nobody asked for that. */
  private isEncoded = false
  private state: "waiting" | "open" | "ended" | "aborted" = "waiting"
  private error: TransportError | undefined
  /** Who waits for the next bytes, the end, or an error; and who waits for the whole. */
  private pulling: ((next: Pull.Pull<Uint8Array, TransportError>) => void) | undefined
  private reading: ((text: Effect.Effect<string, TransportError>) => void) | undefined
  private discardTimer: ReturnType<typeof setTimeout> | undefined
  /** Until when its connection may turn out to have ended before; 0 for one that is new, or that has answered. */
  private maybeStaleUntil = 0

  constructor(onStart: (response: TransportResponse) => void, onFail: (error: TransportError) => void) {
    this.onStart = onStart
    this.onFail = onFail
  }

  onRequestStart(controller: Undici.Dispatcher.DispatchController): void {
    this.controller = controller
    const { pooled } = this
    if (this.state === "aborted") controller.abort(abandoned)
    else if (pooled !== undefined) {
      if (pooled.hasServed) this.maybeStaleUntil = performance.now() + STALE_WITHIN
      pooled.hasServed = true
    }
    this.pooled = undefined
  }

  get isGivenUp(): boolean {
    return this.state === "aborted"
  }

  onResponseStarted(): void {
    this.maybeStaleUntil = 0
  }

  onResponseStart(
    controller: Undici.Dispatcher.DispatchController,
    status: number,
    headers: Readonly<Record<string, string | Array<string> | undefined>>
  ): void {
    if (status < 200 || this.state !== "waiting") return
    const encoding = headers["content-encoding"] ?? "identity"
    this.isEncoded = String(encoding).toLowerCase() !== "identity"
    if (status < 300 && this.isEncoded) {
      this.error = new TransportError({ kind: "protocol", code: `content-encoding ${String(encoding)}` })
      this.onFail(this.error)
      this.state = "aborted"
      controller.abort(abandoned)
      return
    }
    this.state = "open"
    this.status = status
    this.headers = flat(headers)
    // what comes with the headers is there when they are read; and nobody runs within undici's parser
    queueMicrotask(() => this.onStart(this))
  }

  onResponseData(controller: Undici.Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.state !== "open" || this.discardTimer !== undefined) return
    this.chunks.push(chunk)
    this.unread += chunk.length
    if (this.reading !== undefined) return
    if (this.unread > HIGH_WATER) controller.pause()
    this.awake()
  }

  onResponseEnd(): void {
    clearTimeout(this.discardTimer)
    if (this.state === "open") this.state = "ended"
    this.awake()
  }

  onResponseError(_controller: Undici.Dispatcher.DispatchController, cause: Error): void {
    clearTimeout(this.discardTimer)
    const wasWaiting = this.state === "waiting"
    if (this.state === "ended") return
    this.error = this.errorOf(cause)
    if (this.state !== "aborted") this.state = "ended"
    if (wasWaiting) this.onFail(this.error)
    else this.awake()
  }

  readonly pull: Pull.Pull<Uint8Array, TransportError> = Effect.callback((resume) => {
    this.pulling = resume
    if (this.chunks.length > 0 || this.state !== "open") this.awake()
  })

  readonly text: Effect.Effect<string, TransportError> = Effect.callback((resume) => {
    this.reading = resume
    this.controller?.resume()
    if (this.state !== "open") this.awake()
  })

  abort(): void {
    if (this.state === "ended" || this.state === "aborted") return
    this.state = "aborted"
    this.chunks = []
    clearTimeout(this.discardTimer)
    this.error ??= aborted
    this.controller?.abort(abandoned)
    this.awake()
  }

  /** Ends the wait for a connection, where it still waits for one. */
  giveUp(error: TransportError): void {
    if (this.state !== "waiting" || this.controller !== undefined) return
    this.state = "aborted"
    this.onFail(error)
  }

  discard(): void {
    this.chunks = []
    if (this.state !== "open" || this.discardTimer !== undefined) return
    // of the socket, after the request's own fiber: it must not keep the process alive
    this.discardTimer = setTimeout(() => this.abort(), DISCARD_WITHIN)
    this.discardTimer.unref()
    this.controller?.resume()
  }

  private errorOf(cause: Error): TransportError {
    const error = errorOf(cause, this.controller !== undefined)
    return error.kind === "reset" && performance.now() < this.maybeStaleUntil
      ? new TransportError({ kind: "stale", code: error.code })
      : error
  }

  private awake(): void {
    const { pulling, reading } = this
    this.pulling = undefined
    this.reading = undefined
    // taken by whoever still waits: one that was interrupted takes nothing
    pulling?.(this.next)
    reading?.(this.whole)
  }

  private readonly next = Effect.suspend(() => this.take())

  private readonly whole = Effect.suspend(() => this.takeAll())

  private take(): Pull.Pull<Uint8Array, TransportError> {
    const chunk = this.chunks.shift()
    if (chunk === undefined) return this.error === undefined ? Cause.done() : Effect.fail(this.error)
    this.unread -= chunk.length
    if (this.controller?.paused === true && this.unread <= HIGH_WATER / 2) this.controller.resume()
    return Effect.succeed(chunk)
  }

  private takeAll(): Effect.Effect<string, TransportError> {
    if (this.error !== undefined) return Effect.fail(this.error)
    const { chunks } = this
    this.chunks = []
    // of a refusal the status and the headers say most
    if (this.isEncoded) return Effect.succeed("")
    const text = (chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).toString("utf8")
    // a byte order mark is no part of a text
    return Effect.succeed(text.startsWith("\uFEFF") ? text.slice(1) : text)
  }
}

const abandoned = new Error("the attempt was given up")

const flat = (
  headers: Readonly<Record<string, string | Array<string> | undefined>>
): Readonly<Record<string, string>> => {
  for (const name in headers) {
    if (typeof headers[name] !== "string") {
      const entries = Object.entries(headers).filter(([, value]) => value !== undefined)
      return Object.fromEntries(entries.map(([key, value]) => [key, Array.isArray(value) ? value.join(", ") : value!]))
    }
  }
  return headers as Readonly<Record<string, string>>
}
