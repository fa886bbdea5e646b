/**
 * Answers of the service that several groups of cases use.
 */
import type { Answer } from "../Server.ts"

/** Headers that every answer of a real service has, as a program may read them. */
export const headers = { "x-request-id": "req-1", "openai-processing-ms": "12" }

export const messages = [{ role: "user" as const, content: "Say hello." }]

export const hello = { model: "gpt-4o", messages }

/** A whole completion with these words. */
export const completion = (content: string | null = "Hello.", message: object = {}, finish_reason = "stop") => ({
  id: "chatcmpl-1234567",
  object: "chat.completion",
  created: 1_700_000_000,
  model: "gpt-4o-2024-11-20",
  choices: [{
    index: 0,
    message: { role: "assistant", content, refusal: null, ...message },
    logprobs: null,
    finish_reason
  }],
  usage: { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 },
  service_tier: "default",
  system_fingerprint: null
})

export const completed: Answer = { headers, json: completion() }

/** An event of a stream. */
export const event = (data: unknown, name?: string): string =>
  `${name === undefined ? "" : `event: ${name}\n`}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`

export const done = event("[DONE]")

/** A chunk of a chat stream. */
export const chunk = (delta: object, finish_reason: string | null = null, more: object = {}) => ({
  id: "chatcmpl-1234567",
  object: "chat.completion.chunk",
  created: 1_700_000_000,
  model: "gpt-4o-2024-11-20",
  choices: [{ index: 0, delta, logprobs: null, finish_reason }],
  ...more
})

/** The chunks of a chat stream with these words. */
export const chunks = (...words: ReadonlyArray<string>): ReadonlyArray<string> => [
  event(chunk({ role: "assistant", content: "" })),
  ...words.map((content) => event(chunk({ content }))),
  event(chunk({}, "stop"))
]

/** A stream that is as it should be. */
export const streamed: Answer = { headers, chunks: [...chunks("Hel", "lo", "."), done] }

const message = (text: string, status: string) => ({
  id: "msg_1234567",
  type: "message",
  status,
  role: "assistant",
  content: text === "" ? [] : [{ type: "output_text", text, annotations: [] }]
})

/** A whole response with these words. */
export const response = (text = "Hello.", more: object = {}) => ({
  id: "resp_1234567",
  object: "response",
  created_at: 1_700_000_000,
  status: "completed",
  error: null,
  incomplete_details: null,
  model: "gpt-4o-2024-11-20",
  output: [message(text, "completed")],
  usage: { input_tokens: 9, output_tokens: 2, total_tokens: 11 },
  ...more
})

const part = (text: string) => ({ type: "output_text", text, annotations: [] })

/** The events of a response's stream, up to its last but one. */
const responseBegin = (words: ReadonlyArray<string>): ReadonlyArray<{ readonly type: string }> => {
  const place = { item_id: "msg_1234567", output_index: 0, content_index: 0 }
  const begun = response("", { status: "in_progress", output: [], usage: null })
  const text = words.join("")
  return [
    { type: "response.created", response: begun },
    { type: "response.in_progress", response: begun },
    { type: "response.output_item.added", output_index: 0, item: message("", "in_progress") },
    { type: "response.content_part.added", ...place, part: part("") },
    ...words.map((delta) => ({ type: "response.output_text.delta", ...place, delta, logprobs: [] })),
    { type: "response.output_text.done", ...place, text, logprobs: [] },
    { type: "response.content_part.done", ...place, part: part(text) },
    { type: "response.output_item.done", output_index: 0, item: message(text, "completed") }
  ] as ReadonlyArray<{ readonly type: string }>
}

/** Events of the Responses API, each with its number. */
const numbered = (events: ReadonlyArray<{ readonly type: string }>): ReadonlyArray<string> =>
  events.map((one, sequence_number) => event({ ...one, sequence_number }, one.type))

/** The first events of a response's stream, as many as are asked for. */
export const responseStart = (count: number): ReadonlyArray<string> =>
  numbered(responseBegin(["Hel", "lo", "."])).slice(0, count)

/** A response's stream that is as it should be, with what comes at its end. */
export const responseStreamed = (
  last: { readonly type: string } = { type: "response.completed", response: response() } as never
): Answer => ({ headers, chunks: numbered([...responseBegin(["Hel", "lo", "."]), last]) })

/** An error as OpenAI tells it. */
export const refusal = (message = "That cannot be done.", more: object = {}) => ({
  error: { message, type: "invalid_request_error", param: "messages", code: "invalid_value", ...more }
})
