import { Cooldown } from "#core/deployment/Cooldown"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"
import { CooldownModel } from "./CooldownModel.ts"

const cap = 300_000

const make = (): Cooldown => new Cooldown({ cooldown: 10_000, maxCooldown: cap })

describe("a cooldown", () => {
  it("lasts for as long as the service asked", () => {
    const cooldown = make()
    assert.isTrue(cooldown.allows(0))
    assert.strictEqual(cooldown.begin(0, 24_000, "http 429"), 24_000)
    assert.isFalse(cooldown.allows(23_999))
    assert.isTrue(cooldown.allows(24_000))
  })

  it("lasts 10 s when the service named no time", () => {
    const cooldown = make()
    assert.strictEqual(cooldown.begin(1000, undefined, "http 429"), 10_000)
    assert.strictEqual(cooldown.endsAt, 11_000)
  })

  it("is extended by a longer one, and never cut by a shorter (C4)", () => {
    const cooldown = make()
    cooldown.begin(0, 20_000, "first")
    assert.strictEqual(cooldown.begin(1000, 5000, "shorter"), 19_000)
    assert.deepInclude(cooldown, { endsAt: 20_000, reason: "first" })
    assert.strictEqual(cooldown.begin(2000, 60_000, "longer"), 60_000)
    assert.deepInclude(cooldown, { endsAt: 62_000, reason: "longer" })
  })

  it("lets one through for each cap of a very long one, until it ends", () => {
    const cooldown = make()
    cooldown.begin(0, 86_400_000, "a day")
    assert.strictEqual(cooldown.opensAt, cap)
    assert.isFalse(cooldown.allows(cap - 1))
    assert.isTrue(cooldown.allows(cap))
    cooldown.enter(cap + 50)
    assert.isFalse(cooldown.allows(cap + 50))
    assert.isFalse(cooldown.allows(2 * cap))
    assert.isTrue(cooldown.allows(2 * cap + 50))
    assert.isTrue(cooldown.allows(86_400_000))
  })

  it("is not cut by what its probe is told", () => {
    const cooldown = make()
    cooldown.begin(0, 86_400_000, "a day")
    cooldown.enter(cap)
    cooldown.begin(cap + 100, 1000, "http 429")
    assert.isFalse(cooldown.allows(cap + 5000))
    assert.strictEqual(cooldown.endsAt, 86_400_000)
  })

  it("counts what one request is told again and again as one word, where it was contradicted before", () => {
    const cooldown = new Cooldown({ cooldown: 10_000, maxCooldown: 300_000 })
    cooldown.begin(0, 5000, "http 429", 1)
    cooldown.doubt(1, 10)
    cooldown.enter(20)
    assert.isTrue(cooldown.answered(30, 20))
    for (let i = 0; i < 20; i++) assert.strictEqual(cooldown.begin(100 + i, 5000, "http 429", 2, i > 0), 0)
    for (const source of [3, 4]) assert.strictEqual(cooldown.begin(200, 5000, "http 429", source), 0)
    assert.strictEqual(cooldown.begin(300, 5000, "http 429", 5), 5000)
  })

  it("is tried by another request once nobody answers the one that was told", () => {
    const cooldown = make()
    cooldown.begin(0, 5000, "http 429", 1)
    assert.isFalse(cooldown.allows(10))
    cooldown.doubt(1, 10)
    assert.isTrue(cooldown.allows(10))
  })

  it("stands where a peer answered one that was told, whatever becomes of others", () => {
    const cooldown = make()
    for (const source of [1, 2]) cooldown.begin(0, 5000, "http 429", source)
    assert.strictEqual(cooldown.confirm(1), 1)
    cooldown.doubt(2, 10)
    cooldown.doubt(1, 10)
    assert.isFalse(cooldown.allows(4999))
  })

  it("stands while another request was told the same, of which nothing is known yet", () => {
    const cooldown = make()
    for (const source of [1, 2]) cooldown.begin(0, 5000, "http 429", source)
    cooldown.doubt(1, 10)
    assert.isFalse(cooldown.allows(10))
    cooldown.doubt(2, 20)
    assert.isTrue(cooldown.allows(20))
  })

  it("of a missing deployment grows from 30 s to the cap, until it is found", () => {
    const cooldown = make()
    const waits = []
    let now = 0
    for (let i = 0; i < 6; i++) {
      waits.push(cooldown.beginMissing(now, "missing"))
      now = cooldown.endsAt
    }
    assert.deepStrictEqual(waits, [30_000, 60_000, 120_000, 240_000, cap, cap])
    cooldown.answered(now)
    assert.strictEqual(cooldown.beginMissing(now, "missing"), 30_000)
  })

  it("of a missing deployment is begun once by all that were under way", () => {
    const cooldown = make()
    for (let i = 0; i < 5; i++) cooldown.beginMissing(i, "missing")
    assert.isAtMost(cooldown.endsAt, 30_004)
  })
})

