import { costOf, type PriceList, type PriceQuery, Prices } from "#core/config/Prices"
import type { Usage } from "#core/Errors"
import * as GenAiPrices from "#node/GenAiPrices"
import { assert, describe, it } from "@effect/vitest"
import { calcPrice, findProvider } from "@pydantic/genai-prices"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { check, integer } from "../support/Check.ts"

const november = Date.UTC(2026, 10, 1)
const query = (fields: Partial<PriceQuery>): PriceQuery => ({
  provider: "azure",
  model: "gpt-4o",
  at: november,
  ...fields
})

const { find } = GenAiPrices.make(calcPrice)

const table = (provider: string) => findProvider({ providerId: provider })!.models

describe("GenAiPrices", () => {
  it.effect("provides the prices of the table", () =>
    Effect.gen(function*() {
      const prices = yield* Prices
      assert.deepStrictEqual(prices.find(query({})), {
        input: 2.5,
        cachedInput: 1.25,
        cacheWrite: undefined,
        output: 10
      })
    }).pipe(Effect.provide(GenAiPrices.layer)))

  it("reads the prices of long contexts", () => {
    const list = find(query({ model: "gpt-6-luna" }))!
    assert.deepStrictEqual(list, {
      input: 0.1,
      cachedInput: 0.01,
      cacheWrite: 0.125,
      output: 0.5,
      longContext: { above: 272_000, input: 0.2, cachedInput: 0.02, cacheWrite: 0.25, output: 0.75 }
    })
  })

  it("charges no output of embeddings", () => {
    assert.deepInclude(find(query({ model: "text-embedding-3-small" })), { input: 0.02, output: 0 })
  })

  it("goes by the day, as prices change", () => {
    const change = Date.UTC(2026, 7, 21)
    const inputs = [0, change - 1, change, november].map((at) => find(query({ model: "gpt-5.6-sol", at }))!.input)
    assert.deepStrictEqual(inputs, [5, 5, 4, 4])
  })

  it("knows no prices of compatible services", () => {
    assert.isUndefined(find(query({ provider: "compatible" })))
  })

  it.each([
    "",
    " ",
    "*",
    "my-deployment",
    "gpt-5-foo",
    "__proto__",
    "constructor",
    "toString",
    "\u0000",
    "😀",
    "a/b",
    "x".repeat(1_000_000)
  ])("does not know a model that the table does not (%#)", (model) => {
    for (const provider of ["azure", "openai"] as const) assert.isUndefined(find(query({ provider, model })))
  })

  it("does not know what sound and pictures cost, nor what changes by the hour", () => {
    for (const model of ["whisper-1", "gpt-audio", "gpt-image-1", "gpt-realtime", "moderation"]) {
      assert.isUndefined(find(query({ provider: "openai", model })), model)
    }
    assert.isUndefined(find(query({ model: "deepseek-v4-pro" })))
  })

  it("does not know a price at no time", () => {
    assert.isUndefined(find(query({ model: "gpt-5.6-sol", at: Number.NaN })))
  })

  it("knows every model of OpenAI's and Azure's tables that has prices of text alone", () => {
    const other = /audio|image|_hours/
    for (const provider of ["azure", "openai"] as const) {
      for (const { id, prices } of table(provider)) {
        const fields = Object.keys(Array.isArray(prices) ? prices.at(-1)!.prices : prices)
        const isText = fields.includes("input_mtok") && !fields.some((field) => other.test(field))
        const found = calcPrice({}, id, { providerId: provider })
        // a few names are matched by another row, or by none
        if (found?.model.id !== id) continue
        assert.strictEqual(find(query({ provider, model: id })) !== undefined, isText, `${provider} ${id}`)
      }
    }
  })
})

// -----------------------------------------------------------------------------
// what is asked of the table
// -----------------------------------------------------------------------------

type Calculate = typeof calcPrice

/** Counts what is asked of the real table. */
const counted = () => {
  const asked: Array<string> = []
  const calculate: Calculate = (usage, model, options) => {
    asked.push(`${options?.providerId} ${model} ${options?.timestamp?.toISOString()}`)
    return calcPrice(usage, model, options)
  }
  return { asked, find: GenAiPrices.make(calculate).find }
}

/** The prices of a table with one row. */
const ofRow = (row: Record<string, unknown>): PriceList | undefined => {
  const calculate = () => ({ model: { prices: row }, model_price: row })
  return GenAiPrices.make(calculate as unknown as Calculate).find(query({}))
}

