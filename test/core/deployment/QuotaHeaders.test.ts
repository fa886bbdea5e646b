import { Quota, type QuotaOptions } from "#core/deployment/Quota"
import { parseRateLimits, type RateLimits } from "#core/deployment/RateLimitHeaders"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"

const make = (options: Partial<QuotaOptions> = {}): Quota =>
  new Quota({ tpm: 1000, rpm: 600, provisioned: false, requestSlice: 10_000, headerMaxAge: 10_000, ...options })

const nothing: RateLimits = parseRateLimits({})

const limits = (given: Partial<RateLimits>): RateLimits => ({ ...nothing, ...given })

const state = (quota: Quota, now: number) => ({
  tokens: quota.tokensUsed(now),
  requests: quota.requestsUsed(now),
  tokenLimit: quota.tokenLimit,
  requestLimit: quota.requestLimit,
  utilisation: quota.utilisation(now)
})

describe("limits that the service tells", () => {
  it("lower ours, and never raise them above what was configured", () => {
    const quota = make()
    quota.observe(limits({ limitTokens: 400 }), quota.reserve(0, 100), 100)
    assert.deepStrictEqual([quota.tokenLimit, quota.capacity, quota.utilisation(100)], [400, 400, 0.25])
    quota.observe(limits({ limitTokens: 5000 }), quota.reserve(200, 100), 300)
    assert.strictEqual(quota.tokenLimit, 1000)
  })

  it("are the limits where none was configured", () => {
    const quota = make({ tpm: undefined, rpm: undefined })
    quota.observe(limits({ limitTokens: 400, limitRequests: 60 }), quota.reserve(0, 100), 100)
    assert.deepStrictEqual([quota.tokenLimit, quota.requestLimit], [400, 60])
  })

  it("do not apply when they are older than the last that did", () => {
    const quota = make()
    const older = quota.reserve(0, 1)
    const newer = quota.reserve(50, 1)
    quota.observe(limits({ limitTokens: 500 }), newer, 100)
    quota.observe(limits({ limitTokens: 200, remainingTokens: 0 }), older, 150)
    assert.strictEqual(quota.tokenLimit, 500)
    assert.strictEqual(quota.othersTokensUsed(150), 0)
  })

  it("do not apply when they answer what was sent over 10 s ago", () => {
    const quota = make()
    quota.observe(limits({ limitTokens: 200 }), quota.reserve(0, 1), 10_001)
    assert.strictEqual(quota.tokenLimit, 1000)
    quota.observe(limits({ limitTokens: 200 }), quota.reserve(10_001, 1), 20_001)
    assert.strictEqual(quota.tokenLimit, 200)
  })

  it.each([
    ["-1, -1, 0, as of an unknown limit", "-1", "-1"],
    ["a negative count", "1000", "-40"],
    ["junk", "many", "few"],
    ["nothing", "", ""],
    ["infinity", "Infinity", "Infinity"],
    ["a number of no use", "1e400", "NaN"]
  ])("are left alone by %s", (_, limit, remaining) => {
    const quota = make()
    const reservation = quota.reserve(0, 100)
    const before = state(quota, 100)
    const headers = {
      "x-ratelimit-limit-tokens": limit,
      "x-ratelimit-limit-requests": limit,
      "x-ratelimit-remaining-tokens": remaining,
      "x-ratelimit-remaining-requests": remaining
    }
    const told = parseRateLimits(limit === "1000" ? { ...headers, "x-ratelimit-limit-requests": "" } : headers)
    quota.observe(told, reservation, 100)
    assert.deepStrictEqual(state(quota, 100), before)
  })

  it.prop("never make the ledger negative, infinite or unreadable, whatever the headers say", {
    values: Schema.Array(Schema.Union([Schema.String, Schema.Number, integer(-5, 5000)])).check(Schema.isMinLength(4)),
    utilisation: Schema.Union([Schema.String, integer(-50, 500)]),
    rounds: integer(1, 5)
  }, ({ rounds, utilisation, values }) => {
    const quota = make({ provisioned: true })
    const at = (i: number) => String(values[i % values.length])
    for (let round = 0; round < rounds; round++) {
      const now = round * 1000
      quota.observe(
        parseRateLimits({
          "x-ratelimit-limit-tokens": at(round),
          "x-ratelimit-remaining-tokens": at(round + 1),
          "x-ratelimit-limit-requests": at(round + 2),
          "x-ratelimit-remaining-requests": at(round + 3),
          "azure-openai-deployment-utilization": `${utilisation}%`
        }),
        quota.reserve(now, 10),
        now + 10
      )
      for (const value of Object.values(state(quota, now + 10))) assert.isTrue(Number.isFinite(value) && value >= 0)
    }
  }, check())
})

