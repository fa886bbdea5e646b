import { assert, describe, it } from "@effect/vitest"
import { ask, flawOf, questionOf, say } from "./Reply.ts"

const question = { id: "q7", words: 30 }
const said = say(question, 12)
const other = say(question, 13)

describe("what was heard", () => {
  it("is as it was said, whole or up to where it was left", () => {
    assert.deepStrictEqual(questionOf(ask(question)), question)
    assert.isUndefined(questionOf("."))
    assert.isUndefined(flawOf(question, said, true))
    for (let length = 0; length <= said.length; length++) {
      assert.isUndefined(flawOf(question, said.slice(0, length), false), String(length))
    }
  })

  it("is seen to be spliced of two generations, wherever that is", () => {
    for (let at = 6; at < said.length; at++) {
      const spliced = said.slice(0, at) + other.slice(at)
      if (spliced === said || spliced === other) continue
      assert.isDefined(flawOf(question, spliced, true), String(at))
    }
  })

  it("is seen to lack a piece, to have one twice, to end early, or to be another's", () => {
    assert.isDefined(flawOf(question, said.slice(0, 40) + said.slice(44), true))
    assert.isDefined(flawOf(question, said.slice(0, 44) + said.slice(40), true))
    assert.isDefined(flawOf(question, said.slice(0, 44) + said.slice(40, 60), false))
    assert.isDefined(flawOf(question, said.slice(0, -1), true))
    assert.isDefined(flawOf(question, "", true))
    assert.isDefined(flawOf(question, say({ ...question, id: "q8" }, 12), true))
    assert.isDefined(flawOf(question, say({ ...question, id: "q8" }, 12).slice(0, 50), false))
  })
})
