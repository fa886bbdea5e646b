import { Witnesses } from "#core/deployment/Witnesses"
import { assert, describe, it } from "@effect/vitest"
import { integer } from "../../support/Check.ts"

type Deployment = { readonly witnesses: Witnesses }

const isWorseAt = (
  now: number,
  self: Deployment,
  peers: ReadonlyArray<Deployment>,
  evidence = { least: 3, alone: 1 }
): boolean => self.witnesses.isWorseThan([self, ...peers], now, evidence)

/** A deployment whose witnesses fared so, one every 100 ms, each of no session unless it is said. */
const of = (fates: string, session: (index: number) => number = () => 0): Deployment => {
  const witnesses = new Witnesses()
  for (const [i, fate] of [...fates].entries()) witnesses.hear(fate === ".", session(i), i * 100, i * 100)
  return { witnesses }
}

/** Forty of so many sessions, which all fared the same. */
const homed = (sessions: number, isWell: boolean): Deployment => {
  const made = of("")
  for (let i = 0; i < 40; i++) made.witnesses.hear(isWell, 1 + i % sessions, i * 100, i * 100)
  return made
}

const isWorse = (
  self: Deployment,
  peers: ReadonlyArray<Deployment>,
  alone = 1
): boolean => isWorseAt(10_000, self, peers, { least: 3, alone })

const well = ".".repeat(40)

describe("the witnesses of a deployment", () => {
  it("show that it does worse than its peers where most of them fare ill, and those of the peers well", () => {
    assert.isTrue(isWorse(of("x".repeat(8)), [of(well)]))
    assert.isTrue(isWorse(of("x.".repeat(16)), [of(well), of(well)]))
    assert.isFalse(isWorse(of("x........".repeat(4)), [of(well)]))
  })

  it("show nothing where the peers' fare as ill", () => {
    assert.isFalse(isWorse(of("x".repeat(40)), [of("x".repeat(40))]))
    assert.isFalse(isWorse(of("x.".repeat(20)), [of("x.".repeat(20)), of(".x.".repeat(13))]))
  })

  it("show nothing by what struck several at once", () => {
    const struck = of("")
    const peer = of("")
    for (let i = 0; i < 20; i++) struck.witnesses.hear(false, 0, 0, 5_000 + i)
    for (let i = 0; i < 40; i++) peer.witnesses.hear(true, 0, 0, 5_000 + i * 10)
    assert.isFalse(isWorse(struck, [peer]))
    // one that began after the first was heard of
    struck.witnesses.hear(false, 0, 5_100, 5_200)
    assert.isTrue(isWorse(struck, [peer]))
  })

  it("are three of one session at most", () => {
    const isWorseHomed = (self: Deployment) =>
      self.witnesses.isWorseThan([homed(10, true)], 10_000, { least: 8, alone: 1 })
    assert.isFalse(isWorseHomed(homed(2, false)))
    assert.isTrue(isWorseHomed(homed(3, false)))
  })

  it("of sessions are compared with those of sessions", () => {
    const self = of("x".repeat(20))
    const peer = of("")
    for (let i = 0; i < 40; i++) peer.witnesses.hear(true, 1 + i, i * 100, i * 100)
    assert.isFalse(isWorse(self, [peer]))
    assert.isFalse(isWorse(self, [peer], 0.5))
  })

  it("show nothing where peers say nothing, unless most fare ill and that is enough", () => {
    assert.isFalse(isWorse(of("x".repeat(20)), [of("")]))
    assert.isTrue(isWorse(of("x".repeat(20)), [of("")], 0.5))
    assert.isFalse(isWorse(of("x.".repeat(6)), [], 0.5))
  })

  it("speak no more after five minutes", () => {
    const ill = of("x".repeat(20))
    assert.isTrue(isWorseAt(60_000, ill, [of(well)]))
    assert.isFalse(isWorseAt(310_000, ill, [of(well)]))
  })

  it("take back what only seemed ill", () => {
    const self = of("")
    const numbers = Array.from({ length: 12 }, (_, i) => self.witnesses.hear(false, 0, i * 100, i * 100))
    assert.isTrue(isWorse(self, [of(well)]))
    for (const number of numbers) self.witnesses.recant(number)
    assert.isFalse(isWorse(self, [of(well)]))
  })

  it.prop("hardly ever blame one of several for what strikes all alike", {
    peers: integer(1, 5),
    percent: integer(1, 99),
    seed: integer(1, 1e9)
  }, ({ peers, percent, seed }) => {
    let state = seed
    const random = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state / 2 ** 32
    }
    const all = Array.from({ length: peers + 1 }, () => ({ witnesses: new Witnesses() }))
    let blamed = 0
    for (let i = 0; i < 500; i++) {
      const self = all[Math.floor(random() * all.length)]!
      const isWell = random() * 100 >= percent
      self.witnesses.hear(isWell, 0, i * 100, i * 100)
      if (!isWell && isWorseAt(i * 100, self, all, { least: 8, alone: 1 })) blamed++
    }
    assert.isAtMost(blamed, 5)
  })
})
