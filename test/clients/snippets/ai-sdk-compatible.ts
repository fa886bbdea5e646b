import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { generateText } from "ai"
import { lb } from "./balancer.ts"

const evenkeel = createOpenAICompatible({
  name: "evenkeel",
  baseURL: "https://anything/v1",
  apiKey: "unused",
  fetch: lb.fetch
})

const { text } = await generateText({
  model: evenkeel("gpt-4o"),
  prompt: "Say hello.",
  maxRetries: 0,
  providerOptions: { evenkeel: { prompt_cache_key: "user-42" } }
})
console.log(text)
