import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Text from "../../../examples/demo/text.ts"
import { check } from "../../support/Check.ts"
import { plain } from "./pictures.ts"

// oxlint-disable-next-line no-control-regex -- that is what a terminal is told with
const withoutColor = (text: string): string => text.replaceAll(/\u001b\[\d+m/g, "")

const words = Schema.String.check(Schema.isMaxLength(40), Schema.isPattern(/^[ -~]*$/))
const width = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 }))

describe("a line", () => {
  it.prop(
    "never is longer than the terminal, in colour or without",
    [Schema.Array(words), width],
    ([texts, columns]) => {
      const spans = texts.map((text, i) => Text.span(text, (["red", "dim", undefined] as const)[i % 3]))
      const drawn = Text.line(spans, plain(columns, 24))
      const colored = Text.line(spans, { columns, rows: 24, color: true })
      assert.isAtMost(drawn.length, columns)
      assert.strictEqual(withoutColor(colored).trimEnd(), drawn)
      // no colour is left on
      assert.strictEqual((colored.match(/\[(?:3\d|1|2)m/g) ?? []).length, (colored.match(/\[0m/g) ?? []).length)
    },
    check()
  )

  it("shows by an ellipsis that something is missing", () => {
    assert.strictEqual(
      Text.line([Text.span("west/gpt-4o"), Text.span(" is failing")], plain(16, 24)),
      "west/gpt-4o is …"
    )
  })
})

describe("a column", () => {
  it.prop("is exactly as wide as it was asked to be", [words, width], ([text, columns]) => {
    assert.strictEqual(Text.left(text, columns).length, columns)
    assert.strictEqual(Text.right(text, columns).length, columns)
  }, check())
})

describe("a bar", () => {
  it.prop("is exactly as wide as it was asked to be, whatever the share", [
    Schema.Finite.check(Schema.isBetween({ minimum: -1, maximum: 3 })),
    width
  ], ([share, columns]) => {
    assert.strictEqual(Text.bar(share, columns).length, columns)
  }, check())

  it.each([[0, "····"], [0.5, "██··"], [0.55, "██▎·"], [1, "████"], [1.7, "████"]])("of %d is %s", (share, drawn) => {
    assert.strictEqual(Text.bar(share, 4), drawn)
  })
})

describe("figures", () => {
  it("read well", () => {
    assert.deepStrictEqual(
      [Text.seconds(0), Text.seconds(9_940), Text.seconds(9_960), Text.seconds(41_200)],
      ["0.0 s", "9.9 s", "10 s", "41 s"]
    )
    assert.deepStrictEqual(
      [Text.latency(undefined), Text.latency(210.4), Text.latency(999.7), Text.latency(1_400)],
      ["–", "210 ms", "1.0 s", "1.4 s"]
    )
    assert.deepStrictEqual(
      [Text.several(1, "call"), Text.several(0, "call"), Text.several(1_200, "call")],
      ["1 call", "0 calls", "1,200 calls"]
    )
    assert.strictEqual(Text.percent(0.826), "83 %")
  })
})
