import { Quota, type QuotaOptions } from "#core/deployment/Quota"
import type { RateLimits } from "#core/deployment/RateLimitHeaders"
import { assert, describe, it } from "@effect/vitest"
import { Deployments } from "@evenkeel/core"
import { Effect } from "effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import { answer, overHttp, run } from "../../support/Balanced.ts"
import { azure, completion, scripted } from "../../support/Scripted.ts"

const make = (options: Partial<QuotaOptions>): Quota =>
  new Quota({
    tpm: undefined,
    rpm: undefined,
    provisioned: false,
    requestSlice: 60_000,
    headerMaxAge: 10_000,
    ...options
  })

const told = (limits: Partial<RateLimits>): RateLimits => ({
  limitTokens: undefined,
  limitRequests: undefined,
  remainingTokens: undefined,
  remainingRequests: undefined,
  utilisation: undefined,
  spilled: undefined,
  ...limits
})

/** Whether a request of no tokens passes now; both ways of asking have to say the same. */
const passes = (quota: Quota, now: number): boolean => {
  const fits = quota.fits(now, 0)
  assert.strictEqual(quota.timeUntilFits(now, 0) === 0, fits)
  return fits
}

describe("a request that reserves no tokens", () => {
  it("does not pass a limit of requests that was lowered", () => {
    const quota = make({ rpm: 60 })
    assert.isTrue(passes(quota, 0))
    quota.reserve(0, 0)
    quota.configure(undefined, 1)
    assert.isFalse(passes(quota, 0))
  })

  it("does not pass a limit that the service told", () => {
    const quota = make({ rpm: 60 })
    assert.isTrue(passes(quota, 0))
    quota.observe(told({ limitRequests: 1 }), quota.reserve(0, 0), 10)
    assert.isFalse(passes(quota, 10))
  })

  it("does not pass what other clients used up, as headers say", () => {
    const quota = make({ rpm: 60 })
    assert.isTrue(passes(quota, 0))
    quota.observe(told({ limitRequests: 60, remainingRequests: 0 }), quota.reserve(0, 0), 10)
    assert.isFalse(passes(quota, 10))
  })

  it("does not pass what other clients used up, as another process says", () => {
    const quota = make({ rpm: 60 })
    assert.isTrue(passes(quota, 0))
    quota.reserve(0, 0)
    quota.observeOthers(10, 0, 59)
    assert.isFalse(passes(quota, 10))
  })

  it("does not pass a quota of tokens that is full", () => {
    const quota = make({ tpm: 100, rpm: 60 })
    assert.isTrue(passes(quota, 0))
    quota.observe(told({ limitTokens: 10, remainingTokens: 0 }), quota.reserve(0, 50), 10)
    assert.isFalse(passes(quota, 10))
  })
})

describe("a form of a model with a limit of requests", () => {
  it.effect("keeps to the limit once that was lowered", () => {
    const lbs = scripted([azure("east", { name: "whisper", rpm: 120 })], () => completion, { failover: { maxWait: 0 } })
    const form = new FormData()
    form.append("model", "whisper")
    form.append("file", new File(["x"], "x.wav"))
    const ask = Effect.map(
      answer(HttpClient.execute(
        HttpClientRequest.bodyFormData(
          HttpClientRequest.post("https://api.openai.com/v1/audio/transcriptions"),
          form
        )
      )),
      ({ status }) => status
    )
    return run(overHttp(lbs), function*() {
      const members = yield* Deployments
      assert.strictEqual(yield* ask, 200)
      yield* members.update("east/whisper", { rpm: 2 })
      const statuses = yield* Effect.replicateEffect(ask, 15)
      assert.isAtMost(statuses.filter((status) => status === 200).length, 1)
      assert.isAtMost(lbs.sends.length, 2)
      assert.isTrue(statuses.every((status) => status === 200 || status === 429))
    })
  })
})