describe("what only refusals tell", () => {
  const exhausted = limits({ limitRequests: 60, remainingRequests: 0 })

  /** Ten requests, and a refusal of the eleventh that asks to come back after a second. */
  const refused = (options: Partial<QuotaOptions> = {}) => {
    const quota = make({ tpm: undefined, rpm: undefined, ...options })
    for (let i = 0; i < 10; i++) quota.reserve(i, 10)
    const reservation = quota.reserve(10, 10)
    quota.observe(exhausted, reservation, 20, true)
    quota.refund(reservation, 20)
    quota.throttled(20, 1000)
    return quota
  }

  it("is passed by one request once the wait is over that it asks for, and then by one for each", () => {
    const quota = refused()
    assert.strictEqual(quota.timeUntilFits(20, 10), 1000)
    const trial = quota.reserve(1020, 10)
    assert.isTrue(trial.isTrial)
    assert.strictEqual(quota.timeUntilFits(1020, 10), 1000)
    quota.observe(limits({ limitRequests: 60, remainingRequests: 0 }), trial, 1030)
    assert.strictEqual(quota.timeUntilFits(1030, 10), 990)
  })

  it("is not believed for a minute where that is answered without a word of it", () => {
    const quota = refused()
    quota.observe(nothing, quota.reserve(1020, 10), 1030)
    assert.deepStrictEqual([quota.requestLimit, quota.requestsUsed(1030)], [Infinity, 11])
    quota.observe(exhausted, quota.reserve(61_029, 10), 61_029, true)
    assert.strictEqual(quota.requestLimit, Infinity)
    quota.observe(exhausted, quota.reserve(61_030, 10), 61_030, true)
    assert.strictEqual(quota.requestLimit, 60)
  })

  it("is believed where an answer says it too", () => {
    const quota = refused()
    quota.observe(nothing, quota.reserve(1020, 10), 1030)
    quota.observe(exhausted, quota.reserve(1040, 10), 1050)
    assert.strictEqual(quota.requestLimit, 60)
  })

  it("lets nothing pass what was configured", () => {
    const quota = refused({ rpm: 60 })
    assert.isFalse(quota.fits(1020, 10))
    assert.isTrue(quota.fits(11_020, 10))
  })
})

