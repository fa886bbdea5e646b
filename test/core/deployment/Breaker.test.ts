import { Breaker, type BreakerOptions } from "#core/deployment/Breaker"
import { assert, describe, it } from "@effect/vitest"
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

  it("lets the next pass later while nobody knows what its probes say, and is decided by the first that is known", () => {
    const breaker = opened()
    const probes = [5000, 10_000, 15_000].map((now) => {
      const probe = breaker.enter(now)
      breaker.suspend(probe, now)
      assert.deepInclude(breaker, { state: "open", openUntil: now + 5000 })
      return probe
    })
    breaker.succeed(probes[0]!, 16_000)
    assert.strictEqual(breaker.state, "closed")
    breaker.fail(probes[1]!, 17_000, 1, "late")
    assert.strictEqual(breaker.state, "closed")
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

const answers = Schema.Struct({ op: Schema.Literal("answers"), ok: Schema.Boolean, times: integer(1, 3) })

const step = Schema.Union([
  answers,
  Schema.Struct({ op: Schema.Literal("enter") }),
  Schema.Struct({ op: Schema.Literal("enter") }),
  Schema.Struct({ op: Schema.Literal("check") }),
  Schema.Struct({ op: Schema.Literal("succeed"), which: integer(0, 9) }),
  Schema.Struct({ op: Schema.Literal("succeed"), which: integer(0, 1) }),
  Schema.Struct({ op: Schema.Literal("fail"), which: integer(0, 9), random: integer(0, 999) }),
  Schema.Struct({ op: Schema.Literal("fail"), which: integer(0, 1), random: integer(0, 999) }),
  Schema.Struct({ op: Schema.Literal("release"), which: integer(0, 9) }),
  Schema.Struct({ op: Schema.Literal("suspend"), which: integer(0, 3) }),
  Schema.Struct({ op: Schema.Literal("wait"), millis: integer(0, 3000) }),
  Schema.Struct({ op: Schema.Literal("wait"), millis: integer(0, 12_000) }),
  Schema.Struct({ op: Schema.Literal("wait"), millis: integer(0, 400_000) }),
  Schema.Struct({ op: Schema.Literal("waitUntilOpen"), early: integer(0, 1) }),
  Schema.Struct({ op: Schema.Literal("waitUntilLivedDown"), late: integer(0, 1) }),
  Schema.Struct({ op: Schema.Literal("trip"), random: integer(0, 999) }),
  Schema.Struct({ op: Schema.Literal("reset") })
])

const judged = Schema.Union([
  answers,
  Schema.Struct({ op: Schema.Literal("wait"), millis: integer(0, 2000) }),
  Schema.Struct({ op: Schema.Literal("wait"), millis: Schema.Literals([999, 1000, 9000, 9999, 10_000]) })
])

type Step = typeof step.Type | typeof judged.Type

/** What a request carries, of the breaker and of the model. Which numbers they count by is their own affair. */
interface Carried {
  epoch: number
  modelled: number
}

/** A breaker and its model, to which the same happens. */
class Pair {
  private now = 0
  private readonly breaker: Breaker
  private readonly model: BreakerModel
  private readonly maxOpenFor: number
  private readonly carried: Array<Carried> = []

  constructor(options: BreakerOptions) {
    this.breaker = new Breaker(options)
    this.model = new BreakerModel(options)
    this.maxOpenFor = options.maxOpenFor
  }

  play(step: Step, reason: string): void {
    const { breaker, model, now } = this
    const one = "which" in step ? this.carried.at(-1 - step.which) : undefined
    if (step.op === "wait") this.now += step.millis
    if (step.op === "waitUntilOpen") this.now = Math.max(now, model.until - step.early)
    if (step.op === "waitUntilLivedDown") this.now = Math.max(now, model.closedAt + this.maxOpenFor + step.late)
    if (step.op === "enter") this.pass(breaker.enter(now), model.enter(now))
    if (step.op === "check") this.pass(breaker.enterCheck(), model.enterCheck())
    if (step.op === "succeed" && one !== undefined) this.succeed(one)
    if (step.op === "fail" && one !== undefined) this.fail(one, step.random / 1000, reason)
    for (let i = 0; step.op === "answers" && i < step.times; i++) {
      const asked = this.pass(breaker.enter(now), model.enter(now))
      if (asked !== undefined && step.ok) this.succeed(asked)
      else if (asked !== undefined) this.fail(asked, 0.5, reason)
    }
    if (step.op === "release" && one !== undefined) {
      breaker.release(one.epoch)
      model.release(one.modelled)
    }
    if (step.op === "suspend" && one !== undefined) {
      breaker.suspend(one.epoch, now)
      model.suspend(one.modelled, now)
    }
    if (step.op === "trip") {
      breaker.trip(now, step.random / 1000, reason)
      model.trip(now, step.random / 1000, reason)
    }
    if (step.op === "reset") {
      breaker.reset(now)
      model.reset(now)
    }
  }

  compare(): void {
    const { breaker, model, now } = this
    assert.strictEqual(breaker.state, model.state)
    assert.strictEqual(breaker.isClosed, model.state === "closed")
    assert.strictEqual(breaker.allows(now), model.allows(now))
    assert.strictEqual(breaker.openUntil, model.until)
    assert.strictEqual(breaker.reopenedAt, model.closedAt)
    assert.strictEqual(breaker.hasTripped, model.hasTripped)
    assert.strictEqual(breaker.reason, model.reason)
    assert.isAtMost(breaker.openUntil - now, this.maxOpenFor)
  }

  private pass(epoch: number | undefined, modelled: number | undefined): Carried | undefined {
    assert.strictEqual(epoch === undefined, modelled === undefined)
    if (epoch === undefined || modelled === undefined) return undefined
    assert.strictEqual(epoch === this.breaker.epoch, modelled !== -1)
    const carried = { epoch, modelled }
    this.carried.push(carried)
    return carried
  }

  private succeed(one: Carried): void {
    one.epoch = this.breaker.succeed(one.epoch, this.now)
    one.modelled = this.model.succeed(one.modelled, this.now)
  }

  private fail({ epoch, modelled }: Carried, random: number, reason: string): void {
    const opened = this.breaker.fail(epoch, this.now, random, reason)
    assert.strictEqual(opened, this.model.fail(modelled, this.now, random, reason))
  }
}

const settings = {
  minimumSamples: integer(1, 8),
  successRatio: Schema.Literals([0, 0.5, 0.8, 1])
}

describe("a breaker, over any sequence of operations", () => {
  it.prop("is what the reference model is", {
    ...settings,
    steps: Schema.Array(step),
    consecutiveFailures: integer(1, 6),
    window: Schema.Literals([1000, 30_000, 300_000]),
    maxOpenFor: Schema.Literals([12_000, 300_000])
  }, ({ steps, ...given }) => {
    const pair = new Pair({ ...options, ...given })
    steps.forEach((step, i) => {
      pair.play(step, `reason ${i}`)
      pair.compare()
    })
  }, check({ size: 80 }))

  it.prop("judges the success of its window as the reference model does", {
    ...settings,
    steps: Schema.Array(judged)
  }, ({ steps, ...given }) => {
    const pair = new Pair({ ...options, ...given, consecutiveFailures: 1000, window: 10_000, openFor: 100 })
    steps.forEach((step, i) => {
      pair.play(step, `reason ${i}`)
      pair.compare()
    })
  }, check({ size: 80 }))
})
