import { assert, describe, it } from "@effect/vitest"
import { type Figures, figuresOf } from "./Figures.ts"
import { plainContenders } from "./PlainClient.ts"
import { table, worseThanBest } from "./Report.ts"
import { play, type Recording } from "./Run.ts"
import { type Scenario, shortened, strikeOf } from "./Scenario.ts"
import { scenarioNamed } from "./Scenarios.ts"
import { timeToEject, timeToRecover } from "./Share.ts"
import type { Sent } from "./World.ts"

/** Ten sends a second, of which a place gets this share at a time. */
const sending = (scenario: Scenario, place: string, shareAt: (seconds: number) => number): Recording => {
  const sends: Array<Sent> = []
  for (let request = 0; request < 6000; request++) {
    const at = request * 100
    const isHere = (request * 0.618) % 1 < shareAt(at / 1000)
    sends.push({ request, place: isHere ? place : "elsewhere", at, status: 200 })
  }
  const done = { chargedTokens: 0, promptTokens: 0, cachedTokens: 0, firstTierTokens: 0 }
  return { scenario, contender: "made up", asked: [], sends, levels: [], done }
}

describe("figures", () => {
  const scenario: Scenario = { ...scenarioNamed("slow"), warmUp: 0, minutes: 9 }

  it("tell when a struck place was left, and when it is back", () => {
    assert.deepStrictEqual(strikeOf(scenario), { places: ["d0"], from: 180_000, to: 360_000 })
    const recording = sending(scenario, "d0", (at) => at < 200 ? 1 / 6 : at < 400 ? 0 : 1 / 6)
    assert.approximately(timeToEject(recording)!, 20, 4)
    assert.approximately(timeToRecover(recording)!, 40, 8)
  })

  it("tell that a place was never left, and so cannot come back", () => {
    const recording = sending(scenario, "d0", () => 1 / 6)
    assert.strictEqual(timeToEject(recording), Infinity)
    assert.isUndefined(timeToRecover(recording))
  })

  it("count what is known beforehand: choosing at random, a sixth of the sends meets the one that fails", async () => {
    const recording = await play(shortened(scenarioNamed("failing"), 1 / 3), plainContenders[0]!, 1)
    const { attempts, failed } = figuresOf(recording, strikeOf(recording.scenario))
    assert.approximately(failed, 100 / 6, 3)
    assert.approximately(attempts, 1 + failed / 100, 0.03)
  })
})

describe("the report", () => {
  const figures: Figures = {
    requests: 1000,
    failures: 0,
    throttled: 0,
    failed: 0,
    firstTokenP50: 300,
    firstTokenP99: 600,
    attempts: 1,
    spread: 0.1,
    cacheHits: undefined,
    goodput: undefined,
    firstTier: undefined,
    least: undefined,
    eject: undefined,
    recover: undefined
  }
  const results = (own: Partial<Figures>) => ({
    scenario: scenarioNamed("equal"),
    figures: { evenkeel: { ...figures, ...own }, random: figures }
  })

  it("marks what is worse than the best of all", () => {
    const worse = results({ firstTokenP99: 700, throttled: 1 })
    assert.deepStrictEqual(worseThanBest(worse, "evenkeel"), ["throttled", "firstTokenP99"])
    assert.include(table(worse, "evenkeel"), "*700")
  })

  it("does not mark what is as good, or worse by less than means anything", () => {
    assert.deepStrictEqual(
      worseThanBest(results({ failures: 0.01, firstTokenP99: 610, attempts: 1.001 }), "evenkeel"),
      []
    )
  })

  it("takes more for better where it is", () => {
    const behind = {
      ...results({ goodput: 0.9 }),
      figures: { evenkeel: { ...figures, goodput: 0.9 }, random: { ...figures, goodput: 0.98 } }
    }
    assert.deepStrictEqual(worseThanBest(behind, "evenkeel"), ["goodput"])
    assert.deepStrictEqual(worseThanBest(behind, "random"), [])
  })
})