describe("other clients' use", () => {
  it("is what the service counts beyond our own", () => {
    const quota = make()
    quota.observe(limits({ limitTokens: 1000, remainingTokens: 500 }), quota.reserve(0, 100), 100)
    assert.strictEqual(quota.othersTokensUsed(100), 400)
    assert.strictEqual(quota.tokensUsed(100), 500)
    assert.isTrue(quota.fits(100, 500))
    assert.isFalse(quota.fits(100, 501))
  })

  it("is compared with our ledger as of the send, so that what we sent since is not theirs", () => {
    const quota = make()
    const first = quota.reserve(0, 100)
    quota.reserve(500, 300)
    quota.observe(limits({ limitTokens: 1000, remainingTokens: 900 }), first, 1000)
    assert.strictEqual(quota.othersTokensUsed(1000), 0)
  })

  it("is seen in requests too", () => {
    const quota = make({ tpm: undefined, rpm: 60, requestSlice: 60_000 })
    quota.observe(limits({ limitRequests: 60, remainingRequests: 30 }), quota.reserve(0, 0), 0)
    assert.strictEqual(quota.requestsUsed(0), 30)
    assert.strictEqual(quota.utilisation(0), 0.5)
  })

  it("is not unlearned by an answer that says nothing of it", () => {
    const quota = make()
    quota.observe(limits({ limitTokens: 1000, remainingTokens: 500 }), quota.reserve(0, 100), 100)
    quota.observe(limits({ limitRequests: 600, remainingRequests: 590 }), quota.reserve(200, 10), 300)
    assert.isAtLeast(quota.othersTokensUsed(300), 390)
  })

  it("keeps out what it leaves no room for, and leaves the window with time", () => {
    const quota = make()
    quota.observe(limits({ limitTokens: 1000, remainingTokens: 500 }), quota.reserve(0, 100), 0)
    const roomAt = (now: number): number => {
      let room = 0
      while (quota.fits(now, room + 1)) room++
      return room
    }
    // 400 are others', and 100 are our own
    assert.deepStrictEqual([roomAt(15_000), roomAt(30_000), roomAt(59_900)], [500, 634, 900])
  })

  it("counts as load as it was seen last, then as it mostly is, and not for ever", () => {
    const quota = make()
    const see = (remainingTokens: number, now: number): void =>
      quota.observe(limits({ limitTokens: 1000, remainingTokens }), quota.reserve(now, 0), now)
    for (let now = 0; now < 300_000; now += 5000) see(600, now)
    see(0, 300_000)
    // a busy moment of those that mostly use 400
    const mean = quota.othersTokensUsed(320_000)
    assert.strictEqual(quota.othersTokensUsed(300_000), 1000)
    assert.isAtLeast(mean, 400)
    assert.isAtMost(mean, 460)
    assert.strictEqual(quota.othersTokensUsed(310_000), Math.floor((1000 + mean) / 2))
    assert.strictEqual(quota.othersTokensUsed(420_000), mean)
    assert.isAtMost(quota.othersTokensUsed(510_000), mean / 2 + 1)
    assert.strictEqual(quota.othersTokensUsed(600_000), 0)
  })

  it.prop("that was seen once fades and never grows while nothing is heard", {
    remaining: integer(0, 1000),
    own: integer(0, 1000),
    waits: Schema.Array(integer(0, 20_000))
  }, ({ own, remaining, waits }) => {
    const quota = make()
    quota.observe(limits({ limitTokens: 1000, remainingTokens: remaining }), quota.reserve(0, own), 0)
    let now = 0
    let last = quota.othersTokensUsed(0)
    assert.strictEqual(last, Math.max(0, 1000 - remaining - own))
    for (const wait of waits) {
      now += wait
      const used = quota.othersTokensUsed(now)
      assert.isAtMost(used, last)
      assert.isAtLeast(used, 0)
      last = used
    }
    assert.strictEqual(quota.othersTokensUsed(300_000 + now), 0)
  }, check())

  it("may be told by another process", () => {
    const quota = make()
    quota.observeOthers(0, 500, 60)
    assert.deepStrictEqual([quota.tokensUsed(0), quota.requestsUsed(0)], [500, 60])
    quota.observeOthers(0, -5, -5)
    assert.deepStrictEqual([quota.tokensUsed(0), quota.requestsUsed(0)], [0, 0])
  })

  it("is waited for as long as it lasts, not in steps of a millisecond", () => {
    const quota = make()
    quota.observe(limits({ limitTokens: 1000, remainingTokens: 100 }), quota.reserve(0, 10), 0)
    const wait = quota.timeUntilFits(0, 500)
    assert.isFalse(quota.fits(wait - 1000, 500))
    assert.isTrue(quota.fits(wait, 500))
  })
})

const provisioned = () => make({ tpm: undefined, rpm: undefined, provisioned: true })

describe("a provisioned deployment's utilisation", () => {
  it("is followed as it is told", () => {
    const quota = provisioned()
    quota.observe(parseRateLimits({ "azure-openai-deployment-utilization": "87.5%" }), quota.reserve(0, 10), 100)
    assert.strictEqual(quota.utilisation(100), 0.875)
    quota.observe(parseRateLimits({ "azure-openai-deployment-utilization": "104%" }), quota.reserve(200, 10), 300)
    assert.strictEqual(quota.utilisation(300), 1.04)
  })

  it("is no longer believed after 10 s", () => {
    const quota = provisioned()
    quota.observe(parseRateLimits({ "azure-openai-deployment-utilization": "87%" }), quota.reserve(0, 10), 100)
    assert.strictEqual(quota.utilisation(10_100), 0.87)
    assert.strictEqual(quota.utilisation(10_101), 0)
  })
})
