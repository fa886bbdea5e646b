import { assert, describe, it } from "@effect/vitest"
import { Breaker, type BreakerOptions } from "@evenkeel/core/deployment/Breaker"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"
import { BreakerModel } from "./BreakerModel.ts"

const options: BreakerOptions = {
  consecutiveFailures: 5,
  successRatio: 0.8,
  minimumSamples: 5,
  window: 30_000,
  openFor: 5000,
  maxOpenFor: 300_000
}

const make = (changed: Partial<BreakerOptions> = {}): Breaker => new Breaker({ ...options, ...changed })

const fail = (breaker: Breaker, now: number, times = 1, random = 0.5): void => {
  for (let i = 0; i < times; i++) breaker.fail(breaker.enter(now), now, random, "boom")
}

const succeed = (breaker: Breaker, now: number, times = 1): void => {
  for (let i = 0; i < times; i++) breaker.succeed(breaker.enter(now), now)
}

/** A breaker that has just opened at 0, until exactly 5000. */
const opened = (changed: Partial<BreakerOptions> = {}): Breaker => {
  const breaker = make(changed)
  fail(breaker, 0, 5, 1)
  return breaker
}

describe("a closed breaker", () => {
  it("opens after five failures in a row, and says why", () => {
    const breaker = make()
    succeed(breaker, 0, 100)
    fail(breaker, 0, 4)
    assert.isTrue(breaker.isClosed)
    fail(breaker, 0)
    assert.deepInclude(breaker, { state: "open", reason: "boom" })
  })

  it("begins to count anew at each success", () => {
    const breaker = make({ minimumSamples: 1000 })
    for (let i = 0; i < 20; i++) {
      fail(breaker, 0, 4)
      succeed(breaker, 0)
    }
    assert.isTrue(breaker.isClosed)
  })

  it("opens when fewer than 80 % succeed, of at least five", () => {
    const breaker = make({ consecutiveFailures: 100 })
    succeed(breaker, 0, 4)
    fail(breaker, 0)
    assert.isTrue(breaker.isClosed, "4 of 5 are 80 %")
    fail(breaker, 0)
    assert.isFalse(breaker.isClosed, "4 of 6 are 67 %")
  })

  it("does not judge by the ratio of too few", () => {
    const breaker = make({ consecutiveFailures: 100 })
    fail(breaker, 0, 4)
    assert.isTrue(breaker.isClosed)
  })

  it("judges a burst as it judges the same requests spread out", () => {
    const burst = make({ consecutiveFailures: 100 })
    const spread = make({ consecutiveFailures: 100 })
    for (let i = 0; i < 20; i++) {
      for (const [breaker, now] of [[burst, 0], [spread, i * 1000]] as const) {
        if (i % 5 === 4) fail(breaker, now)
        else succeed(breaker, now)
      }
      assert.isTrue(burst.isClosed && spread.isClosed)
    }
    fail(burst, 0)
    fail(spread, 20_000)
    assert.isTrue(!burst.isClosed && !spread.isClosed)
  })

  it("forgets what is older than its window", () => {
    const breaker = make({ consecutiveFailures: 100 })
    fail(breaker, 0, 4)
    succeed(breaker, 40_000, 4)
    fail(breaker, 40_000)
    assert.isTrue(breaker.isClosed)
  })

  it("begins anew with a new credential, whoever still carries the old one", () => {
    const breaker = make()
    const epoch = breaker.enter(0)
    fail(breaker, 0, 4)
    breaker.reset(100)
    assert.isFalse(breaker.fail(epoch, 200, 0.5, "old key"))
    assert.isTrue(breaker.isClosed)
  })
})

describe("an open breaker", () => {
  it("admits nothing before its time, and one probe after it", () => {
    const breaker = opened()
    assert.isFalse(breaker.allows(4999))
    assert.isTrue(breaker.allows(5000))
    breaker.enter(5000)
    assert.strictEqual(breaker.state, "half-open")
    assert.isFalse(breaker.allows(5000))
    assert.isFalse(breaker.allows(1_000_000))
  })

  it("lets a request pass in a panic, whose report counts for nothing", () => {
    const breaker = opened()
    const bystander = breaker.enter(100)
    breaker.succeed(bystander, 200)
    assert.strictEqual(breaker.state, "open")
    assert.isFalse(breaker.fail(bystander, 200, 1, "boom"))
    breaker.release(bystander)
    assert.strictEqual(breaker.openUntil, 5000)
  })

  it("ignores what was sent before it opened", () => {
    const breaker = make()
    const early = breaker.enter(0)
    fail(breaker, 0, 5, 1)
    breaker.succeed(early, 100)
    assert.strictEqual(breaker.state, "open")
    assert.isFalse(breaker.fail(early, 100, 1, "boom"))
    assert.strictEqual(breaker.openUntil, 5000)
  })

  it("stays open for longer with each trip in a row, jittered between half and whole, capped", () => {
    for (const random of [0, 0.5, 0.999]) {
      const breaker = make()
      fail(breaker, 0, 5, random)
      let now = 0
      for (const full of [5000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]) {
        assert.approximately(breaker.openUntil - now, full / 2 + (full / 2) * random, 0.01)
        now = breaker.openUntil
        fail(breaker, now, 1, random)
      }
    }
  })

  it("is as impatient as ever after it has held for longer than its longest open time", () => {
    const breaker = opened()
    fail(breaker, 5000, 1, 1)
    succeed(breaker, 15_000)
    fail(breaker, 400_000, 5, 1)
    assert.strictEqual(breaker.openUntil - 400_000, 5000)
  })

  it("remembers its past trips for as long", () => {
    const breaker = opened()
    succeed(breaker, 5000)
    fail(breaker, 6000, 5, 1)
    assert.strictEqual(breaker.openUntil - 6000, 10_000)
  })
})

