import { type Linked, LinkedList } from "#core/LinkedList"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../support/Check.ts"

class Member implements Linked<Member> {
  list: LinkedList<Member> | undefined
  previous: Member | undefined
  next: Member | undefined
}

const Step = Schema.Struct({ does: Schema.Literals(["add", "delete"]), member: integer(0, 7) })

describe("LinkedList", () => {
  it.prop("keeps the order in which its members came, as a Set does, whoever goes", {
    steps: Schema.Array(Step)
  }, ({ steps }) => {
    const members = Array.from({ length: 8 }, () => new Member())
    const list = new LinkedList<Member>()
    const set = new Set<Member>()
    for (const { does, member } of steps) {
      list[does](members[member]!)
      set[does](members[member]!)
      assert.deepStrictEqual([...list], [...set])
      assert.strictEqual(list.first, [...set][0])
    }
  }, check())

  it("leaves nothing of itself with who goes", () => {
    const list = new LinkedList<Member>()
    const [first, second, third] = [new Member(), new Member(), new Member()] as const
    for (const member of [first, second, third]) list.add(member)
    list.delete(second)
    assert.deepStrictEqual([second.list, second.previous, second.next], [undefined, undefined, undefined])
    assert.deepStrictEqual([...list], [first, third])
  })

  it("lets nobody go who is in another list", () => {
    const [here, elsewhere] = [new LinkedList<Member>(), new LinkedList<Member>()]
    const member = new Member()
    here.add(member)
    elsewhere.delete(member)
    elsewhere.add(member)
    assert.deepStrictEqual([[...here], [...elsewhere]], [[member], []])
  })

  it("goes through those who were there when it began, whoever comes and goes meanwhile", () => {
    const list = new LinkedList<Member>()
    const members = [new Member(), new Member(), new Member()] as const
    for (const member of members) list.add(member)
    const seen: Array<Member> = []
    for (const member of list) {
      seen.push(member)
      list.delete(members[1])
      list.add(new Member())
    }
    assert.deepStrictEqual(seen, [...members])
  })
})
