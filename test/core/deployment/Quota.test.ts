import { Quota, type QuotaOptions, type Reservation } from "#core/deployment/Quota"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"

const make = (options: Partial<QuotaOptions>): Quota =>
  new Quota({
    tpm: undefined,
    rpm: undefined,
    provisioned: false,
    requestSlice: 10_000,
    headerMaxAge: 10_000,
    ...options
  })

describe("a ledger", () => {
  it.each([1000, 10_000, 60_000])(
    "refuses nothing at 70 % of its request limit, with a slice of %i ms",
    (requestSlice) => {
      const quota = make({ rpm: 600, requestSlice })
      let refused = 0
      for (let now = 0; now < 180_000; now += 1000 / 7) {
        if (!quota.fits(now, 0)) refused++
        else quota.reserve(now, 0)
      }
      assert.strictEqual(refused, 0)
    }
  )

  it("forgets an absurd reservation whole, with its minute", () => {
    const quota = make({})
    quota.reserve(0, 1e308)
    quota.reserve(0, 1e308)
    quota.reserve(30_000, 100)
    assert.strictEqual(quota.tokensUsed(62_000), 100)
    assert.strictEqual(quota.tokensUsed(92_000), 0)
  })
})

const reserve = Schema.Struct({ op: Schema.Literal("reserve"), tokens: integer(0, 1500) })
const settle = Schema.Struct({
  op: Schema.Literal("settle"),
  which: integer(0, 20),
  used: Schema.UndefinedOr(integer(0, 3000))
})
const refund = Schema.Struct({ op: Schema.Literal("refund"), which: integer(0, 20) })
const wait = Schema.Struct({ op: Schema.Literal("wait"), millis: integer(0, 20_000) })

interface Sent {
  readonly reservation: Reservation
  /** What the service holds against us for it. */
  counted: number
  /** What our ledger holds against us for it. */
  charge: number
  requests: number
}

const since = (sent: ReadonlyArray<Sent>, from: number, value: (one: Sent) => number): number =>
  sent.reduce((sum, one) => one.reservation.sentAt > from ? sum + value(one) : sum, 0)

describe("a ledger, in any order of reservations, settlements and refunds", () => {
  it.prop("never falls below what the service counts, nor passes a limit by what fits", {
    operations: Schema.Array(Schema.Union([reserve, reserve, settle, refund, wait])),
    tpm: integer(1, 3000),
    rpm: integer(1, 120),
    provisioned: Schema.Boolean
  }, ({ operations, provisioned, rpm, tpm }) => {
    const quota = make({ provisioned, rpm, tpm })
    const all: Array<Sent> = []
    const open: Array<Sent> = []
    let now = 100.5
    for (const step of operations) {
      if (step.op === "wait") now += step.millis
      if (step.op === "reserve" && quota.fits(now, step.tokens)) {
        const reservation = quota.reserve(now, step.tokens)
        const sent = { reservation, counted: reservation.tokens, charge: reservation.tokens, requests: 1 }
        all.push(sent)
        open.push(sent)
        assert.isAtMost(since(all, now - 60_000, (one) => one.charge), tpm)
        assert.isAtMost(since(all, now - 60_000, (one) => one.requests), Math.max(1, rpm))
        assert.isAtMost(since(all, now - 10_000, (one) => one.requests), Math.max(1, Math.ceil(rpm / 6)))
      }
      if ((step.op === "settle" || step.op === "refund") && open.length > 0) {
        const [sent] = open.splice(step.which % open.length, 1)
        if (step.op === "refund") {
          quota.refund(sent!.reservation, now)
          Object.assign(sent!, { counted: 0, charge: 0, requests: 0 })
        } else {
          quota.settle(sent!.reservation, now, step.used)
          sent!.counted = step.used ?? sent!.counted
          sent!.charge = provisioned ? sent!.counted : Math.max(sent!.charge, sent!.counted)
        }
      }
      const used = quota.tokensUsed(now)
      assert.isAtLeast(used, 0)
      assert.isAtLeast(quota.requestsUsed(now), 0)
      assert.isAtLeast(used, since(all, now - 60_000, (one) => one.charge))
      assert.isAtMost(used, since(all, now - 60_250, (one) => one.charge))
      assert.isAtLeast(quota.requestsUsed(now), since(all, now - 60_000, (one) => one.requests))
    }
    now += 60_250
    assert.deepStrictEqual([quota.tokensUsed(now), quota.requestsUsed(now)], [0, 0])
  }, check({ size: 60 }))
})