describe("a half-open breaker", () => {
  it("closes by one success, and counts from nothing", () => {
    const breaker = opened()
    succeed(breaker, 5000)
    assert.deepInclude(breaker, { state: "closed", reopenedAt: 5000, reason: undefined })
    fail(breaker, 5000, 4)
    assert.isTrue(breaker.isClosed)
  })

  it("opens again by one failure, for longer", () => {
    const breaker = opened()
    assert.isTrue(breaker.fail(breaker.enter(5000), 6000, 1, "still"))
    assert.deepInclude(breaker, { state: "open", openUntil: 16_000, reason: "still" })
  })

  it("frees its slot for the next when its probe is abandoned or throttled, without growing the open time", () => {
    const breaker = opened()
    breaker.release(breaker.enter(5000))
    assert.deepInclude(breaker, { state: "open", openUntil: 5000 })
    assert.isTrue(breaker.allows(5001))
    fail(breaker, 5001, 1, 1)
    assert.strictEqual(breaker.openUntil, 15_001)
  })

  it("is not decided by the probe that gave up its slot", () => {
    const breaker = opened()
    const first = breaker.enter(5000)
    breaker.release(first)
    const second = breaker.enter(5001)
    breaker.succeed(first, 5002)
    breaker.fail(first, 5002, 1, "late")
    breaker.release(first)
    assert.strictEqual(breaker.state, "half-open")
    assert.isFalse(breaker.allows(5002))
    breaker.succeed(second, 5003)
    assert.strictEqual(breaker.state, "closed")
  })

  it("lets its closing probe go on under the new epoch, so that a later failure of it counts", () => {
    const breaker = opened({ consecutiveFailures: 1 })
    const probe = breaker.succeed(breaker.enter(5000), 5001)
    assert.isTrue(breaker.fail(probe, 5002, 1, "cut"))
  })

  it("closes at once with a new credential", () => {
    const breaker = opened()
    breaker.enter(5000)
    breaker.reset(5001)
    assert.strictEqual(breaker.state, "closed")
    fail(breaker, 5002, 5, 1)
    assert.strictEqual(breaker.openUntil - 5002, 5000)
  })
})

const step = Schema.Union([
  Schema.Struct({ op: Schema.Literal("enter") }),
  Schema.Struct({ op: Schema.Literal("succeed"), which: integer(0, 9) }),
  Schema.Struct({ op: Schema.Literal("fail"), which: integer(0, 9), random: integer(0, 999) }),
  Schema.Struct({ op: Schema.Literal("fail"), which: integer(0, 1), random: integer(0, 999) }),
  Schema.Struct({ op: Schema.Literal("release"), which: integer(0, 9) }),
  Schema.Struct({ op: Schema.Literal("wait"), millis: integer(0, 12_000) }),
  Schema.Struct({ op: Schema.Literal("wait"), millis: integer(0, 400_000) }),
  Schema.Struct({ op: Schema.Literal("trip") })
])

describe("a breaker, over any sequence of operations", () => {
  it.prop("is what the reference model is", {
    steps: Schema.Array(step),
    consecutiveFailures: integer(1, 6),
    minimumSamples: integer(1, 8),
    successRatio: Schema.Literals([0, 0.5, 0.8, 1])
  }, ({ consecutiveFailures, minimumSamples, steps, successRatio }) => {
    const own = { ...options, consecutiveFailures, minimumSamples, successRatio }
    const breaker = new Breaker(own)
    const model = new BreakerModel(own)
    const permits: Array<{ epoch: number; modelled: number }> = []
    let now = 0
    for (const it of steps) {
      const permit = "which" in it ? permits[permits.length - 1 - it.which] : undefined
      switch (it.op) {
        case "wait":
          now += it.millis
          break
        case "enter":
          permits.push({ epoch: breaker.enter(now), modelled: model.enter(now) })
          break
        case "succeed":
          if (permit === undefined) break
          permit.epoch = breaker.succeed(permit.epoch, now)
          permit.modelled = model.succeed(permit.modelled, now)
          break
        case "fail":
          if (permit === undefined) break
          assert.strictEqual(
            breaker.fail(permit.epoch, now, it.random / 1000, "boom"),
            model.fail(permit.modelled, now, it.random / 1000)
          )
          break
        case "release":
          if (permit === undefined) break
          breaker.release(permit.epoch)
          model.release(permit.modelled)
          break
        case "trip":
          if (breaker.state === "open") break
          breaker.trip(now, 0.25, "no key")
          model.trip(now, 0.25)
      }
      assert.strictEqual(breaker.state, model.state)
      assert.strictEqual(breaker.allows(now), model.allows(now))
      if (model.state !== "closed") {
        assert.strictEqual(breaker.openUntil, model.until)
        assert.isAtMost(breaker.openUntil - now, own.maxOpenFor)
      }
    }
  }, check(500, 60))
})
