/**
 * The schema of a configuration: the shape, the range of each value, and the defaults.
 *
 * What relates one value to another (names that must be unique, an endpoint that must fit its provider) is in
 * `ConfigRelations`, so that both kinds of mistake come out in one report.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { defaults, entraScope } from "./ConfigDefaults.ts"
import type { DurationInput } from "./ConfigInput.ts"

/** Longest duration that a timer can hold. */
const longest = 2_147_483_647

/** A value that is read by a function, which returns undefined for what it does not take. */
const leaf = <A, I>(expected: string, read: (input: unknown) => A | undefined): Schema.Codec<A, I> =>
  Schema.declareConstructor<A, I>()([], () => (input, ast, options) => {
    const value = read(input)
    return value === undefined ? Effect.fail(new SchemaIssue.InvalidType(ast, input, options)) : Effect.succeed(value)
  }, { expected })

/**
 * Milliseconds of a duration as users write it, or undefined.
 */
export const readDuration = (input: unknown): number | undefined => {
  if (typeof input === "number") return Number.isFinite(input) ? input : undefined
  const isText = typeof input === "string" && /^\d+(?:\.\d+)? [a-z]+$/.test(input)
  if (!isText && !Duration.isDuration(input)) return undefined
  const duration = Duration.fromInput(input as Duration.Input)
  return duration._tag === "Some" ? Duration.toMillis(duration.value) : undefined
}

interface DurationBounds {
  readonly max?: number
  readonly zero?: boolean
}

const duration = ({ max = longest, zero = false }: DurationBounds = {}) =>
  leaf<number, DurationInput>(
    `a duration ${zero ? "of 0 or more" : "above 0"}, ${max === longest ? "at most 24 days" : "at most 1 minute"}` +
      ", such as \"10 seconds\" or a number of milliseconds",
    (input) => {
      const millis = readDuration(input)
      return millis !== undefined && millis <= max && (zero ? millis >= 0 : millis > 0) ? millis : undefined
    }
  )

const number = (expected: string, holds: (value: number) => boolean) =>
  Schema.Number.check(Schema.makeFilter((value: number) => Number.isFinite(value) && holds(value), { expected }))

const count = number("a whole number of at least 1", (value) => Number.isSafeInteger(value) && value >= 1)
const ratio = number("a number from 0 to 1", (value) => value >= 0 && value <= 1)
const share = number("a number above 0, at most 1", (value) => value > 0 && value <= 1)
const perMinute = number("a number above 0", (value) => value > 0)
const notNegative = number("a number of 0 or more", (value) => value >= 0)

const text = (expected: string, pattern: RegExp) => Schema.String.check(Schema.isPattern(pattern, { expected }))

/** Neither empty nor with spaces around it, and without control characters. */
const word = (what: string) => text(`${what}, without spaces around it`, /^(?!\s)\P{Cc}+(?<!\s)$/u)

const flag = Schema.Boolean.annotate({ expected: "true or false" })

const oneOf = <const L extends ReadonlyArray<string>>(literals: L) => {
  const quoted = literals.map((literal) => JSON.stringify(literal))
  return Schema.Literals(literals).annotate({ expected: `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}` })
}

const withDefault = <S extends Schema.Constraint>(schema: S, value: S["Type"]) =>
  Schema.withDecodingDefaultType<S>(Effect.succeed(value))(schema)

/** A text, redacted or not, that is kept as a secret once it is read. */
const hidden = (expected: string, holds: (text: string) => boolean) =>
  leaf<Redacted.Redacted<string>, string | Redacted.Redacted<string>>(expected, (input) => {
    const value = Redacted.isRedacted(input) ? Redacted.value(input) : input
    return typeof value === "string" && holds(value.trim()) ? Redacted.make(value.trim()) : undefined
  })

const secret = hidden("the key as a text of visible ASCII characters", (text) => /^[!-~]+$/.test(text))

const header = hidden(
  "a header's value: a text of visible ASCII characters and spaces",
  (text) => /^[ -~]+$/.test(text)
)

const proxy = leaf<"none" | Redacted.Redacted<string>, string | Redacted.Redacted<string>>(
  "\"none\", or the URL of a proxy such as \"http://proxy.example:3128\"",
  (input) => {
    const value = Redacted.isRedacted(input) ? Redacted.value(input) : input
    if (value === "none") return value
    if (typeof value !== "string" || !/^https?:\/\/[^/]/i.test(value) || !URL.canParse(value)) return undefined
    const { hash, pathname, search } = new URL(value)
    return pathname === "/" && search + hash === "" ? Redacted.make(value) : undefined
  }
)

