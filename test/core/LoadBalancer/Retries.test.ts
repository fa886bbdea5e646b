import { assert, describe, it } from "@effect/vitest"
import { type ConfigInput, Deployments, LoadBalancer, type Setback, Transport } from "@evenkeel/core"
import { Effect, Layer, Schedule, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  answer,
  failure,
  fleet,
  heard,
  hello,
  listen,
  reasonOf,
  run,
  sent,
  service,
  settle,
  stateOf
} from "../../support/Balanced.ts"

const tiered = { tiers: { east: 1, west: 2, north: 3 } }

/** No retry is granted but those that are free. */
const broke: ConfigInput["failover"] = { budgetRatio: 0, budgetPerSecond: 0 }

const trio = (failover: ConfigInput["failover"] = broke) =>
  fleet([service("east"), service("west"), service("north")], { ...tiered, failover })

const failing = { kind: "status", status: 500 } as const

const retriesLeft = Effect.map(Effect.flatMap(LoadBalancer, (lb) => lb.snapshot), (snapshot) => snapshot.retriesLeft)

describe("LoadBalancer retry budget", () => {
  it.effect("the first failover of a request is free while half of the deployments are healthy", () => {
    const three = trio()
    return run(
      three,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        three.services["east"]!.fault("gpt-4o", failing)
        yield* answer(lb.chat(hello))
        assert.deepStrictEqual(sent(three), { east: 1, west: 1, north: 0 })
      })
    )
  })

  it.effect("the second failover is paid for, and without budget the error says so", () => {
    const three = trio()
    return run(
      three,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        three.services["east"]!.fault("gpt-4o", failing)
        three.services["west"]!.fault("gpt-4o", failing)
        const error = yield* failure(lb.chat(hello))
        assert.strictEqual(reasonOf(error, "Unavailable").limitedBy, "budget")
        assert.deepStrictEqual(sent(three), { east: 1, west: 1, north: 0 })
      })
    )
  })

  it.effect("moving away from a throttled deployment is free, however often", () => {
    const three = trio()
    return run(
      three,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        three.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 60_000 })
        three.services["west"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 60_000 })
        yield* answer(lb.chat(hello))
        assert.deepStrictEqual(sent(three), { east: 1, west: 1, north: 1 })
      })
    )
  })

  it.effect("no failover is free while less than half of the deployments are healthy", () => {
    const tiers = { south: 1, centre: 2, east: 3, west: 4, north: 5 }
    const five = fleet(Object.keys(tiers).map((name) => service(name)), { failover: broke, tiers })
    return run(
      five,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        const deployments = yield* Deployments
        for (const name of ["east", "west", "north"]) {
          yield* deployments.observe(`${name}/gpt-4o`, { health: "failing" })
        }
        five.services["south"]!.fault("gpt-4o", failing)
        const error = yield* failure(lb.chat(hello))
        assert.strictEqual(reasonOf(error, "Unavailable").limitedBy, "budget")
        assert.strictEqual(five.sends.length, 1)
        // with three of five, it is
        yield* deployments.observe("east/gpt-4o", { health: "healthy" })
        yield* answer(lb.chat(hello))
        assert.deepInclude(sent(five), { south: 2, centre: 1 })
      })
    )
  })

  it.effect("the same deployment again is always paid for", () => {
    const one = fleet([service("east")], { failover: broke })
    return run(
      one,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        one.services["east"]!.fault("gpt-4o", { ...failing, times: 1 })
        assert.strictEqual(reasonOf(yield* failure(lb.chat(hello)), "Unavailable").limitedBy, "budget")
        assert.strictEqual(one.sends.length, 1)
      })
    )
  })

  it.effect("an outage is not multiplied: retries stay within a fifth of the requests and one a second", () => {
    const three = fleet([service("east"), service("west"), service("north")], { health: { consecutiveFailures: 1000, successRatio: 0 } })
    return run(
      three,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        for (const { fault } of Object.values(three.services)) fault("gpt-4o", failing)
        const burst = Effect.forEach(Array.from({ length: 100 }), () => Effect.exit(lb.chat(hello)), {
          concurrency: "unbounded"
        })
        yield* answer(burst)
        // a hundred first attempts, a hundred free first failovers, and at most 20 + 10 paid ones
        assert.isAtMost(three.sends.length, 230)
        assert.isAbove(three.sends.length, 220)
        assert.strictEqual(yield* retriesLeft, 0)
        yield* TestClock.adjust("12 seconds")
        assert.strictEqual(yield* retriesLeft, 10)
      })
    )
  })

  it.effect("waiting for the first deployment is no retry", () => {
    const one = fleet([service("east")], { failover: broke })
    return run(
      one,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        one.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 3000, times: 1 })
        yield* failure(lb.chat(hello))
        yield* answer(lb.chat(hello))
        assert.strictEqual(one.sends.length, 2)
      })
    )
  })
})

