import { assert, describe, it } from "@effect/vitest"
import { Deployments, HealthMonitor, LoadBalancer } from "@evenkeel/core"
import { Transport, TransportError, type TransportRequest } from "@evenkeel/core/Transport"
import { Cause, Effect, Exit, Fiber, Layer, Schedule, Stream, Duration } from "effect"
import { TestClock } from "effect/testing"
import { settle } from "./support/Balanced.ts"

type Reply = { status: number; body?: unknown; headers?: Record<string, string>; chunks?: Array<string> } | "fail" | "hang"
const ok = { status: 200, body: { id: "x", object: "chat.completion", choices: [{ index: 0, message: { role: "assistant", content: "hi" }, finish_reason: "stop" }], usage: { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 } } }
export const scripted = (reply: (r: TransportRequest, n: number) => Reply, sends: Array<TransportRequest>) =>
  Layer.succeed(Transport, {
    send: (request) =>
      Effect.suspend(() => {
        sends.push(request)
        const r = reply(request, sends.length)
        if (r === "fail") return Effect.fail(new TransportError({ kind: "reset", code: "X" }))
        if (r === "hang") return Effect.never
        const text = typeof r.body === "string" ? r.body : JSON.stringify(r.body ?? {})
        const chunks = (r.chunks ?? [text]).map((c) => new TextEncoder().encode(c))
        let i = 0
        return Effect.succeed({
          status: r.status,
          headers: { "content-type": "application/json", ...r.headers },
          pull: Effect.suspend(() => i < chunks.length ? Effect.succeed(chunks[i++]!) : Cause.done()),
          text: Effect.succeed(text),
          abort: () => {},
          discard: () => {}
        })
      })
  })
const az = (name: string, deployments: any[] = [{ name: "gpt-4o" }], extra: any = {}) => ({ name, provider: "azure" as const, endpoint: `https://${name}.openai.azure.com`, apiKey: `${name}-key`, deployments, ...extra })
const build = (config: any, reply: (r: TransportRequest, n: number) => Reply, sends: Array<TransportRequest>) =>
  LoadBalancer.layer(config, { healthMonitor: HealthMonitor.layerNone }).pipe(Layer.provide(scripted(reply, sends)))
const hello = { model: "gpt-4o", messages: [{ role: "user" as const, content: "Say hello to everyone out there." }] }
const show = (e: Exit.Exit<any, any>) => Exit.isSuccess(e) ? "ok" : String(Cause.squash(e.cause)).slice(0, 400)

describe("hostile", () => {

  it.effect("W: add resets an open breaker", () => {
    const sends: Array<TransportRequest> = []
    const layer = build({ resources: [az("east"), az("west")] }, (r) => r.resource === "east" ? { status: 401, body: {} } : ok, sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const set = yield* Deployments
      for (let i = 0; i < 4; i++) yield* settle(lb.chat(hello))
      console.log("W before", (yield* lb.snapshot).resources.map((r) => [r.name, r.state]))
      yield* set.add(az("east", [{ name: "mini" }]))
      console.log("W after adding mini with the same key", (yield* lb.snapshot).resources.map((r) => [r.name, r.state]))
    }).pipe(Effect.provide(layer))
  })
  it.effect("R: removed and added again while a request waits", () => {
    const sends: Array<TransportRequest> = []
    let bad = true
    const layer = build({ resources: [az("east")] }, () => bad ? { status: 429, headers: { "retry-after": "5" }, body: {} } : ok, sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const set = yield* Deployments
      const fiber = yield* Effect.forkChild(Effect.exit(lb.chat(hello)), { startImmediately: true })
      yield* TestClock.adjust(1000)
      bad = false
      yield* set.remove("east/gpt-4o")
      yield* set.add(az("east"))
      console.log("R new request", show(yield* settle(lb.chat(hello))))
      yield* TestClock.adjust(20000)
      console.log("R waiting request", show(yield* Fiber.join(fiber)))
    }).pipe(Effect.provide(layer))
  })
  it.effect("G: poison by previous_response_id", () => {
    const sends: Array<TransportRequest> = []
    const layer = build({ resources: [az("ptu", [{ name: "gpt-4o", provisioned: true }]), az("std", [{ name: "gpt-4o", tier: 2 }])] }, (r) =>
      String(r.body).includes("resp_long") && r.resource === "ptu" ? { status: 400, body: { error: { code: "context_length_exceeded", message: "Your input exceeds the context window of this model." } } } : r.path.includes("responses") ? { status: 200, body: { id: "resp_x", object: "response", output: [] } } : ok, sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      yield* settle(lb.responses({ model: "gpt-4o", input: "go on", previous_response_id: "resp_long1" }))
      yield* TestClock.adjust("1 hour")
      for (let i = 0; i < 5; i++) yield* settle(lb.chat(hello))
      console.log("G", sends.map((s) => s.resource).join(" "))
    }).pipe(Effect.provide(layer))
  })
  it.effect("ETOO: too long on provisioned only: second time", () => {
    const sends: Array<TransportRequest> = []
    const layer = build({ resources: [az("ptu", [{ name: "gpt-4o", provisioned: true }])] }, () => ({ status: 400, body: { error: { code: "context_length_exceeded", message: "too long" } } }), sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      console.log("E1", show(yield* settle(lb.chat(hello))))
      console.log("E2", show(yield* settle(lb.chat(hello))))
    }).pipe(Effect.provide(layer))
  })
  it.effect("POL: a policy that throws / Deployments.update with junk", () => {
    const sends: Array<TransportRequest> = []
    const layer = build({ resources: [az("a")] }, () => ok, sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const set = yield* Deployments
      console.log("POL", show(yield* Effect.exit(set.update("a/gpt-4o", { name: "other", model: "zzz" } as any))), (yield* lb.snapshot).deployments.map((d) => d.id), show(yield* settle(lb.chat(hello))))
      const two = yield* Effect.exit(set.add({ ...az("a", [{ name: "gpt-4o", model: "renamed" }]) }))
      console.log("POL model change", two._tag, show(yield* settle(lb.chat({ ...hello, model: "renamed" }))))
    }).pipe(Effect.provide(layer))
  })
  it.effect("LONG session keys", () => {
    const sends: Array<TransportRequest> = []
    const layer = build({ resources: [az("a")] }, () => ok, sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const t = performance.now()
      const before = process.memoryUsage().heapUsed
      for (let i = 0; i < 20; i++) yield* settle(lb.chat(hello, { session: String(i).padEnd(1_000_000, "s") }))
      console.log("LONG", Math.round(performance.now() - t), "ms", Math.round((process.memoryUsage().heapUsed - before) / 1e6), "MB")
    }).pipe(Effect.provide(layer))
  })
})
