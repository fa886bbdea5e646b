import { Quota, type QuotaOptions, type Reservation } from "#core/deployment/Quota"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"
import { type Bounds, LedgerModel, type Sent } from "./LedgerModel.ts"

const maybe = Schema.UndefinedOr
const op = <Name extends string, Fields extends Schema.Struct.Fields>(name: Name, fields: Fields) =>
  Schema.Struct({ op: Schema.Literal(name), ...fields })

const which = integer(0, 20)
const tokens = integer(0, 1500)
const limits = {
  limitTokens: maybe(integer(0, 3000)),
  limitRequests: maybe(integer(0, 120)),
  remainingTokens: maybe(integer(0, 3000)),
  remainingRequests: maybe(integer(0, 120)),
  utilisation: maybe(Schema.Literals([0, 0.5, 0.87, 1.04])),
  spilled: Schema.Undefined
}
const spilled = maybe(Schema.Literals(["full", "unfit"]))

const traffic = [
  op("send", { tokens, times: integer(1, 3), overrules: Schema.Boolean }),
  op("send", { tokens, times: integer(5, 15), overrules: Schema.Boolean }),
  op("settle", { which, used: maybe(integer(0, 3000)) }),
  op("refund", { which }),
  op("throttle", { which, isCounted: Schema.Boolean, wait: Schema.Literals([0, 100, 1000, 20_000]) }),
  op("wait", { millis: integer(0, 600) }),
  op("wait", { millis: integer(0, 20_000) }),
  op("wait", {
    millis: Schema.Literals([249, 250, 1000, 9999, 10_000, 11_000, 15_000, 59_750, 60_000, 60_249, 60_250])
  })
] as const

const anything = [
  ...traffic,
  op("observe", { which: integer(0, 3), limits: Schema.Struct(limits), isRefusal: Schema.Boolean }),
  op("observe", { which, limits: Schema.Struct({ ...limits, spilled }), isRefusal: Schema.Boolean }),
  op("observeOthers", { tokens: integer(-10, 3000), requests: integer(-10, 120) }),
  op("configure", { tpm: maybe(integer(1, 3000)), rpm: maybe(integer(1, 120)) })
] as const

/** Nobody says how many tokens there are. */
const untold = [
  ...traffic,
  op("observe", {
    which: integer(0, 3),
    limits: Schema.Struct({ ...limits, limitTokens: Schema.Undefined, limitRequests: Schema.Undefined }),
    isRefusal: Schema.Boolean
  })
] as const

const Anything = Schema.Union(anything)
const Untold = Schema.Union(untold)
type Step = typeof Anything.Type | typeof Untold.Type

/** A request as both know it. */
interface Both {
  readonly reservation: Reservation
  readonly sent: Sent
}

/** Counts are met exactly: where nothing is left, not even a rounding error may be. */
const within = (actual: number, { least, most }: Bounds, what: string): void => {
  if (actual < least || actual > most) assert.fail(`${actual} ${what}, where ${least} to ${most} are right`)
}

const about = (actual: number, { least, most }: Bounds, what: string): void =>
  within(actual, { least: least - 1e-6, most: most + 1e-6 }, what)

const same = (actual: number, expected: number, what: string): void => {
  if (Number.isNaN(expected)) assert.isNaN(actual, what)
  else about(actual, { least: expected, most: expected }, what)
}

/** A ledger and its model, to which the same happens. */
class Pair {
  now: number
  private readonly quota: Quota
  private readonly model: LedgerModel
  private readonly all: Array<Both> = []
  private readonly open: Array<Both> = []

  constructor(options: QuotaOptions, now: number) {
    this.quota = new Quota(options)
    this.model = new LedgerModel(options)
    this.now = now
  }

  play(step: Step): void {
    const { model, now, quota } = this
    switch (step.op) {
      case "wait":
        this.now += step.millis
        break
      case "send":
        for (let i = 0; i < step.times && (step.overrules || quota.fits(now, step.tokens)); i++) this.send(step.tokens)
        break
      case "configure":
        quota.configure(step.tpm, step.rpm)
        model.configure(step.tpm, step.rpm)
        break
      case "observeOthers":
        quota.observeOthers(now, step.tokens, step.requests)
        model.observeOthers(now, step.tokens, step.requests)
        break
      case "observe": {
        const heard = this.all.at(-1 - step.which)
        if (heard === undefined) break
        quota.observe(step.limits, heard.reservation, now, step.isRefusal)
        model.observe(step.limits, heard.sent, now, step.isRefusal)
        break
      }
      default: {
        const [ended] = this.open.splice(-1 - step.which, 1)
        if (ended !== undefined) this.end(step, ended)
      }
    }
  }