describe("GenAiPrices.make", () => {
  it("asks once for a provider, a model and a UTC day", () => {
    const { asked, find } = counted()
    const day = 86_400_000
    for (const at of [november, november + 1, november + day - 1, november + day]) {
      for (const provider of ["azure", "openai", "compatible"] as const) find(query({ provider, at }))
    }
    assert.deepStrictEqual(asked, [
      "azure gpt-4o 2026-11-01T00:00:00.000Z",
      "openai gpt-4o 2026-11-01T00:00:00.000Z",
      "azure gpt-4o 2026-11-02T00:00:00.000Z",
      "openai gpt-4o 2026-11-02T00:00:00.000Z"
    ])
  })

  it("asks once for what it does not know", () => {
    const { asked, find } = counted()
    for (let i = 0; i < 3; i++) assert.isUndefined(find(query({ model: "nobody" })))
    assert.lengthOf(asked, 1)
  })

  it("does not ask about a name that is longer than any", () => {
    const { asked, find } = counted()
    assert.isUndefined(find(query({ model: "gpt-4o".padEnd(201, "o") })))
    assert.isEmpty(asked)
  })

  it("forgets the longest unused of more than 1,000", () => {
    const { asked, find } = counted()
    for (let i = 0; i < 1_000; i++) find(query({ model: `m${i}` }))
    find(query({ model: "m0" }))
    assert.lengthOf(asked, 1_000)
    find(query({ model: "m1000" }))
    find(query({ model: "m0" }))
    assert.lengthOf(asked, 1_001)
    find(query({ model: "m1" }))
    assert.lengthOf(asked, 1_002)
  })

  it("does not know what the table fails at", () => {
    const { find } = GenAiPrices.make(() => {
      throw new Error("Unknown price constraint")
    })
    assert.isUndefined(find(query({})))
  })

  it("takes a price without tiers for that of every length", () => {
    const tiered = { base: 1, tiers: [{ start: 100, price: 2 }] }
    assert.deepStrictEqual(ofRow({ input_mtok: tiered, cache_read_mtok: 0.5 }), {
      input: 1,
      cachedInput: 0.5,
      cacheWrite: undefined,
      output: 0,
      longContext: { above: 100, input: 2, cachedInput: 0.5, cacheWrite: undefined, output: 0 }
    })
  })

  it("does not know prices with more than one limit", () => {
    const two = { base: 1, tiers: [{ start: 100, price: 2 }, { start: 200, price: 3 }] }
    const other = { base: 1, tiers: [{ start: 200, price: 2 }] }
    assert.isUndefined(ofRow({ input_mtok: two }))
    assert.isUndefined(ofRow({ input_mtok: { base: 1, tiers: [{ start: 100, price: 2 }] }, output_mtok: other }))
  })

  it.each([
    [{}],
    [{ output_mtok: 1 }],
    [{ input_mtok: undefined, output_mtok: 1 }],
    [{ input_audio_mtok: 1 }],
    [{ input_mtok: 1, cache_write_1h_mtok: 2 }],
    [{ input_mtok: 1, requests_kcount: 5 }]
  ])("does not know what tokens cost that it cannot tell apart (%#)", (row) => {
    assert.isUndefined(ofRow(row))
  })
})

// -----------------------------------------------------------------------------
// the same as the library
// -----------------------------------------------------------------------------

const models = [
  "gpt-4o",
  "gpt-4o-mini",
  "gpt-4.1",
  "gpt-5",
  "gpt-5-pro",
  "gpt-5.4",
  "gpt-5.6-sol",
  "gpt-6-luna",
  "gpt-6-astra",
  "o1",
  "o3",
  "o4-mini",
  "text-embedding-3-small",
  "text-embedding-ada-002"
]
const times = [0, Date.UTC(2025, 5, 10) - 1, Date.UTC(2026, 7, 20, 23, 59), Date.UTC(2026, 7, 21), november]

const agrees = ({ at, model, provider }: PriceQuery, usage: Usage): void => {
  const theirs = calcPrice(
    {
      input_tokens: usage.promptTokens,
      cache_read_tokens: usage.cachedTokens,
      cache_write_tokens: usage.cacheWriteTokens,
      output_tokens: usage.completionTokens
    },
    model,
    { providerId: provider, timestamp: new Date(at) }
  )!.total_price
  const ours = costOf(find({ at, model, provider })!, usage, undefined)!
  assert.isAtMost(Math.abs(ours - theirs), 1e-12 * theirs, `${provider} ${model}: ${ours}, not ${theirs}`)
}

describe("costOf, with the table's prices", () => {
  it.prop("is what the library says, for any usage", [
    Schema.Struct({
      provider: Schema.Literals(["azure", "openai"]),
      model: Schema.Literals(models),
      at: Schema.Literals(times),
      prompt: Schema.Union([integer(0, 10_000), integer(271_990, 272_010), integer(0, 2_000_000)]),
      cached: integer(0, 100),
      written: integer(0, 100),
      completion: integer(0, 200_000),
      reasoning: integer(0, 100)
    })
  ], ([{ at, cached, completion, model, prompt, provider, reasoning, written }]) => {
    const cachedTokens = Math.floor(prompt * cached / 100)
    agrees({ provider, model, at }, {
      promptTokens: prompt,
      cachedTokens,
      cacheWriteTokens: Math.floor((prompt - cachedTokens) * written / 100),
      completionTokens: completion,
      reasoningTokens: Math.floor(completion * reasoning / 100)
    })
  }, check())

  it("is what the library says, for every model that is known, on both sides of its limit", () => {
    let compared = 0
    for (const provider of ["azure", "openai"] as const) {
      for (const { id } of [...table("azure"), ...table("openai")]) {
        const list = find(query({ provider, model: id }))
        if (list === undefined) continue
        const limit = list.longContext?.above ?? 1000
        for (const promptTokens of [limit - 1, limit, limit + 1, 10 * limit]) {
          agrees(query({ provider, model: id }), {
            promptTokens,
            cachedTokens: Math.floor(promptTokens / 3),
            cacheWriteTokens: Math.floor(promptTokens / 4),
            completionTokens: 1_234,
            reasoningTokens: 234
          })
          compared++
        }
      }
    }
    assert.isAbove(compared, 400)
  })
})
