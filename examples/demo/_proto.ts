import { createLoadBalancer } from "@evenkeel/node"
import { startFleet, configOf } from "/work/main/examples/demo/fleet.ts"
import { startTraffic } from "/work/main/examples/demo/traffic.ts"
const D = Number(process.argv[2] ?? 10) * 1000
const sim = await startFleet()
const lb = createLoadBalancer(configOf(sim, D))
const t = startTraffic(lb, Number(process.argv[3] ?? 20))
const show = () => {
  console.log(t.tally.started, t.tally.answered, [...t.tally.errors])
  for (const d of lb.snapshot().deployments) console.log("  ", d.id.padEnd(18), d.state, d.reason ?? "", (d.opensIn ?? 0).toFixed(0), "util", d.utilisation.toFixed(2), "fl", d.inFlight, d.waiting, "lat", d.latency.toFixed(2), "ok", d.totals.succeeded, "thr", d.totals.throttled, "cached", d.cachedShare.toFixed(2))
}
const i = setInterval(show, 2000)
const counts: Record<string, number> = {}
void (async () => { for await (const e of lb.events()) { const k = e._tag + ("outcome" in e ? e.outcome : ""); counts[k] = (counts[k] ?? 0) + 1; if (e._tag === "RequestEnded" && e.attempts > 2) counts["attempts" + e.attempts] = (counts["attempts" + e.attempts] ?? 0) + 1 } })()
await new Promise((r) => setTimeout(r, D))
await t.stop()
clearInterval(i)
show()
console.log(counts)
await lb.close()
await sim.close()