const isPem = (what: string) => (text: string) => text.startsWith("-----BEGIN ") && text.includes(`${what}-----`)

const certificate = (what: string) => {
  const expected = `${what} in PEM, which begins with "-----BEGIN CERTIFICATE-----"`
  return Schema.String.check(Schema.makeFilter((text: string) => isPem("CERTIFICATE")(text.trim()), { expected }))
}

const authorities = certificate("a certificate")

const tls = Schema.Struct({
  ca: Schema.optional(Schema.Union([authorities, Schema.Array(authorities)])),
  cert: Schema.optional(certificate("the client's certificate")),
  key: Schema.optional(
    hidden(
      "the private key of `cert` in PEM, not encrypted, which begins with \"-----BEGIN PRIVATE KEY-----\"",
      (text) => isPem("PRIVATE KEY")(text) && !text.includes("ENCRYPTED")
    )
  ),
  servername: Schema.optional(text("the name of a host", /^[\w-]+(?:\.[\w-]+)*$/))
})

type TokenProvider = () => string | Promise<string>

const auth = leaf<"entra" | TokenProvider, "entra" | TokenProvider>(
  "\"entra\" or a function that gives a token",
  (input) => input === "entra" || typeof input === "function" ? input as "entra" | TokenProvider : undefined
)

const tokenPrices = {
  input: notNegative.annotateKey({ messageMissingKey: ": give the price of a million input tokens in USD" }),
  output: notNegative.annotateKey({ messageMissingKey: ": give the price of a million output tokens in USD" }),
  cachedInput: Schema.optional(notNegative),
  cacheWrite: Schema.optional(notNegative),
  reasoning: Schema.optional(notNegative)
}

const servicePrices = {
  ...tokenPrices,
  longContext: Schema.optional(Schema.Struct({
    ...tokenPrices,
    above: notNegative.annotateKey({ messageMissingKey: ": give the prompt tokens above which these prices hold" })
  }))
}

const price = Schema.Struct({
  ...servicePrices,
  serviceTiers: Schema.optional(Schema.Record(Schema.String, Schema.Struct(servicePrices)))
})

const deployment = Schema.Struct({
  name: word("the deployment's name").annotateKey({ messageMissingKey: ": give the deployment's name" }),
  model: Schema.optional(word("the name of a model")),
  tier: withDefault(count, 1),
  provisioned: withDefault(flag, false),
  weight: withDefault(number("a number above 0, at most 1,000,000", (value) => value > 0 && value <= 1_000_000), 1),
  tpm: Schema.optional(perMinute),
  rpm: Schema.optional(perMinute),
  price: Schema.optional(price)
})

const deployments = Schema.Array(deployment).check(
  Schema.makeFilter((list: ReadonlyArray<unknown>) => list.length > 0, { expected: "at least one deployment" })
).annotate({ expected: "a list with at least one deployment" })

const provider = oneOf(["azure", "openai", "compatible"])

const resource = Schema.Struct({
  name: text("a name without `/`, without spaces around it", /^(?!\s)[^\p{Cc}/]+(?<!\s)$/u).annotateKey({
    messageMissingKey: ": give the resource a name, unique among the resources"
  }),
  provider: provider.annotateKey({ messageMissingKey: ": give \"azure\", \"openai\" or \"compatible\"" }),
  endpoint: Schema.optional(Schema.String.annotate({ expected: "a URL" })),
  apiVersion: Schema.optional(
    text(
      "a date such as \"2024-10-21\" or \"2025-03-01-preview\", or no `apiVersion` for the v1 API",
      /^(?:20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:-preview)?|v1)$/
    )
  ),
  region: Schema.optional(word("the name of a region")),
  apiKey: Schema.optional(secret),
  auth: Schema.optional(auth),
  scope: Schema.optional(word(`a scope such as "${entraScope}"`)),
  headers: Schema.optional(Schema.Record(Schema.String, header)),
  proxy: Schema.optional(proxy),
  tls: Schema.optional(tls),
  allowInsecure: withDefault(flag, false),
  streamUsage: withDefault(flag, true),
  deployments: Schema.optional(deployments)
})

const resources = Schema.Array(resource).check(
  Schema.makeFilter((list: ReadonlyArray<unknown>) => list.length > 0, { expected: "at least one resource" })
).annotate({ expected: "a list with at least one resource" })

