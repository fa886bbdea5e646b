/**
 * The AI SDK: `ai`, over its providers for OpenAI, for Azure and for whatever is compatible.
 */
import { createAzure } from "@ai-sdk/azure"
import { createOpenAI } from "@ai-sdk/openai"
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import {
  APICallError,
  embed,
  type EmbeddingModel,
  generateText,
  isStepCount,
  type LanguageModel,
  Output,
  streamText,
  tool
} from "ai"
import * as z from "zod"
import { models, type Reach } from "../Reach.ts"
import type { SessionOption, Subject } from "../Subject.ts"

const statuses = { "not found": 404, "throttled": 429, "unavailable": 503 }

const prompt = "Say hello."

/** A provider of models. */
interface Provider {
  readonly model: (name: string) => LanguageModel
  readonly embedding: (name: string) => EmbeddingModel
}

type ProviderOptions = NonNullable<Parameters<typeof generateText>[0]["providerOptions"]>

const subject = (
  name: string,
  make: (reach: Reach) => Provider,
  options: Readonly<Record<string, { readonly name: (session: string) => ProviderOptions; readonly isHeard: boolean }>>
): Subject => {
  const ask = (reach: Reach, more: { headers?: Record<string, string>; providerOptions?: ProviderOptions }) =>
    generateText({ model: make(reach).model(models.chat), prompt, maxRetries: 0, ...more })
  return {
    name,
    chat: async (reach, model = models.chat) => {
      const { text } = await generateText({ model: make(reach).model(model), prompt, maxRetries: 0 })
      return text
    },
    stream: async (reach) => {
      const pieces = []
      // a stream that breaks ends as if it were whole, and only this tells of it
      const errors: Array<unknown> = []
      const onError = ({ error }: { readonly error: unknown }) => void errors.push(error)
      const { textStream } = streamText({ model: make(reach).model(models.chat), prompt, maxRetries: 0, onError })
      for await (const piece of textStream) pieces.push(piece)
      for (const error of errors) throw error
      return pieces
    },
    tools: async (reach, weather) => {
      const { text } = await generateText({
        model: make(reach).model(models.chat),
        prompt,
        maxRetries: 0,
        stopWhen: isStepCount(2),
        tools: {
          weather: tool({
            description: "The weather.",
            inputSchema: z.object({ city: z.string() }),
            execute: async ({ city }) => weather(city)
          })
        }
      })
      return text
    },
    structured: async (reach) => {
      const { output } = await generateText({
        model: make(reach).model(models.chat),
        prompt,
        maxRetries: 0,
        output: Output.object({ schema: z.object({ city: z.string(), degrees: z.number() }) })
      })
      return output
    },
    embed: async (reach) => {
      const model = make(reach).embedding(models.embedding)
      return (await embed({ model, value: "Hello", maxRetries: 0 })).embedding
    },
    abort: async (reach, abortSignal) => {
      await generateText({ model: make(reach).model(models.slow), prompt, maxRetries: 0, abortSignal })
    },
    isOwn: (error, failure) =>
      failure === "aborted"
        ? error instanceof Error && error.name === "AbortError"
        : APICallError.isInstance(error) && error.statusCode === statuses[failure],
    sessions: {
      "the header x-session-id of a call": {
        ask: (reach, session) => ask(reach, { headers: { "x-session-id": session } }),
        isHeard: true
      },
      ...Object.fromEntries(
        Object.entries(options).map(([label, { isHeard, name }]): [string, SessionOption] => [label, {
          ask: (reach, session) => ask(reach, { providerOptions: name(session) }),
          isHeard
        }])
      )
    }
  }
}

const openaiOption = {
  "providerOptions.openai.promptCacheKey": {
    name: (promptCacheKey: string) => ({ openai: { promptCacheKey } }),
    isHeard: true
  }
}

const azureOption = (isHeard: boolean) => ({
  "providerOptions.azure.promptCacheKey": {
    name: (promptCacheKey: string) => ({ azure: { promptCacheKey } }),
    isHeard
  }
})

const openai = ({ origin, through }: Reach) => createOpenAI({ apiKey: "unused", baseURL: `${origin}/v1`, ...through })

/** With a fetch any resource name will do; without one, the base URL. */
const azure = ({ origin, through }: Reach, useDeploymentBasedUrls = false) =>
  createAzure({
    apiKey: "unused",
    useDeploymentBasedUrls,
    ...through,
    ...(through.fetch === undefined ? { baseURL: `${origin}/openai` } : { resourceName: "anything" })
  })

const compatible = ({ origin, through }: Reach) =>
  createOpenAICompatible({
    name: "evenkeel",
    apiKey: "unused",
    baseURL: `${origin}/v1`,
    supportsStructuredOutputs: true,
    ...through
  })

export const aiSdk: ReadonlyArray<Subject> = [
  subject("AI SDK, openai", (reach) => {
    const provider = openai(reach)
    return { model: provider, embedding: (name) => provider.embedding(name) }
  }, openaiOption),
  subject("AI SDK, openai.chat", (reach) => {
    const provider = openai(reach)
    return { model: (name) => provider.chat(name), embedding: (name) => provider.embedding(name) }
  }, openaiOption),
  subject("AI SDK, azure", (reach) => {
    const provider = azure(reach)
    return { model: provider, embedding: (name) => provider.embedding(name) }
  }, { ...openaiOption, ...azureOption(true) }),
  subject("AI SDK, azure.chat", (reach) => {
    const provider = azure(reach)
    return { model: (name) => provider.chat(name), embedding: (name) => provider.embedding(name) }
  }, { ...openaiOption, ...azureOption(false) }),
  subject("AI SDK, azure.chat with URLs of deployments", (reach) => {
    const provider = azure(reach, true)
    return { model: (name) => provider.chat(name), embedding: (name) => provider.embedding(name) }
  }, openaiOption),
  subject("AI SDK, openai-compatible", (reach) => {
    const provider = compatible(reach)
    return { model: provider, embedding: (name) => provider.embeddingModel(name) }
  }, {
    "providerOptions.evenkeel.prompt_cache_key": {
      name: (session) => ({ evenkeel: { prompt_cache_key: session } }),
      isHeard: true
    },
    "providerOptions.evenkeel.promptCacheKey": {
      name: (promptCacheKey) => ({ evenkeel: { promptCacheKey } }),
      isHeard: false
    }
  })
]