describe("LoadBalancer side effects", () => {
  const background = { model: "gpt-4o", input: "Say hello.", background: true }

  it.effect.each(
    [
      { what: "background", params: background },
      { what: "stored", params: { model: "gpt-4o", input: "Say hello.", store: true } }
    ]
  )("a $what response that may have been processed is not sent again", ({ params }) => {
    const three = trio({})
    return run(
      three,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        three.services["east"]!.fault("gpt-4o", failing)
        const error = yield* failure(lb.responses(params))
        assert.strictEqual(reasonOf(error, "Unavailable").limitedBy, "side-effects")
        assert.strictEqual(three.sends.length, 1)
      })
    )
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
    return run(
      three,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        three.services["east"]!.fault("gpt-4o", fault)
        yield* answer(lb.responses(background))
        assert.deepStrictEqual(sent(three), { east: 1, west: 1, north: 0 })
      })
    )
  })

  it.effect("a stored response that timed out after it was sent is not sent again", () => {
    const three = fleet([service("east"), service("west")], { ...tiered, timeouts: { firstEvent: "2 seconds" } })
    return run(
      three,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        three.services["east"]!.fault("gpt-4o", { kind: "hang" })
        const stored = { model: "gpt-4o", input: "Say hello.", store: true }
        yield* failure(Stream.runDrain(lb.responsesStream(stored)))
        assert.strictEqual(three.sends.length, 1)
      })
    )
  })

  const answered500: Transport["Service"] = {
    send: () =>
      Effect.succeed({
        status: 500,
        headers: {},
        pull: Effect.never,
        text: Effect.succeed("{}"),
        abort: () => {},
        discard: () => {}
      })
  }

  it.effect.each(
    [
      { what: "a batch", request: { path: "/batches", body: { input_file_id: "file-123456" } } },
      { what: "a fine-tune", request: { path: "/fine_tuning/jobs", body: { model: "gpt-4o", training_file: "file-123456" } } },
      { what: "a conversation", request: { path: "/conversations", method: "POST" } },
      { what: "bytes", request: { path: "/files", body: new Uint8Array(8), contentType: "application/octet-stream" } }
    ]
  )("$what that may have been processed is not sent again", ({ request }) => {
    const two = fleet([service("east"), service("west")])
    const resources = Object.values(two.services).map((service) => service.config())
    let sends = 0
    const counted = Layer.succeed(Transport, {
      send: (request) => Effect.tap(answered500.send(request), () => Effect.sync(() => sends++))
    })
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      yield* failure(lb.request(request))
      assert.strictEqual(sends, 1)
    }).pipe(
      Effect.provide(Layer.provide(LoadBalancer.layer({ resources }), counted))
    )
  })

  it.effect("an ordinary request is repeated after a failure: it costs twice at most", () => {
    const three = trio({})
    return run(
      three,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        three.services["east"]!.fault("gpt-4o", failing)
        yield* answer(lb.responses({ model: "gpt-4o", input: "Say hello." }))
        yield* answer(lb.chat(hello))
        assert.strictEqual(three.sends.length, 4)
      })
    )
  })

  it.effect("an attempt that timed out is repeated at most once", () => {
    const three = fleet([service("east"), service("west"), service("north")], {
      failover: { attempts: 5 },
      timeouts: { firstEvent: "2 seconds" }
    })
    return run(
      three,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        for (const { fault } of Object.values(three.services)) fault("gpt-4o", { kind: "hang" })
        const error = yield* failure(Stream.runDrain(lb.chatStream(hello)))
        assert.deepInclude(reasonOf(error, "TimedOut"), { stage: "first-event", limit: 2000 })
        assert.strictEqual(three.sends.length, 2)
      })
    )
  })
})

