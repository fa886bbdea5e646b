const OpenAI = require("openai")
const { createLoadBalancer } = require("@evenkeel/node")

const lb = createLoadBalancer(
  {
    resources: [{
      name: "eastus",
      provider: "azure",
      endpoint: process.env.EAST_ENDPOINT,
      apiKey: process.env.EAST_KEY,
      deployments: [{ name: "gpt-4o" }]
    }]
  },
  { openai: OpenAI }
)

lb.openai.chat.completions.create({ model: "gpt-unknown", messages: [] }).catch((error) => {
  console.log(error instanceof OpenAI.NotFoundError)
})
