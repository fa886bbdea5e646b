/**
 * Events for `for await`: a bounded queue between the balancer, which never waits, and one reader.
 */
import type { Event, EventHub } from "@evenkeel/core/Event"

const CAPACITY = 1024

/**
 * Iterates over what happens from now on. The oldest is lost when the reader falls behind by more than 1,024.
 *
 * @param closers what to call when the balancer closes; the iterator ends then
 */
export const eventsOf = (hub: EventHub, closers: Set<() => void>): AsyncIterableIterator<Event> => {
  const queue: Array<Event> = []
  let isOver = false
  let wake: (() => void) | undefined
  const stop = hub.listen((event) => {
    queue.push(event)
    if (queue.length > CAPACITY) queue.shift()
    wake?.()
  })
  const end = () => {
    isOver = true
    stop()
    closers.delete(end)
    wake?.()
  }
  closers.add(end)
  return {
    next: () =>
      new Promise((resolve) => {
        const give = () => {
          const value = queue.shift()
          if (value === undefined && !isOver) {
            wake = give
            return
          }
          wake = undefined
          resolve(value === undefined ? { done: true, value: undefined } : { done: false, value })
        }
        give()
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
