import * as Limiter from "#core/simulation/SimulatedLimiter"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { check } from "../../support/Check.ts"

describe("a standard deployment", () => {
  it("admits up to the limit exactly, and no further", () => {
    const limiter = Limiter.make({ tpm: 1_000 })
    assert.isUndefined(limiter.admit(600, 0))
    assert.isUndefined(limiter.admit(400, 10_000))
    assert.deepStrictEqual(limiter.admit(1, 20_000), { limit: "tokens", retryAfterMs: 40_000, used: 1_000 })
  })

  it("frees tokens as they leave the last minute", () => {
    const limiter = Limiter.make({ tpm: 1_000 })
    limiter.admit(600, 0)
    limiter.admit(400, 10_000)
    assert.isDefined(limiter.admit(600, 59_999))
    assert.isUndefined(limiter.admit(600, 60_000))
    assert.strictEqual(limiter.admit(500, 60_000)?.retryAfterMs, 60_000)
    assert.strictEqual(limiter.admit(400, 60_000)?.retryAfterMs, 10_000)
  })

  it("never takes a charge back", () => {
    const limiter = Limiter.make({ tpm: 1_000 })
    limiter.admit(1_000, 0)
    limiter.correct(-900, 100)
    assert.strictEqual(limiter.usage(200).tokens, 1_000)
  })

  it("charges nothing for what it refuses", () => {
    const limiter = Limiter.make({ tpm: 1_000, rpm: 60 })
    limiter.admit(900, 0)
    limiter.admit(200, 0)
    assert.deepInclude(limiter.usage(0), { tokens: 900, requests: 1 })
  })

  it.each([[10_000, 100], [1_000, 10]])("enforces requests in slices of %i ms", (requestSliceMs, slice) => {
    const limiter = Limiter.make({ rpm: 600, requestSliceMs })
    for (let i = 0; i < slice; i++) assert.isUndefined(limiter.admit(1, 0))
    assert.deepInclude(limiter.admit(1, 0), { limit: "requests", retryAfterMs: requestSliceMs })
    assert.isUndefined(limiter.admit(1, requestSliceMs))
  })

  it("enforces requests by the minute where slices are coarse", () => {
    const limiter = Limiter.make({ rpm: 3 })
    for (const now of [0, 10_000, 20_000]) assert.isUndefined(limiter.admit(1, now))
    assert.strictEqual(limiter.admit(1, 30_000)?.retryAfterMs, 30_000)
  })

  it("resets whole minutes at its own phase", () => {
    const limiter = Limiter.make({ tpm: 1_000, window: "fixed", phaseMs: 15_000 })
    assert.isUndefined(limiter.admit(1_000, 14_000))
    assert.strictEqual(limiter.admit(1, 14_500)?.retryAfterMs, 500)
    assert.isUndefined(limiter.admit(1_000, 15_000))
    assert.strictEqual(limiter.usage(20_000).tokensResetMs, 55_000)
    assert.isUndefined(limiter.admit(1_000, 75_000))
  })

  it("admits a request larger than the limit only when nothing else is in use", () => {
    const limiter = Limiter.make({ tpm: 1_000 })
    assert.isUndefined(limiter.admit(5_000, 0))
    assert.strictEqual(limiter.admit(5_000, 100)?.retryAfterMs, 59_900)
    assert.isUndefined(limiter.admit(5_000, 60_000))
  })

  it("counts other clients, also beyond the limit", () => {
    const limiter = Limiter.make({ tpm: 1_000, rpm: 60 })
    limiter.consume(1_500, 3, 0)
    assert.deepInclude(limiter.usage(0), { tokens: 1_500, requests: 3, utilization: 1.5 })
    assert.isDefined(limiter.admit(1, 59_999))
    assert.isUndefined(limiter.admit(1, 60_000))
  })

  it("takes new limits while it runs", () => {
    const limiter = Limiter.make({ tpm: 1_000, rpm: 60 })
    limiter.admit(400, 0)
    limiter.setLimits({ tpm: 500 })
    assert.deepInclude(limiter.usage(0), { tpm: 500, rpm: 60, utilization: 0.8 })
    assert.isDefined(limiter.admit(200, 0))
  })

  it("admits everything without limits", () => {
    const limiter = Limiter.make({})
    for (let i = 0; i < 5_000; i++) assert.isUndefined(limiter.admit(1_000_000, i))
    assert.strictEqual(limiter.usage(0).utilization, 0)
  })

  it.prop(
    "never lets more than the limit into any minute, and says a time at which the same fits",
    [Schema.Array(Schema.Struct({
      tokens: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 400 })),
      after: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20_000 }))
    }))],
    ([sends]) => {
      const limiter = Limiter.make({ tpm: 1_000 })
      const admitted: Array<{ at: number; tokens: number }> = []
      let now = 0
      for (const { after, tokens } of sends) {
        now += after
        const refusal = limiter.admit(tokens, now)
        if (refusal !== undefined) {
          now += refusal.retryAfterMs
          assert.isUndefined(limiter.admit(tokens, now))
        }
        admitted.push({ at: now, tokens })
        const window = admitted.filter(({ at }) => at > now - 60_000).reduce((sum, one) => sum + one.tokens, 0)
        assert.isAtMost(window, 1_000)
        assert.strictEqual(limiter.usage(now).tokens, window)
      }
    },
    check()
  )
})

