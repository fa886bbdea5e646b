/**
 * Effect's `LanguageModel` over a `LoadBalancer`: texts, objects and streams. Tools are left out.
 */
import { LoadBalancer, type LoadBalancerError } from "@evenkeel/core"
import { Duration, Effect, Layer, Stream } from "effect"
import { AiError, LanguageModel, type Prompt, type Response, Tool } from "effect/ai"
import { toCodecOpenAI } from "effect/ai/OpenAiStructuredOutput"
import type OpenAI from "openai"

const textOf = ({ content }: Prompt.Message): string =>
  typeof content === "string"
    ? content
    : content.map((part) => part.type === "text" ? part.text : "").join("")

const parametersOf = (model: string, { prompt, responseFormat }: LanguageModel.ProviderOptions) => {
  const messages = prompt.content.flatMap((message): Array<OpenAI.ChatCompletionMessageParam> =>
    message.role === "tool" ? [] : [{ role: message.role, content: textOf(message) }]
  )
  if (responseFormat.type === "text") return { model, messages }
  const json_schema = {
    name: responseFormat.objectName,
    schema: Tool.getJsonSchemaFromSchema(responseFormat.schema) as Record<string, unknown>,
    strict: true
  }
  return { model, messages, response_format: { type: "json_schema" as const, json_schema } }
}

const finish = (
  reason: string | null | undefined,
  usage: OpenAI.CompletionUsage | null | undefined
): Response.FinishPartEncoded => ({
  type: "finish",
  reason: reason === "stop" || reason === "length" ? reason : "unknown",
  usage: { inputTokens: { total: usage?.prompt_tokens }, outputTokens: { total: usage?.completion_tokens } }
})

const reasonOf = ({ message, reason }: LoadBalancerError): AiError.AiErrorReason => {
  switch (reason._tag) {
    case "Throttled":
      return new AiError.RateLimitError({ retryAfter: Duration.millis(reason.retryAfter) })
    case "ContentFiltered":
      return new AiError.ContentPolicyError({ description: reason.message })
    case "Rejected":
    case "UnknownModel":
      return new AiError.InvalidRequestError({ description: reason.message })
    default:
      return new AiError.InternalProviderError({ description: message })
  }
}

const aiError = (method: string) => (error: LoadBalancerError): AiError.AiError =>
  AiError.make({ module: "Evenkeel", method, reason: reasonOf(error) })

/** Layer of a language model, by the name that deployments are configured with. */
export const layer = (model: string): Layer.Layer<LanguageModel.LanguageModel, never, LoadBalancer> =>
  Layer.effect(
    LanguageModel.LanguageModel,
    Effect.gen(function*() {
      const lb = yield* LoadBalancer
      return yield* LanguageModel.make({
        codecTransformer: toCodecOpenAI,
        generateText: (options) =>
          lb.chat(parametersOf(model, options)).pipe(
            Effect.map(({ choices, usage }): Array<Response.PartEncoded> => [
              { type: "text", text: choices[0]?.message.content ?? "" },
              finish(choices[0]?.finish_reason, usage)
            ]),
            Effect.mapError(aiError("generateText"))
          ),
        streamText: (options) => {
          let reason: string | null | undefined
          return lb.chatStream({ ...parametersOf(model, options), stream_options: { include_usage: true } }).pipe(
            Stream.flatMap(({ choices, usage }) => {
              reason = choices[0]?.finish_reason ?? reason
              const delta = choices[0]?.delta.content
              const parts: Array<Response.StreamPartEncoded> = []
              if (delta) parts.push({ type: "text-delta", id: "0", delta })
              if (usage) parts.push({ type: "text-end", id: "0" }, finish(reason, usage))
              return Stream.fromIterable(parts)
            }),
            Stream.mapError(aiError("streamText")),
            (parts) => Stream.concat(Stream.succeed({ type: "text-start", id: "0" } as const), parts)
          )
        }
      })
    })
  )
