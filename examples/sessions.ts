/**
 * Questions that begin with the same long text belong in a session: they go where that text is in the prompt cache.
 */
import { createLoadBalancer } from "@evenkeel/node"
import { config } from "./config.ts"

const contract = "The keel is laid by the builder, and paid for by the owner. ".repeat(120)

const lb = createLoadBalancer(config)
try {
  for (const contractId of ["contract-1", "contract-2"]) {
    const client = lb.session(contractId)
    for (const question of ["Who pays?", "Who builds?", "When?"]) {
      // oxlint-disable-next-line no-await-in-loop -- one question after the other
      const { data, response } = await client.chat.completions.create({
        model: "gpt-4o",
        messages: [
          { role: "system", content: `${contractId}: ${contract}` },
          { role: "user", content: question }
        ]
      }).withResponse()
      const cached = data.usage?.prompt_tokens_details?.cached_tokens ?? 0
      console.log(
        `${contractId} at ${response.headers.get("x-evenkeel-deployment")}: ` +
          `${cached} of ${data.usage?.prompt_tokens} prompt tokens were cached`
      )
    }
  }
} finally {
  await lb.close()
}