describe("LoadBalancer pace", () => {
  it.effect("another deployment is tried at once, the same one after backoff", () => {
    const two = fleet([service("east"), service("west")], {
      failover: { attempts: 4, backoff: "4 seconds", maxBackoff: "8 seconds" }
    })
    return run(
      two,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        const events = yield* listen
        for (const { fault } of Object.values(two.services)) fault("gpt-4o", failing)
        yield* settle(lb.chat(hello))
        const delays = heard(events, "FailedOver").map(({ delay }) => delay)
        assert.strictEqual(delays.length, 3)
        assert.strictEqual(delays[0], 0)
        assert.isAbove(delays[1]!, 0)
        assert.isAbove(delays[2]!, 0)
        assert.isAtMost(delays[1]!, 8000)
        assert.isAtMost(delays[2]!, 8000)
        const [first, second, third] = two.sends
        assert.strictEqual(second!.at, first!.at + 10)
        assert.strictEqual(third!.at, second!.at + 10 + Math.ceil(delays[1]!))
      })
    )
  })

  it.effect("the same deployment again waits for the service's time when that is longer", () => {
    const one = fleet([service("east")], { failover: { backoff: "1 millis" } })
    return run(
      one,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        one.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 4000, times: 2 })
        yield* answer(lb.chat(hello))
        assert.deepStrictEqual(one.sends.map(({ at }) => at), [0, 4010, 8020])
      })
    )
  })

  it.effect("waits for throttled deployments count together against the longest wait", () => {
    const one = fleet([service("east")], { failover: { maxWait: "10 seconds", attempts: 5 } })
    return run(
      one,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        one.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 6000 })
        const error = yield* failure(lb.chat(hello))
        assert.closeTo(reasonOf(error, "Throttled").retryAfter, 6000, 50)
        assert.deepStrictEqual(one.sends.map(({ at }) => at), [0, 6010])
      })
    )
  })

  it.effect("a caller's own schedule takes the default's place, and sees what went wrong", () => {
    const two = fleet([service("east"), service("west")], tiered)
    return run(
      two,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        const seen: Array<Setback> = []
        two.services["east"]!.fault("gpt-4o", { ...failing, times: 1 })
        two.services["west"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 1000, times: 1 })
        const schedule = Schedule.spaced("3 seconds").pipe(
          Schedule.setInputType<Setback>(),
          Schedule.modifyDelay(({ duration, input }) => {
            seen.push(input)
            return Effect.succeed(duration)
          })
        )
        yield* answer(lb.chat(hello, { schedule }))
        assert.deepStrictEqual(two.sends.map(({ at, resource }) => [resource, at]), [
          ["east", 0],
          ["west", 3010],
          ["east", 6020]
        ])
        assert.deepInclude(seen[0], { kind: "failed", attempts: 1, maxAttempts: 3, hasAnother: true, wait: 0 })
        assert.deepInclude(seen[1], { kind: "throttled", attempts: 2, hasAnother: false })
      })
    )
  })

  it.effect("a schedule that ends ends the request, and the error says so", () => {
    const two = fleet([service("east"), service("west")], tiered)
    return run(
      two,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        two.services["east"]!.fault("gpt-4o", failing)
        const never = Schedule.recurs(0).pipe(Schedule.setInputType<Setback>())
        const error = yield* failure(lb.chat(hello, { schedule: never }))
        assert.strictEqual(reasonOf(error, "Unavailable").limitedBy, "schedule")
        assert.strictEqual(two.sends.length, 1)
      })
    )
  })

  it.effect("a schedule that is too quick still does not break the service's own time", () => {
    const one = fleet([service("east")])
    return run(
      one,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        one.services["east"]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 5000, times: 1 })
        const hasty = Schedule.spaced(0).pipe(Schedule.setInputType<Setback>())
        yield* answer(lb.chat(hello, { schedule: hasty }))
        assert.deepStrictEqual(one.sends.map(({ at }) => at), [0, 5010])
        assert.strictEqual((yield* stateOf("east")).totals.throttled, 1)
      })
    )
  })
})
