import { Cooldown } from "#core/deployment/Cooldown"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"
import { CooldownModel } from "./CooldownModel.ts"

const cap = 300_000

const make = (): Cooldown => new Cooldown({ cooldown: 10_000, maxCooldown: cap })

describe("a cooldown", () => {
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
