import { createAzure } from "@ai-sdk/azure"
import { generateText } from "ai"
import { lb } from "./balancer.ts"

const azure = createAzure({ resourceName: "anything", apiKey: "unused", fetch: lb.fetch })

const { text } = await generateText({
  model: azure("gpt-4o"),
  prompt: "Say hello.",
  maxRetries: 0,
  headers: { "x-session-id": "user-42" }
})
console.log(text)
