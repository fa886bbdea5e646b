/**
 * A streamed answer for callers without Effect: asked for one batch at a time, and pulling nothing ahead of that.
 *
 * What breaks it is told as its last event: an abort, or a bare end, would finish a caller's loop as if all were well.
 */
import { type Answer, type Batch, bytesOf, ErrorResponse, interrupted, StreamBreak } from "@evenkeel/core/internal"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"

/** What comes next, `undefined` at the end; asked for again only when it is there. */
export interface AnswerSource {
  readonly next: () => Promise<Batch | undefined>
  readonly cancel: () => void
  /** Whether its events are known; otherwise there are only bytes. */
  readonly hasEvents: boolean
}

/** A `ReadableStream` of its bytes, which pulls nothing ahead of its reader. */
export const readableOf = (source: AnswerSource): ReadableStream<Uint8Array> =>
  new ReadableStream({
    async pull(controller) {
      const batch = await source.next()
      if (batch === undefined) controller.close()
      else controller.enqueue(bytesOf(batch))
    },
    cancel: source.cancel
  }, { highWaterMark: 0 })

/** Why a signal was aborted. */
export const reasonOf = (signal: AbortSignal): unknown =>
  signal.reason ?? new DOMException("This operation was aborted", "AbortError")

interface Reader {
  readonly resolve: (batch: Batch | undefined) => void
  readonly reject: (cause: unknown) => void
}

/**
 * Makes the source of an answer. While something may come from the network each read is a fiber; what is left after that
 * is read at once, even when the balancer is closed.
 */
export const sourceOf = (
  answer: Exclude<Answer, { readonly _tag: "Whole" }>,
  signal: AbortSignal | undefined
): AnswerSource => {
  const { stream } = answer
  const next = stream.pull((batch) => batch)
  let reader: Reader | undefined
  let fiber: Fiber.Fiber<Batch, StreamBreak | Cause.Done> | undefined
  let isPulling = false
  let isOver = false

  const takeReader = (): Reader | undefined => {
    const waiting = reader
    reader = undefined
    return waiting
  }
  const unfollow = (): void => signal?.removeEventListener("abort", abort)
  const finish = (): void => {
    isOver = true
    unfollow()
  }
  const settle = (exit: Exit.Exit<Batch, StreamBreak | Cause.Done>): void => {
    const waiting = takeReader()
    if (Exit.isSuccess(exit)) return waiting?.resolve(exit.value)
    finish()
    const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
    if (error === undefined) waiting?.reject(Cause.squash(exit.cause))
    else if (!(error instanceof StreamBreak) || error.isDelivered) waiting?.resolve(undefined)
    else if (answer._tag === "Raw") waiting?.reject(new TypeError("terminated", { cause: interrupted(error) }))
    else waiting?.resolve({ events: [ErrorResponse.eventOf(error)], bytes: undefined })
  }
  /** Gives the one that waits what was read before the stream was over, or how it ended. */
  const settleRest = (): void => {
    if (reader !== undefined && stream.isOver && !isPulling) settle(Effect.runSyncExit(next))
  }
  const pulled = Effect.onExit(next, (exit) =>
    Effect.sync(() => {
      isPulling = false
      settle(exit)
    }))
  const pull = (): void => {
    isPulling = true
    fiber = Effect.runFork(pulled)
  }
  const stop = (): void => {
    fiber?.interruptUnsafe()
    stream.close()
  }
  const abort = (): void => {
    finish()
    takeReader()?.reject(reasonOf(signal!))
    stop()
  }
  const onOver = (): void => {
    unfollow()
    settleRest()
  }
  const read = (): Promise<Batch | undefined> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(reasonOf(signal))
      if (isOver) return resolve(undefined)
      reader = { resolve, reject }
      if (stream.isOver) settleRest()
      else pull()
    })
  const cancel = (): void => {
    finish()
    takeReader()?.resolve(undefined)
    stop()
  }
  if (!stream.isOver) {
    signal?.addEventListener("abort", abort, { once: true })
    stream.onOver = onOver
  }
  return { hasEvents: answer._tag === "Stream", next: read, cancel }
}
