import * as Cache from "#core/simulation/SimulatedCache"
import { assert, describe, it } from "@effect/vitest"

/** A text of so many tokens of 4 characters, different for each name. */
const prompt = (name: string, tokens: number): string =>
  Array.from({ length: tokens }, (_, i) => `${name}${i.toString(36).padStart(3, "0")}`).join("")

describe("the prompt cache", () => {
  it("counts from 1,024 tokens on, in blocks of 128", () => {
    const cache = Cache.make({})
    const at = (text: string, now: number) => {
      const found = cache.lookup("", text, 4, now)
      found.remember(now)
      return found.cachedTokens
    }
    const whole = prompt("a", 1_500)
    assert.strictEqual(at(whole, 0), 0)
    assert.strictEqual(at(whole, 1), 1_408)
    assert.strictEqual(at(whole.slice(0, 1_023 * 4), 2), 0)
    assert.strictEqual(at(whole.slice(0, 1_024 * 4) + prompt("b", 400), 3), 1_024)
    assert.strictEqual(at(whole.slice(0, 1_200 * 4) + prompt("b", 400), 4), 1_152)
    assert.strictEqual(at(prompt("b", 10) + whole, 5), 0)
  })

  it("forgets what nobody asked for within the idle time", () => {
    const cache = Cache.make({ idleMs: 1_000 })
    const text = prompt("a", 1_024)
    cache.lookup("", text, 4, 0).remember(0)
    for (const now of [900, 1_800, 2_700]) {
      const found = cache.lookup("", text, 4, now)
      assert.strictEqual(found.cachedTokens, 1_024)
      found.remember(now)
    }
    assert.strictEqual(cache.lookup("", text, 4, 3_701).cachedTokens, 0)
  })

  it("meets a prompt only after it was processed", () => {
    const cache = Cache.make({})
    const text = prompt("a", 1_024)
    cache.lookup("", text, 4, 0).remember(500)
    const second = cache.lookup("", text, 4, 100)
    assert.strictEqual(second.cachedTokens, 0)
    second.remember(900)
    assert.strictEqual(cache.lookup("", text, 4, 500).cachedTokens, 1_024)
  })

  it("keeps keys apart", () => {
    const cache = Cache.make({})
    const text = prompt("a", 1_024)
    cache.lookup("one", text, 4, 0).remember(0)
    assert.strictEqual(cache.lookup("two", text, 4, 1).cachedTokens, 0)
    assert.strictEqual(cache.lookup("one", text, 4, 1).cachedTokens, 1_024)
  })

  it("drops the longest unused when it is full", () => {
    const cache = Cache.make({ maxBlocks: 16 })
    for (const name of ["a", "b", "c"]) cache.lookup("", prompt(name, 1_024), 4, 0).remember(0)
    assert.deepStrictEqual(
      ["a", "b", "c"].map((name) => cache.lookup("", prompt(name, 1_024), 4, 1).cachedTokens),
      [0, 1_024, 1_024]
    )
  })
})
