import { it } from "@effect/vitest"
import * as Live from "@evenkeel/node"
import { createLoadBalancer } from "@evenkeel/node"
import net from "node:net"
import { createServer } from "node:http"
import { Effect } from "effect"
const ok = JSON.stringify({ id: "x", object: "chat.completion", choices: [{ index: 0, message: { role: "assistant", content: "hi" }, finish_reason: "stop" }] })
const listen = (server: any) => new Promise<string>((r) => server.listen(0, "127.0.0.1", () => r(`http://127.0.0.1:${server.address().port}`)))
it("P: after the request was sent", async () => {
  const original = net.connect
  let socket: any
  ;(net as any).connect = (...args: any[]) => socket = (original as any)(...args)
  for (const code of ["EHOSTUNREACH", "ENETUNREACH", "EPROTO", "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "ECONNRESET", "ETIMEDOUT"]) {
    let got = 0
    const server = createServer((req) => { req.resume(); req.on("end", () => { got++; socket?.destroy(Object.assign(new Error("read " + code), { code })) }) })
    const url = await listen(server)
    const e: any = await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
      const t = yield* Live.UndiciTransport.make()
      return yield* Effect.flip(Effect.timeout(t.send({ resource: "r", origin: url, path: "/v1/fine_tuning/jobs", method: "POST", headers: {}, body: "{}" }), 1000))
    })) as any)
    console.log("P", code, "->", e.kind ?? e._tag, "unsent:", e.unsent, "server had it:", got)
    server.closeAllConnections(); server.close()
  }
  ;(net as any).connect = original
}, 20000)
it("Q: after close in flight fetch; close twice; deployments after close", async () => {
  const server = createServer((req, res) => { req.resume(); req.on("end", () => { res.setHeader("content-type", "application/json"); res.end(ok) }) })
  const url = await listen(server)
  const lb = createLoadBalancer({ resources: [{ name: "r", provider: "compatible", endpoint: `${url}/v1`, deployments: [{ name: "m" }] }] })
  await Promise.all([lb.close(), lb.close()])
  const r = await lb.openai.chat.completions.create({ model: "m", messages: [] }).catch((e) => e)
  console.log("Q", r.status, r.message?.slice(0, 80))
  server.close()
})
it("U: unread body with unhandled rejection", async () => {
  const un: any[] = []; const on = (e: any) => un.push(e); process.on("unhandledRejection", on)
  const server = createServer((req, res) => { req.resume(); req.on("end", () => { res.setHeader("content-type", "text/event-stream"); res.write("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n"); setTimeout(() => res.destroy(), 50) }) })
  const url = await listen(server)
  const lb = createLoadBalancer({ resources: [{ name: "r", provider: "compatible", endpoint: `${url}/v1`, deployments: [{ name: "m" }] }], health: { check: { kind: "none" } } })
  const c = new AbortController()
  const r = await lb.fetch("https://api.openai.com/v1/chat/completions", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ model: "m", stream: true, messages: [] }), signal: c.signal })
  const reader = r.body!.getReader(); await reader.read()
  await new Promise((r) => setTimeout(r, 150)); c.abort()
  await new Promise((r) => setTimeout(r, 50))
  console.log("U", un.length, lb.snapshot().deployments[0]!.inFlight)
  process.off("unhandledRejection", on)
  await lb.close(); server.close()
})
