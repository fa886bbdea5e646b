import { costOf, type PriceList, type PriceQuery, Prices } from "#core/config/Prices"
import type { Usage } from "#core/Errors"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { check, integer } from "../../support/Check.ts"

const usageOf = (tokens: Partial<Usage>): Usage => ({
  promptTokens: 0,
  cachedTokens: 0,
  cacheWriteTokens: 0,
  completionTokens: 0,
  reasoningTokens: 0,
  ...tokens
})

const million = 1_000_000
const flat: PriceList = { input: 2, output: 8 }
const full: PriceList = { input: 2, output: 8, cachedInput: 0.5, cacheWrite: 2.5, reasoning: 9 }
const long: PriceList = { ...flat, longContext: { above: 272_000, input: 4, output: 12, cachedInput: 1 } }

const closeTo = (actual: number | undefined, expected: number): void => {
  assert.isDefined(actual)
  assert.isAtMost(Math.abs(actual! - expected), 1e-12 * expected)
}

describe("costOf", () => {
  it("charges each kind of token at its own price", () => {
    const usage = usageOf({
      promptTokens: 10 * million,
      cachedTokens: 3 * million,
      cacheWriteTokens: million,
      completionTokens: 5 * million,
      reasoningTokens: 2 * million
    })
    closeTo(costOf(full, usage, undefined), 6 * 2 + 3 * 0.5 + 1 * 2.5 + 3 * 8 + 2 * 9)
  })

  it("charges cached and written tokens as input and reasoning as output, where they have no price", () => {
    const usage = usageOf({
      promptTokens: million,
      cachedTokens: 400_000,
      cacheWriteTokens: 100_000,
      completionTokens: million,
      reasoningTokens: 700_000
    })
    closeTo(costOf(flat, usage, undefined), 10)
  })

  it("knows a price of zero from no price", () => {
    const free: PriceList = { input: 1, output: 1, cachedInput: 0, cacheWrite: 0, reasoning: 0 }
    const usage = usageOf({
      promptTokens: 5,
      cachedTokens: 3,
      cacheWriteTokens: 2,
      completionTokens: 7,
      reasoningTokens: 7
    })
    assert.strictEqual(costOf(free, usage, undefined), 0)
  })

  it("charges nothing for nothing", () => {
    assert.strictEqual(costOf(full, usageOf({}), undefined), 0)
  })

  it("never subtracts what is more than the whole", () => {
    const usage = usageOf({
      promptTokens: 1,
      cachedTokens: million,
      cacheWriteTokens: million,
      completionTokens: 1,
      reasoningTokens: million
    })
    closeTo(costOf(full, usage, undefined), 0.5 + 2.5 + 9)
  })

  it("charges the whole request at the long context's prices, once its prompt is above the limit", () => {
    const usage = usageOf({ promptTokens: 272_000, cachedTokens: 200_000, completionTokens: 1000 })
    closeTo(costOf(long, usage, undefined), (272_000 * 2 + 1000 * 8) / million)
    const longer = { ...usage, promptTokens: 272_001 }
    closeTo(costOf(long, longer, undefined), (72_001 * 4 + 200_000 * 1 + 1000 * 12) / million)
  })

  it.each([undefined, "default", "auto", "standard"])("charges the service tier %s at the base prices", (tier) => {
    closeTo(costOf(flat, usageOf({ promptTokens: million }), tier), 2)
  })

  it.each(["flex", "batch"])("charges %s half, long contexts too", (tier) => {
    closeTo(costOf(long, usageOf({ promptTokens: 100_000 }), tier), 0.1)
    closeTo(costOf(long, usageOf({ promptTokens: million }), tier), 2)
  })

  it.each(["priority", "fast", "ultrafast", "scale", "", "Default", "__proto__", "constructor", "toString"])(
    "does not know what the service tier \"%s\" costs",
    (tier) => {
      const usage = usageOf({ promptTokens: million })
      assert.isUndefined(costOf(flat, usage, tier))
      assert.isUndefined(costOf({ ...flat, serviceTiers: {} }, usage, tier))
    }
  )

  it("charges a service tier at its own prices, in long contexts too unless it has others for them", () => {
    const list: PriceList = {
      ...long,
      serviceTiers: {
        flex: { input: 0.7, output: 1 },
        priority: { input: 5, output: 20, longContext: { above: 272_000, input: 6, output: 30 } }
      }
    }
    closeTo(costOf(list, usageOf({ promptTokens: million }), "flex"), 0.7)
    closeTo(costOf(list, usageOf({ promptTokens: 100_000 }), "priority"), 0.5)
    closeTo(costOf(list, usageOf({ promptTokens: million }), "priority"), 6)
    closeTo(costOf(list, usageOf({ promptTokens: million }), "batch"), 2)
  })

  it.each([["fast", "priority"], ["priority", "fast"]] as const)(
    "charges the service tier %s at the prices of %s, which is the same by another word",
    (tier, other) => {
      const usage = usageOf({ promptTokens: million })
      const list: PriceList = { ...flat, serviceTiers: { [other]: { input: 5, output: 20 } } }
      closeTo(costOf(list, usage, tier), 5)
      closeTo(
        costOf({ ...list, serviceTiers: { ...list.serviceTiers, [tier]: { input: 6, output: 20 } } }, usage, tier),
        6
      )
      assert.isUndefined(costOf(flat, usage, tier))
    }
  )

  it("charges the service tier ultrafast at its own prices alone", () => {
    const usage = usageOf({ promptTokens: million })
    closeTo(costOf({ ...flat, serviceTiers: { ultrafast: { input: 12, output: 48 } } }, usage, "ultrafast"), 12)
    assert.isUndefined(costOf({ ...flat, serviceTiers: { priority: { input: 5, output: 20 } } }, usage, "ultrafast"))
  })
})

