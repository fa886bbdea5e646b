/**
 * LangChain.js.
 */
import { HumanMessage, type ToolMessage } from "@langchain/core/messages"
import { tool } from "@langchain/core/tools"
import { AzureChatOpenAI, AzureOpenAIEmbeddings, ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai"
import { InternalServerError, NotFoundError, RateLimitError } from "openai"
import * as z from "zod"
import { models, type Reach } from "../Reach.ts"
import type { Subject } from "../Subject.ts"

const classes = { "not found": NotFoundError, "throttled": RateLimitError, "unavailable": InternalServerError }

interface Options {
  readonly promptCacheKey?: string
  readonly headers?: Record<string, string>
}

interface Provider {
  readonly model: (reach: Reach, name: string, options?: Options) => ChatOpenAI | AzureChatOpenAI
  readonly embeddings: (reach: Reach) => OpenAIEmbeddings | AzureOpenAIEmbeddings
}

const subject = (name: string, { embeddings, model }: Provider): Subject => ({
  name,
  chat: async (reach, chosen = models.chat) => (await model(reach, chosen).invoke("Say hello.")).text,
  stream: async (reach) => {
    const pieces = []
    for await (const piece of await model(reach, models.chat).stream("Say hello.")) pieces.push(piece.text)
    return pieces
  },
  tools: async (reach, weather) => {
    const offered = tool(async ({ city }: { city: string }) => weather(city), {
      name: "weather",
      description: "The weather.",
      schema: z.object({ city: z.string() })
    })
    const bound = model(reach, models.chat).bindTools([offered])
    const question = new HumanMessage("How is Rome?")
    const first = await bound.invoke([question])
    const results = await Promise.all((first.tool_calls ?? []).map((call) => offered.invoke(call)))
    const last = await bound.invoke([question, first, ...results as Array<ToolMessage>])
    return last.text
  },
  structured: (reach) =>
    model(reach, models.chat)
      .withStructuredOutput(z.object({ city: z.string(), degrees: z.number() }), { method: "jsonSchema" })
      .invoke("How is Rome?"),
  embed: (reach) => embeddings(reach).embedQuery("Hello"),
  abort: (reach, signal) => model(reach, models.slow).invoke("Say hello.", { signal }),
  isOwn: (error, failure) =>
    failure === "aborted"
      ? error instanceof Error && error.name === "AbortError"
      : error instanceof classes[failure],
  sessions: {
    "promptCacheKey of the model": {
      ask: (reach, promptCacheKey) => model(reach, models.chat, { promptCacheKey }).invoke("Say hello."),
      isHeard: true
    },
    "promptCacheKey of a call": {
      ask: (reach, promptCacheKey) => model(reach, models.chat).invoke("Say hello.", { promptCacheKey }),
      isHeard: true
    },
    "configuration.defaultHeaders": {
      ask: (reach, session) => model(reach, models.chat, { headers: { "x-session-id": session } }).invoke("Say hello."),
      isHeard: true
    },
    "options.headers of a call": {
      ask: (reach, session) =>
        model(reach, models.chat).invoke("Say hello.", { options: { headers: { "x-session-id": session } } }),
      isHeard: true
    }
  }
})

const openai = (useResponsesApi: boolean): Provider => ({
  model: ({ origin, through }, name, { headers, ...options } = {}) =>
    new ChatOpenAI({
      model: name,
      apiKey: "unused",
      maxRetries: 0,
      useResponsesApi,
      configuration: { baseURL: `${origin}/v1`, ...through, ...(headers && { defaultHeaders: headers }) },
      ...options
    }),
  embeddings: ({ origin, through }) =>
    new OpenAIEmbeddings({
      model: models.embedding,
      apiKey: "unused",
      maxRetries: 0,
      configuration: { baseURL: `${origin}/v1`, ...through }
    })
})

const azureOf = (origin: string, deployment: string) => ({
  model: deployment,
  azureOpenAIApiKey: "unused",
  azureOpenAIBasePath: `${origin}/openai/deployments`,
  azureOpenAIApiDeploymentName: deployment,
  azureOpenAIApiVersion: "2025-04-01-preview",
  maxRetries: 0
})

const azure: Provider = {
  model: ({ origin, through }, name, { headers, ...options } = {}) =>
    new AzureChatOpenAI({
      ...azureOf(origin, name),
      configuration: { ...through, ...(headers && { defaultHeaders: headers }) },
      ...options
    }),
  embeddings: ({ origin, through }) =>
    new AzureOpenAIEmbeddings({
      ...azureOf(origin, models.embedding),
      azureOpenAIApiEmbeddingsDeploymentName: models.embedding,
      configuration: through
    })
}

export const langChain: ReadonlyArray<Subject> = [
  subject("LangChain, ChatOpenAI", openai(false)),
  subject("LangChain, ChatOpenAI with responses", openai(true)),
  subject("LangChain, AzureChatOpenAI", azure)
]
