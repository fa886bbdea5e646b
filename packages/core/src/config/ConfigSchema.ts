/**
 * The schema of a configuration: its shape, the range of each value, and what holds where one is left out.
 *
 * What relates one value to another (names that must be unique, an endpoint that must fit its provider) is in
 * `ConfigRules`: a check of a struct runs only once all its fields are right, and one report is to hold both kinds of
 * mistake. What each key means is told in `ConfigInput`.
 */
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import * as Value from "./ConfigValues.ts"
import { maybe, needed, or } from "./ConfigValues.ts"
import { openAiEndpoint } from "./Endpoint.ts"

/** Scope of an Entra ID token, as Azure's documentation has it since 2026. */
const entraScope = "https://ai.azure.com/.default"

const tls = Schema.Struct({
  ca: maybe(Schema.Union([Value.certificate("a certificate"), Schema.Array(Value.certificate("a certificate"))])),
  cert: maybe(Value.certificate("the client's certificate")),
  key: maybe(Value.privateKey),
  servername: maybe(Value.text("the name of a host", /^[\w-]+(?:\.[\w-]+)*$/))
})

const tokenPrices = {
  input: needed(Value.notNegative, "give the price of a million input tokens in USD"),
  output: needed(Value.notNegative, "give the price of a million output tokens in USD"),
  cachedInput: Schema.optional(Value.notNegative),
  cacheWrite: Schema.optional(Value.notNegative),
  reasoning: Schema.optional(Value.notNegative)
}

const servicePrices = {
  ...tokenPrices,
  longContext: Schema.optional(Schema.Struct({
    ...tokenPrices,
    above: needed(Value.notNegative, "give the prompt tokens above which these prices hold")
  }))
}

const price = Schema.Struct({
  ...servicePrices,
  serviceTiers: Schema.optional(Schema.Record(Schema.String, Schema.Struct(servicePrices)))
})

const deployment = Schema.Struct({
  name: needed(Value.word("the deployment's name"), "give the deployment's name"),
  model: maybe(Value.word("the name of a model")),
  tier: or(Value.count, 1),
  provisioned: or(Schema.Boolean, false),
  weight: or(Value.number("a number above 0, at most 1,000,000", (value) => value > 0 && value <= 1_000_000), 1),
  pool: maybe(Value.word("the name of a pool")),
  tpm: maybe(Value.aboveZero),
  rpm: maybe(Value.aboveZero),
  price: maybe(price)
})

const resource = Schema.Struct({
  name: needed(
    Value.text("a name without `/`, without spaces around it", /^(?!\s)[^\p{Cc}/]+(?<!\s)$/u),
    "give the resource a name, unique among the resources"
  ),
  provider: needed(Schema.Literals(["azure", "openai", "compatible"]), "give \"azure\", \"openai\" or \"compatible\""),
  endpoint: or(Schema.String.annotate({ expected: "a URL" }), openAiEndpoint),
  apiVersion: maybe(Value.text(
    "a date such as \"2024-10-21\" or \"2025-03-01-preview\", or no `apiVersion` for the v1 API",
    /^(?:20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:-preview)?|v1)$/
  )),
  region: maybe(Value.word("the name of a region")),
  apiKey: maybe(Value.key),
  auth: maybe(Value.auth),
  scope: or(Value.word(`a scope such as "${entraScope}"`), entraScope),
  headers: or(Schema.Record(Schema.String, Value.header), {}),
  proxy: maybe(Value.proxy),
  tls: maybe(tls),
  allowInsecure: or(Schema.Boolean, false),
  streamUsage: or(Schema.Boolean, true),
  deployments: or(Value.atLeastOne(deployment, "deployment"), [{ name: "*" }])
})

const session = Schema.Struct({
  capacity: or(Value.count, 10_000),
  idle: or(Value.duration, "10 minutes"),
  loadBound: or(Value.number("a number of at least 1", (value) => value >= 1), 1.25),
  maxRate: or(Value.number("a number of at least 1, or 0", (value) => value >= 1 || value === 0), 15)
})

const check = Schema.Struct({
  kind: or(Schema.Literals(["models", "path", "completion", "none"]), "models"),
  path: maybe(Value.text("a path below the API's base, such as \"/models\"", /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]+)+$/)),
  interval: or(Value.duration, "30 seconds"),
  timeout: or(Value.duration, "10 seconds")
})

const health = Schema.Struct({
  consecutiveFailures: or(Value.count, 5),
  successRatio: or(Value.ratio, 0.8),
  minimumSamples: or(Value.count, 5),
  window: or(Value.duration, "30 seconds"),
  openFor: or(Value.duration, "5 seconds"),
  maxOpenFor: or(Value.duration, "5 minutes"),
  cooldown: or(Value.duration, "10 seconds"),
  maxCooldown: or(Value.duration, "5 minutes"),
  slowStart: or(Value.durationOrNone, "30 seconds"),
  slowStartFloor: or(Value.share, 0.1),
  check: or(check, {})
})

