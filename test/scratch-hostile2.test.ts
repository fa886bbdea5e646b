import { it } from "@effect/vitest"
import { createLoadBalancer } from "@evenkeel/node"
import * as Live from "@evenkeel/node"
import { Transport } from "@evenkeel/core"
import { createServer } from "node:http"
import dc from "node:diagnostics_channel"
import { Effect } from "effect"
import { EventReader } from "@evenkeel/core/attempt/EventStream"
import { GivenStream } from "@evenkeel/core/attempt/GivenStream"

const listen = (server: any) => new Promise<string>((r) => server.listen(0, "127.0.0.1", () => r(`http://127.0.0.1:${server.address().port}`)))
it("P: EHOSTUNREACH after the request was sent", async () => {
  let socket: any
  const on = (m: any) => { socket = m.socket }
  dc.subscribe("undici:client:connected", on)
  const server = createServer((req) => { req.resume(); req.on("end", () => socket?.destroy(Object.assign(new Error("read EHOSTUNREACH"), { code: "EHOSTUNREACH" }))) })
  const url = await listen(server)
  const e: any = await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const t = yield* Live.UndiciTransport.make()
    return yield* Effect.flip(t.send({ resource: "r", origin: url, path: "/v1/fine_tuning/jobs", method: "POST", headers: {}, body: "{}" }))
  })) as any)
  console.log("P", e.kind, e.code, "unsent:", e.unsent)
  dc.unsubscribe("undici:client:connected", on); server.closeAllConnections(); server.close()
})
it("X: form with two models", async () => {
  let got = ""
  const server = createServer((req, res) => { req.on("data", (d) => got += d); req.on("end", () => { res.setHeader("content-type", "application/json"); res.end("{}") }) })
  const url = await listen(server)
  const lb = createLoadBalancer({ resources: [{ name: "r", provider: "compatible", endpoint: `${url}/v1`, deployments: [{ name: "m" }] }], health: { check: { kind: "none" } } })
  const form = new FormData(); form.append("model", "m"); form.append("model", "m")
  await lb.fetch("https://api.openai.com/v1/audio/transcriptions", { method: "POST", body: form })
  console.log("X leaked mark:", /evenkeel-[0-9a-f-]{36}/.test(got))
  await lb.close(); server.close()
})
it("Y: event reader speed", async () => {
  const bytes = new TextEncoder().encode("data: {\"choices\":[{\"delta\":{\"content\":\"" + "x".repeat(1_000_000) + "\"},\"finish_reason\":null}]}\n\n")
  for (const size of [1, 16, 1000, 65536, 2_000_000]) {
    const reader = new EventReader("chat", true, false, {}, () => 0)
    const t = performance.now()
    for (let i = 0; i < bytes.length; i += size) reader.feed(bytes.subarray(i, i + size))
    console.log("Y one 1 MB event in pieces of", size, Math.round(performance.now() - t), "ms", reader.failure, reader.isCommitted)
  }
  for (const n of [1000, 100_000]) {
    const many = new TextEncoder().encode("data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\n".repeat(n))
    const reader = new EventReader("chat", true, false, {}, () => 0)
    const t = performance.now(); reader.feed(many); console.log("Y", n, "events in one chunk", Math.round(performance.now() - t), "ms")
  }
  const comments = new TextEncoder().encode(": ka\n\n".repeat(10_000))
  const reader = new EventReader("chat", true, false, {}, () => 0)
  console.log("Y comments keep bytes:", reader.feed(comments).bytes?.length)
})
it("K: stack", async () => {
  const batch = { events: Array.from({ length: 130_000 }, () => ({ name: "message", data: "", json: undefined })), bytes: undefined }
  const source: any = { now: 0, plan: { timeouts: {} }, end() {}, enterStage() {}, pauseStage() {}, failure() {} }
  const given = new GivenStream(source, {} as any, { openItems: 0 } as any, [batch, batch])
  console.log("K", String(await Effect.runPromise(given.next as any).then(() => "ok", (e) => e.stack.slice(0, 200))))
})
it("Z: signal per chunk: throughput of 1 byte chunks", async () => {
  const server = createServer((req, res) => { req.resume(); req.on("end", async () => { 
    res.setHeader("content-type", "text/event-stream")
    const text = "data: {\"choices\":[{\"delta\":{\"content\":\"" + "y".repeat(60) + "\"},\"finish_reason\":null}]}\n\n".repeat(1)
    for (let k = 0; k < 300; k++) for (const c of text) res.write(c)
    res.end("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n") }) })
  const url = await listen(server)
  const lb = createLoadBalancer({ resources: [{ name: "r", provider: "compatible", endpoint: `${url}/v1`, deployments: [{ name: "m" }] }], health: { check: { kind: "none" } } })
  const t = performance.now(); let n = 0
  for await (const _ of await lb.openai.chat.completions.create({ model: "m", stream: true, messages: [] })) n++
  console.log("Z", n, Math.round(performance.now() - t), "ms")
  await lb.close(); server.close()
})
