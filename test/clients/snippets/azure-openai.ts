import { AzureOpenAI } from "openai"
import { lb } from "./balancer.ts"

const client = new AzureOpenAI({
  apiKey: "unused",
  endpoint: "https://anything.openai.azure.com",
  apiVersion: "2025-04-01-preview",
  fetch: lb.fetch
})

const answer = await client.chat.completions.create(
  { model: "gpt-4o", messages: [{ role: "user", content: "Say hello." }] },
  { headers: { "x-session-id": "user-42" } }
)
console.log(answer.choices[0]?.message.content)
