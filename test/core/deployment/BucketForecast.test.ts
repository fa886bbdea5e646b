import { BucketForecast } from "#core/deployment/BucketForecast"
import * as SeededRandom from "#core/simulation/SeededRandom"
import * as Limiter from "#core/simulation/SimulatedLimiter"
import { assert, describe, it } from "@effect/vitest"

const seeds = [1, 2, 3, 4, 5]

interface World {
  readonly seed: number
  /** Requests a second that are asked for. */
  readonly rate: number
  /** Requests a second of other clients, which go by nothing. */
  readonly others?: number
  /** Milliseconds until an answer tells. */
  readonly late?: number
  /** What we charge for each token that the service does. */
  readonly scale?: number
  readonly tells?: (utilisation: number) => number
  readonly seconds?: number
}

/** Sends what the forecast lets through to a bucket of 33,333 tokens that drains 3,333 a second. */
const play = ({ late = 300, others = 0, rate, scale = 1, seconds = 300, seed, tells = (u) => u }: World) => {
  const random = SeededRandom.make(seed)
  const limiter = Limiter.make({ provisioned: true, tpm: 200_000 })
  const forecast = new BucketForecast()
  const size = () => Math.ceil(1000 * SeededRandom.lognormal(random, 0.8))
  const told: Array<{ at: number; utilisation: number; sentAt: number; sent: number }> = []
  let [asked, held, refused, admitted, sent] = [0, 0, 0, 0, 0]
  let nextOther = others === 0 ? Infinity : 0
  for (let at = 0; at < seconds * 1000;) {
    at += Math.ceil(-Math.log(1 - random()) * 1000 / rate)
    while (nextOther < at) {
      limiter.admit(size(), Math.floor(nextOther))
      nextOther += -Math.log(1 - random()) * 1000 / others
    }
    while (told[0] !== undefined && told[0].at <= at) {
      const { sent, sentAt, utilisation } = told.shift()!
      forecast.observe(utilisation, sentAt, sent)
    }
    asked++
    if (forecast.timeUntilFree(at, sent) > 0) {
      held++
      continue
    }
    const tokens = size()
    const isRefused = limiter.admit(tokens, at) !== undefined
    if (isRefused) refused++
    else {
      admitted += tokens
      sent += scale * tokens
    }
    told.push({ at: at + late, utilisation: tells(limiter.usage(at).utilization), sentAt: at, sent })
  }
  return {
    refused: refused / (asked - held),
    held: held / asked,
    use: admitted / (seconds * 200_000 / 60),
    forecast,
    sent,
    limiter
  }
}

describe("BucketForecast", () => {
  it.each([
    { said: "a third more is asked for than there is", more: { rate: 3.7 } },
    { said: "three times as much is asked for", more: { rate: 8 } },
    { said: "answers tell after 3 s", more: { rate: 8, late: 3000 } },
    { said: "we count twice of what the service does", more: { rate: 8, scale: 2 } },
    { said: "others send half of it", more: { rate: 8, others: 1.3 }, most: 0.1, least: 0.5 }
  ])("keeps a bucket full without bumping into it, where $said", ({ least = 0.98, more, most = 0.04 }) => {
    for (const seed of seeds) {
      const { refused, use } = play({ seed, ...more })
      assert.isAtMost(refused, most, `seed ${seed}`)
      assert.isAtLeast(use, least, `seed ${seed}`)
    }
  })

  it.each([
    { said: "there is room for all", more: { rate: 1 } },
    { said: "what is told stands still", more: { rate: 2, tells: () => 0.9 } },
    { said: "what is told is noise", more: { rate: 2, tells: (u: number) => (u * 7919) % 1 } }
  ])("holds nothing back, where $said", ({ more }) => {
    for (const seed of seeds) {
      assert.isAtMost(play({ seed, ...more }).held, 0.01, `seed ${seed}`)
    }
  })

  it("says how full it is between two answers, as it will be told", () => {
    for (const seed of seeds) {
      const { forecast, limiter, sent } = play({ seed, rate: 8, late: 0 })
      const at = 300_500
      assert.closeTo(forecast.level(at, sent)!, limiter.usage(at).utilization, 0.05, `seed ${seed}`)
    }
  })

  it("knows nothing before some answers, nor when nothing was heard for 5 s", () => {
    const forecast = new BucketForecast()
    for (let i = 0; i < 5; i++) forecast.observe(0.9, i * 100, i * 1000)
    assert.isUndefined(forecast.level(500, 5000))
    assert.strictEqual(forecast.timeUntilFree(500, 1e9), 0)
    const { forecast: known, sent } = play({ seed: 1, rate: 8 })
    assert.isAbove(known.timeUntilFree(300_100, sent + 100_000), 0)
    assert.isAtMost(known.timeUntilFree(300_100, sent + 1e9), 5001)
    assert.isUndefined(known.level(310_000, sent))
  })

  it("takes nothing from an answer to an earlier send than the last", () => {
    const { forecast, sent } = play({ seed: 1, rate: 8 })
    const before = forecast.level(300_000, sent)
    forecast.observe(0, 1000, 0)
    assert.strictEqual(forecast.level(300_000, sent), before)
  })
})
