import { createOpenAI } from "@ai-sdk/openai"
import { assert, describe, it } from "@effect/vitest"
import { ChatOpenAI } from "@langchain/openai"
import { generateText } from "ai"
import OpenAI from "openai"
import { failureOf } from "../support/Served.ts"
import { models, type Reach, reach, ways } from "./Reach.ts"

/** Clients that may retry once, and how often we are asked then. */
const clients: ReadonlyArray<readonly [string, number, (reach: Reach) => Promise<unknown>]> = [
  [
    "the official client hears that it should not",
    1,
    ({ origin, through }) =>
      new OpenAI({ apiKey: "unused", baseURL: `${origin}/v1`, maxRetries: 1, ...through })
        .responses.create({ model: models.chat, input: "Hello" })
  ],
  ["the AI SDK asks again", 2, ({ origin, through }) =>
    generateText({
      model: createOpenAI({ apiKey: "unused", baseURL: `${origin}/v1`, ...through })(models.chat),
      prompt: "Hello",
      maxRetries: 1
    })],
  ["LangChain asks again", 2, ({ origin, through }) =>
    new ChatOpenAI({
      model: models.chat,
      apiKey: "unused",
      maxRetries: 1,
      configuration: { baseURL: `${origin}/v1`, ...through }
    }).invoke("Hello")]
]

describe("where nothing answers", () => {
  for (const way of ways) {
    for (const [name, times, ask] of clients) {
      it(`${name}, over ${way.name}`, async () => {
        await using reached = await reach(way)
        reached.fault({ kind: "status", status: 500 })
        await failureOf(ask(reached))
        assert.lengthOf(reached.sessions, times)
      })
    }
  }
})
