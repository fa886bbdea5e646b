/**
 * What chat and responses services stream, event by event.
 */
import { bytesOf, type Given, makeReader, named, read, type ReadOptions } from "../../support/Events.ts"

export const chunk = (choices: ReadonlyArray<unknown>, more: object = {}): string =>
  JSON.stringify({ id: "c1", object: "chat.completion.chunk", choices, usage: null, ...more })

export const delta = (value: object, finish: string | null = null): string =>
  chunk([{ index: 0, delta: value, finish_reason: finish }])

export const filters = chunk([], { id: "", object: "", prompt_filter_results: [{ prompt_index: 0 }] })
export const role = delta({ role: "assistant", content: "" })
export const hello = delta({ content: "Hello" })
export const stop = delta({}, "stop")
export const usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10, prompt_tokens_details: null }
export const billed = { promptTokens: 7, cachedTokens: 0, cacheWriteTokens: 0, completionTokens: 3, reasoningTokens: 0 }
export const usageChunk = chunk([], { usage })

export const created = named({ type: "response.created", response: { id: "resp_1", status: "in_progress" } })
export const progress = named({ type: "response.in_progress", response: { id: "resp_1" } })
export const queued = named({ type: "response.queued", response: { id: "resp_1" } })
export const text = named({ type: "response.output_text.delta", delta: "Hi" })
export const added = (type: string) => named({ type: "response.output_item.added", item: { type } })
export const done = (type: string) => named({ type: "response.output_item.done", item: { type } })
export const responseUsage = { input_tokens: 7, input_tokens_details: { cached_tokens: 4 }, output_tokens: 3 }
export const completed = named({
  type: "response.completed",
  response: {
    id: "resp_1",
    usage: responseUsage,
    output: [{ id: "rs_1", type: "reasoning", encrypted_content: "gAAAA" }, { id: "msg_1", type: "message" }]
  }
})

export const responses = { protocol: "responses" } as const

export const dataOf = (events: ReadonlyArray<Given>) => events.map(({ data }) => data)

export const whole = (events: ReadonlyArray<Given | string>, options: ReadOptions = {}) =>
  read([bytesOf(events)], options)

/** Whether each of these events, one after the other, is the one that commits. */
export const commits = (events: ReadonlyArray<Given | string>, options: ReadOptions = {}): ReadonlyArray<boolean> => {
  const reader = makeReader(options)
  return events.map((event) => {
    reader.feed(bytesOf([event]))
    return reader.isCommitted
  })
}
