import { assert, describe, it } from "@effect/vitest"
import { type CallOptions, LoadBalancer } from "@evenkeel/core"
import { Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { answer, failure, hello, reasonOf } from "../../support/Balanced.ts"
import { azure, completion, scripted } from "../../support/Scripted.ts"

/** A request that can be told from the others, of so many tokens. */
const ask = (name: string, tokens = 92, more: object = {}) => ({
  ...hello,
  ...more,
  max_tokens: tokens,
  messages: [{ role: "user" as const, content: `It is ${name}.` }]
})

const nameOf = (body: unknown): string => /It is ([\w-]+)\./.exec(String(body))?.[1] ?? ""

type Config = Parameters<typeof scripted>[2]

/** A balancer over one deployment of so many tokens or requests a minute, and who was sent, in order. */
const narrow = (
  limits: { readonly tpm?: number; readonly rpm?: number },
  failover: NonNullable<Config>["failover"]
) => {
  const lbs = scripted(
    [azure("east", limits)],
    () => completion,
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

describe("tenants whose requests wait", () => {
  it.effect("take turns, however many of one came first, and each is served in its order", () => {
    // one in ten seconds
    const lbs = narrow({ rpm: 6 }, patient)
    return Effect.gen(function*() {
      const asking = []
      for (const name of ["a0", "a1", "a2", "a3", "b1", "b2", "c1"]) asking.push(yield* come(name[0], name))
      yield* answer(Effect.forEach(asking, Fiber.join))
      assert.deepStrictEqual(lbs.sent(), ["a0", "a1", "b1", "c1", "a2", "b2", "a3"])
      yield* assertQuiet
    }).pipe(Effect.provide(lbs.layer))
  })

  it.effect("take turns by tokens, not by requests", () => {
    const lbs = narrow({ rpm: 6 }, patient)
    return Effect.gen(function*() {
      const asking = []
      for (const name of ["a0", "a1", "a2", "a3"]) asking.push(yield* come("a", name, 400))
      for (const name of ["b1", "b2", "b3", "b4", "b5"]) asking.push(yield* come("b", name, 250))
      yield* answer(Effect.forEach(asking, Fiber.join))
      assert.deepStrictEqual(lbs.sent(), ["a0", "a1", "b1", "b2", "a2", "b3", "b4", "a3", "b5"])
    }).pipe(Effect.provide(lbs.layer))
  })

  it.effect("are one tenant where none is named", () => {
    const lbs = narrow({ rpm: 6 }, patient)
    return Effect.gen(function*() {
      const asking = []
      for (const name of ["a", "b", "c", "d"]) asking.push(yield* come(undefined, name))
      asking.push(yield* come("tenant", "e"))
      yield* answer(Effect.forEach(asking, Fiber.join))
      assert.deepStrictEqual(lbs.sent(), ["a", "b", "e", "c", "d"])
    }).pipe(Effect.provide(lbs.layer))
  })

  it.effect("come in front of a flood of others, and nearly all of them are answered", () => {
    const lbs = scripted([azure("east", { rpm: 60 })], () => completion, { failover: { maxWait: "15 seconds" } })
    const results: Record<string, Array<boolean>> = { flood: [], modest: [] }
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
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
    }).pipe(Effect.provide(lbs.layer))
  })
})

describe("a tenant that comes to a full line", () => {
  it.effect("has the newest place of the tenant with most, up to its equal share", () => {
    const lbs = narrow({ rpm: 6 }, { ...patient, maxWaiting: 4 })
    return Effect.gen(function*() {
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
    }).pipe(Effect.provide(lbs.layer))
  })
})

describe("the name of a tenant", () => {
  it.effect("is refused where it is no text, or none that could be a name", () => {
    const lbs = scripted([azure("east")], () => completion)
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
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
    }).pipe(Effect.provide(lbs.layer))
  })
})
