import { assert, describe, it } from "@effect/vitest"
import { type ConfigInput } from "@evenkeel/core"
import { Stream } from "effect"
import { answer, failure, fleet, hello, reasonOf, run, sent, service } from "../../support/Balanced.ts"
import { azure, scripted } from "../../support/Scripted.ts"

const tiered = { tiers: { east: 1, west: 2, north: 3 } }

/** No retry is granted but those that are free. */
const broke: ConfigInput["failover"] = { budgetRatio: 0, budgetPerSecond: 0 }

const trio = (failover: ConfigInput["failover"] = broke) =>
  fleet([service("east"), service("west"), service("north")], { ...tiered, failover })

const failing = { kind: "status", status: 500 } as const

describe("LoadBalancer side effects", () => {
  const background = { model: "gpt-4o", input: "Say hello.", background: true }

  it.effect.each(
    [
      { what: "background", params: background },
      { what: "stored", params: { model: "gpt-4o", input: "Say hello.", store: true } }
    ]
  )("a $what response that may have been processed is not sent again", ({ params }) => {
    const three = trio({})
    return run(three, function*(lb) {
      three.services["east"]!.fault("gpt-4o", failing)
      const error = yield* failure(lb.responses(params))
      assert.strictEqual(reasonOf(error, "Unavailable").limitedBy, "side-effects")
      assert.strictEqual(three.sends.length, 1)
    })
  })

  it.effect.each(
    [
      { what: "no connection", fault: { kind: "refused" } },
      { what: "a 429", fault: { kind: "throttle", retryAfterMs: 60_000 } },
      { what: "a 401", fault: { kind: "status", status: 401 } },
      { what: "a missing deployment", fault: { kind: "status", error: "deployment-not-found" } }
    ] as const
  )("a background response that was surely not processed is sent elsewhere: $what", ({ fault }) => {
    const three = trio({})
    return run(three, function*(lb) {
      three.services["east"]!.fault("gpt-4o", fault)
      yield* answer(lb.responses(background))
      assert.deepStrictEqual(sent(three), { east: 1, west: 1, north: 0 })
    })
  })

  it.effect("a stored response that timed out after it was sent is not sent again", () => {
    const three = fleet([service("east"), service("west")], { ...tiered, timeouts: { firstEvent: "2 seconds" } })
    return run(three, function*(lb) {
      three.services["east"]!.fault("gpt-4o", { kind: "hang" })
      const stored = { model: "gpt-4o", input: "Say hello.", store: true }
      yield* failure(Stream.runDrain(lb.responsesStream(stored)))
      assert.strictEqual(three.sends.length, 1)
    })
  })

  it.effect.each(
    [
      { what: "a batch", request: { path: "/batches", body: { input_file_id: "file-123456" } } },
      {
        what: "a fine-tune",
        request: { path: "/fine_tuning/jobs", body: { model: "gpt-4o", training_file: "file-123456" } }
      },
      { what: "a conversation", request: { path: "/conversations", method: "POST" } },
      { what: "bytes", request: { path: "/files", body: new Uint8Array(8), contentType: "application/octet-stream" } }
    ]
  )("$what that may have been processed is not sent again", ({ request }) => {
    const lbs = scripted([azure("east"), azure("west")], () => ({ status: 500 }))
    return run(lbs, function*(lb) {
      yield* failure(lb.request(request))
      assert.lengthOf(lbs.sends, 1)
    })
  })

  it.effect("an ordinary request is repeated after a failure: it costs twice at most", () =>
    run(trio({}), function*(lb, three) {
      three.services["east"]!.fault("gpt-4o", failing)
      yield* answer(lb.responses({ model: "gpt-4o", input: "Say hello." }))
      yield* answer(lb.chat(hello))
      assert.strictEqual(three.sends.length, 4)
    }))

  it.effect("an attempt that timed out is repeated at most once", () => {
    const three = fleet([service("east"), service("west"), service("north")], {
      failover: { attempts: 5 },
      timeouts: { firstEvent: "2 seconds" }
    })
    return run(three, function*(lb) {
      for (const { fault } of Object.values(three.services)) fault("gpt-4o", { kind: "hang" })
      const error = yield* failure(Stream.runDrain(lb.chatStream(hello)))
      assert.deepInclude(reasonOf(error, "TimedOut"), { stage: "first-event", limit: 2000 })
      assert.strictEqual(three.sends.length, 2)
    })
  })
})
