import { createOpenAI } from "@ai-sdk/openai"
import { generateText } from "ai"
import { lb } from "./balancer.ts"

const openai = createOpenAI({ apiKey: "unused", fetch: lb.fetch })

const { text } = await generateText({
  model: openai("gpt-4o"),
  prompt: "Say hello.",
  maxRetries: 0,
  providerOptions: { openai: { promptCacheKey: "user-42" } }
})
console.log(text)
