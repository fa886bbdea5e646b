import { countCharacters, TokenEstimate } from "#core/request/PromptSize"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"

const textOf = (length: number) => "x".repeat(length)

describe("the characters of a prompt (B5)", () => {
  it("are those of its texts", () => {
    assert.strictEqual(countCharacters("four"), 4)
    assert.isAtLeast(countCharacters([{ role: "user", content: textOf(1000) }]), 1000)
    assert.isBelow(countCharacters([{ role: "user", content: textOf(1000) }]), 1040)
  })

  it.each([null, undefined, true, false])("are none in %s", (value) => {
    assert.strictEqual(countCharacters(value), 0)
  })

  it("are counted beside a content that is null", () => {
    const call = { id: "call_1", type: "function", function: { name: "look", arguments: textOf(100) } }
    const characters = countCharacters([{ role: "assistant", content: null, tool_calls: [call] }])
    assert.isAtLeast(characters, 100)
    assert.isBelow(characters, 220)
  })

  it("are counted in each part of a content", () => {
    const one = countCharacters([{ role: "user", content: [{ type: "text", text: textOf(500) }] }])
    const two = countCharacters([{
      role: "user",
      content: [{ type: "text", text: textOf(500) }, { type: "text", text: textOf(500) }]
    }])
    assert.isAtLeast(one, 500)
    assert.isAtLeast(two - one, 500)
    assert.isAtMost(two - one, 520)
  })

  it("are counted in tools and in schemas", () => {
    const tool = { type: "function", function: { name: "f", description: textOf(300), parameters: { type: "object" } } }
    assert.isAtLeast(countCharacters([tool]), 300)
    assert.isAtLeast(countCharacters({ type: "json_schema", json_schema: { schema: { title: textOf(99) } } }), 99)
  })

  it.each([
    { type: "image_url", image_url: { url: `data:image/png;base64,${textOf(1_000_000)}`, detail: "high" } },
    { type: "input_image", image_url: `data:image/png;base64,${textOf(1_000_000)}` }
  ])("of an image are what it is billed at, not its base64: $type", (part) => {
    const tokens = countCharacters([{ role: "user", content: [part] }]) / 4
    assert.isAtLeast(tokens, 85)
    assert.isAtMost(tokens, 2000)
  })

  it.each([
    { type: "input_audio", input_audio: { data: textOf(160_000), format: "wav" } },
    { type: "file", file: { file_data: textOf(160_000), filename: "a.pdf" } },
    { type: "input_file", file_data: textOf(160_000), filename: "a.pdf" }
  ])("of audio and files are far fewer than their base64: $type", (part) => {
    assert.isAtMost(countCharacters([part]), 20_000)
    assert.isAtLeast(countCharacters([part]), 1000)
  })

  it.prop("are a number of at least 0, whatever the value", { value: Schema.Json }, ({ value }) => {
    const characters = countCharacters(value)
    assert.isTrue(Number.isFinite(characters) && characters >= 0)
  }, check())

  it.prop("never shrink when something is said besides", {
    messages: Schema.Array(Schema.Json),
    more: Schema.Json
  }, ({ messages, more }) => {
    assert.isAtLeast(countCharacters([...messages, more]), countCharacters(messages))
  }, check())
})

describe("an estimate", () => {
  it("is a quarter of the characters before anything is learned, rounded up", () => {
    const estimate = new TokenEstimate()
    assert.deepStrictEqual([0, 1, 4, 5].map((characters) => estimate.prompt(characters)), [0, 1, 1, 2])
    assert.strictEqual(estimate.unlimitedOutput, 256)
  })

  it("learns how many tokens a character is billed at", () => {
    const estimate = new TokenEstimate()
    for (let i = 0; i < 20; i++) estimate.learn(4000, 1500, 100)
    assert.approximately(estimate.prompt(4000), 1500, 1)
    assert.strictEqual(estimate.unlimitedOutput, 100)
  })

  it("forgets slowly", () => {
    const estimate = new TokenEstimate()
    for (let i = 0; i < 200; i++) estimate.learn(4000, 1000, 100)
    estimate.learn(4000, 4000, 4000)
    assert.isBelow(estimate.prompt(4000), 1100)
    assert.isBelow(estimate.unlimitedOutput, 200)
    for (let i = 0; i < 500; i++) estimate.learn(4000, 2000, 1000)
    assert.approximately(estimate.prompt(4000), 2000, 20)
    assert.approximately(estimate.unlimitedOutput, 1000, 20)
  })

  it("learns nothing from an answer that bills nothing", () => {
    const estimate = new TokenEstimate()
    estimate.learn(4000, 0, 0)
    estimate.learn(0, 1000, 0)
    assert.deepStrictEqual([estimate.prompt(4000), estimate.unlimitedOutput], [1000, 256])
  })

  it.prop("stays between a quarter of that and four times that, whatever is billed", {
    answers: Schema.Array(Schema.Struct({
      characters: integer(0, 1_000_000),
      prompt: integer(0, 1_000_000),
      output: integer(0, 1_000_000)
    })),
    characters: integer(0, 1_000_000)
  }, ({ answers, characters }) => {
    const estimate = new TokenEstimate()
    for (const { characters, output, prompt } of answers) estimate.learn(characters, prompt, output)
    assert.isAtLeast(estimate.prompt(characters), Math.floor(characters / 16))
    assert.isAtMost(estimate.prompt(characters), characters + 1)
    assert.isTrue(Number.isSafeInteger(estimate.unlimitedOutput) && estimate.unlimitedOutput > 0)
  }, check())
})
