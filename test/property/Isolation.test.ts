import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { runs, sample, seed } from "../support/Check.ts"
import * as Sick from "./Sick.ts"
import * as Tenants from "./Tenants.ts"

/** Worlds of each kind: one of them takes as long as many a scenario elsewhere. */
const options = (worlds: number, begin: string) => ({
  timeout: 60_000 + worlds * 20_000,
  arbitrary: { runs: worlds, seed: begin, size: 300, maxShrinks: 3 }
})

/** Every kind in the same ones, so that they need be played without a bad tenant only once. */
const tenants = options(Math.ceil(runs / 500), `${seed} guarantee 12`)

const sick = (name: string) => options(Math.ceil(runs / 1_000), `${seed} ${name}`)

/** Fails with all that is wrong. */
const nothingIn = (wrong: ReadonlyArray<string>): void => {
  if (wrong.length > 0) assert.fail(wrong.join("; "))
}

describe("12: beside a tenant with", () => {
  for (const [name, misdeed] of sample(Object.entries<Tenants.Misdeed>(Tenants.misdeeds), 4)) {
    it.effect.prop(
      `${name}, good ones get what they get without it`,
      { world: Tenants.World },
      ({ world }) =>
        Effect.gen(function*() {
          const alone = yield* Tenants.watchAlone(world)
          const beside = yield* Tenants.watch(world, misdeed)
          nothingIn(Tenants.lossesOf(alone, beside))
        }),
      tenants
    )
  }
})

describe("12: a deployment with", () => {
  for (const [name, illness] of sample(Object.entries<Sick.Illness>(Sick.illnesses), 4)) {
    it.effect.prop(
      `${name} keeps what it answers well, and people are told`,
      { world: Sick.World },
      ({ world }) =>
        Effect.gen(function*() {
          const seen = yield* Sick.watch(world, illness)
          nothingIn(Sick.complaintsOf(world, illness, seen))
        }),
      sick(name)
    )
  }
})
