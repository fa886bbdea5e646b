import { table, wrap } from "#node/cli/Table"
import { assert, describe, it } from "@effect/vitest"

const rows = [["NAME", "MODEL", "TOOK"], ["east/gpt-4o-mini", "gpt-4o", "3 ms"], ["west", "", ""]]

describe("table", () => {
  it("gives each column the room that it needs, and ends no line in spaces", () => {
    assert.deepStrictEqual(table(rows, Infinity), [
      "NAME              MODEL   TOOK",
      "east/gpt-4o-mini  gpt-4o  3 ms",
      "west"
    ])
  })

  it("cuts the widest column where the screen is narrow", () => {
    const lines = table(rows, 26)
    assert.deepStrictEqual(lines, ["NAME          MODEL   TOOK", "east/gpt-4o…  gpt-4o  3 ms", "west"])
  })

  it("leaves something of each column, however narrow it is", () => {
    assert.deepStrictEqual(table(rows, 1)[1], "east/…  gpt-4o  3 ms")
  })

  it("paints cells when their room is known", () => {
    const lines = table(rows, Infinity, (cell, row, column) => row > 0 && column === 0 ? `<${cell}>` : cell)
    assert.deepStrictEqual(lines, [
      "NAME              MODEL   TOOK",
      "<east/gpt-4o-mini>  gpt-4o  3 ms",
      "<west>"
    ])
  })
})

describe("wrap", () => {
  it("breaks between words, and indents each line", () => {
    assert.deepStrictEqual(wrap("one two three", 9, 2), ["  one two", "  three"])
  })

  it("breaks no word", () => {
    assert.deepStrictEqual(wrap("a https://example.com b", 6, 0), ["a", "https://example.com", "b"])
    assert.deepStrictEqual(wrap("a b", Infinity, 1), [" a b"])
  })
})
