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
  it("allows exactly the limit of tokens, and no token more (B8)", () => {
    const quota = make({ tpm: 1000 })
    quota.reserve(0, 600)
    assert.isTrue(quota.fits(0, 400))
    assert.isFalse(quota.fits(0, 401))
    quota.reserve(0, 400)
    assert.strictEqual(quota.utilisation(0), 1)
    assert.isFalse(quota.fits(0, 1))
  })

  it("allows exactly the limit of requests (B8)", () => {
    const quota = make({ rpm: 3, requestSlice: 60_000 })
    quota.reserve(0, 0)
    quota.reserve(0, 0)
    assert.isTrue(quota.fits(0, 0))
    quota.reserve(0, 0)
    assert.isFalse(quota.fits(0, 0))
  })

  it("counts concurrent reservations exactly (B1)", () => {
    const quota = make({ tpm: 10_000, rpm: 100 })
    for (let i = 0; i < 10; i++) quota.reserve(i, 20)
    assert.deepStrictEqual([quota.tokensUsed(10), quota.requestsUsed(10)], [200, 10])
  })

  it("lets no burst pass the limit (B9)", () => {
    const quota = make({ tpm: 1000 })
    let admitted = 0
    for (let i = 0; i < 100; i++) {
      if (!quota.fits(0, 30)) continue
      quota.reserve(0, 30)
      admitted++
    }
    assert.strictEqual(admitted, 33)
  })

  it("spreads requests over the slices that the service enforces (B7)", () => {
    const quota = make({ rpm: 60 })
    for (let i = 0; i < 10; i++) quota.reserve(0, 0)
    assert.isFalse(quota.fits(5000, 0))
    assert.isTrue(quota.fits(11_000, 0))
  })

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

  it("rolls, without anything being started (B6)", () => {
    const quota = make({ tpm: 1000 })
    quota.reserve(0, 1000)
    assert.strictEqual(quota.utilisation(60_000), 1)
    assert.strictEqual(quota.utilisation(61_000), 0)
  })

  it("clamps what is larger than the limit, and admits it when empty, so that nothing starves", () => {
    const quota = make({ tpm: 1000 })
    assert.isTrue(quota.fits(0, 5000))
    assert.strictEqual(quota.reserve(0, 5000).tokens, 1000)
    assert.isFalse(quota.fits(1000, 5000))
    assert.isTrue(quota.fits(61_000, 5000))
  })

  it("gates nothing while no limit is known", () => {
    const quota = make({})
    for (let i = 0; i < 1000; i++) quota.reserve(0, 1e6)
    assert.isTrue(quota.fits(0, 1e6))
    assert.strictEqual(quota.utilisation(0), 0)
    assert.isNaN(quota.capacity)
    quota.throttled(70_000, 1000)
    assert.isTrue(quota.fits(70_100, 1e6))
  })

  it("takes a limit in requests at 6 for 1,000 tokens, where it is the only one", () => {
    assert.strictEqual(make({ rpm: 6 }).capacity, 1000)
    assert.strictEqual(make({ rpm: 6, tpm: 5 }).capacity, 5)
  })

  it("takes new limits at once, and what was used stays used", () => {
    const quota = make({ tpm: 1000 })
    quota.reserve(0, 500)
    quota.configure(500, undefined)
    assert.strictEqual(quota.utilisation(0), 1)
    quota.configure(undefined, undefined)
    assert.strictEqual(quota.utilisation(0), 0)
    assert.strictEqual(quota.tokensUsed(0), 500)
  })

  it("forgets an absurd reservation whole, with its minute", () => {
    const quota = make({})
    quota.reserve(0, 1e308)
    quota.reserve(0, 1e308)
    quota.reserve(30_000, 100)
    assert.strictEqual(quota.tokensUsed(62_000), 100)
    assert.strictEqual(quota.tokensUsed(92_000), 0)
  })
})

describe("a reservation", () => {
  it("of a standard deployment settles upward only: the service takes nothing back", () => {
    const quota = make({ tpm: 10_000 })
    quota.settle(quota.reserve(0, 1000), 5000, 10)
    assert.strictEqual(quota.tokensUsed(5000), 1000)
    quota.settle(quota.reserve(5000, 1000), 6000, 1500)
    assert.strictEqual(quota.tokensUsed(6000), 2500)
  })

  it("of a provisioned deployment settles both ways", () => {
    const quota = make({ tpm: 10_000, provisioned: true })
    quota.settle(quota.reserve(0, 1000), 5000, 10)
    assert.strictEqual(quota.tokensUsed(5000), 10)
    quota.settle(quota.reserve(5000, 1000), 6000, 1500)
    assert.strictEqual(quota.tokensUsed(6000), 1510)
  })

  it("stays as it is when the answer did not say what it used", () => {
    const quota = make({ tpm: 10_000, provisioned: true })
    quota.settle(quota.reserve(0, 1000), 5000, undefined)
    assert.strictEqual(quota.tokensUsed(5000), 1000)
  })

  it("is given back whole when the service did not count it", () => {
    const quota = make({ tpm: 1000, rpm: 6 })
    quota.refund(quota.reserve(0, 1000), 500)
    assert.deepStrictEqual([quota.tokensUsed(500), quota.requestsUsed(500)], [0, 0])
    assert.isTrue(quota.fits(500, 1000))
  })

  it("changes nothing once its minute is over", () => {
    const quota = make({ tpm: 10_000, rpm: 100, provisioned: true })
    const settled = quota.reserve(0, 1000)
    const refunded = quota.reserve(0, 1000)
    quota.reserve(61_000, 50)
    quota.settle(settled, 61_500, 9000)
    quota.refund(refunded, 61_500)
    assert.deepStrictEqual([quota.tokensUsed(61_500), quota.requestsUsed(61_500)], [50, 1])
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

describe("a reservation of provisioned throughput that ends after its minute", () => {
  it("makes no room that is not there", () => {
    const quota = make({ tpm: 1000, provisioned: true })
    const old = quota.reserve(0, 900)
    assert.isTrue(quota.fits(61_500, 900))
    quota.reserve(61_500, 900)
    quota.settle(old, 61_600, 0)
    assert.isFalse(quota.fits(61_600, 900))
    quota.refund(old, 61_600)
    assert.isFalse(quota.fits(61_600, 900))
  })
})

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

  it.prop("knows when a reservation will fit, as far as our own use decides it", {
    sends: Schema.Array(Schema.Struct({ tokens: integer(0, 500), wait: integer(0, 5000) })),
    tpm: integer(1, 2000),
    rpm: integer(1, 120),
    tokens: integer(0, 2500)
  }, ({ rpm, sends, tokens, tpm }) => {
    const filled = () => {
      const quota = make({ rpm, tpm })
      let now = 0
      for (const send of sends) {
        now += send.wait
        quota.reserve(now, send.tokens)
      }
      return { now, quota }
    }
    const { now, quota } = filled()
    const wait = quota.timeUntilFits(now, tokens)
    assert.strictEqual(wait === 0, quota.fits(now, tokens))
    assert.isTrue(filled().quota.fits(now + wait, tokens))
    if (wait > 1) assert.isFalse(filled().quota.fits(now + wait - 1, tokens))
  }, check())
})
