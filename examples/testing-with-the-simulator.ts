/**
 * A test of your own program against the simulated service: real sockets, no network, no credentials.
 *
 *     node --test examples/testing-with-the-simulator.ts
 */
import { createLoadBalancer, startSimulator } from "@evenkeel/node"
import assert from "node:assert/strict"
import { test } from "node:test"

/** What is tested: a part of your own program, which takes any OpenAI client. */
const summarise = async (client: ReturnType<typeof createLoadBalancer>["openai"], text: string): Promise<string> => {
  const messages = [{ role: "user" as const, content: `Summarise: ${text}` }]
  const answer = await client.chat.completions.create({ model: "gpt-4o", messages })
  return answer.choices[0]?.message.content ?? ""
}

const reply = () => "It is about keels."

test("a summary comes though one region is down", async () => {
  const simulator = await startSimulator({
    resources: [
      { name: "east", deployments: [{ name: "gpt-4o", reply }] },
      { name: "west", deployments: [{ name: "gpt-4o", reply }] }
    ]
  })
  const lb = createLoadBalancer({ resources: simulator.resources.map((resource) => resource.config()) })
  try {
    await simulator.down("east")
    assert.equal(await summarise(lb.openai, "A long text about keels."), "It is about keels.")

    await simulator.up("east")
    simulator.service("west").fault("gpt-4o", { kind: "throttle", retryAfterMs: 60_000 })
    assert.equal(await summarise(lb.openai, "Another one."), "It is about keels.")
    assert.equal(simulator.service("east").stats(Date.now()).finished, 1)
  } finally {
    await lb.close()
    await simulator.close()
  }
})
