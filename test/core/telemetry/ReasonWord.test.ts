import { reasonWord } from "#core/attempt/ReasonWord"
import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { assert, describe, it } from "@effect/vitest"
import { HealthMonitor } from "@evenkeel/core"
import { Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { fleet, heard, hello, listen, run, service, settle } from "../../support/Balanced.ts"
import { azure, completion, scripted } from "../../support/Scripted.ts"

const faults: ReadonlyArray<SimulatedFault> = [
  { kind: "status", status: 500 },
  { kind: "status", status: 503 },
  { kind: "status", status: 401 },
  { kind: "status", status: 404, error: "deployment-not-found" },
  { kind: "throttle", retryAfterMs: 1000 },
  { kind: "refused", because: "dns" },
  { kind: "refused", because: "connect" },
  { kind: "refused", because: "tls" },
  { kind: "refused", because: "connect-timeout" },
  { kind: "reset" },
  { kind: "hang" },
  { kind: "hang", afterEvents: 4 },
  { kind: "cut", afterEvents: 0, ending: "end" },
  { kind: "cut", afterEvents: 4, ending: "end" },
  { kind: "errorInStream" },
  { kind: "errorInStream", code: "server_error", type: "server_error", message: "Sorry." },
  { kind: "errorInStream", afterEvents: 4 },
  { kind: "malformed", how: "json" },
  { kind: "malformed", how: "json", afterEvents: 4 },
  { kind: "unreadable" },
  { kind: "empty" },
  { kind: "empty", done: true }
]

describe("the word of a reason", () => {
  it.effect.each(faults)("is the error type of the attempt that failed for it: %o", (fault) => {
    const one = fleet([service("east")], {
      failover: { attempts: 1 },
      timeouts: { firstEvent: 2000, firstContent: 2000, idle: 1000 }
    })
    return run(one, function*(lb, _, { events }) {
      for (const ask of [lb.chat(hello, { timeout: "1 minute" }), Stream.runDrain(lb.chatStream(hello))]) {
        one.services["east"]!.fault("*", fault)
        yield* settle(ask)
        one.services["east"]!.clear()
        yield* TestClock.adjust("10 minutes")
      }
      const failed = heard(events, "AttemptEnded").flatMap(({ attempt }) =>
        attempt.errorType === undefined ? [] : [attempt]
      )
      assert.isAbove(failed.length, 0)
      for (const { errorType, reason } of failed) assert.strictEqual(reasonWord(reason), errorType, reason)
    })
  })

  it.effect("is `credential` also where a check had none", () => {
    const failing = azure("east", {}, {
      apiKey: undefined,
      auth: () => {
        throw new Error("away")
      }
    } as never)
    const { layer } = scripted([failing], () => completion, {}, { healthMonitor: HealthMonitor.layer })
    return Effect.gen(function*() {
      const events = yield* listen
      yield* TestClock.adjust("5 minutes")
      const [checked] = heard(events, "Checked")
      assert.strictEqual(checked?.problem, "no credential: away")
      assert.strictEqual(reasonWord(checked?.problem ?? ""), "credential")
    }).pipe(Effect.provide(layer))
  })

  it("is one of few, whatever the reason", () => {
    const odd = ["", " ", "http", "http 5000", "http abc", "toString", "the prompt itself", "reset (ECONNRESET)"]
    assert.deepStrictEqual(odd.map(reasonWord), [...Array<string>(7).fill("other"), "reset"])
  })
})