const operations = Schema.Array(Schema.Union([
  Schema.Struct({ op: Schema.Literal("begin"), wait: Schema.UndefinedOr(integer(0, 2_000_000)) }),
  Schema.Struct({ op: Schema.Literal("begin"), wait: integer(0, 20_000) }),
  Schema.Struct({ op: Schema.Literal("beginMissing") }),
  Schema.Struct({ op: Schema.Literal("found") }),
  Schema.Struct({ op: Schema.Literal("enter"), isPanic: Schema.Boolean }),
  Schema.Struct({ op: Schema.Literal("waitUntilOpen"), early: integer(0, 1) }),
  Schema.Struct({ op: Schema.Literal("wait"), millis: integer(0, 400_000) }),
  Schema.Struct({ op: Schema.Literal("wait"), millis: integer(0, 10_000) })
]))

describe("a cooldown, in any order of events", () => {
  it.prop("is what the reference model is", { operations }, ({ operations }) => {
    const options = { cooldown: 10_000, maxCooldown: cap }
    const cooldown = new Cooldown(options)
    const model = new CooldownModel(options)
    let now = 0
    operations.forEach((step, i) => {
      const reason = `reason ${i}`
      if (step.op === "wait") now += step.millis
      if (step.op === "waitUntilOpen") now = Math.max(now, cooldown.opensAt - step.early)
      if (step.op === "begin") {
        assert.strictEqual(cooldown.begin(now, step.wait, reason), model.begin(now, step.wait, reason))
      }
      if (step.op === "beginMissing") {
        assert.strictEqual(cooldown.beginMissing(now, reason), model.beginMissing(now, reason))
      }
      if (step.op === "found") {
        cooldown.answered(now)
        model.found()
      }
      // in a panic requests pass that should not, and hold back the next probe
      if (step.op === "enter" && (step.isPanic || model.allows(now))) {
        cooldown.enter(now)
        model.enter(now)
      }
      assert.strictEqual(cooldown.endsAt, model.endsAt)
      if (now < model.endsAt) assert.strictEqual(cooldown.reason, model.reason)
      assert.strictEqual(cooldown.allows(now), model.allows(now))
      assert.strictEqual(cooldown.isMissing(now), model.isMissing(now))
      if (!model.allows(now)) {
        assert.isTrue(model.allows(cooldown.opensAt))
        assert.isFalse(model.allows(cooldown.opensAt - 1))
      }
    })
  }, check({ size: 60 }))

  it("the trials of a time that the service set get rarer, though another process says that it is missing", () => {
    const cooldown = new Cooldown({ cooldown: 10_000, maxCooldown: 300_000 })
    cooldown.hear(0, 20_000, "told by the fleet: missing", true)
    cooldown.begin(0, 20_000, "http 429", 1)
    cooldown.doubt(1, 0)
    cooldown.doubtHeard(0)
    let trials = 0
    for (let now = 0; now < 20_000; now += 10) {
      if (!cooldown.allows(now)) continue
      trials++
      cooldown.enter(now)
    }
    assert.isAtMost(trials, 8)
  })
})
