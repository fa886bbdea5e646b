import { createLoadBalancer } from "@evenkeel/node"
import { startFleet, configOf } from "./fleet.ts"
import { startTraffic } from "./traffic.ts"
const D = Number(process.argv[2] ?? 10) * 1000
const sim = await startFleet(20000)
const lb = createLoadBalancer(configOf(sim, 20000))
const t = startTraffic(lb, Number(process.argv[3] ?? 20))
const show = () => {
  for (const d of lb.snapshot().deployments) { const s = Object.values(sim.service(d.resource).stats(Date.now()).deployments)[0]!; console.log("  ", d.id.padEnd(18), d.state, d.reason ?? "", (d.opensIn ?? 0).toFixed(0), "util", d.utilisation.toFixed(2), "ledger", d.tokens.used, d.tokens.byOthers, d.requests.used, "service", s.usage.tokens, s.usage.requests, "limit", d.tokens.limit, "thr", s.throttled) }
}
const i = setInterval(show, 4000)
void (async () => { for await (const e of lb.events()) { if (e._tag === "CooledDown" && !e.deployment.endsWith("ptu")) console.log(e) } })()
await new Promise((r) => setTimeout(r, D))
await t.stop()
clearInterval(i)
show()
await lb.close()
await sim.close()
