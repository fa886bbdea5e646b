import { FleetMember } from "#core/fleet/FleetMember"
import { assert, describe, it } from "@effect/vitest"
import { decodeConfig, Deployments } from "@evenkeel/core"
import { Effect, Result } from "effect"

const resources = [{
  name: "r0",
  provider: "compatible" as const,
  endpoint: "http://127.0.0.1:1/v1",
  deployments: [{ name: "*" }]
}]

describe("a fleet's member", () => {
  it.effect("speaks of the deployments that there are, where a wildcard's model was forgotten and asked for again", () =>
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const member = new FleetMember(deployments, () => 0.5)
      const realmOf = (name: string) => member.realms().find((realm) => realm.name === name)
      deployments.group("m")
      const before = realmOf("m")
      assert.strictEqual(realmOf("m"), before)
      // what came and went meanwhile, all of it before the next exchange
      for (let i = 0; i < 100; i++) deployments.group(`other-${i}`)
      deployments.group("m")
      const after = realmOf("m")
      assert.notStrictEqual(after, before)
      assert.strictEqual(after?.group, deployments.group("m"))
    }).pipe(Effect.provide(Deployments.layer(Result.getOrThrow(decodeConfig({ resources }))))))
})
