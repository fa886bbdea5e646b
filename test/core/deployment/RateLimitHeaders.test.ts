import { parseDuration, parseRateLimits, parseWait } from "#core/deployment/RateLimitHeaders"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, integer } from "../../support/Check.ts"

const wallNow = Date.UTC(2026, 10, 21, 12, 0, 0)

const wait = (headers: Record<string, string>, message?: string) => parseWait(headers, message, wallNow)

describe("a duration", () => {
  it.each([
    ["0", 0],
    ["1", 1000],
    ["86400", 86_400_000],
    ["0.5", 500],
    ["24s", 24_000],
    ["8.64s", 8640],
    ["17ms", 17],
    ["120ms", 120],
    ["6m0s", 360_000],
    ["1m2.5s", 62_500],
    ["2h30m0s", 9_000_000],
    ["500us", 0.5],
    ["500µs", 0.5],
    [" 3s ", 3000]
  ])("%j is %d ms", (text, millis) => {
    assert.strictEqual(parseDuration(text), millis)
  })

  it.each(["", " ", "-1", "-5s", "soon", "1x", "s", "1m2", "m5s", "1 m", "Infinity", "NaN", "1e400"])(
    "%j is none",
    (text) => {
      assert.isUndefined(parseDuration(text))
    }
  )

  it("is none when it was not sent, or is past all numbers", () => {
    assert.isUndefined(parseDuration(undefined))
    assert.isUndefined(parseDuration(`${"9".repeat(400)}s`))
  })
})

