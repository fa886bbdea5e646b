import { assert, describe, it } from "@effect/vitest"
import { differ, type Difference, type Found, outdated, unlisted } from "./Compare.ts"

const found: Found = { case: "error: status 500", door: "lb.fetch", at: "threw.status", bare: 500, balanced: 503 }

const listed: Difference = {
  what: "Another status",
  why: "It was tried elsewhere",
  doors: ["lb.fetch"],
  cases: ["error: *"],
  at: ["threw.*"]
}

const isFoundBy = (pattern: string) => unlisted([found], [{ ...listed, at: [pattern] }]).length === 0

describe("what differs", () => {
  it("is told by its place", () => {
    const bare = { same: 1, list: [1, { a: 1 }], gone: null, kind: [] }
    const balanced = { same: 1, list: [1, { a: 2 }, 3], kind: {}, more: 0 }
    assert.deepStrictEqual(differ(bare, balanced), [
      { at: "list.1.a", bare: 1, balanced: 2 },
      { at: "list.2", bare: undefined, balanced: 3 },
      { at: "gone", bare: null, balanced: undefined },
      { at: "kind", bare: [], balanced: {} },
      { at: "more", bare: undefined, balanced: 0 }
    ])
  })

  it("is known where door, case and place are in one entry", () => {
    assert.deepStrictEqual(unlisted([found], [listed]), [])
    for (const other of [{ doors: ["lb.openai"] }, { cases: ["stream: *"] }, { at: ["threw"] }] as const) {
      assert.deepStrictEqual(unlisted([found], [{ ...listed, ...other }]), [found])
    }
  })

  it("is outdated where any part of its entry shows nothing", () => {
    assert.deepStrictEqual(outdated([found], [listed]), [])
    assert.lengthOf(outdated([found], [{ ...listed, doors: ["lb.fetch", "HttpClient"] }]), 1)
    assert.lengthOf(outdated([found], [{ ...listed, cases: ["error: *", "stream: *"] }]), 1)
    assert.lengthOf(outdated([found], [{ ...listed, at: ["threw.*", "given"] }]), 1)
    assert.lengthOf(outdated([], [listed]), 3)
  })

  it("is found by its beginning, its end and what is between", () => {
    assert.deepStrictEqual(
      ["*", "threw.status", "threw*", "*status", "t*w.s*us", "threw", "status", "*.status.*", "threw.status*x"].map(
        isFoundBy
      ),
      [true, true, true, true, true, false, false, false, false]
    )
  })
})
