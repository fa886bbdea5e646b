/**
 * The OpenAI Agents SDK.
 */
import { Agent, OpenAIProvider, Runner, tool } from "@openai/agents"
import OpenAI, { APIUserAbortError, InternalServerError, NotFoundError, RateLimitError } from "openai"
import * as z from "zod"
import { models, type Reach } from "../Reach.ts"
import type { Subject } from "../Subject.ts"

const classes = {
  "not found": NotFoundError,
  "throttled": RateLimitError,
  "unavailable": InternalServerError,
  "aborted": APIUserAbortError
}

const agent = (model = models.chat) => new Agent({ name: "Greeter", instructions: "Greet.", model })

const subject = (name: string, useResponses: boolean): Subject => {
  const runner = ({ origin, through }: Reach, defaultHeaders?: Record<string, string>) => {
    const openAIClient = new OpenAI({
      apiKey: "unused",
      baseURL: `${origin}/v1`,
      ...through,
      ...(defaultHeaders && { defaultHeaders })
    })
    // its traces go to OpenAI itself, past any balancer
    return new Runner({ modelProvider: new OpenAIProvider({ openAIClient, useResponses }), tracingDisabled: true })
  }
  return {
    name,
    chat: async (reach, model) => (await runner(reach).run(agent(model), "Say hello.")).finalOutput!,
    stream: async (reach) => {
      const pieces = []
      const result = await runner(reach).run(agent(), "Say hello.", { stream: true })
      for await (const piece of result.toTextStream()) pieces.push(piece)
      await result.completed
      return pieces
    },
    tools: async (reach, weather) => {
      const tools = [
        tool({
          name: "weather",
          description: "The weather.",
          parameters: z.object({ city: z.string() }),
          execute: async ({ city }) => weather(city)
        })
      ]
      const forecaster = new Agent({ name: "Forecaster", instructions: "Tell.", model: models.chat, tools })
      return (await runner(reach).run(forecaster, "How is Rome?")).finalOutput!
    },
    structured: async (reach) => {
      const outputType = z.object({ city: z.string(), degrees: z.number() })
      const reporter = new Agent({ name: "Reporter", instructions: "Report.", model: models.chat, outputType })
      return (await runner(reach).run(reporter, "How is Rome?")).finalOutput
    },
    abort: (reach, signal) => runner(reach).run(agent(models.slow), "Say hello.", { signal }),
    isOwn: (error, failure) => error instanceof classes[failure],
    sessions: {
      "modelSettings.providerData.prompt_cache_key": {
        ask: (reach, session) =>
          runner(reach).run(
            new Agent({
              name: "Greeter",
              instructions: "Greet.",
              model: models.chat,
              modelSettings: { providerData: { prompt_cache_key: session } }
            }),
            "Say hello."
          ),
        isHeard: true
      },
      "defaultHeaders of its client": {
        ask: (reach, session) => runner(reach, { "x-session-id": session }).run(agent(), "Say hello."),
        isHeard: true
      }
    }
  }
}

export const agents: ReadonlyArray<Subject> = [
  subject("OpenAI Agents SDK", true),
  subject("OpenAI Agents SDK, chat completions", false)
]
