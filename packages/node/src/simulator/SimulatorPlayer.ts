/**
 * Plays an answer of the simulated service on a response of `node:http`.
 *
 * A waiting answer has one timer. When it fires, everything that is due goes out in one write, so that a busy machine
 * sends fewer and larger writes instead of falling behind.
 */
import type { SimulatedAnswer } from "@evenkeel/core/simulation"
import type { ServerResponse } from "node:http"

/**
 * Plays an answer. A client that goes away ends it at once, and the service is told.
 */
export const play = (answer: SimulatedAnswer, response: ServerResponse): void => {
  const start = performance.now()
  let timer: NodeJS.Timeout | undefined
  /** Goes on when it is `at`, and says so: a timer may be early by a part of a millisecond. */
  const wait = (at: number, then: (at: number) => void): void => {
    const left = start + at - performance.now()
    if (left < 0.5) then(at)
    else timer = setTimeout(then, left, at)
  }
  response.on("close", () => {
    clearTimeout(timer)
    // Does nothing if the answer has ended.
    answer.abandoned(Date.now())
  })
  const reset = (): void => {
    answer.finished(Date.now())
    response.socket?.resetAndDestroy()
  }

  if (answer._tag === "Broken") {
    if (answer.how !== "hang") wait(answer.at, reset)
    return
  }

  const { headers, parts, status } = answer
  let next = parts.next()
  /** Sends the headers, once. A body that is known as a whole has a length. */
  const begin = (body?: string): void => {
    if (response.headersSent) return
    response.writeHead(
      status,
      body === undefined ? headers : { ...headers, "content-length": String(Buffer.byteLength(body)) }
    )
  }
  const step = (reached: number): void => {
    const due = Math.max(reached, performance.now() - start)
    let text = ""
    for (; next.done !== true && next.value.at <= due; next = parts.next()) {
      if (typeof next.value.data === "string") text += next.value.data
      else {
        begin()
        response.write(text)
        response.write(next.value.data)
        text = ""
      }
    }
    if (next.done === true && next.value === "end") {
      answer.finished(Date.now())
      begin(text)
      response.end(text)
      return
    }
    if (!response.headersSent) {
      begin()
      if (text === "") response.flushHeaders()
    }
    if (next.done !== true) {
      const { at } = next.value
      // A client that does not read is not flooded.
      if (text === "" || response.write(text)) wait(at, step)
      else response.once("drain", () => step(0))
    } else {
      // The bytes go out before the connection breaks.
      const broken = next.value === "reset"
      response.write(text, () => {
        if (broken) setImmediate(reset)
      })
    }
  }
  wait(answer.headersAt, step)
}
