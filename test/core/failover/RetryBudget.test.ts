import { RetryBudget } from "#core/balancer/RetryBudget"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"
import { RetryBudgetModel } from "./RetryBudgetModel.ts"

const operations = Schema.Array(Schema.Union([
  Schema.Struct({ op: Schema.Literal("deposit"), times: integer(1, 20) }),
  Schema.Struct({ op: Schema.Literal("withdraw"), times: integer(1, 20) }),
  Schema.Struct({ op: Schema.Literal("wait"), millis: integer(0, 4000) }),
  Schema.Struct({ op: Schema.Literal("wait"), millis: Schema.Literals([1, 999, 1000, 9999, 10_000, 10_999, 11_000]) })
]))

const settings = {
  operations,
  ratio: Schema.Literals([0, 0.1, 0.2, 1]),
  perSecond: Schema.Literals([0, 0.5, 1, 3])
}

describe("a retry budget, under any traffic", () => {
  it.prop("is what the reference model is", {
    ...settings,
    start: integer(0, 2000)
  }, ({ operations, perSecond, ratio, start }) => {
    const options = { budgetRatio: ratio, budgetPerSecond: perSecond }
    const budget = new RetryBudget(options)
    const model = new RetryBudgetModel(options)
    let now = start / 2
    for (const step of operations) {
      if (step.op === "wait") now += step.millis
      for (let i = 0; step.op === "deposit" && i < step.times; i++) {
        budget.deposit(now)
        model.deposit(now)
      }
      for (let i = 0; step.op === "withdraw" && i < step.times; i++) {
        assert.strictEqual(budget.withdraw(now), model.withdraw(now))
      }
      assert.strictEqual(budget.left(now), model.left(now))
    }
  }, check({ size: 60 }))

  // its buckets are of one second, so requests of up to a second before a window may count in it
  it.prop(
    "grants in no window of 10 s more than its share of the requests, and the floor",
    settings,
    ({ operations, perSecond, ratio }) => {
      const budget = new RetryBudget({ budgetRatio: ratio, budgetPerSecond: perSecond })
      const requests: Array<number> = []
      const retries: Array<number> = []
      let now = 0
      for (const step of operations) {
        if (step.op === "wait") now += step.millis
        else if (step.op === "deposit") {
          for (let i = 0; i < step.times; i++) {
            budget.deposit(now)
            requests.push(now)
          }
        } else {
          for (let i = 0; i < step.times; i++) {
            const left = budget.left(now)
            const granted = budget.withdraw(now)
            assert.strictEqual(granted, left >= 1)
            if (granted) retries.push(now)
          }
        }
      }
      for (const end of retries) {
        const spent = retries.filter((at) => at <= end && at > end - 10_000).length
        const asked = requests.filter((at) => at <= end && at > end - 11_000).length
        assert.isAtMost(spent, ratio * asked + 10 * perSecond + 1e-9)
      }
    },
    check({ size: 60 })
  )
})
