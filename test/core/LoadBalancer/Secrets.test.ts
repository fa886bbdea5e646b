import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer, LoadBalancerError } from "@evenkeel/core"
import { Cause, Effect, Exit, Stream } from "effect"
import { TestClock } from "effect/testing"
import { inspect } from "node:util"
import { failure, fleet, hello, run, service, type ServiceOptions, settle, stateOf } from "../../support/Balanced.ts"

const keys = ["sk-very-secret-east-0123456789", "sk-very-secret-west-0123456789", "bearer-secret-0123456789"]

const services: ReadonlyArray<ServiceOptions> = [
  service("east", {}, { apiKey: keys[0]! }),
  service("west", {}, { apiKey: keys[1]!, provider: "openai", bearerTokens: [keys[2]!] })
]

const faults: ReadonlyArray<SimulatedFault> = [
  { kind: "status", status: 401 },
  { kind: "status", status: 403 },
  { kind: "status", status: 400 },
  { kind: "status", status: 404 },
  { kind: "status", status: 500 },
  { kind: "status", status: 502 },
  { kind: "throttle", retryAfterMs: 20_000 },
  { kind: "throttle", error: "insufficient-quota" },
  { kind: "refused", because: "dns" },
  { kind: "refused", because: "tls" },
  { kind: "reset" },
  { kind: "unreadable" },
  { kind: "truncated" },
  { kind: "cut", afterEvents: 4, ending: "reset" },
  { kind: "errorInStream", afterEvents: 4 },
  { kind: "hang", afterEvents: 4 }
]

/** Everything that could be printed of a value. */
const printed = (value: unknown): string => {
  const forms = [inspect(value, { depth: 20, showHidden: true }), String(value)]
  if (value instanceof Error) forms.push(value.stack ?? "", Cause.pretty(Cause.fail(value)))
  try {
    forms.push(JSON.stringify(value))
  } catch {
    // a live object may refer to itself
  }
  return forms.join("\n")
}

const assertNoKey = (what: string, value: unknown) => {
  const text = printed(value)
  for (const key of keys) assert.notInclude(text, key, what)
}

describe("LoadBalancer secrets and words", () => {
  it.effect.each(faults)("H3: no key is in an error, an event or a snapshot: %o", (fault) => {
    const two = fleet(services, { failover: { attempts: 2 }, timeouts: { idle: 1000 } })
    return run(two, function*(lb, _, { events }) {
      for (const service of Object.values(two.services)) service.fault("*", fault)
      for (const ask of [lb.chat(hello), Stream.runDrain(lb.chatStream(hello))]) {
        const exit = yield* settle(ask)
        assertNoKey("exit", exit)
        if (Exit.isFailure(exit)) assertNoKey("error", Cause.squash(exit.cause))
      }
      assert.isAbove(events.length, 0)
      assertNoKey("events", events)
      assertNoKey("snapshot", yield* lb.snapshot)
    })
  })

  it.effect("H3: no key is in the live set, nor in what was decoded", () =>
    run(fleet(services), function*(_lb, _on, { members }) {
      assertNoKey("settings", members.settings)
      assertNoKey("live set", members.all())
      assertNoKey("resources", members.resources())
    }))

  it.effect("H3: no key is in the error of a wrong configuration", () =>
    Effect.gen(function*() {
      const wrong: any = {
        name: "east",
        provider: "azure",
        endpoint: `https://user:${keys[0]!}@east.example`,
        apiKey: [keys[1]!],
        key: keys[2]!,
        deployments: []
      }
      const error = yield* Effect.flip(run(fleet(services, { resources: [wrong, wrong] }), Effect.void))
      assertNoKey("error", error)
    }))

  it.effect("H2: when all are down, none is healthy", () => {
    const two = fleet(services, { failover: { attempts: 2 } })
    const healthy = Effect.map(
      Effect.flatMap(LoadBalancer, (lb) => lb.snapshot),
      ({ deployments }) => deployments.filter(({ state }) => state === "healthy").length
    )
    return run(two, function*(lb) {
      assert.strictEqual(yield* healthy, 2)
      for (const { fault } of Object.values(two.services)) fault("*", { kind: "status", status: 500 })
      for (let i = 0; i < 6; i++) yield* settle(lb.chat(hello))
      assert.strictEqual(yield* healthy, 0)
      for (const { clear } of Object.values(two.services)) clear()
      yield* TestClock.adjust("10 seconds")
      yield* settle(lb.chat(hello))
      yield* settle(lb.chat(hello))
      assert.isAbove(yield* healthy, 0)
      assert.isDefined((yield* stateOf("east")).state)
    })
  })

  it.effect.each(
    [
      {
        what: "throttled",
        fault: { kind: "throttle", retryAfterMs: 30_000 },
        says: /throttled; the first may be back in (30|29\.99) s\./
      },
      {
        what: "failing",
        fault: { kind: "status", status: 503 },
        says: /No deployment of "gpt-4o" answered: all attempts were used\./
      },
      { what: "refused", fault: { kind: "status", status: 422 }, says: /refused the request with status 422/ },
      {
        what: "filtered",
        fault: { kind: "status", error: "content-filter" },
        says: /content filter refused the prompt/
      },
      { what: "silent", fault: { kind: "hang" }, says: /passed its limit of 9 s \(total\)/ },
      { what: "missing", fault: { kind: "status", error: "deployment-not-found" }, says: /throttled|answered/ }
    ] as const
  )("an error says in plain words what happened, and what was tried: $what", ({ fault, says }) => {
    const two = fleet(services, { failover: { attempts: 2 } })
    return run(two, function*(lb) {
      for (const service of Object.values(two.services)) service.fault("*", fault)
      const error = yield* failure(lb.chat(hello, { timeout: "9 seconds" }))
      assert.instanceOf(error, LoadBalancerError)
      assert.match(error.message, says)
      assert.match(error.message, /Attempts: (east|west)\/gpt-4o \w+ \([^)]+\) after \d+(\.\d+)? s/)
      assert.notMatch(error.message, /undefined|NaN|Infinity|\[object|null/)
      assert.include(String(error), "LoadBalancerError")
    })
  })
})