  /** Asks everything, beginning anywhere, since to ask must change nothing. */
  compare(from: number): void {
    const all = this.questions()
    for (let i = 0; i < all.length; i++) all[(from + i) % all.length]!()
  }

  private send(tokens: number): void {
    const { model, now, quota } = this
    const reservation = quota.reserve(now, tokens)
    const both = { reservation, sent: model.reserve(now, tokens, reservation.isTrial) }
    same(reservation.tokens, both.sent.charge, "charged")
    assert.strictEqual(reservation.isTrial, both.sent.isTrial, "goes past what is believed")
    this.all.push(both)
    this.open.push(both)
  }

  private end(step: Extract<Step, { op: "settle" | "refund" | "throttle" }>, { reservation, sent }: Both): void {
    const { model, now, quota } = this
    if (step.op === "throttle") {
      quota.throttled(now, step.wait)
      model.throttled(now, step.wait)
    }
    if (step.op === "settle" || (step.op === "throttle" && step.isCounted)) {
      const used = step.op === "settle" ? step.used : undefined
      quota.settle(reservation, now, used)
      model.settle(sent, used)
    } else {
      quota.refund(reservation, now)
      model.refund(sent)
    }
  }

  private questions(): ReadonlyArray<() => void> {
    const { model, now, quota } = this
    const amounts = this.amounts()
    return [
      () => same(quota.tokenLimit, model.tokenLimit, "tokens a minute"),
      () => same(quota.requestLimit, model.requestLimit, "requests a minute"),
      () => same(quota.capacity, model.capacity, "capacity"),
      () => within(quota.othersTokensUsed(now), model.othersTokens(now), "tokens used by others"),
      () => within(quota.tokensUsed(now), model.tokensUsed(now), "tokens used"),
      () => within(quota.requestsUsed(now), model.requestsUsed(now), "requests used"),
      () => about(quota.utilisation(now), model.utilisation(now), "utilisation"),
      ...amounts.map((tokens) => () => this.sameFit(tokens)),
      ...amounts.map((tokens) => () => this.sameWait(tokens))
    ]
  }

  /** On both sides of what just fits. */
  private amounts(): ReadonlyArray<number> {
    const room = this.model.tokenLimit - this.model.tokensUsed(this.now).most
    if (!Number.isFinite(room)) return [0, 700]
    const fitting = Math.max(0, Math.floor(room))
    return [0, 700, fitting, fitting + 1, 10_000]
  }

  private sameFit(tokens: number): void {
    const expected = this.model.fits(this.now, tokens)
    const actual = this.quota.fits(this.now, tokens)
    if (expected !== undefined && actual !== expected) assert.fail(`fits ${tokens}: ${actual}`)
  }

  private sameWait(tokens: number): void {
    const { model, now } = this
    const wait = this.quota.timeUntilFits(now, tokens)
    if (model.fits(now + wait, tokens) === false) assert.fail(`${tokens} do not fit after ${wait}`)
    if (wait > 0 && model.fits(now + wait - 1, tokens) === true) assert.fail(`${tokens} fit before ${wait}`)
  }
}

const settings = {
  start: integer(0, 1000),
  rpm: maybe(integer(1, 120)),
  provisioned: Schema.Boolean,
  requestSlice: Schema.Literals([1000, 10_000, 60_000]),
  asked: integer(0, 20)
}

const play = (steps: ReadonlyArray<Step>, pair: Pair, asked: number): void =>
  steps.forEach((step, i) => {
    pair.play(step)
    pair.compare(asked + i)
  })

describe("a ledger, over any sequence of operations", () => {
  it.prop("is what the reference model is", {
    ...settings,
    steps: Schema.Array(Anything),
    tpm: maybe(integer(1, 3000))
  }, ({ asked, start, steps, ...options }) => {
    play(steps, new Pair({ ...options, headerMaxAge: 10_000 }, start / 2), asked)
  }, check({ size: 100 }))

  it.prop("is what the reference model is, where refusals alone teach the limit", {
    ...settings,
    steps: Schema.Array(Untold)
  }, ({ asked, start, steps, ...options }) => {
    play(steps, new Pair({ ...options, tpm: undefined, headerMaxAge: 10_000 }, start / 2), asked)
  }, check({ size: 100 }))
})
