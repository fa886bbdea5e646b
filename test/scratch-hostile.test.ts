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
  it.effect("A: ceiling poisoned by max_tokens", () => {
    const sends: Array<TransportRequest> = []
    const layer = build({ resources: [az("ptu", [{ name: "gpt-4o", provisioned: true }])] }, (r) =>
      String(r.body).includes("999999") ? { status: 400, body: { error: { code: "context_length_exceeded", message: "This model's maximum context length is 128000 tokens. However, you requested 1000002 tokens (3 in the messages, 999999 in the completion)." } } } : ok, sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const first = yield* settle(lb.chat({ model: "gpt-4o", messages: [{ role: "user", content: "hi" }], max_tokens: 999999 }))
      const second = yield* settle(lb.chat(hello))
      yield* TestClock.adjust("1 day")
      const third = yield* settle(lb.chat(hello))
      console.log("A", show(first), "|", show(second), "|", show(third), sends.length)
    }).pipe(Effect.provide(layer))
  })
  it.effect("C: add with another endpoint", () => {
    const sends: Array<TransportRequest> = []
    const layer = build({ resources: [az("east")] }, () => ok, sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const set = yield* Deployments
      const added = yield* Effect.exit(set.add({ name: "east", provider: "openai", apiKey: "sk-new-secret", deployments: [{ name: "gpt-4o" }] }))
      yield* settle(lb.chat(hello))
      console.log("C", added._tag, sends.map((s) => [s.origin + s.path, s.headers]))
    }).pipe(Effect.provide(layer))
  })
  it.effect("D: wildcards", () => {
    const sends: Array<TransportRequest> = []
    const open = { name: "open", provider: "openai" as const, apiKey: "sk-x" }
    const layer = build({ resources: [open] }, () => ok, sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const set = yield* Deployments
      yield* settle(lb.chat(hello))
      yield* set.update("open/*", { weight: 0.5, rpm: 7 })
      console.log("D update", (yield* lb.snapshot).deployments.map((d) => [d.id, d.weight, d.requests.limit]))
      yield* set.drain("open/*")
      console.log("D drained", show(yield* settle(lb.chat(hello))))
      yield* set.add(open)
      console.log("D added back", show(yield* settle(lb.chat(hello))), show(yield* settle(lb.chat({ ...hello, model: "gpt-new" }))))
      const removed = yield* set.remove("open/gpt-4o")
      console.log("D removed", removed, (yield* lb.snapshot).deployments.map((d) => [d.id, d.state]))
      // explicit one, then wildcard removed
      yield* set.add({ ...open, deployments: [{ name: "gpt-4o", rpm: 100 }] })
      yield* set.remove("open/*")
      console.log("D explicit after wildcard removed", (yield* lb.snapshot).deployments.map((d) => [d.id, d.state]))
    }).pipe(Effect.provide(layer))
  })
  it.effect("F: session empty", () => {
    const sends: Array<TransportRequest> = []
    const layer = build({ resources: [az("a"), az("b"), az("c")] }, () => ok, sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      for (let i = 0; i < 60; i++) yield* settle(lb.chat(hello, { session: "" }))
      const n: any = {}
      for (const s of sends) n[s.resource] = (n[s.resource] ?? 0) + 1
      console.log("F", n)
    }).pipe(Effect.provide(layer))
  })
  it.effect("J: absurd max_tokens refused", () => {
    const sends: Array<TransportRequest> = []
    const layer = build({ resources: [az("a", [{ name: "gpt-4o", tpm: 300000, rpm: 1800 }])] }, (r) => String(r.body).includes("9999999") ? { status: 400, body: { error: { code: "invalid_value", message: "max_tokens is too large" } } } : ok, sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const first = yield* settle(lb.chat({ ...hello, max_tokens: 9999999 }))
      const second = yield* settle(lb.chat(hello))
      console.log("J", show(first), "|", show(second))
    }).pipe(Effect.provide(layer))
  })
  it.effect("I: typo on wildcard, more than 100", () => {
    const sends: Array<TransportRequest> = []
    const layer = build({ resources: [{ name: "open", provider: "openai", apiKey: "sk-x" }] }, (r) => String(r.body).includes("typo") ? { status: 404, body: { error: { code: "model_not_found", message: "no such model" } } } : ok, sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      console.log("I", show(yield* settle(lb.chat({ ...hello, model: "typo" }))))
      for (const m of ["__proto__", "constructor", "*", "a/b", "ü?%"]) console.log("I", m, show(yield* settle(lb.chat({ ...hello, model: m }))), String(sends.at(-1)!.body).slice(0, 30))
      for (let i = 0; i < 120; i++) yield* settle(lb.chat({ ...hello, model: "typo" + i }))
      console.log("I good", show(yield* settle(lb.chat({ ...hello, model: "good" }))), (yield* lb.snapshot).deployments.length)
    }).pipe(Effect.provide(layer))
  })
  it.effect("M: timeouts", () => {
    const sends: Array<TransportRequest> = []
    const layer = build({ resources: [az("a"), az("b")] }, () => "fail", sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      for (const timeout of [0, -5, NaN, Infinity, "abc", "1 second", 2 ** 40] as any[]) {
        const before = sends.length
        const e = yield* settle(Effect.suspend(() => lb.chat(hello, { timeout })))
        console.log("M chat", timeout, show(e), sends.length - before)
        const e2 = yield* settle(Effect.suspend(() => lb.request({ path: "/models" }, { timeout })))
        console.log("M request", timeout, show(e2))
      }
      for (const attempts of [0, 1, -1, NaN, Infinity, 1000]) {
        yield* TestClock.adjust("10 minutes")
        const before = sends.length
        const e = yield* settle(lb.chat(hello, { attempts }))
        console.log("M attempts", attempts, show(e).slice(0, 100), sends.length - before)
        yield* TestClock.adjust("10 minutes")
        const b2 = sends.length
        const e2 = yield* settle(lb.chat(hello, { attempts, schedule: Schedule.forever }))
        console.log("M attempts forever", attempts, show(e2).slice(0, 100), sends.length - b2)
      }
      yield* TestClock.adjust("10 minutes")
      for (const [n, s] of [["neg", Schedule.modifyDelay(Schedule.forever, () => Effect.succeed(Duration.millis(-100)))], ["huge", Schedule.spaced("1000 days")], ["inf", Schedule.spaced(Infinity)], ["nan", Schedule.modifyDelay(Schedule.forever, () => Effect.succeed(Duration.millis(NaN)))]] as any[]) {
        const b3 = sends.length
        const e = yield* settle(lb.chat(hello, { schedule: s }))
        console.log("M schedule", n, show(e).slice(0, 100), sends.length - b3)
        yield* TestClock.adjust("10 minutes")
      }
      const e = yield* Effect.exit(settle(lb.chat(hello, { timeout: 1000, schedule: Schedule.modifyDelay(Schedule.forever, () => Effect.as(Effect.never, Duration.zero)) }), { limit: 20000 }))
      console.log("M schedule that never steps", show(e))
    }).pipe(Effect.provide(layer))
  })
  it.effect("N: files while the first deployment is drained / throttled", () => {
    const sends: Array<TransportRequest> = []
    const layer = build({ resources: [az("a", [{ name: "gpt-4o" }, { name: "mini" }])] }, (r) => r.path.includes("chat") ? { status: 429, headers: { "retry-after": "60" }, body: {} } : { status: 200, body: { data: [] } }, sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const set = yield* Deployments
      yield* settle(lb.chat(hello))
      console.log("N throttled", show(yield* settle(lb.request({ path: "/files" }))))
      yield* set.drain("a/gpt-4o")
      console.log("N drained", show(yield* settle(lb.request({ path: "/files" }))))
    }).pipe(Effect.provide(layer))
  })
  it.effect("K: huge event counts", () => {
    const sends: Array<TransportRequest> = []
    const pre = "data: {\"choices\":[]}\n\n"
    const tiny = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\n".repeat(200000)
    const layer = build({ resources: [az("a")] }, () => ({ status: 200, chunks: [pre, tiny, "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"] }), sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const t = performance.now()
      const e = yield* settle(Stream.runCount(lb.chatStream(hello)))
      console.log("K", show(e), Exit.isSuccess(e) ? e.value : "", performance.now() - t)
    }).pipe(Effect.provide(layer))
  })
  it.effect("K2: 1 MB event in 1-byte pieces", () => {
    const sends: Array<TransportRequest> = []
    const big = "data: {\"choices\":[{\"delta\":{\"content\":\"" + "x".repeat(200_000) + "\"},\"finish_reason\":null}]}\n\n"
    const layer = build({ resources: [az("a")] }, () => ({ status: 200, chunks: [...[...big], "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"] }), sends)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      const t = performance.now()
      const e = yield* settle(Stream.runCount(lb.chatStream(hello)))
      console.log("K2", show(e), Exit.isSuccess(e) ? e.value : "", performance.now() - t)
    }).pipe(Effect.provide(layer))
  }, 60000)
})
