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

/** A breaker that has just opened at 0, until exactly 5000. */
const opened = (): Breaker => {
  const breaker = new Breaker(options)
  for (let i = 0; i < 5; i++) breaker.fail(breaker.enter(0), 0, 1, "boom")
  return breaker
}

describe("a half-open breaker", () => {
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
  private readonly told: Array<string> = []

  constructor(options: BreakerOptions) {
    this.breaker = new Breaker(options)
    this.model = new BreakerModel(options)
    this.maxOpenFor = options.maxOpenFor
    this.breaker.onChange = (state) => this.told.push(state)
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
    const { length } = this.told
    this.breaker.fail(epoch, this.now, random, reason)
    const opened = this.model.fail(modelled, this.now, random, reason)
    assert.deepStrictEqual(this.told.slice(length), opened ? ["open"] : [])
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
