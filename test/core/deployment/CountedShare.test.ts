import { CountedShare } from "#core/deployment/CountedShare"
import { Quota } from "#core/deployment/Quota"
import { assert, describe, it } from "@effect/vitest"

const LIMIT = 100_000

/** A share that was shown each second, as of two minutes. */
const shown = (used: (second: number) => number, own = 90_000): CountedShare => {
  const share = new CountedShare()
  for (let second = 0; second < 130; second++) share.show(second * 1000, used(second), own, LIMIT)
  return share
}

describe("CountedShare", () => {
  it("is what the service counts less than we do, but for half a percent", () => {
    assert.closeTo(shown(() => 81_000).at(130_000), 0.9045, 1e-9)
  })

  it("is one where others send as well, however much less of ours is counted", () => {
    assert.strictEqual(shown(() => 95_000).at(130_000), 1)
  })

  it("is that of the end of a minute, where the service begins anew each minute", () => {
    assert.closeTo(shown((second) => (second % 60) * 1400).at(130_000), 59 * 1400 / 90_000 * 1.005, 1e-9)
  })

  it("is one where little is in use, little was shown, or nothing of late", () => {
    assert.strictEqual(shown(() => 0, 40_000).at(130_000), 1)
    const share = new CountedShare()
    for (let i = 0; i < 20; i++) share.show(i * 10_000, 50_000, 90_000, LIMIT)
    assert.strictEqual(share.at(200_000), 1)
    assert.strictEqual(shown(() => 81_000).at(400_000), 1)
  })

  it("is never less than three quarters, whatever a service says", () => {
    assert.strictEqual(shown(() => 0).at(130_000), 0.75)
    assert.strictEqual(shown(() => -1e9).at(130_000), 0.75)
  })

  it("is one for a while where what was shown is refuted: counters that never fall, and 429s all the same", () => {
    const share = shown(() => 0)
    assert.strictEqual(share.at(130_000), 0.75)
    share.refute(130_000)
    for (let second = 130; second < 180; second++) share.show(second * 1000, 0, 90_000, LIMIT)
    assert.strictEqual(share.at(180_000), 1)
  })

  it("lets a ledger fill what the service leaves of its quota, and no more", () => {
    const quota = new Quota({ tpm: LIMIT, provisioned: false, requestSlice: 10_000, headerMaxAge: 60_000 })
    const sent: Array<readonly [at: number, tokens: number]> = []
    let most = 0
    for (let at = 0; at < 400_000; at += 100) {
      if (!quota.fits(at, 1000)) continue
      const reservation = quota.reserve(at, 1000)
      // of each, the service counts nine tenths
      sent.push([at, 900])
      const used = sent.filter(([before]) => before > at - 60_000).reduce((sum, [, tokens]) => sum + tokens, 0)
      most = at > 200_000 ? Math.max(most, used) : most
      quota.observe(
        {
          limitTokens: LIMIT,
          remainingTokens: Math.max(0, LIMIT - used),
          limitRequests: undefined,
          remainingRequests: undefined,
          utilisation: undefined,
          spilled: undefined
        },
        reservation,
        at + 10
      )
    }
    assert.isAbove(most, 97_000)
    assert.isAtMost(most, LIMIT)
  })
})
