import { assert, describe, it } from "@effect/vitest"
import { type CallOptions, Deployments, LoadBalancer, Telemetry } from "@evenkeel/core"
import { Clock, Effect, Exit, Fiber, Layer, Logger, Metric, Schema } from "effect"
import { TestClock } from "effect/testing"
import { inspect } from "node:util"
import { answer, failure, hello, listen, reasonOf, run, settle } from "../../support/Balanced.ts"
import { check, integer } from "../../support/Check.ts"
import { inSmallSteps, letRun } from "../../support/Interleaving.ts"
import { azure, type Canned, completion, scripted } from "../../support/Scripted.ts"
import { makeRecorder, printedSpan, traced } from "../../support/Spans.ts"

/** A request that can be told from the others, of so many tokens. */
const ask = (name: string, tokens = 92, more: object = {}) => ({
  ...hello,
  ...more,
  max_tokens: tokens,
  messages: [{ role: "user" as const, content: `It is ${name}.` }]
})

const nameOf = (body: unknown): string => /It is ([\w-]+)\./.exec(String(body))?.[1] ?? ""

const stored: Canned = {
  status: 200,
  body: { id: "resp_1", object: "response", output: [], usage: { input_tokens: 1, output_tokens: 1 } }
}

type Config = Parameters<typeof scripted>[2]

/** A balancer over one deployment of so many tokens or requests a minute, and who was sent, in order. */
const narrow = (
  limits: { readonly tpm?: number; readonly rpm?: number },
  failover: NonNullable<Config>["failover"]
) => {
  const lbs = scripted(
    [azure("east", limits)],
    ({ path }) => path.includes("responses") ? stored : completion,
    { failover }
  )
  return { ...lbs, sent: () => lbs.sends.map(({ body }) => nameOf(body)) }
}

const patient = { maxWait: "2 minutes" } as const

/** Begins to ask, as somebody. */
const come = (tenant: string | undefined, name: string, tokens?: number, more?: object) =>
  Effect.flatMap(LoadBalancer, (lb) => Effect.forkChild(Effect.exit(lb.chat(ask(name, tokens, more), { tenant }))))

/** Nobody is in line, and nothing is in flight. */
const assertQuiet = Effect.gen(function*() {
  const lb = yield* LoadBalancer
  const { deployments, models } = yield* lb.snapshot
  assert.deepStrictEqual(models.map(({ waiting }) => waiting), models.map(() => 0))
  assert.deepStrictEqual(deployments.map(({ inFlight }) => inFlight), deployments.map(() => 0))
})

/** A large one waits, and two small ones find the line full; who was sent, and what became of the small ones. */
const playFull = (tenants: { readonly large: string | undefined; readonly small: string | undefined }) =>
  run(narrow({ tpm: 1000 }, { ...patient, maxWaiting: 1 }), function*(lb, lbs) {
    yield* answer(lb.chat(ask("first", 600)))
    const large = yield* come(tenants.large, "large", 600)
    yield* TestClock.adjust("1 second")
    // there is no place for them, but room
    const exits = []
    for (const name of ["small-1", "small-2"]) {
      exits.push(yield* settle(lb.chat(ask(name, 90), { tenant: tenants.small })))
    }
    yield* answer(Fiber.join(large))
    return [...lbs.sent(), ...exits.map((exit) => Exit.isSuccess(exit) ? "served" : "refused")]
  })