// -----------------------------------------------------------------------------
// properties
// -----------------------------------------------------------------------------

const tokens = integer(0, 2_000_000)
const price = integer(0, 1_000)
const Tokens = Schema.Struct({ input: tokens, cached: tokens, written: tokens, output: tokens, reasoning: tokens })
const List = Schema.Struct({ input: price, output: price, cachedInput: price, cacheWrite: price, reasoning: price })

/** A usage whose parts are no more than the whole. */
const whole = ({ cached, input, output, reasoning, written }: typeof Tokens.Type): Usage => ({
  promptTokens: input + cached + written,
  cachedTokens: cached,
  cacheWriteTokens: written,
  completionTokens: output + reasoning,
  reasoningTokens: reasoning
})

const plus = (a: Usage, b: Usage): Usage => ({
  promptTokens: a.promptTokens + b.promptTokens,
  cachedTokens: a.cachedTokens + b.cachedTokens,
  cacheWriteTokens: a.cacheWriteTokens + b.cacheWriteTokens,
  completionTokens: a.completionTokens + b.completionTokens,
  reasoningTokens: a.reasoningTokens + b.reasoningTokens
})

describe("costOf, any usage", () => {
  it.prop("costs the same together as apart, where the length of the prompt does not count", [List, Tokens, Tokens], ([
    list,
    a,
    b
  ]) => {
    const [one, other] = [whole(a), whole(b)]
    const together = costOf(list, plus(one, other), undefined)!
    closeTo(costOf(list, one, undefined)! + costOf(list, other, undefined)!, together)
  }, check())

  it.prop("is never below zero, and never more than every token at the highest price", [
    List,
    tokens,
    tokens,
    tokens,
    tokens,
    tokens
  ], ([list, promptTokens, cachedTokens, cacheWriteTokens, completionTokens, reasoningTokens]) => {
    const usage = { promptTokens, cachedTokens, cacheWriteTokens, completionTokens, reasoningTokens }
    const cost = costOf(list, usage, undefined)!
    const all = promptTokens + cachedTokens + cacheWriteTokens + completionTokens + reasoningTokens
    assert.isAtLeast(cost, 0)
    assert.isAtMost(cost, (all * Math.max(...Object.values(list)) / million) * (1 + 1e-12))
  }, check())

  it.prop("is known for a service tier only if it has prices, or is one of five", [
    Arbitrary.schema(Schema.String)
  ], ([tier]) => {
    const known = ["default", "auto", "standard", "flex", "batch"].includes(tier)
    assert.strictEqual(costOf(flat, usageOf({ promptTokens: 1 }), tier) !== undefined, known)
    const own = { ...flat, serviceTiers: Object.fromEntries([[tier, { input: 3, output: 3 }]]) }
    closeTo(costOf(own, usageOf({ promptTokens: million }), tier), 3)
  }, check())
})

const found = (layer: Layer.Layer<Prices>, query: Partial<PriceQuery>) =>
  Prices.pipe(
    Effect.map(({ find }) => find({ provider: "azure", model: "gpt-4o", at: 0, ...query })),
    Effect.provide(layer)
  )

describe("Prices", () => {
  it.effect("knows nothing", () =>
    Effect.gen(function*() {
      assert.isUndefined(yield* found(Prices.layerNone, {}))
    }))

  it.effect("knows the models of a table by their exact names, whatever the provider", () =>
    Effect.gen(function*() {
      const layer = Prices.layer({ "gpt-4o": full })
      for (const provider of ["azure", "openai", "compatible"] as const) {
        assert.deepStrictEqual(yield* found(layer, { provider }), full)
      }
      for (const model of ["GPT-4o", "gpt-4", "gpt-4o-mini", "", "__proto__", "constructor", "toString"]) {
        assert.isUndefined(yield* found(layer, { model }), model)
      }
    }))

  it.effect("finds a model that is named like a part of every object", () =>
    Effect.gen(function*() {
      const layer = Prices.layer(JSON.parse(`{ "__proto__": { "input": 1, "output": 2 } }`))
      assert.deepStrictEqual(yield* found(layer, { model: "__proto__" }), { input: 1, output: 2 })
    }))
})
