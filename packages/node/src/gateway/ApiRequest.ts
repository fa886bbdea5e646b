/**
 * One request to the API: dispatched, and its answer written as it comes.
 *
 * It is one fiber from the dispatch to the last byte. A client that goes away ends it, and with it what is under way
 * upstream. A client that reads slowly slows its own stream down, and is cut off where it reads nothing for long.
 */
import type { CallOptions, LoadBalancer, LoadBalancerError, Usage } from "@evenkeel/core"
import { type Answer, bytesOf, ErrorResponse, headersOf, type LlmRequest, StreamBreak } from "@evenkeel/core/internal"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { ServerResponse } from "node:http"
import * as Refusals from "./Refusals.ts"

/**
 * Dispatches a request, and writes its answer. Interrupted where its client goes away.
 *
 * @param onEnd told what it billed, as far as that is known; `unsent` where nothing was sent
 */
export const serve = (
  balancer: LoadBalancer["Service"],
  request: LlmRequest.LlmRequest,
  options: CallOptions,
  response: ServerResponse,
  onEnd: (usage: Usage | "unsent" | undefined) => void
): Effect.Effect<void> => {
  // known before it is handed over, so that no interruption falls between
  let opened: { readonly close: () => void } | undefined
  let answer: Answer | undefined
  let error: LoadBalancerError | undefined
  const answered = Effect.flatMap(
    balancer.dispatch(request, options, (stream) => {
      opened = stream
    }),
    (given) => {
      answer = given
      return give(given, response, request.method === "HEAD")
    }
  )
  const told = Effect.catch(answered, (failure) => {
    error = failure
    return Effect.sync(() => giveError(failure, response))
  })
  return Effect.onExit(told, (exit) =>
    Effect.suspend(() => {
      opened?.close()
      if (exit._tag === "Failure") Refusals.giveUp(response)
      onEnd(error === undefined ? usageOf(answer) : error.attempts.length === 0 ? "unsent" : undefined)
      return exit._tag === "Failure" && Cause.hasDies(exit.cause) ? logFailure(exit.cause) : Effect.void
    }))
}

/** Tells of what code of the operator's own threw, such as a policy. */
export const logFailure = (cause: unknown): Effect.Effect<void> => Effect.logError("The gateway failed", cause)

const usageOf = (answer: Answer | undefined): Usage | undefined => {
  if (answer === undefined || answer._tag === "Raw") return undefined
  return answer._tag === "Whole" ? answer.usage : answer.stream.usage()
}

/** Headers of an answer: the service's own, and ours of who answered after how many attempts. */
const headOf = (answer: Answer): Record<string, string> => {
  const headers = headersOf(answer)
  const { earlier } = answer
  headers["x-evenkeel-attempts"] = String(earlier.length + 1)
  const own = headers["x-request-id"] ?? headers["apim-request-id"]
  const ids = [...earlier.flatMap(({ requestIds }) => requestIds.slice(0, 1)), ...(own === undefined ? [] : [own])]
  if (ids.length > 0) headers["x-evenkeel-request-ids"] = ids.join(", ")
  return headers
}

/** Answers with an error of the balancer. */
export const giveError = (error: LoadBalancerError, response: ServerResponse): void => {
  const { body, headers, status } = ErrorResponse.make(error)
  headers["content-length"] = String(Buffer.byteLength(body))
  headers["x-evenkeel-attempts"] = String(error.attempts.length)
  const ids = error.attempts.flatMap(({ requestIds }) => requestIds.slice(0, 1))
  if (ids.length > 0) headers["x-evenkeel-request-ids"] = ids.join(", ")
  response.writeHead(status, headers)
  response.end(response.req.method === "HEAD" ? undefined : body)
}

const bodiless = new Set([204, 205, 304])

const give = (answer: Answer, response: ServerResponse, isHead: boolean): Effect.Effect<void> => {
  const headers = headOf(answer)
  if (answer._tag === "Whole") {
    headers["content-length"] = String(Buffer.byteLength(answer.text))
    response.writeHead(answer.status, headers)
    // the rest is the socket's: nothing upstream waits for its client
    response.end(isHead ? undefined : answer.text)
    return Effect.void
  }
  response.writeHead(answer.status, headers)
  if (isHead || bodiless.has(answer.status)) {
    response.end()
    return Effect.void
  }
  const drained = wait(response, "drain")
  const write = Effect.flatMap(answer.stream.pull(bytesOf), (bytes) => response.write(bytes) ? Effect.void : drained)
  return Effect.catch(Effect.forever(write, { disableYield: true }), (error) => {
    if (!(error instanceof StreamBreak)) {
      response.end()
      return finished(response)
    }
    // a body of no known events has no other way to tell that it is not whole
    if (answer._tag === "Raw") response.destroy()
    else if (error.isDelivered) response.end()
    else response.end(bytesOf({ events: [ErrorResponse.eventOf(error)], bytes: undefined }))
    return Effect.void
  })
}

/** Until what was written has gone out. */
const finished = (response: ServerResponse): Effect.Effect<void> =>
  response.writableFinished ? Effect.void : wait(response, "finish")

/** Until a response can go on; that its client does not read ends it by its connection. */
const wait = (response: ServerResponse, event: "drain" | "finish"): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const go = () => resume(Effect.void)
    response.once(event, go)
    return Effect.sync(() => response.off(event, go))
  })
