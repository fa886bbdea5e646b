import OpenAI from "openai"
import { lb } from "./balancer.ts"

const client = new OpenAI({ apiKey: "unused", fetch: lb.fetch })

const answer = await client.chat.completions.create({
  model: "gpt-4o",
  messages: [{ role: "user", content: "Say hello." }],
  prompt_cache_key: "user-42"
})
console.log(answer.choices[0]?.message.content)
