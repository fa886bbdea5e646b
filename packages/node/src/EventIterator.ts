/**
 * Events for `for await`: a bounded queue between the balancer, which never waits, and one reader.
 */
import type { Event } from "@evenkeel/core"
import type { EventHub } from "@evenkeel/core/internal"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"

const CAPACITY = 1024

/**
 * Iterates over what happens from now on. The oldest is lost when the reader falls behind by more than 1,024.
 *
 * @param closing aborted when the balancer closes; the iterator ends then
 */
export const eventsOf = (hub: EventHub, closing: AbortSignal): AsyncIterableIterator<Event> => {
  const queue = Effect.runSync(Queue.sliding<Event, Cause.Done>(CAPACITY))
  const stop = hub.listen((event) => {
    Queue.offerUnsafe(queue, event)
  })
  const end = () => {
    stop()
    closing.removeEventListener("abort", end)
    Queue.endUnsafe(queue)
  }
  closing.addEventListener("abort", end)
  if (closing.aborted) end()
  const next = Effect.match(Queue.take(queue), {
    onSuccess: (value): IteratorResult<Event> => ({ done: false, value }),
    onFailure: (): IteratorResult<Event> => ({ done: true, value: undefined })
  })
  return {
    next: () => Effect.runPromise(next),
    async return() {
      end()
      await Effect.runPromise(Queue.clear(queue))
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    }
  }
}
