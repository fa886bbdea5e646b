/**
 * Streams of the official client over events that the balancer has read already: none is parsed twice, and no bytes are
 * written unless the caller asks for them.
 *
 * The client asks the class in its options' `__streamClass` to make a stream of a response. That is private to it: where
 * it does not ask, it reads the bytes itself, as it does wherever more is to be done with an event than to hand it out.
 */
import { type Batch, LlmRequest, type StreamEvent } from "@evenkeel/core/internal"
import { OpenAIError } from "openai"
import { Stream } from "openai/streaming"
import { type AnswerSource, readableOf } from "./AnswerSource.ts"
import { takeEvents } from "./LeanResponse.ts"

/** Takes the place of the client's `Stream`, whose own instances it makes. */
export const eventStreams: { readonly fromSSEResponse: typeof Stream.fromSSEResponse<unknown> } = {
  fromSSEResponse: (response, controller, client, namesEvents, mode) => {
    const ofBytes = (given: Response) => Stream.fromSSEResponse(given, controller, client, namesEvents, mode)
    let isConsumed = false
    async function* iterate(): AsyncGenerator<unknown, void> {
      if (isConsumed) {
        throw new OpenAIError("Cannot iterate over a consumed stream, use `.tee()` to split the stream.")
      }
      isConsumed = true
      const source = namesEvents === true || mode === "events" ? undefined : takeEvents(response)
      if (source === undefined) return yield* ofBytes(response)
      const { signal } = controller
      let isDone = false
      signal.addEventListener("abort", source.cancel, { once: true })
      try {
        while (!signal.aborted) {
          // oxlint-disable-next-line no-await-in-loop -- one after the other is how they come
          const batch = await source.next()
          if (batch === undefined) break
          for (let at = 0; at < batch.events.length && !signal.aborted; at++) {
            const event = batch.events[at]!
            isDone = event.data === "[DONE]"
            if (isDone) return
            const value = valueOf(event)
            if (value === undefined) {
              isDone = true
              return yield* ofBytes(restOf(response, batch.events.slice(at), source))
            }
            yield value
          }
        }
        isDone = true
      } catch (cause) {
        if (!isAbort(cause, signal)) throw cause
      } finally {
        signal.removeEventListener("abort", source.cancel)
        // who leaves the loop wants no more
        if (!isDone) controller.abort()
        source.cancel()
      }
    }
    return new Stream(iterate, controller, client)
  }
}

/** What an event is to the caller; `undefined` where the client has more to do with it. */
const valueOf = ({ data, json, name }: StreamEvent): unknown => {
  if (name === "error" || name.startsWith("thread.")) return undefined
  try {
    const value: unknown = json ?? JSON.parse(data)
    return LlmRequest.isRecord(value) && !value["error"] ? value : undefined
  } catch {
    return undefined
  }
}

/** What is left of a response, as bytes. */
const restOf = ({ headers }: Response, events: ReadonlyArray<StreamEvent>, source: AnswerSource): Response => {
  let first: Batch | undefined = { events, bytes: undefined }
  const next = async () => {
    const batch = first
    first = undefined
    return batch ?? source.next()
  }
  return { headers, body: readableOf({ ...source, next }) } as Response
}

const isAbort = (cause: unknown, signal: AbortSignal): boolean =>
  (cause instanceof Error && cause.name === "AbortError") || (signal.aborted && cause === signal.reason)
