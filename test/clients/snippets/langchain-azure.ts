import { AzureChatOpenAI } from "@langchain/openai"
import { lb } from "./balancer.ts"

const model = new AzureChatOpenAI({
  azureOpenAIApiKey: "unused",
  azureOpenAIApiInstanceName: "anything",
  azureOpenAIApiDeploymentName: "gpt-4o",
  azureOpenAIApiVersion: "2025-04-01-preview",
  maxRetries: 0,
  configuration: { fetch: lb.fetch }
})

const answer = await model.invoke("Say hello.", { promptCacheKey: "user-42" })
console.log(answer.text)
