/**
 * Effect's own OpenAI client. No release of it goes with the Effect of this workspace, so it brings an Effect of its own
 * and meets us at the fetch; in one Effect, `BalancedHttpClient.layer` takes the place of `FetchHttpClient.layer`.
 */
import { OpenAiClient, OpenAiEmbeddingModel, OpenAiLanguageModel } from "@effect/ai-openai"
import { Cause, Effect, Exit, Layer, Redacted, Schema, Stream } from "effect"
import { AiError, Chat, EmbeddingModel, LanguageModel, Tool, Toolkit } from "effect/unstable/ai"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/unstable/http"
import { models, type Reach } from "../Reach.ts"
import type { Subject } from "../Subject.ts"

const client = ({ origin, through }: Reach, session?: string) =>
  OpenAiClient.layer({
    apiKey: Redacted.make("unused"),
    apiUrl: `${origin}/v1`,
    ...(session !== undefined && {
      transformClient: HttpClient.mapRequest(HttpClientRequest.setHeader("x-session-id", session))
    })
  }).pipe(
    Layer.provide(FetchHttpClient.layer),
    Layer.provide(Layer.succeed(FetchHttpClient.Fetch, through.fetch ?? fetch))
  )

const language = (reach: Reach, model: string, session?: string) =>
  OpenAiLanguageModel.layer({ model }).pipe(Layer.provide(client(reach, session)))

const generate = (reach: Reach, model = models.chat, session?: string) =>
  LanguageModel.generateText({ prompt: "Say hello." }).pipe(Effect.provide(language(reach, model, session)))

const City = Schema.Struct({ city: Schema.String })
const weatherTools = Toolkit.make(
  Tool.make("weather", { description: "The weather.", parameters: City, success: Schema.String })
)

const reasons = {
  "not found": "InvalidRequestError",
  "throttled": "RateLimitError",
  "unavailable": "InternalProviderError"
}

export const effectAi: ReadonlyArray<Subject> = [{
  name: "Effect's OpenAI client",
  chat: async (reach, model) => (await Effect.runPromise(generate(reach, model))).text,
  stream: (reach) =>
    LanguageModel.streamText({ prompt: "Say hello." }).pipe(
      // one that breaks ends with this, as if it were whole
      Stream.mapEffect((part) => part.type === "error" ? Effect.fail(part.error) : Effect.succeed(part)),
      Stream.filter((part) => part.type === "text-delta"),
      Stream.map(({ delta }) => delta),
      Stream.runCollect,
      Effect.provide(language(reach, models.chat)),
      Effect.runPromise
    ),
  tools: (reach, weather) =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateText({ prompt: "How is Rome?", toolkit: weatherTools })
      return (yield* chat.generateText({ prompt: [], toolkit: weatherTools })).text
    }).pipe(
      Effect.provide(Layer.merge(
        weatherTools.toLayer({ weather: ({ city }) => Effect.sync(() => weather(city)) }),
        language(reach, models.chat)
      )),
      Effect.runPromise
    ),
  structured: (reach) =>
    LanguageModel.generateObject({
      prompt: "How is Rome?",
      schema: Schema.Struct({ city: Schema.String, degrees: Schema.Number })
    }).pipe(
      Effect.map(({ value }) => value),
      Effect.provide(language(reach, models.chat)),
      Effect.runPromise
    ),
  embed: (reach) =>
    EmbeddingModel.EmbeddingModel.pipe(
      Effect.flatMap((model) => model.embed("Hello")),
      Effect.map(({ vector }) => vector),
      Effect.provide(OpenAiEmbeddingModel.layer({ model: models.embedding }).pipe(Layer.provide(client(reach)))),
      Effect.runPromise
    ),
  abort: async (reach, signal) => {
    const exit = await Effect.runPromiseExit(generate(reach, models.slow), { signal })
    throw Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? signal.reason : exit
  },
  isOwn: (error, failure) =>
    failure === "aborted"
      ? error instanceof DOMException
      : AiError.isAiError(error) && error.reason._tag === reasons[failure],
  sessions: {
    "transformClient": {
      ask: (reach, session) => Effect.runPromise(generate(reach, models.chat, session)),
      isHeard: true
    }
  }
}]
