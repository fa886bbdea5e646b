import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  answer,
  failure,
  fleet,
  hello,
  reasonOf,
  run,
  sent,
  service,
  stateOf,
  statsNow,
  statsOf
} from "../../support/Balanced.ts"

const limited = { ...hello, max_completion_tokens: 40 }

/** What one whole answer to `limited` bills, by the service's own count. */
const billed = (stats: { readonly promptTokens: number; readonly completionTokens: number }) =>
  stats.promptTokens + stats.completionTokens

describe("LoadBalancer usage", () => {
  it.effect("B1: ten concurrent requests are counted exactly, in tokens and in requests", () =>
    run(fleet([service("east")]), function*(lb, one) {
      const all = Effect.forEach(Array.from({ length: 10 }), () => lb.chat(hello), { concurrency: "unbounded" })
      const answers = yield* answer(all)
      const { totals } = yield* stateOf("east")
      const tokens = answers.reduce((sum, { usage }) => sum + usage!.total_tokens, 0)
      assert.strictEqual(totals.promptTokens + totals.completionTokens, tokens)
      assert.deepInclude(totals, { attempts: 10, succeeded: 10, failed: 0 })
      assert.strictEqual((yield* stateOf("east")).requests.used, 10)
      assert.strictEqual(billed(statsOf(one.services["east"])), tokens)
    }))

  it.effect("B2: the reservation counts while a request is in flight, and a larger bill corrects it upward", () =>
    run(fleet([service("east", { tpm: 100_000, charactersPerToken: 0.1 })]), function*(lb) {
      const before = Effect.gen(function*() {
        yield* Effect.sleep(10)
        return yield* stateOf("east")
      })
      const [{ usage }, during] = yield* answer(Effect.all([lb.chat(limited), before], { concurrency: 2 }))
      assert.isAtLeast(during.tokens.used, 40)
      assert.strictEqual(during.inFlight, 1)
      const after = yield* stateOf("east")
      assert.isAbove(usage!.total_tokens, during.tokens.used)
      assert.strictEqual(after.tokens.used, usage!.total_tokens)
      assert.strictEqual(after.inFlight, 0)
    }))

  it.effect("B2: a standard deployment never takes a charge back, because the service does not", () =>
    run(fleet([service("east", { tpm: 100_000 })]), function*(lb, one) {
      yield* answer(lb.chat({ ...hello, max_completion_tokens: 5000 }))
      const { tokens } = yield* stateOf("east")
      assert.isAtLeast(tokens.used, 5000)
      assert.isAtLeast(tokens.used, (yield* statsNow(one.services["east"])).usage.tokens)
    }))

  it.effect("B2: a provisioned deployment is corrected both ways, as its service does", () =>
    run(fleet([service("east", { tpm: 100_000, provisioned: true })]), function*(lb) {
      const { usage } = yield* answer(lb.chat({ ...hello, max_completion_tokens: 5000 }))
      assert.strictEqual((yield* stateOf("east")).tokens.used, usage!.total_tokens)
    }))

  it.effect.each(
    [
      { why: "the connection was refused", fault: { kind: "refused" } },
      { why: "it was throttled", fault: { kind: "throttle", retryAfterMs: 20_000 } }
    ] as const
  )("B3: a reservation is given back when $why", ({ fault }) => {
    const one = fleet([service("east", { tpm: 100_000, rpm: 1000 })], { failover: { attempts: 1 } })
    return run(one, function*(lb) {
      one.services["east"]!.fault("gpt-4o", fault)
      yield* failure(lb.chat(limited))
      const { inFlight, requests, tokens } = yield* stateOf("east")
      assert.deepInclude(tokens, { used: 0 })
      assert.deepInclude(requests, { used: 0 })
      assert.strictEqual(inFlight, 0)
    })
  })

  it.effect.each(
    [
      { why: "the service failed", fault: { kind: "status", status: 500 } },
      { why: "the connection broke", fault: { kind: "reset" } },
      { why: "nothing came in time", fault: { kind: "hang" } }
    ] as const
  )("B3: a charge that the service may have counted stays when $why, and nothing stays in flight", ({ fault }) => {
    const one = fleet([service("east", { tpm: 100_000 })], { failover: { attempts: 1 } })
    return run(one, function*(lb) {
      one.services["east"]!.fault("gpt-4o", fault)
      yield* failure(Stream.runDrain(lb.chatStream(limited, { timeouts: { firstEvent: 1000 } })))
      const { inFlight, tokens, waiting } = yield* stateOf("east")
      assert.isAtLeast(tokens.used, (yield* statsNow(one.services["east"])).usage.tokens)
      assert.isAbove(tokens.used, 0)
      assert.deepStrictEqual([inFlight, waiting], [0, 0])
    })
  })

  it.effect("B4: models of one resource are counted apart", () => {
    const one = fleet([{
      name: "east",
      deployments: [{ name: "gpt-4o", tpm: 1000 }, { name: "o3", model: "o3", tpm: 1000 }]
    }])
    return run(one, function*(lb) {
      yield* answer(lb.chat(limited))
      assert.isAbove((yield* stateOf("east/gpt-4o")).tokens.used, 0)
      assert.strictEqual((yield* stateOf("east/o3")).tokens.used, 0)
      assert.strictEqual((yield* stateOf("east/o3")).totals.attempts, 0)
    })
  })

  it.effect("B5: null content and content in parts are counted, not choked on", () => {
    const one = fleet([service("east", { tpm: 100_000 })])
    const tool = { id: "call_1", type: "function" as const, function: { name: "look", arguments: "{}" } }
    const parts = [
      { type: "text" as const, text: "x".repeat(4000) },
      { type: "image_url" as const, image_url: { url: `data:image/png;base64,${"A".repeat(40_000)}` } }
    ]
    const odd = {
      model: "gpt-4o",
      max_completion_tokens: 10,
      messages: [
        { role: "assistant" as const, content: null, tool_calls: [tool] },
        { role: "tool" as const, tool_call_id: "call_1", content: "done" },
        { role: "user" as const, content: parts }
      ]
    }
    return run(one, function*(lb) {
      const { usage } = yield* answer(lb.chat(odd))
      const { tokens } = yield* stateOf("east")
      assert.isAtLeast(tokens.used, usage!.total_tokens)
      // the image counts as what it may be billed at, not as its base64
      assert.isBelow(tokens.used, 4000)
    })
  })

  it.effect("B6: the window rolls on by itself: what was used is free again a minute later", () =>
    run(fleet([service("east", { tpm: 100_000 })]), function*(lb) {
      yield* answer(lb.chat(limited))
      yield* TestClock.adjust("30 seconds")
      const { used } = (yield* stateOf("east")).tokens
      assert.isAbove(used, 0)
      yield* answer(lb.chat(limited))
      yield* TestClock.adjust("31 seconds")
      const later = (yield* stateOf("east")).tokens.used
      assert.isAbove(later, 0)
      assert.isAtMost(later, used)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* stateOf("east")).tokens.used, 0)
    }))

  it.effect("B7: requests keep to the ten-second slice of their quota, so the service refuses none", () =>
    run(fleet([service("east", { rpm: 60 })], { failover: { maxWait: "60 seconds" } }), function*(lb, one) {
      const all = Effect.forEach(Array.from({ length: 25 }), () => lb.chat(hello), { concurrency: "unbounded" })
      yield* answer(all)
      assert.deepInclude(statsOf(one.services["east"]), { admitted: 25, throttled: 0 })
      for (const { at } of one.sends) {
        const slice = one.sends.filter((other) => other.at >= at && other.at < at + 10_000)
        assert.isAtMost(slice.length, 10)
      }
    }))

  it.effect("B8: exactly reaching a limit is allowed, and one more is not", () => {
    const one = fleet([service("east", { rpm: 6, requestSliceMs: 0 })], {
      failover: { maxWait: 0 },
      quota: { requestSlice: "1 minute" }
    })
    return run(one, function*(lb) {
      for (let i = 0; i < 6; i++) yield* answer(lb.chat(hello))
      assert.strictEqual((yield* stateOf("east")).requests.used, 6)
      const error = yield* failure(lb.chat(hello))
      const { retryAfter } = reasonOf(error, "Throttled")
      assert.isAbove(retryAfter, 50_000)
      assert.isAtMost(retryAfter, 61_000)
      assert.strictEqual(sent(one)["east"], 6)
    })
  })

  it.effect("B9: a concurrent burst never passes the limit: the service refuses none of it", () =>
    run(fleet([service("east", { tpm: 1000 })], { failover: { maxWait: 0 } }), function*(lb, one) {
      const ask = Effect.result(lb.chat({ ...hello, max_completion_tokens: 100 }))
      const results = yield* answer(Effect.forEach(Array.from({ length: 50 }), () => ask, { concurrency: "unbounded" }))
      const served = results.filter(({ _tag }) => _tag === "Success").length
      const stats = statsOf(one.services["east"])
      assert.deepInclude(stats, { admitted: served, throttled: 0 })
      assert.isAbove(served, 5)
      assert.isAtMost((yield* statsNow(one.services["east"])).usage.tokens, 1000)
    }))

  it.effect("B9: a reservation larger than the whole limit is sent when nothing else is in use", () =>
    run(fleet([service("east", { tpm: 1000 })], { failover: { maxWait: 0 } }), function*(lb, one) {
      yield* answer(lb.chat({ ...hello, max_completion_tokens: 4000 }))
      const error = yield* failure(lb.chat({ ...hello, max_completion_tokens: 4000 }))
      reasonOf(error, "Throttled")
      assert.strictEqual(sent(one)["east"], 1)
    }))
})
