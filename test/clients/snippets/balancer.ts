import { createLoadBalancer } from "@evenkeel/node"

export const lb = createLoadBalancer({
  resources: [
    {
      name: "eastus",
      provider: "azure",
      endpoint: process.env["EAST_ENDPOINT"]!,
      apiKey: process.env["EAST_KEY"]!,
      deployments: [{ name: "gpt-4o", tpm: 300_000, rpm: 1_800 }]
    },
    {
      name: "sweden",
      provider: "azure",
      endpoint: process.env["SWEDEN_ENDPOINT"]!,
      apiKey: process.env["SWEDEN_KEY"]!,
      deployments: [{ name: "gpt-4o", tpm: 150_000, rpm: 900 }]
    }
  ]
})
