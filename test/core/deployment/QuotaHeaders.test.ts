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

describe("other clients' use", () => {
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
})
