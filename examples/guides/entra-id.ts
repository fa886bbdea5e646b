/**
 * A credential of one's own: a managed identity in Azure, and whoever is signed in on a developer's machine.
 */
import { AzureCliCredential, getBearerTokenProvider, ManagedIdentityCredential } from "@azure/identity"
import { createLoadBalancer } from "@evenkeel/node"

const clientId = process.env["AZURE_CLIENT_ID"]
const credential = clientId === undefined ? new AzureCliCredential() : new ManagedIdentityCredential({ clientId })
const auth = getBearerTokenProvider(credential, "https://ai.azure.com/.default")

const lb = createLoadBalancer({
  resources: ["EAST_ENDPOINT", "SWEDEN_ENDPOINT"].map((name) => ({
    name: name.toLowerCase(),
    provider: "azure",
    endpoint: process.env[name]!,
    auth,
    deployments: [{ name: "gpt-4o" }]
  }))
})
try {
  const messages = [{ role: "user" as const, content: "Say hello." }]
  const answer = await lb.openai.chat.completions.create({ model: "gpt-4o", messages })
  console.log(answer.choices[0]?.message.content)
} finally {
  await lb.close()
}