describe("the wait of a throttled answer (C1)", () => {
  it("is taken from retry-after-ms first", () => {
    assert.strictEqual(wait({ "retry-after-ms": "1234", "retry-after": "60" }), 1234)
    assert.strictEqual(wait({ "retry-after-ms": "12.5" }), 12.5)
  })

  it.each([
    ["24", 24_000],
    ["1.5", 1500],
    ["86400", 86_400_000],
    ["6m0s", 360_000],
    ["Sat, 21 Nov 2026 12:00:30 GMT", 30_000],
    ["Sat, 21 Nov 2026 11:00:00 GMT", 0]
  ])("is taken from retry-after: %s", (value, millis) => {
    assert.strictEqual(wait({ "retry-after": value }), millis)
  })

  it.each(["-1", "junk", "", "-6m", "in 5", "later 7", "x 2030"])("is not taken from retry-after: %j", (value) => {
    assert.strictEqual(wait({ "retry-after": value, "x-ratelimit-reset-tokens": "7" }), 7000)
  })

  it.each(["-1", "junk", "", "NaN", "Infinity"])("is not taken from retry-after-ms: %j", (value) => {
    assert.strictEqual(wait({ "retry-after-ms": value, "retry-after": "7" }), 7000)
  })

  it("is else that of the counter that is used up", () => {
    const headers = {
      "x-ratelimit-remaining-tokens": "0",
      "x-ratelimit-reset-tokens": "20",
      "x-ratelimit-remaining-requests": "55",
      "x-ratelimit-reset-requests": "50"
    }
    assert.strictEqual(wait(headers), 20_000)
  })

  it("is else the later of both resets, when no counter was sent", () => {
    assert.strictEqual(wait({ "x-ratelimit-reset-tokens": "1m2.5s", "x-ratelimit-reset-requests": "120ms" }), 62_500)
    assert.strictEqual(wait({ "x-ratelimit-reset-tokens": "5", "x-ratelimit-reset-requests": "9" }), 9000)
  })

  it("is not zero where the service sent -1, -1, 0 for unknown", () => {
    const headers = {
      "x-ratelimit-limit-tokens": "-1",
      "x-ratelimit-remaining-tokens": "-1",
      "x-ratelimit-reset-tokens": "0"
    }
    assert.isUndefined(wait(headers))
  })

  it.each([
    ["Rate limit is exceeded. Please retry after 24 seconds.", 24_000],
    ["... pricing tier. Please retry after 1 second.", 1000],
    ["Rate limit reached. Please try again in 1.5s. Visit ...", 1500],
    ["Please try again in 120ms.", 120],
    ["Please retry after 500 milliseconds.", 500],
    ["Try again after 6 seconds", 6000],
    ["Limit 3 / min. Please try again in 6m0s. Visit ...", 360_000],
    ["Please try again in 1m30.5s.", 90_500],
    ["Please try again in 1h12m57.6s.", 4_377_600],
    ["Please try again in 6M0S", 360_000],
    ["Please retry after 2 minutes.", 120_000],
    ["Please retry after 1 hour.", 3_600_000]
  ])("is else what the message says: %s", (message, millis) => {
    assert.strictEqual(wait({}, message), millis)
  })

  it.each(["try again in 5 mice", "try again in 3msx", "try again in a minute", "try again in 1m2"])(
    "is not taken from a message of no duration: %s",
    (message) => {
      assert.isUndefined(wait({}, message))
    }
  )

  it("is taken from the message before any reset, which tells when a counter is full", () => {
    const headers = { "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "59.9s" }
    assert.strictEqual(wait(headers, "Please try again in 1.2s."), 1200)
  })

  it.each([
    ["3", "0", "1m0s", 20_000],
    ["3", "0", "59.5s", 20_000],
    ["3", undefined, "1m0s", 20_000],
    ["500", "0", "59.99s", 120],
    ["10000", "0", "23h59m55s", 8640],
    ["200", "0", "24h0m0s", 432_000]
  ])(
    "is that of one request where a bucket of %s with %s left is said to be full in %s",
    (limit, remaining, reset, millis) => {
      const left = remaining === undefined ? undefined : { "x-ratelimit-remaining-requests": remaining }
      const headers = { "x-ratelimit-limit-requests": limit, "x-ratelimit-reset-requests": reset, ...left }
      assert.strictEqual(wait(headers), millis)
    }
  )

  it.each([
    // Azure's whole seconds are the time to the end of a window
    ["60", "60", 60_000],
    ["60", "42", 42_000],
    // neither a minute's bucket nor a day's is empty and full in that time
    ["60", "24s", 24_000],
    ["60", "6m0s", 360_000],
    // no limit, no rate
    [undefined, "59.5s", 59_500],
    ["0", "1m0s", 60_000]
  ])("is the whole reset where that is no full bucket: limit %s, reset %s", (limit, reset, millis) => {
    const headers = limit === undefined ? undefined : { "x-ratelimit-limit-requests": limit }
    assert.strictEqual(
      wait({ ...headers, "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": reset }),
      millis
    )
  })

  it("counts a date from the answer's own, however our clock goes", () => {
    const headers = { "retry-after": "Sat, 21 Nov 2026 15:00:30 GMT", date: "Sat, 21 Nov 2026 15:00:00 GMT" }
    assert.strictEqual(wait(headers), 30_000)
    assert.strictEqual(wait({ ...headers, "retry-after": "Sat, 21 Nov 2026 14:59:00 GMT" }), 0)
    for (const date of ["", "junk", "now", "2026"]) {
      assert.strictEqual(wait({ "retry-after": "Sat, 21 Nov 2026 12:00:30 GMT", date }), 30_000)
    }
  })

  it("is unknown when nothing says it", () => {
    assert.isUndefined(wait({}))
    assert.isUndefined(wait({}, "You exceeded your current quota"))
  })
})

const spilled = (error?: string) =>
  parseRateLimits({
    "x-ms-spillover-from-deployment": "ptu",
    ...error === undefined ? {} : { "x-ms-spillover-error": error }
  }).spilled

describe("the limits of an answer", () => {
  it("are read where they were sent", () => {
    const limits = parseRateLimits({
      "x-ratelimit-limit-requests": "60",
      "x-ratelimit-limit-tokens": "150000",
      "x-ratelimit-remaining-requests": "59",
      "x-ratelimit-remaining-tokens": "0",
      "azure-openai-deployment-utilization": "87%"
    })
    assert.deepStrictEqual(limits, {
      limitTokens: 150_000,
      limitRequests: 60,
      remainingTokens: 0,
      remainingRequests: 59,
      utilisation: 0.87,
      spilled: undefined
    })
  })

  it("are another deployment's where the service spilled the request over, for want of room or because it was too long", () => {
    assert.deepStrictEqual([spilled("429"), spilled("503"), spilled("400"), spilled()], [
      "full",
      "full",
      "unfit",
      "full"
    ])
  })

  it("are unknown, not exhausted, at -1 and at a limit of 0", () => {
    const limits = parseRateLimits({
      "x-ratelimit-limit-tokens": "0",
      "x-ratelimit-remaining-tokens": "-1",
      "x-ratelimit-limit-requests": "-1",
      "x-ratelimit-remaining-requests": "-7"
    })
    for (const value of Object.values(limits)) assert.isUndefined(value)
  })

  it.each(["", "%", "87", "-5%", "high%", "87%%"])("leave out a utilisation of %j", (text) => {
    assert.isUndefined(parseRateLimits({ "azure-openai-deployment-utilization": text }).utilisation)
  })

  it.each([" ", "1_000", "12 apples", "1,000", "true", "[]"])("leave out a count of %j", (text) => {
    assert.isUndefined(parseRateLimits({ "x-ratelimit-remaining-tokens": text }).remainingTokens)
  })
})

const piece = Schema.Union([
  Schema.String,
  Schema.Literals([
    "-",
    "+",
    ".",
    "e",
    "%",
    " ",
    "ms",
    "s",
    "m",
    "h",
    "us",
    "NaN",
    "Infinity",
    "0x",
    "GMT",
    "Nov",
    ":"
  ]),
  integer(-3, 100_000)
])

const value = Schema.Array(piece).check(Schema.isMaxLength(6))

const isTime = (millis: number | undefined) => millis === undefined || (Number.isFinite(millis) && millis >= 0)

describe("any header", () => {
  it.prop("is read as a finite number of at least 0, or as nothing, and never throws", {
    values: Schema.Array(value).check(Schema.isMinLength(1)),
    message: Schema.UndefinedOr(Schema.String)
  }, ({ message, values }) => {
    const at = (i: number) => values[i % values.length]!.join("")
    const headers = {
      "retry-after-ms": at(0),
      "retry-after": at(1),
      "x-ratelimit-limit-tokens": at(2),
      "x-ratelimit-limit-requests": at(3),
      "x-ratelimit-remaining-tokens": at(4),
      "x-ratelimit-remaining-requests": at(5),
      "x-ratelimit-reset-tokens": at(6),
      "x-ratelimit-reset-requests": at(7),
      date: at(2),
      "azure-openai-deployment-utilization": at(8)
    }
    for (const millis of [wait(headers, message), ...values.map((_, i) => parseDuration(at(i)))]) {
      assert.isTrue(isTime(millis), String(millis))
    }
    for (const name of Object.keys(headers)) assert.isTrue(isTime(wait({ [name]: at(0) }, message)))
    for (const number of Object.values(parseRateLimits(headers))) assert.isTrue(isTime(number), String(number))
  }, check())

  it.prop("is read back as the duration that Go writes", {
    hours: integer(0, 40),
    minutes: integer(0, 59),
    millis: integer(0, 59_999)
  }, ({ hours, millis, minutes }) => {
    const text = `${hours > 0 ? `${hours}h` : ""}${hours > 0 || minutes > 0 ? `${minutes}m` : ""}${millis / 1000}s`
    assert.approximately(parseDuration(text)!, hours * 3_600_000 + minutes * 60_000 + millis, 1e-6)
  }, check())

  it.prop("that is an HTTP date is the time until then", { seconds: integer(-100_000, 100_000) }, ({ seconds }) => {
    const date = new Date(wallNow + seconds * 1000).toUTCString()
    assert.strictEqual(wait({ "retry-after": date }), Math.max(0, seconds * 1000))
  }, check())
})