describe("tenants whose requests wait", () => {
  it.effect("take turns, however many of one came first, and each is served in its order", () => {
    // one in ten seconds
    const lbs = narrow({ rpm: 6 }, patient)
    return run(lbs, function*() {
      const asking = []
      for (const name of ["a0", "a1", "a2", "a3", "b1", "b2", "c1"]) asking.push(yield* come(name[0], name))
      yield* answer(Effect.forEach(asking, Fiber.join))
      assert.deepStrictEqual(lbs.sent(), ["a0", "a1", "b1", "c1", "a2", "b2", "a3"])
      yield* assertQuiet
    })
  })

  it.effect("take turns by tokens, not by requests", () =>
    run(narrow({ rpm: 6 }, patient), function*(_, lbs) {
      const asking = []
      for (const name of ["a0", "a1", "a2", "a3"]) asking.push(yield* come("a", name, 400))
      for (const name of ["b1", "b2", "b3", "b4", "b5"]) asking.push(yield* come("b", name, 250))
      yield* answer(Effect.forEach(asking, Fiber.join))
      assert.deepStrictEqual(lbs.sent(), ["a0", "a1", "b1", "b2", "a2", "b3", "b4", "a3", "b5"])
    }))

  it.effect("are one tenant where none is named", () =>
    run(narrow({ rpm: 6 }, patient), function*(_, lbs) {
      const asking = []
      for (const name of ["a", "b", "c", "d"]) asking.push(yield* come(undefined, name))
      asking.push(yield* come("tenant", "e"))
      yield* answer(Effect.forEach(asking, Fiber.join))
      assert.deepStrictEqual(lbs.sent(), ["a", "b", "e", "c", "d"])
    }))

  it.effect("take turns as before after requests of sizes that nothing has", () =>
    run(narrow({ rpm: 6 }, patient), function*(_, lbs) {
      const asking = []
      for (const name of ["x0", "x1"]) asking.push(yield* come("x", name))
      for (const name of ["mad-0", "mad-1"]) asking.push(yield* come("mad", name, 1e308, { n: 10 }))
      yield* answer(Effect.forEach(asking, Fiber.join))
      yield* TestClock.adjust("2 minutes")
      const later = []
      for (const name of ["a0", "a1", "a2", "a3", "b1"]) later.push(yield* come(name[0], name))
      yield* answer(Effect.forEach(later, Fiber.join))
      assert.deepStrictEqual(lbs.sent().slice(-5), ["a0", "a1", "b1", "a2", "a3"])
    }))

  it.effect("hold nobody up for nothing, though they are interrupted each time that it is their turn", () =>
    run(narrow({ tpm: 1000 }, { maxWait: "100 seconds", maxWaiting: 1 }), function*(lb) {
      yield* answer(lb.chat(ask("first", 600), { tenant: "first" }))
      let served = 0
      for (let i = 0; i < 10; i++) {
        const large = yield* come("large", "large", 600)
        yield* TestClock.adjust("5 seconds")
        const small = yield* settle(lb.chat(ask("small", 20), { tenant: "small" }), { step: 10, limit: 100 }).pipe(
          Effect.exit
        )
        if (Exit.isSuccess(small)) served++
        yield* Fiber.interrupt(large)
      }
      assert.isAtLeast(served, 4)
      yield* assertQuiet
    }))

  it.effect("do not take what one waits for that was let through less, though they can wait no longer", () => {
    return Effect.gen(function*() {
      const alone = ["first", "small-1", "small-2", "large", "served", "served"]
      assert.deepStrictEqual(yield* playFull({ large: undefined, small: undefined }), alone)
      assert.deepStrictEqual(yield* playFull({ large: "a", small: "a" }), alone)
      // it was let through as much as the other, and then more
      const others = ["first", "small-1", "large", "served", "refused"]
      assert.deepStrictEqual(yield* playFull({ large: "a", small: "b" }), others)
    })
  })

  it.effect("wait no longer in turn where they may only go to one resource", () =>
    run(narrow({ tpm: 1000 }, patient), function*(lb, lbs) {
      yield* answer(lb.responses({ model: "gpt-4o", input: "It is first.", max_output_tokens: 590 }))
      yield* TestClock.adjust("20 seconds")
      yield* answer(lb.chat(ask("second", 290)))
      // its turn is given up, so that those behind it go and wait aside for the resource, of a tenant that had a turn
      const before = yield* come("flood", "before", 600)
      const asking = []
      for (let i = 0; i < 6; i++) {
        const pinned = {
          model: "gpt-4o",
          input: "It is pinned.",
          previous_response_id: "resp_1",
          max_output_tokens: 80
        }
        asking.push(yield* Effect.forkChild(Effect.exit(lb.responses(pinned, { tenant: "flood" }))))
      }
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(before)
      yield* TestClock.adjust("1 second")
      const modest = yield* come("modest", "modest", 590)
      yield* answer(Fiber.join(modest))
      assert.deepStrictEqual(lbs.sent(), ["first", "second", "pinned", "modest"])
      yield* answer(Effect.forEach(asking, Fiber.join))
      assert.lengthOf(lbs.sent(), 9)
      yield* assertQuiet
    }))

  it.effect("are not counted for what waits for its own sake", () => {
    const lbs = scripted(
      [azure("east", { rpm: 6 })],
      ({ body }) => String(body).includes("flex") ? { status: 429, headers: { "retry-after": "40" } } : completion,
      { failover: { ...patient, attempts: 1 } }
    )
    return run(lbs, function*(lb) {
      yield* settle(lb.chat(ask("flex-0", 900, { service_tier: "flex" }), { tenant: "a" }))
      const asking = []
      for (const name of ["a0", "a1"]) asking.push(yield* come("a", name))
      // it is nobody's turn that this one waits for
      const flex = yield* come("a", "flex-1", 900, { service_tier: "flex" })
      for (const name of ["b1", "a2", "b2"]) asking.push(yield* come(name[0], name))
      yield* answer(Effect.forEach(asking, Fiber.join))
      const order = lbs.sends.map(({ body }) => nameOf(body)).filter((name) => !name.startsWith("flex"))
      assert.deepStrictEqual(order, ["a0", "a1", "b1", "a2", "b2"])
      yield* Fiber.interrupt(flex)
      yield* assertQuiet
    })
  })

  it.effect("come in front of a flood of others, and nearly all of them are answered", () => {
    const lbs = scripted([azure("east", { rpm: 60 })], () => completion, { failover: { maxWait: "15 seconds" } })
    const results: Record<string, Array<boolean>> = { flood: [], modest: [] }
    return run(lbs, function*(lb) {
      const asking: Array<Fiber.Fiber<unknown>> = []
      const ask100 = (tenant: string, i: number) =>
        Effect.map(
          Effect.exit(lb.chat(ask(`${tenant}-${i}`), { tenant })),
          (exit) => void results[tenant]!.push(Exit.isSuccess(exit))
        )
      // room for ten in ten seconds: twenty times as much is asked for by one, and a fifth of it by the other
      for (let i = 0; i < 120; i++) {
        for (let k = 0; k < 20; k++) asking.push(yield* Effect.forkChild(ask100("flood", i * 20 + k)))
        if (i % 5 === 4) asking.push(yield* Effect.forkChild(ask100("modest", i)))
        yield* TestClock.adjust("1 second")
      }
      yield* answer(Effect.forEach(asking, Fiber.join, { discard: true }))
      const answered = results["modest"]!.filter((isAnswered) => isAnswered).length
      assert.isAtLeast(answered, 0.95 * results["modest"]!.length)
      assert.isAtLeast(results["flood"]!.filter((isAnswered) => isAnswered).length, 70)
      yield* assertQuiet
    })
  })
})

