import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { answer, fleet, hello, run, sent, service, stateOf } from "../../support/Balanced.ts"
import { azure, scripted } from "../../support/Scripted.ts"

const ask = (count: number) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    for (let i = 0; i < count; i++) yield* answer(lb.chat(hello))
  })

const two = () =>
  fleet([
    service("east", { provisioned: true, tpm: 60_000 }),
    service("west", { provisioned: true, tpm: 60_000 })
  ])

describe("a provisioned deployment", () => {
  it.effect("whose answers the service spills over is full: its peers are preferred, and its ledger holds nothing", () =>
    run(two(), function*(_, fleet) {
      fleet.services["east"]!.fault("*", { kind: "spillover" })
      yield* ask(30)
      assert.isAtMost(sent(fleet)["east"]!, 8)
      const east = yield* stateOf("east")
      assert.strictEqual(east.totals.spilled, sent(fleet)["east"])
      assert.strictEqual(east.totals.succeeded, east.totals.spilled)
      assert.strictEqual(east.utilisation, 1)
      yield* TestClock.adjust("11 seconds")
      assert.strictEqual((yield* stateOf("east")).utilisation, 0)
      assert.strictEqual((yield* stateOf("west")).totals.spilled, 0)
    }))

  it.effect("whose spilled answer is refused holds nothing of it either", () => {
    const spilled = { "x-ms-spillover-from-deployment": "gpt-4o", "x-ms-spillover-error": "429" }
    const body = { error: { message: "filtered", code: "content_filter" } }
    const lbs = scripted(
      [azure("ptu", { provisioned: true, tpm: 10_000 })],
      () => ({ status: 400, headers: spilled, body })
    )
    return run(lbs, function*(lb) {
      for (let i = 0; i < 5; i++) yield* answer(Effect.flip(lb.chat({ ...hello, max_tokens: 1000 })))
      assert.strictEqual((yield* lb.snapshot).deployments[0]!.tokens.used, 0)
    })
  })

  it.effect("that spills over what is too long for it is not full", () =>
    run(two(), function*(_, fleet) {
      fleet.services["east"]!.fault("*", { kind: "spillover", status: 400 })
      yield* ask(30)
      assert.isAtLeast(sent(fleet)["east"]!, 8)
      assert.isBelow((yield* stateOf("east")).utilisation, 0.1)
    }))

  it.effect("that says it is in use by others is left for its peers, while it says so", () =>
    run(two(), function*(_, fleet) {
      fleet.services["east"]!.fault("*", {
        kind: "headers",
        headers: { "azure-openai-deployment-utilization": "96.5%" }
      })
      yield* ask(30)
      assert.isAtMost(sent(fleet)["east"]!, 8)
      assert.strictEqual((yield* stateOf("east")).utilisation, 0.965)
      yield* TestClock.adjust("11 seconds")
      assert.isBelow((yield* stateOf("east")).utilisation, 0.1)
    }))

  it.effect("that is full is left for as long as it says, to the millisecond", () =>
    run(two(), function*(_, fleet) {
      fleet.services["east"]!.fault("*", {
        kind: "throttle",
        headers: { "retry-after-ms": "1750", "retry-after": "2" }
      })
      while (sent(fleet)["east"] === 0) yield* ask(1)
      const { opensIn, state } = yield* stateOf("east")
      assert.strictEqual(state, "cooling-down")
      assert.isAtMost(opensIn!, 1750)
      assert.isAbove(opensIn!, 1000)
      fleet.services["east"]!.clear()
      yield* TestClock.adjust(opensIn! - 1)
      assert.strictEqual((yield* stateOf("east")).state, "cooling-down")
      yield* TestClock.adjust(2)
      assert.strictEqual((yield* stateOf("east")).state, "healthy")
    }))
})