const session = Schema.Struct({
  capacity: withDefault(count, defaults.session.capacity),
  idle: withDefault(duration(), defaults.session.idle),
  loadBound: withDefault(number("a number of at least 1", (value) => value >= 1), defaults.session.loadBound),
  maxRate: withDefault(
    number("a number of at least 1, or 0", (value) => value >= 1 || value === 0),
    defaults.session.maxRate
  )
})

const check = Schema.Struct({
  kind: withDefault(oneOf(["models", "path", "completion", "none"]), defaults.health.check.kind),
  path: Schema.optional(
    text("a path below the API's base, such as \"/models\"", /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]+)+$/)
  ),
  interval: withDefault(duration(), defaults.health.check.interval),
  timeout: withDefault(duration(), defaults.health.check.timeout)
})

/** A section that may be left out as a whole: then all its defaults hold. */
const section = <S extends Schema.Constraint>(schema: S, none: S["Encoded"]) =>
  Schema.withDecodingDefault<S>(Effect.succeed(none))(schema)

const health = Schema.Struct({
  consecutiveFailures: withDefault(count, defaults.health.consecutiveFailures),
  successRatio: withDefault(ratio, defaults.health.successRatio),
  minimumSamples: withDefault(count, defaults.health.minimumSamples),
  window: withDefault(duration(), defaults.health.window),
  openFor: withDefault(duration(), defaults.health.openFor),
  maxOpenFor: withDefault(duration(), defaults.health.maxOpenFor),
  cooldown: withDefault(duration(), defaults.health.cooldown),
  maxCooldown: withDefault(duration(), defaults.health.maxCooldown),
  slowStart: withDefault(duration({ zero: true }), defaults.health.slowStart),
  slowStartFloor: withDefault(share, defaults.health.slowStartFloor),
  check: section(check, {})
})

const failover = Schema.Struct({
  attempts: withDefault(count, defaults.failover.attempts),
  maxWait: withDefault(duration({ zero: true }), defaults.failover.maxWait),
  maxWaiting: withDefault(
    number("a whole number from 0 on", (value) => Number.isInteger(value) && value >= 0),
    defaults.failover.maxWaiting
  ),
  budgetRatio: withDefault(ratio, defaults.failover.budgetRatio),
  budgetPerSecond: withDefault(notNegative, defaults.failover.budgetPerSecond),
  hedge: withDefault(flag, defaults.failover.hedge),
  backoff: withDefault(duration({ zero: true }), defaults.failover.backoff),
  maxBackoff: withDefault(duration({ zero: true }), defaults.failover.maxBackoff)
})

const limits = {
  connect: duration(),
  total: duration(),
  firstEvent: duration(),
  firstContent: duration(),
  idle: duration()
}

const modelTimeouts = Schema.Struct({
  connect: Schema.optional(limits.connect),
  total: Schema.optional(limits.total),
  firstEvent: Schema.optional(limits.firstEvent),
  firstContent: Schema.optional(limits.firstContent),
  idle: Schema.optional(limits.idle)
})

const timeouts = Schema.Struct({
  connect: withDefault(limits.connect, defaults.timeouts.connect),
  total: withDefault(limits.total, defaults.timeouts.total),
  firstEvent: Schema.optional(limits.firstEvent),
  firstContent: withDefault(limits.firstContent, defaults.timeouts.firstContent),
  idle: withDefault(limits.idle, defaults.timeouts.idle),
  models: Schema.optional(Schema.Record(Schema.String, modelTimeouts))
})

const quota = Schema.Struct({
  hot: withDefault(share, defaults.quota.hot),
  requestSlice: withDefault(duration({ max: 60_000 }), defaults.quota.requestSlice),
  headerMaxAge: withDefault(duration({ zero: true }), defaults.quota.headerMaxAge)
})

/**
 * From what a user writes to the same shape with every default in place.
 */
export const ConfigSchema = Schema.Struct({
  resources: resources.annotateKey({ messageMissingKey: ": give a list with at least one resource" }),
  defaultResource: Schema.optional(word("the name of a resource")),
  session: section(session, {}),
  health: section(health, {}),
  failover: section(failover, {}),
  timeouts: section(timeouts, {}),
  hedging: Schema.optional(Schema.Record(Schema.String, Schema.Never)),
  quota: section(quota, {})
}).annotate({ expected: "an object with at least `resources`" })
