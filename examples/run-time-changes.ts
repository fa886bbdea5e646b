/**
 * Deployments come and go while requests run: nothing is restarted, and nothing in flight is lost.
 */
import { createLoadBalancer } from "@evenkeel/node"
import { config } from "./config.ts"

const [east, sweden] = config.resources

const lb = createLoadBalancer({ ...config, resources: [east!] })
const telling = (async () => {
  for await (const event of lb.events()) {
    if (event._tag === "MembershipChanged") console.log(`${event.deployment} is ${event.change}`)
  }
})()
try {
  const params = { model: "gpt-4o", messages: [{ role: "user" as const, content: "Say hello." }] }
  const stream = await lb.openai.chat.completions.create({ ...params, stream: true })

  await lb.deployments.add(sweden!)
  await lb.deployments.drain("eastus/gpt-4o")
  const answer = await lb.openai.chat.completions.create(params)
  console.log(`new: ${answer.choices[0]?.message.content}`)

  // the stream goes on where it began, even when that is taken out meanwhile
  await lb.deployments.remove("eastus/gpt-4o")
  let text = ""
  for await (const { choices } of stream) text += choices[0]?.delta.content ?? ""
  console.log(`old: ${text}`)
  console.log(`left: ${lb.snapshot().deployments.map(({ id }) => id).join(", ")}`)
} finally {
  await lb.close()
  await telling
}
