/**
 * The official client, for OpenAI and for Azure.
 */
import OpenAI, { APIUserAbortError, AzureOpenAI, InternalServerError, NotFoundError, RateLimitError } from "openai"
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod"
import * as z from "zod"
import { models, type Reach } from "../Reach.ts"
import type { SessionOption, Subject } from "../Subject.ts"

const messages = [{ role: "user" as const, content: "Say hello." }]
const hello = { model: models.chat, messages }
const schema = z.object({ city: z.string(), degrees: z.number() })

const classes = {
  "not found": NotFoundError,
  "throttled": RateLimitError,
  "unavailable": InternalServerError,
  "aborted": APIUserAbortError
}

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] }

const cityOf = (text: string): string => (JSON.parse(text) as { readonly city: string }).city

const heard = (ask: SessionOption["ask"]): SessionOption => ({ ask, isHeard: true })

/** Chat completions and embeddings. */
const chatting = (name: string, make: (reach: Reach, headers?: Record<string, string>) => OpenAI): Subject => ({
  name,
  chat: async (reach, model = models.chat) => {
    const { choices } = await make(reach).chat.completions.create({ ...hello, model })
    return choices[0]!.message.content!
  },
  stream: async (reach) => {
    const pieces = []
    for await (const { choices } of await make(reach).chat.completions.create({ ...hello, stream: true })) {
      pieces.push(choices[0]?.delta.content ?? "")
    }
    return pieces
  },
  tools: async (reach, weather) => {
    const runner = make(reach).chat.completions.runTools({
      ...hello,
      tools: [{
        type: "function",
        function: { name: "weather", parameters, parse: cityOf, function: weather, description: "The weather." }
      }]
    })
    return (await runner.finalContent())!
  },
  structured: async (reach) => {
    const { choices } = await make(reach).chat.completions.parse({
      ...hello,
      response_format: zodResponseFormat(schema, "weather")
    })
    return choices[0]!.message.parsed
  },
  embed: async (reach) => {
    const { data } = await make(reach).embeddings.create({ model: models.embedding, input: "Hello" })
    return data[0]!.embedding
  },
  abort: async (reach, signal) => {
    const stream = await make(reach).chat.completions.create(
      { model: models.slow, messages, stream: true },
      { signal }
    )
    for await (const _ of stream);
  },
  isOwn: (error, failure) => error instanceof classes[failure],
  sessions: {
    "prompt_cache_key": heard((reach, session) =>
      make(reach).chat.completions.create({ ...hello, prompt_cache_key: session })
    ),
    "the header x-session-id of a call": heard((reach, session) =>
      make(reach).chat.completions.create(hello, { headers: { "x-session-id": session } })
    ),
    "defaultHeaders": heard((reach, session) => make(reach, { "x-session-id": session }).chat.completions.create(hello))
  }
})

/** Responses in place of chat completions. */
const responding = (name: string, make: (reach: Reach) => OpenAI): Subject => ({
  ...chatting(name, make),
  chat: async (reach, model = models.chat) =>
    (await make(reach).responses.create({ model, input: "Say hello." })).output_text,
  stream: async (reach) => {
    const pieces = []
    const stream = await make(reach).responses.create({ model: models.chat, input: "Say hello.", stream: true })
    for await (const event of stream) if (event.type === "response.output_text.delta") pieces.push(event.delta)
    return pieces
  },
  tools: async (reach, weather) => {
    const { responses } = make(reach)
    const tools = [{ type: "function" as const, name: "weather", parameters, strict: false }]
    const first = await responses.create({ model: models.chat, input: "How is Rome?", tools })
    const calls = first.output.filter((item) => item.type === "function_call")
    const { output_text } = await responses.create({
      model: models.chat,
      // only the resource that made it knows it
      previous_response_id: first.id,
      input: calls.map(({ arguments: given, call_id }) => ({
        type: "function_call_output",
        call_id,
        output: weather(cityOf(given))
      })),
      tools
    })
    return output_text
  },
  structured: async (reach) => {
    const { output_parsed } = await make(reach).responses.parse({
      model: models.chat,
      input: "How is Rome?",
      text: { format: zodTextFormat(schema, "weather") }
    })
    return output_parsed
  },
  abort: async (reach, signal) => {
    const stream = await make(reach).responses.create({ model: models.slow, input: "Hi", stream: true }, { signal })
    for await (const _ of stream);
  },
  sessions: {
    "prompt_cache_key": heard((reach, session) =>
      make(reach).responses.create({ model: models.chat, input: "Hello", prompt_cache_key: session })
    )
  }
})

const openai = ({ origin, through }: Reach, defaultHeaders?: Record<string, string>) =>
  new OpenAI({ apiKey: "unused", baseURL: `${origin}/v1`, ...through, ...(defaultHeaders && { defaultHeaders }) })

const azure = ({ origin, through }: Reach, defaultHeaders?: Record<string, string>) =>
  new AzureOpenAI({
    apiKey: "unused",
    endpoint: origin,
    apiVersion: "2025-04-01-preview",
    ...through,
    ...(defaultHeaders && { defaultHeaders })
  })

export const official: ReadonlyArray<Subject> = [
  chatting("openai, chat", openai),
  responding("openai, responses", openai),
  chatting("openai, AzureOpenAI, chat", azure),
  responding("openai, AzureOpenAI, responses", azure)
]
