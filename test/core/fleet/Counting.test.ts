import type { Quota, Reservation } from "#core/deployment/Quota"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"
import { type Fate, Rig } from "./Rig.ts"

const op = <Name extends string, Fields extends Schema.Struct.Fields>(name: Name, fields: Fields) =>
  Schema.Struct({ op: Schema.Literal(name), ...fields })

const MEMBERS = 3
const DEPLOYMENTS = 2

const member = integer(0, MEMBERS - 1)
const fates: ReadonlyArray<Fate> = ["arrives", "arrives", "arrives", "lost-there", "lost-back"]

const Step = Schema.Union([
  op("send", { member, deployment: integer(0, DEPLOYMENTS - 1), tokens: integer(1, 2000) }),
  op("send", { member, deployment: integer(0, DEPLOYMENTS - 1), tokens: integer(1, 2000) }),
  op("end", { which: integer(0, 5), how: Schema.Literals(["settle", "refund"]), used: integer(0, 4000) }),
  op("exchange", { member, fate: Schema.Literals(fates), isRepeatedLater: Schema.Boolean }),
  op("exchange", { member, fate: Schema.Literals(fates), isRepeatedLater: Schema.Boolean }),
  op("straggle", {}),
  op("restart", {}),
  op("wait", { millis: Schema.Literals([1, 100, 400, 999, 1000, 5000, 20_000, 61_000, 130_000]) })
])

const play = (rig: Rig, steps: ReadonlyArray<typeof Step.Type>, watch: () => void): void => {
  const open: Array<readonly [Rig["members"][number]["deployments"][number], Reservation]> = []
  for (const step of steps) {
    switch (step.op) {
      case "send": {
        const deployment = rig.members[step.member]!.deployments[step.deployment]!
        open.push([deployment, deployment.quota.reserve(rig.now, step.tokens)])
        break
      }
      case "end": {
        const [ended] = open.splice(-1 - step.which, 1)
        if (ended === undefined) break
        const [{ quota }, reservation] = ended
        if (step.how === "settle") quota.settle(reservation, rig.now, step.used)
        else quota.refund(reservation, rig.now)
        break
      }
      case "exchange":
        rig.exchange(step.member, step.fate, step.isRepeatedLater)
        break
      case "straggle":
        rig.straggle()
        break
      case "restart":
        rig.store.clear()
        break
      case "wait":
        rig.now += step.millis
    }
    watch()
  }
}

/** Tokens of a ledger within the store's window, which is by steps of 250 ms. */
const ownOf = (quota: Quota, { now }: Rig): number => {
  let own = 0
  quota.ownTokens.each(now, (beganAt, tokens) => {
    if (Math.floor(beganAt / 250) >= Math.floor(now / 250) - 240) own += tokens
  })
  return own
}

describe("what a fleet counts", () => {
  it.prop(
    "is what its members sent, and all agree on it two exchanges after whatever happened to the store and the network",
    { steps: Schema.Array(Step) },
    ({ steps }) => {
      const rig = new Rig(MEMBERS, Array.from({ length: DEPLOYMENTS }, () => ({ tpm: 10_000_000, rpm: 100_000 })))
      play(rig, steps, () => {})
      rig.straggle()
      for (const late of [false, true]) {
        if (late) rig.straggle()
        // the first repeats what may have been counted, the second says what is new
        rig.exchangeAll(2)
        for (let deployment = 0; deployment < DEPLOYMENTS; deployment++) {
          assert.strictEqual(rig.stored(deployment), rig.used(deployment))
        }
        // who spoke before others hears them with its next
        rig.exchangeAll(1)
        for (let deployment = 0; deployment < DEPLOYMENTS; deployment++) {
          const used = rig.used(deployment)
          for (const { deployments } of rig.members) {
            const { quota } = deployments[deployment]!
            assert.strictEqual(quota.othersTokensUsed(rig.now), used - ownOf(quota, rig))
          }
        }
      }
    },
    check({ size: 60 })
  )

  it.prop(
    "is never more than was sent within a window, whatever is lost, repeated, late or forgotten meanwhile",
    { steps: Schema.Array(Step) },
    ({ steps }) => {
      const rig = new Rig(MEMBERS, Array.from({ length: DEPLOYMENTS }, () => ({ tpm: 10_000_000, rpm: 100_000 })))
      const sent: Array<{ at: number; tokens: number }> = []
      // refunds and corrections aside: what was charged is the most that may be counted
      const only = steps.flatMap((step) => step.op === "end" ? [] : [step])
      let next = 0
      play(rig, only, () => {
        const step = only[next++]!
        if (step.op === "send") sent.push({ at: rig.now, tokens: step.tokens })
        const most = sent.reduce((sum, { at, tokens }) => at > rig.now - 63_000 ? sum + tokens : sum, 0)
        let stored = 0
        for (let deployment = 0; deployment < DEPLOYMENTS; deployment++) stored += rig.stored(deployment)
        assert.isAtMost(stored, most)
      })
    },
    check({ size: 60 })
  )

  it("counts an exchange once whose reply was lost, and which is said again", () => {
    const rig = new Rig(2, [{ tpm: 100_000 }])
    rig.exchange(0)
    rig.members[0]!.deployments[0]!.quota.reserve(rig.now, 700)
    rig.exchange(0, "lost-back")
    rig.members[0]!.deployments[0]!.quota.reserve(rig.now, 300)
    assert.strictEqual(rig.exchange(0)!(0)!.tokens, 700)
    assert.strictEqual(rig.exchange(0)!(0)!.tokens, 1000)
    assert.strictEqual(rig.exchange(1)!(0)!.tokens, 1000)
    assert.strictEqual(rig.members[1]!.deployments[0]!.quota.othersTokensUsed(rig.now), 1000)
    assert.strictEqual(rig.members[0]!.deployments[0]!.quota.othersTokensUsed(rig.now), 0)
  })

  it("charges no less for a limit that only others were told", () => {
    const rig = new Rig(1, [{}])
    const { quota } = rig.members[0]!.deployments[0]!
    quota.hearLimits(7, 0)
    assert.strictEqual(quota.reserve(rig.now, 500).tokens, 500)
  })

  it("gives the same room again to whoever did not hear that it was given, and to nobody else", () => {
    const rig = new Rig(2, [{ tpm: 1000 }])
    rig.exchange(0)
    rig.exchange(1)
    rig.members[0]!.deployments[0]!.quota.want(600)
    assert.isUndefined(rig.exchange(0, "lost-back"))
    rig.members[1]!.deployments[0]!.quota.want(600)
    assert.strictEqual(rig.exchange(1)!(0)!.granted.tokens, 0)
    rig.members[0]!.deployments[0]!.quota.want(600)
    assert.strictEqual(rig.exchange(0)!(0)!.granted.tokens, 600)
    assert.isTrue(rig.members[0]!.deployments[0]!.quota.fits(rig.now, 600))
    assert.isFalse(rig.members[1]!.deployments[0]!.quota.fits(rig.now, 600))
  })

  it("counts room that is set aside as used, and gives it to others when nobody waits for it any more", () => {
    const rig = new Rig(2, [{ tpm: 1000 }])
    rig.exchangeAll(2)
    rig.members[0]!.deployments[0]!.quota.want(600)
    rig.exchange(0)
    rig.members[1]!.deployments[0]!.quota.want(600)
    assert.strictEqual(rig.exchange(1)!(0)!.granted.tokens, 0)
    rig.exchange(0)
    rig.members[1]!.deployments[0]!.quota.want(600)
    assert.strictEqual(rig.exchange(1)!(0)!.granted.tokens, 600)
  })
})