const failover = Schema.Struct({
  attempts: or(Value.count, 3),
  maxWait: or(Value.durationOrNone, "10 seconds"),
  maxWaiting: or(Value.number("a whole number from 0 on", (value) => Number.isInteger(value) && value >= 0), 1_000),
  budgetRatio: or(Value.ratio, 0.2),
  budgetPerSecond: or(Value.notNegative, 1),
  hedge: or(Schema.Boolean, false),
  backoff: or(Value.durationOrNone, "500 millis"),
  maxBackoff: or(Value.durationOrNone, "8 seconds")
})

const modelTimeouts = Schema.Struct({
  connect: Schema.optional(Value.duration),
  total: Schema.optional(Value.duration),
  firstEvent: Schema.optional(Value.duration),
  firstContent: Schema.optional(Value.duration),
  idle: Schema.optional(Value.duration)
})

// Azure advises to wait up to 29 minutes for models that reason, streams included
const timeouts = Schema.Struct({
  connect: or(Value.duration, "10 seconds"),
  total: or(Value.duration, "30 minutes"),
  firstEvent: maybe(Value.duration),
  firstContent: or(Value.duration, "30 minutes"),
  idle: or(Value.duration, "2 minutes"),
  models: or(Schema.Record(Schema.String, modelTimeouts), {})
})

const quota = Schema.Struct({
  hot: or(Value.share, 0.85),
  requestSlice: or(Value.withinMinute, "10 seconds"),
  headerMaxAge: or(Value.durationOrNone, "10 seconds")
})

const fleet = Schema.Struct({
  redis: needed(Value.redisUrl, "give the URL of a Redis or Valkey, such as \"redis://127.0.0.1:6379\""),
  prefix: or(Value.text("a prefix without spaces or braces", /^[^\s{}\p{Cc}]+$/u), "evenkeel"),
  cluster: or(Schema.Boolean, false),
  auth: maybe(Schema.Literals(["entra"]))
})

const host = Value.text("the name or address of an interface, such as \"0.0.0.0\"", /^[\w.:[\]-]+$/)

const gatewayKey = Schema.Struct({
  name: needed(Value.word("the key's name"), "give the key a name, which logs and metrics show"),
  key: maybe(Value.key),
  sha256: maybe(Value.text("the SHA-256 of the key, as 64 hexadecimal digits", /^[0-9a-fA-F]{64}$/)),
  operator: or(Schema.Boolean, false),
  models: maybe(Value.atLeastOne(Value.word("the name of a model"), "model")),
  tpm: maybe(Value.aboveZero),
  rpm: maybe(Value.aboveZero),
  streams: maybe(Value.count)
})

const gateway = Schema.Struct({
  host: or(host, "127.0.0.1"),
  port: or(Value.port, 4000),
  operator: maybe(
    Schema.Struct({ host: or(host, "127.0.0.1"), port: needed(Value.port, "give the operator pages a port") })
  ),
  keys: or(Schema.Array(gatewayKey), []),
  maxBody: or(Value.count, 33_554_432),
  maxBodies: or(Value.count, 1_073_741_824),
  maxHeaders: or(Value.count, 16_384),
  maxConnections: or(Value.count, 10_000),
  maxRequests: or(Value.count, 2_000),
  receive: or(Value.duration, "60 seconds"),
  stall: or(Value.duration, "60 seconds"),
  keepAlive: or(Value.duration, "65 seconds"),
  grace: or(Value.durationOrNone, "30 seconds")
})

/**
 * From what a user writes to the same shape with every default in place.
 */
export const ConfigSchema = Schema.Struct({
  resources: needed(Value.atLeastOne(resource, "resource"), "give a list with at least one resource"),
  defaultResource: maybe(Value.word("the name of a resource")),
  session: or(session, {}),
  health: or(health, {}),
  failover: or(failover, {}),
  timeouts: or(timeouts, {}),
  hedging: Schema.optional(Schema.Record(Schema.String, Schema.Never)),
  quota: or(quota, {}),
  fleet: maybe(fleet),
  gateway: or(gateway, {})
}).annotate({ expected: "an object with at least `resources`" })

const { timeouts: limits, ...sections } = Schema.decodeSync(
  ConfigSchema.mapFields(Struct.pick(["session", "health", "failover", "timeouts", "quota", "gateway"]))
)({})

/**
 * What holds where a configuration says nothing, in decoded form.
 *
 * @category configuration
 */
export const defaults = { ...sections, timeouts: Struct.omit(limits, ["models"]) } as const