describe("a tenant that comes to a full line", () => {
  it.effect("has the newest place of the tenant with most, up to its equal share", () =>
    run(narrow({ rpm: 6 }, { ...patient, maxWaiting: 4 }), function*(_, lbs) {
      const flood = []
      for (const name of ["a0", "a1", "a2", "a3", "a4", "a5"]) flood.push(yield* come("a", name))
      // only these waited
      reasonOf(yield* Effect.flip(yield* Fiber.join(flood[5]!)), "Throttled")
      const modest = []
      for (const name of ["b1", "b2"]) modest.push(yield* come("b", name))
      for (const i of [4, 3]) {
        const reason = reasonOf(yield* Effect.flip(yield* answer(Fiber.join(flood[i]!))), "Throttled")
        assert.isAbove(reason.retryAfter, 0)
      }
      const third = yield* come("b", "b3")
      reasonOf(yield* Effect.flip(yield* answer(Fiber.join(third))), "Throttled")
      yield* answer(Effect.forEach(modest, Fiber.join))
      assert.deepStrictEqual(lbs.sent().slice(0, 5), ["a0", "a1", "b1", "a2", "b2"])
      yield* assertQuiet
    }))

  it.effect("takes it from one that goes ahead all the same, if there is room for that", () =>
    run(narrow({ tpm: 1000 }, { maxWait: "3 minutes", maxWaiting: 2 }), function*(lb, lbs) {
      yield* answer(lb.chat(ask("first", 600)))
      const asking = [yield* come("a", "a-large", 600), yield* come("a", "a-small", 90)]
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(lbs.sent(), ["first"])
      asking.push(yield* come("b", "b-large", 600))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(lbs.sent(), ["first", "a-small"])
      yield* answer(Effect.forEach(asking, Fiber.join))
      assert.deepStrictEqual(lbs.sent(), ["first", "a-small", "a-large", "b-large"])
    }))
})

