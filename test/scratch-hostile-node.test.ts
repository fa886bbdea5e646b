import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer, startSimulator } from "@evenkeel/node"
import { createServer } from "node:http"
import { inspect } from "node:util"
import { Effect } from "effect"
import { LoadBalancer, HealthMonitor } from "@evenkeel/core"
import * as Live from "@evenkeel/node"

const serve = (handler: (req: any, res: any, body: string) => void) => new Promise<{ url: string; close: () => void; hits: () => number }>((resolve) => {
  let hits = 0
  const server = createServer((req, res) => { let b = ""; req.on("data", (d) => b += d); req.on("end", () => { hits++; handler(req, res, b) }) })
  server.listen(0, "127.0.0.1", () => resolve({ url: `http://127.0.0.1:${(server.address() as any).port}`, close: () => { server.closeAllConnections(); server.close() }, hits: () => hits }))
})
const ok = JSON.stringify({ id: "x", object: "chat.completion", choices: [{ index: 0, message: { role: "assistant", content: "hi" }, finish_reason: "stop" }], usage: { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 } })
const config = (url: string, more: any = {}) => ({ resources: [{ name: "r", provider: "compatible" as const, endpoint: `${url}/v1`, apiKey: "SECRETKEY123", deployments: [{ name: "m" }] }], health: { check: { kind: "none" as const } }, ...more })
const messages = [{ role: "user" as const, content: "PROMPTSECRET" }]

describe("node", () => {
  it("B: header values that cannot be sent", async () => {
    const s = await serve((_, res) => { res.setHeader("content-type", "application/json"); res.end(ok) })
    const layer = Live.layer(config(s.url))
    const out: any[] = []
    await Effect.runPromise(Effect.gen(function*() {
      const lb = yield* LoadBalancer
      for (let i = 0; i < 5; i++) {
        const e: any = yield* Effect.flip(lb.chat({ model: "m", messages }, { headers: { "idempotency-key": "order → 1" }, attempts: 1 }))
        out.push(e.message)
      }
      const r = yield* Effect.exit(lb.chat({ model: "m", messages }, { attempts: 1 }))
      const snap = yield* lb.snapshot
      console.log("B", out[0], "| innocent:", r._tag, snap.resources[0]!.state, snap.resources[0]!.reason, "hits", s.hits())
    }).pipe(Effect.provide(layer)) as any)
    // through fetch
    const lb = createLoadBalancer(config(s.url))
    for (let i = 0; i < 3; i++) {
      const r = await lb.fetch("https://api.openai.com/v1/chat/completions", { method: "POST", headers: { "content-type": "application/json", "x-client-request-id": "a\x01b" }, body: JSON.stringify({ model: "m", messages }) })
      if (i === 0) console.log("B fetch", r.status, (await r.text()).slice(0, 200))
    }
    const r2 = await lb.fetch("https://api.openai.com/v1/files", { method: "GE T" as any }).catch((e) => e)
    console.log("B method", r2.status ?? r2)
    console.log("B state", JSON.stringify(lb.snapshot().resources))
    await lb.close(); s.close()
  })
  it("H: events after close", async () => {
    const s = await serve((_, res) => res.end(ok))
    const lb = createLoadBalancer(config(s.url))
    await lb.close()
    const it = lb.events()
    const r = await Promise.race([it.next(), new Promise((r) => setTimeout(() => r("hangs"), 300))])
    console.log("H", r); s.close()
  })
  it("L: deep JSON", async () => {
    const s = await serve((_, res) => res.end(ok))
    const lb = createLoadBalancer(config(s.url))
    const deep = `{"model":"m","messages":${"[".repeat(20000)}${"]".repeat(20000)}}`
    const r = await lb.fetch("https://api.openai.com/v1/chat/completions", { method: "POST", headers: { "content-type": "application/json" }, body: deep }).catch((e) => e)
    console.log("L", r.status ?? String(r))
    await lb.close(); s.close()
  })
  it("L2: deep error body", async () => {
    const s = await serve((_, res) => { res.statusCode = 400; res.setHeader("content-type", "application/json"); res.end(`{"error":{"message":"x","param":${"[".repeat(20000)}${"]".repeat(20000)}}}`) })
    const lb = createLoadBalancer(config(s.url))
    const p = lb.openai.chat.completions.create({ model: "m", messages }).catch((e) => e)
    const r: any = await Promise.race([p, new Promise((r) => setTimeout(() => r("hangs"), 1000))])
    console.log("L2", String(r).slice(0, 200))
    await lb.close(); s.close()
  })
  it("S: secrets", async () => {
    const s = await serve((req, res, body) => {
      res.setHeader("content-type", "application/json"); res.setHeader("set-cookie", "COOKIESECRET")
      res.statusCode = 422; res.end(JSON.stringify({ detail: [{ loc: ["body"], msg: "bad", input: JSON.parse(body) }] }))
    })
    const layer = Live.layer(config(s.url))
    await Effect.runPromise(Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const e: any = yield* Effect.flip(lb.chat({ model: "m", messages }))
      const text = inspect(e, { depth: 20 }) + JSON.stringify(e) + String(e)
      console.log("S key", text.includes("SECRETKEY123"), "prompt", text.includes("PROMPTSECRET"), "cookie", text.includes("COOKIESECRET"))
    }).pipe(Effect.provide(layer)) as any)
    const lb = createLoadBalancer(config(s.url))
    console.log("S inspect lb", inspect(lb, { depth: 30, showHidden: true, getters: true }).includes("SECRETKEY123"))
    s.close(); await lb.close()
    // tokens in provider's error
    const layer2 = Live.layer({ resources: [{ name: "r", provider: "compatible", endpoint: s.url, auth: () => { throw new Error("could not refresh with refresh_token=REFRESHSECRET") }, deployments: [{ name: "m" }] }], health: { check: { kind: "none" } } })
    await Effect.runPromise(Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const e: any = yield* Effect.flip(lb.chat({ model: "m", messages }))
      console.log("S provider error", e.message)
    }).pipe(Effect.provide(layer2)) as any)
    const layer3 = Live.layer({ resources: [{ name: "r", provider: "compatible", endpoint: s.url, auth: () => "TOKENSECRET\nx", deployments: [{ name: "m" }] }], health: { check: { kind: "none" } } })
    await Effect.runPromise(Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const e: any = yield* Effect.flip(lb.chat({ model: "m", messages }))
      console.log("S bad token", e.message, inspect(e, { depth: 20 }).includes("TOKENSECRET"))
    }).pipe(Effect.provide(layer3)) as any)
  }, 20000)
  it("T: HTTP parser error's cause", async () => {
    const net = await import("node:net")
    const srv = net.createServer((c) => { c.on("error", () => {}); c.on("data", () => c.write("HTTP/1.1 200 OK\r\nBAD HEADER PROMPTECHO\r\n\r\n")) })
    await new Promise<void>((r) => srv.listen(0, "127.0.0.1", r))
    const { Transport } = await import("@evenkeel/core")
    const e: any = await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
      const t = yield* Live.UndiciTransport.make()
      return yield* Effect.flip(t.send({ resource: "r", origin: `http://127.0.0.1:${(srv.address() as any).port}`, path: "/", method: "GET", headers: {}, body: undefined }))
    })) as any)
    console.log("T", e.message, inspect(e, { depth: 5 }).includes("PROMPTECHO"))
    srv.close()
  })
})
