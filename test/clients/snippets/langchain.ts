import { ChatOpenAI } from "@langchain/openai"
import { lb } from "./balancer.ts"

const model = new ChatOpenAI({
  model: "gpt-4o",
  apiKey: "unused",
  maxRetries: 0,
  configuration: { fetch: lb.fetch }
})

const answer = await model.invoke("Say hello.", { promptCacheKey: "user-42" })
console.log(answer.text)