const call = Schema.Struct({
  /** What it is: most wait in line, some for one resource, some for their own service tier. */
  kind: Schema.Literals(["plain", "plain", "plain", "pinned", "flex"]),
  tenant: integer(0, 3),
  tokens: integer(10, 900),
  /** Milliseconds after the one before. */
  after: integer(0, 9000),
  /** Milliseconds until it is interrupted, if it is. */
  until: Schema.Union([Schema.Undefined, integer(0, 40_000)]),
  timeout: Schema.Union([Schema.Undefined, integer(1, 60_000)])
})

describe("in any interleaving, at every single step", () => {
  it.effect.prop("no waiter is lost, and none is sent before a tenant that was let through less and waits", {
    calls: Schema.Array(call),
    maxWait: integer(1, 40),
    maxWaiting: integer(0, 6),
    isFlexTold: Schema.Boolean
  }, ({ calls, isFlexTold, maxWait, maxWaiting }) => {
    const lbs = scripted(
      [azure("east", { tpm: 1000 })],
      ({ body, path }) =>
        isFlexTold && String(body).includes("flex")
          ? { status: 429, headers: { "retry-after": "7" } }
          : path.includes("responses")
          ? stored
          : completion,
      { failover: { maxWait: maxWait * 1000, maxWaiting, attempts: 1 } }
    )
    return run(lbs, function*(lb) {
      const group = (yield* Deployments).group("gpt-4o")!
      const { line } = group
      const pass = line.pass.bind(line)
      let wrong = ""
      line.pass = (tenant, tokens) => {
        if (!line.isDue(tenant)) wrong ||= `${tenant} was sent before its turn`
        pass(tenant, tokens)
      }
      yield* answer(lb.responses({ model: "gpt-4o", input: "It is first.", max_output_tokens: 500 }))
      const fibers: Array<Fiber.Fiber<Exit.Exit<unknown, unknown>>> = []
      for (const { after, kind, tenant: number, timeout, tokens, until } of calls) {
        yield* TestClock.adjust(after)
        const options: CallOptions = { tenant: [undefined, "a", "b", "c"][number], timeout }
        const one: Effect.Effect<unknown, unknown> = kind === "pinned"
          ? lb.responses(
            { model: "gpt-4o", input: "It is pinned.", previous_response_id: "resp_1", max_output_tokens: tokens },
            options
          )
          : lb.chat(ask("plain", tokens, kind === "flex" ? { service_tier: "flex" } : {}), options)
        const fiber = yield* Effect.forkChild(inSmallSteps(Effect.exit(one)))
        fibers.push(fiber)
        yield* letRun
        if (until !== undefined) yield* Effect.forkChild(Effect.delay(Fiber.interrupt(fiber), until))
        assert.isAtMost(line.length, maxWaiting)
      }
      yield* TestClock.adjust("3 minutes")
      assert.strictEqual(wrong, "")
      assert.strictEqual(line.length, 0)
      for (const fiber of fibers) assert.isDefined(fiber.pollUnsafe(), "a request never ended")
      for (const fiber of fibers) {
        const exit = yield* Fiber.await(fiber)
        if (Exit.isFailure(exit) || Exit.isSuccess(exit.value)) continue
        const error = yield* Effect.flip(exit.value)
        assert.include(["Throttled", "TimedOut"], (error as { readonly reason: { readonly _tag: string } }).reason._tag)
      }
      yield* assertQuiet
    })
  }, check({ size: 25 }))

  it.effect.prop("calls of one tenant go as they do without a name", {
    calls: Schema.Array(call),
    maxWait: integer(1, 40),
    maxWaiting: integer(0, 6)
  }, ({ calls, maxWait, maxWaiting }) => {
    const play = (tenant: string | undefined) => {
      const lbs = narrow({ tpm: 1000 }, { maxWait: maxWait * 1000, maxWaiting, attempts: 1 })
      return Effect.gen(function*() {
        const lb = yield* LoadBalancer
        yield* answer(lb.responses({ model: "gpt-4o", input: "It is first.", max_output_tokens: 500 }))
        const seen: Array<string> = []
        for (const [i, { after, kind, timeout, tokens, until }] of calls.entries()) {
          yield* TestClock.adjust(after)
          const one: Effect.Effect<unknown, unknown> = kind === "pinned"
            ? lb.responses(
              { model: "gpt-4o", input: `It is ${i}.`, previous_response_id: "resp_1", max_output_tokens: tokens },
              { tenant, timeout }
            )
            : lb.chat(ask(String(i), tokens), { tenant, timeout })
          const told = Effect.flatMap(Effect.exit(one), (exit) =>
            Effect.map(Clock.currentTimeMillis, (now) => {
              seen.push(`${i} at ${now}: ${Exit.isSuccess(exit) ? "served" : String(exit.cause)}`)
            }))
          const fiber = yield* Effect.forkChild(told)
          if (until !== undefined) yield* Effect.forkChild(Effect.delay(Fiber.interrupt(fiber), until))
        }
        yield* TestClock.adjust("3 minutes")
        return [...lbs.sent(), ...seen]
      }).pipe(Effect.provide(Layer.provideMerge(lbs.layer, TestClock.layer())))
    }
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* play("a"), yield* play(undefined))
    })
  }, check({ size: 25 }))
})

