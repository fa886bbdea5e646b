import { Agent, OpenAIProvider, Runner } from "@openai/agents"
import OpenAI from "openai"
import { lb } from "./balancer.ts"

const openAIClient = new OpenAI({ apiKey: "unused", fetch: lb.fetch })
const runner = new Runner({ modelProvider: new OpenAIProvider({ openAIClient }), tracingDisabled: true })

const agent = new Agent({
  name: "Greeter",
  instructions: "Greet whoever greets you.",
  model: "gpt-4o",
  modelSettings: { providerData: { prompt_cache_key: "user-42" } }
})
const { finalOutput } = await runner.run(agent, "Hello.")
console.log(finalOutput)
