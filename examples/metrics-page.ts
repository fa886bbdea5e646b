/**
 * A page for Prometheus, of a program without Effect. A server that you have serves `Prometheus.pageNow()` as well.
 */
import { createLoadBalancer } from "@evenkeel/node"
import { PrometheusServer } from "@evenkeel/otel"
import { config } from "./config.ts"

const server = await PrometheusServer.start({ port: Number(process.env["METRICS_PORT"] ?? 9464) })
const lb = createLoadBalancer(config)
try {
  const messages = [{ role: "user" as const, content: "Say hello." }]
  await lb.openai.chat.completions.create({ model: "gpt-4o", messages })
  const page = await (await fetch(`http://localhost:${server.port}/metrics`)).text()
  console.log(page.split("\n").filter((line) => line.startsWith("evenkeel_attempts_total")).join("\n"))
} finally {
  await lb.close()
  await server.close()
}
