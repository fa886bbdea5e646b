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
  const ask = () =>
    lb.openai.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content: "Say hello." }] })
  const inFlight = ask()

  await lb.deployments.add(sweden!)
  await lb.deployments.drain("eastus/gpt-4o")
  const { response } = await ask().withResponse()
  console.log(`new requests go to ${response.headers.get("x-evenkeel-deployment")}`)

  // what is in flight ends where it began, even when the deployment is taken out meanwhile
  await lb.deployments.remove("eastus/gpt-4o")
  const { response: first } = await inFlight.withResponse()
  console.log(`the first was answered by ${first.headers.get("x-evenkeel-deployment")}`)
  console.log(`left: ${lb.snapshot().deployments.map(({ id }) => id).join(", ")}`)
} finally {
  await lb.close()
  await telling
}
