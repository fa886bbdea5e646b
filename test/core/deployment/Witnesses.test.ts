import { type Evidence, Witnesses } from "#core/deployment/Witnesses"
import * as SeededRandom from "#core/simulation/SeededRandom"
import { assert, describe, it } from "@effect/vitest"
import { check, integer } from "../../support/Check.ts"

type Deployment = { readonly witnesses: Witnesses }

const evidence: Evidence = { sources: 3, beyondChance: Math.log(1e5), clearly: 0.2 }

const worseAt = (now: number, self: Deployment, peers: ReadonlyArray<Deployment>, more: Partial<Evidence> = {}) =>
  self.witnesses.worseThan([self, ...peers], now, { ...evidence, ...more })

const worse = (self: Deployment, peers: ReadonlyArray<Deployment>, more: Partial<Evidence> = {}) =>
  worseAt(10_000, self, peers, more)

/** A deployment whose witnesses fared so, one every 100 ms, of no session. */
const of = (fates: string): Deployment => {
  const witnesses = new Witnesses()
  for (const [i, fate] of [...fates].entries()) witnesses.hear(fate === ".", 0, i * 100, i * 100)
  return { witnesses }
}

/** Forty of so many sessions, which all fared the same. */
const homed = (sessions: number, isWell: boolean): Deployment => {
  const made = of("")
  for (let i = 0; i < 40; i++) made.witnesses.hear(isWell, 1 + i % sessions, i * 100, i * 100)
  return made
}

const well = ".".repeat(40)

describe("the witnesses of a deployment", () => {
  it("show that it does worse than its peers where many fare ill, and those of the peers well", () => {
    assert.strictEqual(worse(of("x".repeat(8)), [of(well)]), "clearly")
    assert.strictEqual(worse(of("x.".repeat(16)), [of(well), of(well)]), "clearly")
    assert.isUndefined(worse(of("x........".repeat(4)), [of(well)]))
  })

  it("show that more fare ill, though not clearly, where chance does not explain it", () => {
    assert.strictEqual(worse(of("x.......".repeat(8)), [of(".".repeat(64)), of(".".repeat(64))]), "more")
  })

  it("show nothing where the peers' fare as ill", () => {
    assert.isUndefined(worse(of("x".repeat(40)), [of("x".repeat(40))]))
    assert.isUndefined(worse(of("x.".repeat(20)), [of("x.".repeat(20)), of(".x.".repeat(13))]))
  })

  it("show nothing by what struck several at once", () => {
    const struck = of("")
    const peer = of("")
    for (let i = 0; i < 20; i++) struck.witnesses.hear(false, 0, 0, 5_000 + i)
    for (let i = 0; i < 40; i++) peer.witnesses.hear(true, 0, 0, 5_000 + i * 10)
    assert.isUndefined(worse(struck, [peer]))
    // one that began after the first was heard of
    struck.witnesses.hear(false, 0, 5_100, 5_200)
    assert.strictEqual(worse(struck, [peer]), "clearly")
  })

  it("are three of one session at most, and of several sessions where there are any", () => {
    for (const sessions of [1, 2]) assert.isUndefined(worse(homed(sessions, false), [homed(10, true)]))
    assert.strictEqual(worse(homed(3, false), [homed(10, true)]), "clearly")
    assert.isUndefined(worse(homed(3, false), [homed(10, true)], { sources: 5 }))
  })

  it("of sessions are compared with those of sessions", () => {
    const self = of("x".repeat(20))
    assert.isUndefined(worse(self, [homed(10, true)]))
    assert.isUndefined(worse(self, [homed(10, true)], { alone: { least: 3, share: 0.5 } }))
  })

  it("show nothing where peers say nothing, unless most fare ill and that is enough", () => {
    assert.isUndefined(worse(of("x".repeat(20)), [of("")]))
    const alone = { least: 3, share: 0.5 }
    assert.strictEqual(worse(of("x".repeat(20)), [of("")], { alone }), "clearly")
    assert.isUndefined(worse(of("x.".repeat(6)), [], { alone }))
  })

  it("speak no more after five minutes, nor of what was before it came back", () => {
    const ill = of("x".repeat(20))
    assert.strictEqual(worseAt(60_000, ill, [of(well)]), "clearly")
    assert.isUndefined(worseAt(310_000, ill, [of(well)]))
    assert.isUndefined(ill.witnesses.worseThan([of(well)], 60_000, evidence, 1_900))
  })

  it("take back what only seemed ill", () => {
    const self = of("")
    const numbers = Array.from({ length: 12 }, (_, i) => self.witnesses.hear(false, 0, i * 100, i * 100))
    assert.strictEqual(worse(self, [of(well)]), "clearly")
    for (const number of numbers) self.witnesses.recant(number)
    assert.isUndefined(worse(self, [of(well)]))
  })

  it("are heard of many peers evenly", () => {
    const peers = Array.from({ length: 200 }, (_, i) => of(i < 100 ? "x".repeat(40) : well))
    assert.strictEqual(worse(of("x".repeat(40)), peers), "clearly")
    assert.strictEqual(worse(of("x".repeat(40)), peers.toReversed()), "clearly")
  })

  it.prop("hardly ever blame one of several for what strikes all alike", {
    peers: integer(1, 20),
    percent: integer(1, 99),
    seed: integer(1, 1e9)
  }, ({ peers, percent, seed }) => {
    const random = SeededRandom.make(seed)
    const all = Array.from({ length: peers + 1 }, () => of(""))
    const blamed = new Set<Deployment>()
    for (let i = 0; i < 500; i++) {
      const self = all[Math.floor(random() * all.length)]!
      const isWell = random() * 100 >= percent
      self.witnesses.hear(isWell, 0, i * 100, i * 100)
      if (!isWell && worseAt(i * 100, self, all) === "clearly") blamed.add(self)
    }
    assert.isAtMost(blamed.size, 1)
  }, check())
})
