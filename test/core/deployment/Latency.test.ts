import { ExpectedLatency, Latency, sizeOf } from "#core/deployment/Latency"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"

const steady = (expected: ExpectedLatency, times = 50, millis = 100): void => {
  for (let i = 0; i < times; i++) expected.ratio("answer", millis, 1)
}

describe("a size", () => {
  it("is that of the uncached prompt for a first token, of the output for an answer", () => {
    assert.strictEqual(sizeOf("first-token", 0), 1)
    assert.strictEqual(sizeOf("first-token", 7000), 2)
    assert.isAbove(sizeOf("answer", 1000), sizeOf("answer", 100))
  })

  it("is never less than one", () => {
    assert.strictEqual(sizeOf("first-token", -500), 1)
  })
})

describe("what is expected of a model", () => {
  it("is nothing before the first sample", () => {
    const expected = new ExpectedLatency()
    assert.isUndefined(expected.expected("answer", 1))
    assert.isUndefined(expected.slowest("answer"))
    assert.strictEqual(expected.lowerBound("answer", 5000, 1), 1)
  })

  it("is what was measured, for each kind apart and in proportion to size", () => {
    const expected = new ExpectedLatency()
    steady(expected)
    assert.approximately(expected.expected("answer", 1)!, 100, 1e-6)
    assert.approximately(expected.expected("answer", 3)!, 300, 1e-6)
    assert.isUndefined(expected.expected("first-token", 1))
  })

  it("makes the first sample like its peers, and a slower one as much slower", () => {
    const expected = new ExpectedLatency()
    assert.strictEqual(expected.ratio("answer", 100, 1), 1)
    steady(expected, 200)
    assert.approximately(expected.ratio("answer", 300, 1), 3, 0.1)
    assert.approximately(expected.ratio("answer", 300, 3), 1, 0.05)
  })

  it("learns nothing from a wait without an answer", () => {
    const expected = new ExpectedLatency()
    steady(expected)
    for (let i = 0; i < 100; i++) expected.lowerBound("answer", 60_000, 1)
    assert.approximately(expected.expected("answer", 1)!, 100, 1e-6)
  })

  it("knows how slow one in a hundred is, once it has seen twenty", () => {
    const expected = new ExpectedLatency()
    steady(expected, 19)
    assert.isUndefined(expected.slowest("answer"))
    steady(expected, 1)
    assert.isAtLeast(expected.slowest("answer")!, 1)
    assert.isAtMost(expected.slowest("answer")!, 1.25)
  })

  it("forgets a bad hour", () => {
    const expected = new ExpectedLatency()
    steady(expected, 300, 10_000)
    steady(expected, 10_000)
    assert.isAtMost(expected.slowest("answer")!, 1.25)
    assert.approximately(expected.expected("answer", 1)!, 100, 1)
  })

  it.prop("is finite and above nothing, whatever was measured", {
    samples: Schema.Array(Schema.Struct({ millis: integer(0, 10_000_000), tokens: integer(0, 1_000_000) }))
  }, ({ samples }) => {
    const expected = new ExpectedLatency()
    for (const { millis, tokens } of samples) {
      const size = sizeOf("first-token", tokens)
      for (const value of [expected.ratio("first-token", millis, size), expected.expected("first-token", size)!]) {
        assert.isTrue(Number.isFinite(value) && value > 0)
      }
    }
  }, check())
})

describe("a deployment's latency", () => {
  it("begins at what its peers take", () => {
    assert.strictEqual(new Latency().ratio(0), 1)
    assert.strictEqual(new Latency().ratio(1e9), 1)
  })

  it("goes up at once and down slowly", () => {
    const latency = new Latency()
    latency.observe(1, 0)
    latency.observe(5, 1000)
    assert.strictEqual(latency.ratio(1000), 5)
    latency.observe(1, 2000)
    assert.isAbove(latency.ratio(2000), 4)
    for (let now = 3000; now < 60_000; now += 1000) latency.observe(1, now)
    assert.approximately(latency.ratio(60_000), 1, 0.1)
  })

  it("comes back to what its peers take when nothing is heard, from above and from below", () => {
    for (const ratio of [8, 0.2]) {
      const latency = new Latency()
      latency.observe(ratio, 0)
      assert.approximately(latency.ratio(10_000), 1 + (ratio - 1) / Math.E, 1e-9)
      assert.approximately(latency.ratio(200_000), 1, 1e-6)
    }
  })

  it("is not raised at once by an attempt that began before one that was heard of", () => {
    const latency = new Latency()
    latency.observe(1, 10_000, 9000)
    latency.observe(8, 11_000, 1000)
    assert.isBelow(latency.ratio(11_000), 2)
    latency.observe(8, 12_000, 11_500)
    assert.strictEqual(latency.ratio(12_000), 8)
  })

  it("decays more slowly where the model's requests are rare, and not because it is left alone", () => {
    const busy = new Latency()
    const rare = new Latency()
    busy.observe(4, 2000, 2000, 100)
    rare.observe(4, 600_000, 600_000, 30_000)
    assert.isBelow(busy.ratio(22_000), 1.5)
    assert.isAbove(rare.ratio(620_000), 3.5)
  })

  it("is typically the mean of its answers of late, once there are ten", () => {
    const { typical } = new Latency()
    for (let i = 0; i < 9; i++) typical.add(i % 2 === 0 ? 6 : 2, 0, i * 100)
    assert.isUndefined(typical.value(1_000))
    typical.add(2, 0, 1_000)
    assert.approximately(typical.value(1_000)!, 4, 1e-9)
    assert.isUndefined(typical.value(400_000))
  })

  it("is typical of no session by itself", () => {
    const { typical } = new Latency()
    for (let i = 0; i < 100; i++) typical.add(0.1, 7, i)
    assert.isUndefined(typical.value(100))
    for (let i = 0; i < 100; i++) typical.add(i % 2 === 0 ? 0.1 : 1, i % 2 === 0 ? 7 : 0, i)
    assert.isAbove(typical.value(100)!, 0.5)
  })

  it("is only raised by a lower bound", () => {
    const latency = new Latency()
    latency.observeAtLeast(0.5, 0)
    assert.strictEqual(latency.ratio(0), 1)
    latency.observeAtLeast(3, 0)
    assert.strictEqual(latency.ratio(0), 3)
    latency.observeAtLeast(2, 0)
    assert.strictEqual(latency.ratio(0), 3)
  })

  it.prop("stays between the lowest and the highest that were observed, and one", {
    samples: Schema.Array(Schema.Struct({
      percent: integer(1, 10_000),
      wait: integer(0, 120_000),
      atLeast: Schema.Boolean
    }))
  }, ({ samples }) => {
    const latency = new Latency()
    let now = 0
    let low = 1
    let high = 1
    for (const { atLeast, percent, wait } of samples) {
      now += wait
      low = Math.min(low, percent / 100)
      high = Math.max(high, percent / 100)
      if (atLeast) latency.observeAtLeast(percent / 100, now)
      else latency.observe(percent / 100, now)
      for (const later of [now, now + 5000]) {
        assert.isAtLeast(latency.ratio(later), low - 1e-9)
        assert.isAtMost(latency.ratio(later), high + 1e-9)
      }
    }
  }, check())
})