describe("a bucket that refills continuously", () => {
  const options = { tpm: 6_000, rpm: 60, window: "bucket" } as const

  it("takes a minute's limit at once, then what has come back", () => {
    const limiter = Limiter.make(options)
    for (let i = 0; i < 60; i++) assert.isUndefined(limiter.admit(1, 0))
    assert.deepStrictEqual(limiter.admit(1, 0), { limit: "requests", retryAfterMs: 1_000, used: 60 })
    assert.isDefined(limiter.admit(1, 999))
    assert.isUndefined(limiter.admit(1, 1_000))
    assert.strictEqual(limiter.admit(1, 1_500)?.retryAfterMs, 500)
    assert.strictEqual(limiter.usage(31_000).requests, 30)
    assert.strictEqual(limiter.usage(31_000).requestsResetMs, 30_000)
  })

  it("says when so many tokens fit", () => {
    const limiter = Limiter.make(options)
    limiter.admit(6_000, 0)
    assert.deepStrictEqual(limiter.admit(500, 0), { limit: "tokens", retryAfterMs: 5_000, used: 6_000 })
    assert.isUndefined(limiter.admit(500, 5_000))
    limiter.setLimits({ tpm: 60_000 })
    assert.isUndefined(limiter.admit(30_000, 6_000))
  })

  it("keeps a short slice where one is given", () => {
    const limiter = Limiter.make({ ...options, requestSliceMs: 10_000 })
    for (let i = 0; i < 10; i++) assert.isUndefined(limiter.admit(1, 0))
    assert.deepInclude(limiter.admit(1, 0), { limit: "requests", retryAfterMs: 1_000 })
  })
})

describe("a request that is larger than the limit", () => {
  it("is never admitted where that is the service's way", () => {
    const limiter = Limiter.make({ tpm: 1_000, refusesTooLarge: true })
    assert.deepStrictEqual(limiter.admit(1_001, 0), { limit: "size", retryAfterMs: Infinity, used: 0 })
    assert.isUndefined(limiter.admit(1_000, 0))
  })
})

describe("a provisioned deployment", () => {
  // 6,000 tokens a minute: the bucket drains 100 a second and holds 1,000.
  const options = { tpm: 6_000, provisioned: true }

  it("admits a burst just above 100 %, then refuses until it is below", () => {
    const limiter = Limiter.make(options)
    assert.isUndefined(limiter.admit(900, 0))
    assert.isUndefined(limiter.admit(600, 0))
    assert.deepStrictEqual(limiter.admit(1, 0), { limit: "utilization", retryAfterMs: 5_000, used: 1_500 })
    assert.isDefined(limiter.admit(1, 4_999))
    assert.isUndefined(limiter.admit(1, 5_000))
  })

  it("corrects both ways", () => {
    const limiter = Limiter.make(options)
    limiter.admit(1_000, 0)
    limiter.correct(-800, 0)
    assert.strictEqual(limiter.usage(0).utilization, 0.2)
    limiter.correct(500, 0)
    assert.strictEqual(limiter.usage(0).utilization, 0.7)
    limiter.correct(-5_000, 0)
    assert.strictEqual(limiter.usage(0).utilization, 0)
  })

  it("drains all the time", () => {
    const limiter = Limiter.make(options)
    limiter.admit(1_000, 0)
    assert.strictEqual(limiter.usage(2_500).utilization, 0.75)
    assert.strictEqual(limiter.usage(60_000).utilization, 0)
  })
})
