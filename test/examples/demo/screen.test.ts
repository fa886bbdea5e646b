import { assert, describe, it } from "@effect/vitest"
import { openScreen } from "../../../examples/demo/screen.ts"

/** What was written to a terminal, or to a pipe. */
const fake = (isTTY: boolean) => {
  const written: Array<string> = []
  const out = { isTTY, columns: 90, rows: 30, write: (text: string) => written.push(text) > 0 }
  return { out: out as unknown as NodeJS.WriteStream, text: () => written.join("") }
}

const HIDDEN = "\u001b[?25l"
const SHOWN = "\u001b[?25h"

describe("the screen", () => {
  it("hides the cursor while it draws, and gives the terminal back once", () => {
    const { out, text } = fake(true)
    const screen = openScreen(out, {})
    screen.draw(["one", "two"])
    assert.include(text(), HIDDEN)
    assert.include(text(), "one\u001b[K\ntwo\u001b[K")
    assert.notInclude(text(), SHOWN)
    screen.close()
    screen.close()
    screen.draw(["three"])
    assert.strictEqual(text().split(SHOWN).length, 2)
    assert.notInclude(text(), "three")
    // wrapping and the first screen are back too
    assert.include(text(), "\u001b[?7h")
    assert.include(text(), "\u001b[?1049l")
  })

  it("follows the size of the terminal", () => {
    const { out } = fake(true)
    const screen = openScreen(out, {})
    out.columns = 50
    assert.deepStrictEqual(screen.canvas(), { columns: 50, rows: 30, color: true })
  })

  it.each([[{}, true], [{ NO_COLOR: "1" }, false], [{ NO_COLOR: "" }, true]])(
    "with %j has colours: %s",
    (environment, color) => {
      const { out } = fake(true)
      assert.strictEqual(openScreen(out, environment).canvas().color, color)
    }
  )

  it.each([[false, {}], [true, { TERM: "dumb" }]])(
    "writes plain lines where it cannot be redrawn",
    (isTTY, environment) => {
      const { out, text } = fake(isTTY)
      const screen = openScreen(out, environment)
      screen.draw(["drawn"])
      screen.print(["printed", "too"])
      screen.close()
      assert.strictEqual(text(), "printed\ntoo\n")
      assert.deepStrictEqual([screen.isLive, screen.canvas().color], [false, false])
    }
  )
})