describe("the name of a tenant", () => {
  const name = "tenant-of-whom-nobody-hears"

  it.effect("is in nothing that is sent, told or measured", () => {
    const recorder = makeRecorder()
    const lines: Array<unknown> = []
    const logger = Logger.make<unknown, void>((options) => void lines.push(Logger.formatJson.log(options)))
    let sends = 0
    const lbs = scripted(
      [azure("east", { rpm: 6 })],
      () => sends++ === 0 ? { status: 429, headers: { "retry-after": "2" } } : completion,
      { failover: { maxWait: "15 seconds", maxWaiting: 2 } },
      { telemetry: Telemetry.layer() }
    )
    return traced(
      recorder,
      Effect.gen(function*() {
        const lb = yield* LoadBalancer
        const events = yield* listen
        const explained: Array<string> = []
        const options = { tenant: name, explain: (explanation: object) => void explained.push(inspect(explanation)) }
        const asking: Array<Fiber.Fiber<Exit.Exit<unknown, unknown>>> = []
        for (let i = 0; i < 5; i++) asking.push(yield* Effect.forkChild(Effect.exit(lb.chat(ask("one"), options))))
        asking.push(yield* Effect.forkChild(Effect.exit(lb.request({ path: "/models" }, options))))
        yield* TestClock.adjust("1 second")
        const snapshot = inspect(yield* lb.snapshot, { depth: 20 })
        const exits = yield* answer(Effect.forEach(asking, Fiber.join))
        assert.isTrue(exits.some(Exit.isSuccess) && exits.some(Exit.isFailure))
        const said = [
          snapshot,
          ...explained,
          inspect(lbs.sends, { depth: 20 }),
          inspect(exits, { depth: 20 }),
          inspect(events, { depth: 20 }),
          inspect(yield* Metric.snapshot, { depth: 20 }),
          ...recorder.spans.map(printedSpan),
          ...lines.map(String)
        ].join("\n")
        assert.include(said, "east")
        assert.isAbove(recorder.spans.length, 0)
        assert.notInclude(said, name)
      }).pipe(
        Effect.provide(Layer.provideMerge(lbs.layer, Logger.layer([logger]))),
        Effect.provideService(Metric.MetricRegistry, new Map())
      )
    )
  })

  it.effect("is refused where it is no text, or none that could be a name", () =>
    run(scripted([azure("east")], () => completion), function*(lb, lbs) {
      for (const tenant of ["", "x".repeat(257), 5, {}, null]) {
        const options = { tenant } as unknown as CallOptions
        const { description } = reasonOf(yield* failure(lb.chat(hello, options)), "Rejected")
        assert.strictEqual(description, "`tenant` is no text of 1 to 256 characters; nothing was sent.")
        reasonOf(yield* failure(lb.request({ path: "/models" }, options)), "Rejected")
      }
      assert.lengthOf(lbs.sends, 0)
      yield* answer(lb.chat(hello, { tenant: "x".repeat(256) }))
      yield* answer(lb.chat(hello, { tenant: undefined }))
      assert.lengthOf(lbs.sends, 2)
    }))
})
