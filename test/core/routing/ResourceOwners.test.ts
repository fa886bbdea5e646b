import { ResourceOwners } from "#core/routing/ResourceOwners"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"

describe("owners of stored things", () => {
  it("are known by any of the ids", () => {
    const owners = new ResourceOwners()
    owners.remember(["resp_1", "rs_1"], "east")
    assert.strictEqual(owners.find(["resp_1"]), "east")
    assert.strictEqual(owners.find(["unknown", "rs_1"]), "east")
    assert.isUndefined(owners.find(["unknown"]))
    assert.isUndefined(owners.find([]))
  })

  it("are forgotten in the order of their last use, past a bound", () => {
    const owners = new ResourceOwners()
    owners.remember(["first"], "east")
    owners.remember(["second"], "east")
    owners.remember(["first"], "east")
    owners.remember(Array.from({ length: 49_999 }, (_, i) => `resp_${i}`), "west")
    assert.isUndefined(owners.find(["second"]))
    // whoever asks for one uses it
    assert.strictEqual(owners.find(["first"]), "east")
    owners.remember(["one more"], "west")
    assert.isUndefined(owners.find(["resp_0"]))
    assert.strictEqual(owners.find(["first"]), "east")
    assert.strictEqual(owners.find(["resp_49998"]), "west")
  })

  it.prop("are what was last remembered of each id", {
    steps: Schema.Array(Schema.Struct({
      ids: Schema.Array(integer(0, 9)),
      resource: Schema.Literals(["east", "west", "north"])
    }))
  }, ({ steps }) => {
    const owners = new ResourceOwners()
    const model = new Map<string, string>()
    for (const { ids, resource } of steps) {
      owners.remember(ids.map(String), resource)
      for (const id of ids) model.set(String(id), resource)
      for (let id = 0; id < 10; id++) assert.strictEqual(owners.find([String(id)]), model.get(String(id)))
    }
  }, check())
})
