/**
 * A policy of your own: a function that takes one of the deployments that can have the request now.
 *
 * Health, cooldowns, quota, tiers and sessions were looked at before it; it only says which of the rest you like best.
 */
import { Policy, Selector } from "@evenkeel/core"
import { createLoadBalancer } from "@evenkeel/node"
import { config } from "./config.ts"

/** Stays in Europe while there is room, and goes to the least loaded of the others after that. */
const europeFirst: Policy.Policy = (candidates, random) =>
  candidates.find(({ id, utilisation }) => id.startsWith("sweden/") && utilisation < 0.8) ??
    Policy.leastLoaded(candidates, random)

const lb = createLoadBalancer(config, { selector: Selector.layer(europeFirst) })
try {
  const ask = (content: string) =>
    lb.openai.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content }] })
  await Promise.all(["One.", "Two.", "Three.", "Four."].map(ask))
  for (const { id, totals } of lb.snapshot().deployments) console.log(`${id} served ${totals.succeeded}`)
} finally {
  await lb.close()
}
