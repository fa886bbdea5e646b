/**
 * Events for `for await`: a bounded queue between the balancer, which never waits, and one reader.
 */
import type { Event } from "@evenkeel/core"
import type { EventHub } from "@evenkeel/core/internal"

const CAPACITY = 1024

/**
 * Iterates over what happens from now on. The oldest is lost when the reader falls behind by more than 1,024.
 *
 * @param closers what to call when the balancer closes; the iterator ends then
 * @param isClosed whether it is closed already
 */
export const eventsOf = (
  hub: EventHub,
  closers: Set<() => void>,
  isClosed: boolean
): AsyncIterableIterator<Event> => {
  const queue: Array<Event> = []
  const waiting: Array<(result: IteratorResult<Event>) => void> = []
  let isOver = false
  const stop = hub.listen((value) => {
    const give = waiting.shift()
    if (give !== undefined) {
      give({ done: false, value })
      return
    }
    queue.push(value)
    if (queue.length > CAPACITY) queue.shift()
  })
  const end = () => {
    isOver = true
    stop()
    closers.delete(end)
    for (const give of waiting.splice(0)) give({ done: true, value: undefined })
  }
  closers.add(end)
  if (isClosed) end()
  return {
    next: () =>
      new Promise((resolve) => {
        const value = queue.shift()
        if (value !== undefined) resolve({ done: false, value })
        else if (isOver) resolve({ done: true, value: undefined })
        else waiting.push(resolve)
      }),
    async return() {
      queue.length = 0
      end()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    }
  }
}
