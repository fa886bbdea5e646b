import * as SeededRandom from "#core/simulation/SeededRandom"
import { assert, describe, it } from "@effect/vitest"
import { decodeConfig, Deployments, LoadBalancer } from "@evenkeel/core"
import { Effect, Exit, type Fiber, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import { answer, fleet, heard, hello, run, service, settle, stateOf } from "../../support/Balanced.ts"
import { azure, completion, scripted } from "../../support/Scripted.ts"

const asking = (tokens: number) => ({ ...hello, max_completion_tokens: tokens - 20 })

const wild = { name: "open", provider: "openai", apiKey: "open-key", deployments: [{ name: "*", pool: "p" }] } as const

const left = (remaining: number, limit = 600_000) => ({
  "x-ratelimit-limit-tokens": String(limit),
  "x-ratelimit-remaining-tokens": String(remaining)
})

const limits = Effect.gen(function*() {
  const { deployments } = yield* (yield* LoadBalancer).snapshot
  return Object.fromEntries(deployments.map(({ id, tokens }) => [id, tokens.limit]))
})

const hedged = LoadBalancer.use((lb) => Stream.runDrain(lb.chatStream(hello, { hedge: true })))

const countOk = (fibers: ReadonlyArray<Fiber.Fiber<unknown, unknown>>) =>
  fibers.filter((fiber) => {
    const exit = fiber.pollUnsafe()
    return exit !== undefined && Exit.isSuccess(exit)
  }).length

describe("LoadBalancer pools, as hostile readers found them", () => {
  it.effect("what a wildcard in a pool became gives way to a deployment of its name, and leaves the pool", () =>
    run(scripted([wild], () => completion), function*(lb, _, { members }) {
      yield* answer(lb.chat(hello))
      yield* members.add({ ...wild, deployments: [{ name: "gpt-4o", model: "best", tpm: 77 }] })
      yield* answer(lb.chat(hello))
      assert.isUndefined((yield* limits)["open/*:gpt-4o"])
      yield* members.remove("open/gpt-4o")
      yield* members.remove("open/*:gpt-4o")
      yield* answer(lb.chat(hello))
    }))

  it.effect("a member that is added again without a limit, as with a new key, leaves the pool its own", () => {
    const south = azure("south", { pool: "g" })
    const lbs = scripted([azure("east", { pool: "g", tpm: 9000 }), south], () => completion)
    return run(lbs, function*() {
      yield* (yield* Deployments).add({ ...south, apiKey: "new-key" })
      assert.deepStrictEqual(Object.values(yield* limits), [9000, 9000])
    })
  })

  it.effect("a deployment cannot move to another pool under way", () =>
    run(scripted([azure("east", { pool: "g" })], () => completion), function*() {
      const error = yield* Effect.flip((yield* Deployments).add(azure("east", { pool: "other" })))
      assert.include(error.message, "deployments[0].pool: cannot change under way")
    }))

  it("a wildcard's limit must be that of the pool's other members", () => {
    const result = decodeConfig({
      resources: [azure("east", { pool: "p", tpm: 200 }), {
        ...wild,
        deployments: [{ name: "*", pool: "p", tpm: 100 }]
      }]
    })
    assert.isTrue(Result.isFailure(result))
  })

  it.effect("models that nobody serves leave no pools behind", () =>
    run(scripted([wild], () => completion), function*(_lb, _on, { members }) {
      for (let i = 0; i < 500; i++) members.group(`typo-${i}`)
      yield* Effect.void
      assert.isAtMost(new Set(members.all().map(({ pool }) => pool)).size, 102)
    }))

  it.effect("a hedge that is refused without a word, beside a member that answers, takes no pool out", () => {
    const names = ["east", "north", "south"]
    const resources = names.map((name) => azure(name, { pool: "g" }))
    const one = fleet(names.map((name) => service(name)), { resources, failover: { maxWait: 0 } })
    return run(one, function*(lb) {
      for (let i = 0; i < 40; i++) yield* answer(hedged)
      for (const name of names) one.services[name]!.fault("*", { kind: "slow", factor: 20, times: 1 })
      const before = one.sends.length
      const call = yield* Effect.forkChild(hedged, { startImmediately: true })
      yield* TestClock.adjust(1)
      for (const name of names.filter((name) => name !== one.sends[before]!.resource)) {
        one.services[name]!.clear()
        one.services[name]!.fault("*", { kind: "throttle", headers: { "retry-after": "60" }, times: 1 })
      }
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(countOk([call]), 1)
      for (const name of names) one.services[name]!.clear()
      let answered = 0
      for (let i = 0; i < 20; i++) {
        if (Exit.isSuccess(yield* settle(lb.chat(hello)))) answered++
        yield* TestClock.adjust("1 second")
      }
      assert.isAtLeast(answered, 19)
    })
  })

  it.effect("members that were found to share part where one of them is always full and the other is not", () => {
    let began: number | undefined
    const uses: Array<readonly [at: number, name: string, tokens: number]> = []
    const lbs = scripted([azure("east", {}), azure("north", {})], (request, now) => {
      began ??= now
      const isSplit = now - began > 100_000
      const { resource } = request
      if (isSplit && resource === "east") {
        return {
          status: 429,
          headers: { "retry-after": "5", ...left(0) },
          body: { error: { message: "rate limit" } }
        }
      }
      const { max_completion_tokens } = JSON.parse(String(request.body)) as { max_completion_tokens: number }
      uses.push([now, resource, max_completion_tokens + 20])
      const used = uses.filter(([at, name]) => at > now - 60_000 && (!isSplit || name === resource))
        .reduce((sum, [, , tokens]) => sum + tokens, 0)
      return { ...completion, after: 50, headers: left(600_000 - used) }
    }, { failover: { maxWait: "2 seconds" } })
    return run(lbs, function*(lb, _, { events }) {
      const minute = Effect.gen(function*() {
        const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
        for (let i = 0; i < 300; i++) {
          const tokens = 100 + (fibers.length * 7919) % 1900
          fibers.push(yield* Effect.forkChild(lb.chat(asking(tokens)), { startImmediately: true }))
          yield* TestClock.adjust(200)
        }
        yield* TestClock.adjust(3000)
        return countOk(fibers)
      })
      yield* minute
      assert.isDefined((yield* stateOf("east")).pool)
      yield* minute
      yield* minute
      yield* minute
      assert.isUndefined((yield* stateOf("north")).pool)
      assert.isAtLeast(yield* minute, 298)
      // they do not come and go
      assert.strictEqual(heard(events, "PoolChanged").filter(({ left }) => left.length > 0).length, 1)
    })
  }, 60_000)

  it.effect("one refused request that asks for a billion tokens teaches nothing of a provisioned deployment", () => {
    const random = SeededRandom.make(3)
    const reply = () => "word ".repeat(10 + Math.floor(SeededRandom.lognormal(random, 0.6) * 20))
    const one = fleet([service("east", { provisioned: true, tpm: 6000, reply })], {
      unlimited: true,
      failover: { maxWait: "2 seconds" }
    })
    return run(one, function*(lb) {
      const minute = Effect.gen(function*() {
        const before = (yield* stateOf("east")).totals.throttled
        for (let at = 0; at < 60_000;) {
          yield* Effect.forkChild(lb.chat(asking(220)), { startImmediately: true })
          const gap = Math.max(1, Math.ceil(-Math.log(1 - random()) * 1000 / 6))
          yield* TestClock.adjust(gap)
          at += gap
        }
        return (yield* stateOf("east")).totals.throttled - before
      })
      yield* minute
      yield* minute
      assert.isAtMost(yield* minute, 10)
      one.services["east"]!.fault("gpt-4o", { kind: "status", status: 400, times: 1 })
      yield* Effect.forkChild(lb.chat(asking(1_000_000_000)), { startImmediately: true })
      yield* minute
      assert.isAtMost(yield* minute, 10)
    })
  }, 60_000)

  it.effect("a pool waits for as long as it was told where the word of the member alone is doubted", () => {
    let mode: "ok" | "busy" | "full" = "ok"
    const lbs = scripted([azure("east", { pool: "g" })], () =>
      mode === "ok"
        ? { ...completion, headers: left(9000, 10_000) }
        : mode === "busy"
        ? { status: 429, headers: { "retry-after": "60" }, body: { error: { message: "experiencing high demand" } } }
        : {
          status: 429,
          after: 20,
          headers: { "retry-after": "20", ...left(0, 10_000) },
          body: { error: { message: "rate limit" } }
        }, { failover: { maxWait: 0 } })
    return run(lbs, function*(lb) {
      yield* answer(lb.chat(asking(100)))
      mode = "busy"
      yield* settle(lb.chat(asking(100)))
      mode = "ok"
      yield* TestClock.adjust(200)
      yield* answer(lb.chat(asking(100)))
      mode = "full"
      yield* settle(lb.chat(asking(100)))
      const before = lbs.sends.length
      for (let i = 0; i < 20; i++) {
        yield* Effect.forkChild(lb.chat(asking(9000)), { startImmediately: true })
        yield* TestClock.adjust(900)
      }
      assert.isAtMost(lbs.sends.length - before, 6)
    })
  })
})
