/**
 * Every name that telemetry uses: attributes and instruments, once. Dashboards, alerts and documentation are made of it.
 *
 * Names of OpenTelemetry's GenAI conventions are used where there are any; everything else is below `evenkeel.`.
 * (Semantic conventions 1.41.1 and, where it says so, the conventions in development that follow it.)
 */

/** Attributes of metrics and spans. */
export const attributes = {
  operation: "gen_ai.operation.name",
  provider: "gen_ai.provider.name",
  model: "gen_ai.request.model",
  responseModel: "gen_ai.response.model",
  tokenType: "gen_ai.token.type",
  modality: "gen_ai.token.modality",
  serverAddress: "server.address",
  serverPort: "server.port",
  errorType: "error.type",
  deployment: "evenkeel.deployment",
  resource: "evenkeel.resource",
  region: "evenkeel.region",
  tier: "evenkeel.tier",
  api: "evenkeel.operation",
  streamed: "evenkeel.streamed",
  provisioned: "evenkeel.provisioned",
  quota: "evenkeel.quota",
  outcome: "evenkeel.outcome",
  limitedBy: "evenkeel.limited_by",
  role: "evenkeel.attempt.role",
  session: "evenkeel.session.placement",
  moveReason: "evenkeel.session.move_reason",
  target: "evenkeel.breaker.target",
  name: "evenkeel.breaker.name",
  state: "evenkeel.state",
  reason: "evenkeel.reason",
  stage: "evenkeel.timeout.stage",
  client: "evenkeel.client",
  key: "evenkeel.key",
  status: "http.response.status_code"
} as const

/** One of them, by its key above. */
export type Attribute = keyof typeof attributes

/** What an instrument measures. */
export interface Instrument {
  readonly kind: "counter" | "histogram" | "gauge"
  readonly name: string
  /** In the notation of UCUM: `s`, `{token}`, `1`. */
  readonly unit: string
  readonly description: string
  /** Attributes of its series, in the order in which their values are given. */
  readonly attributes: ReadonlyArray<Attribute>
  /** Upper bounds of a histogram's buckets. */
  readonly boundaries: ReadonlyArray<number> | undefined
}

/** Attributes by which OpenTelemetry overflows what has too many series. (Metrics SDK, cardinality limits.) */
export const overflow = { "otel.metric.overflow": "true" } as const

const counter = (
  name: string,
  unit: string,
  description: string,
  attributes: ReadonlyArray<Attribute>
): Instrument => ({ kind: "counter", name, unit, description, attributes, boundaries: undefined })

const gauge = (
  name: string,
  unit: string,
  description: string,
  attributes: ReadonlyArray<Attribute>
): Instrument => ({ kind: "gauge", name, unit, description, attributes, boundaries: undefined })

const histogram = (
  name: string,
  unit: string,
  description: string,
  attributes: ReadonlyArray<Attribute>,
  boundaries: ReadonlyArray<number>
): Instrument => ({ kind: "histogram", name, unit, description, attributes, boundaries })

/** Bounds that the GenAI conventions give for durations, in seconds. */
const durations = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]

/** The same for what may take as long as a whole request, which by default is ten minutes. */
const lengths = [...durations, 163.84, 327.68, 655.36]

/** And for tokens. */
const tokens = [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864]

/** For what the balancer itself takes, in seconds. */
const short = [
  0.000_001,
  0.000_005,
  0.000_01,
  0.000_05,
  0.000_1,
  0.000_25,
  0.000_5,
  0.001,
  0.002_5,
  0.005,
  0.01,
  0.05,
  0.1,
  1
]

const call: ReadonlyArray<Attribute> = [
  "operation",
  "provider",
  "model",
  "responseModel",
  "serverAddress",
  "serverPort"
]

const place: ReadonlyArray<Attribute> = ["deployment", "resource", "region", "tier", "model"]

/**
 * Client metrics of the GenAI conventions, 1.41.1.
 */
export const genAi = {
  duration: histogram(
    "gen_ai.client.operation.duration",
    "s",
    "Duration of requests, over all of their attempts and waits.",
    [...call, "errorType"],
    durations
  ),
  tokens: histogram(
    "gen_ai.client.token.usage",
    "{token}",
    "Tokens of each answer as billed. Cached tokens are part of the input, reasoning tokens of the output.",
    [...call, "tokenType"],
    tokens
  ),
  firstChunk: histogram(
    "gen_ai.client.operation.time_to_first_chunk",
    "s",
    "Time from a streamed request to its first content.",
    call,
    durations
  ),
  perChunk: histogram(
    "gen_ai.client.operation.time_per_output_chunk",
    "s",
    "Time between one piece of a stream and the next.",
    call.filter((attribute) => attribute !== "responseModel"),
    durations
  )
} satisfies Record<string, Instrument>

/**
 * The names that follow them, still in development.
 */
export const genAiNext = {
  inference: histogram(
    "gen_ai.client.inference.duration",
    "s",
    "Duration of inference requests, over all of their attempts and waits.",
    [...call, "errorType"],
    durations
  ),
  embeddings: histogram(
    "gen_ai.client.embeddings.duration",
    "s",
    "Duration of embeddings requests, over all of their attempts and waits.",
    [...call, "errorType"],
    durations
  ),
  firstChunk: histogram(
    "gen_ai.client.inference.time_to_first_chunk",
    "s",
    "Time from a streamed request to its first content.",
    call,
    durations
  ),
  perChunk: histogram(
    "gen_ai.client.inference.time_per_output_chunk",
    "s",
    "Time between one piece of a stream and the next.",
    call.filter((attribute) => attribute !== "responseModel"),
    durations
  ),
  input: counter("gen_ai.client.inference.usage.input_tokens", "{token}", "Input tokens as billed.", [
    ...call,
    "modality"
  ]),
  output: counter("gen_ai.client.inference.usage.output_tokens", "{token}", "Output tokens as billed.", [
    ...call,
    "modality"
  ]),
  cacheRead: counter(
    "gen_ai.client.inference.usage.cache_read.input_tokens",
    "{token}",
    "Input tokens that were read from a prompt cache.",
    [...call, "modality"]
  ),
  cacheWrite: counter(
    "gen_ai.client.inference.usage.cache_write.input_tokens",
    "{token}",
    "Input tokens that were written to a prompt cache.",
    [...call, "modality"]
  ),
  reasoning: counter(
    "gen_ai.client.inference.usage.reasoning.output_tokens",
    "{token}",
    "Output tokens that were spent on reasoning.",
    [...call, "modality"]
  ),
  inputEach: histogram(
    "gen_ai.client.inference.operation.input_tokens",
    "{token}",
    "Input tokens of each answer.",
    call,
    tokens
  ),
  outputEach: histogram(
    "gen_ai.client.inference.operation.output_tokens",
    "{token}",
    "Output tokens of each answer.",
    call,
    tokens
  ),
  embeddingsInputEach: histogram(
    "gen_ai.client.embeddings.operation.input_tokens",
    "{token}",
    "Input tokens of each embeddings answer.",
    call,
    tokens
  )
} satisfies Record<string, Instrument>

/**
 * What requests and attempts do.
 */
export const counted = {
  requests: counter(
    "evenkeel.requests",
    "{request}",
    "Requests that ended: answered, interrupted by their caller, or with the error that the caller saw.",
    ["model", "api", "outcome", "limitedBy"]
  ),
  duration: histogram(
    "evenkeel.request.duration",
    "s",
    "Duration of requests, over all of their attempts and waits, by how they ended; of streams to their last event.",
    ["model", "api", "streamed", "outcome"],
    lengths
  ),
  waits: histogram(
    "evenkeel.request.wait.duration",
    "s",
    "Time that requests spent in line for a deployment to come back, or backing off; requests that did neither are left out.",
    ["model"],
    lengths
  ),
  overhead: histogram(
    "evenkeel.request.overhead.duration",
    "s",
    "Time of requests in which no attempt was under way and nothing was waited for: what the balancer itself took.",
    ["api"],
    short
  ),
  attempts: counter(
    "evenkeel.attempts",
    "{attempt}",
    "Attempts that ended, by why they were made and how they ended.",
    [...place, "role", "outcome", "errorType"]
  ),
  attemptDuration: histogram(
    "evenkeel.attempt.duration",
    "s",
    "Duration of attempts at one deployment.",
    ["deployment", "region", "model", "streamed", "outcome"],
    lengths
  ),
  attemptFirstChunk: histogram(
    "evenkeel.attempt.time_to_first_chunk",
    "s",
    "Time from a streamed attempt to its first content.",
    ["deployment", "region", "model"],
    durations
  ),
  selection: histogram(
    "evenkeel.selection.duration",
    "s",
    "Time that choosing a deployment took.",
    ["model"],
    short
  ),
  tokens: counter(
    "evenkeel.tokens",
    "{token}",
    "Tokens as billed, of every attempt: input, cached and cache_write as parts of it; output, reasoning as part of it.",
    ["deployment", "region", "model", "tokenType", "session"]
  ),
  cost: counter(
    "evenkeel.cost",
    "{USD}",
    "What answers cost at list or configured prices; provisioned deployments cost nothing more. Unpriced attempts are not in it.",
    ["deployment", "region", "model", "role"]
  ),
  unpriced: counter(
    "evenkeel.cost.unknown",
    "{attempt}",
    "Attempts that billed tokens at a price that nobody knows.",
    ["deployment", "model", "responseModel"]
  ),
  failovers: counter(
    "evenkeel.failovers",
    "{failover}",
    "Requests that went on to another attempt, by the deployment that they left and why.",
    ["deployment", "model", "errorType"]
  ),
  hedges: counter(
    "evenkeel.hedges",
    "{hedge}",
    "Requests whose first token was late, so that another deployment was asked beside; by the deployment that was late.",
    ["deployment", "model"]
  ),
  hedgeWins: counter(
    "evenkeel.hedge.wins",
    "{hedge}",
    "Second tries that answered first; by the deployment that did.",
    ["deployment", "model"]
  ),
  hedgeTokens: counter(
    "evenkeel.hedge.tokens",
    "{token}",
    "Tokens of second tries: billed where the service said so, else reserved. It is what hedging costs.",
    ["deployment", "model"]
  ),
  panics: counter(
    "evenkeel.panics",
    "{attempt}",
    "Attempts at a deployment that is known to fail, because all others fail too.",
    ["deployment", "model"]
  ),
  placements: counter(
    "evenkeel.session.placements",
    "{request}",
    "Answered requests of sessions: where the prompt cache is warm (home), elsewhere (moved), or warm nowhere (new).",
    ["deployment", "model", "session"]
  ),
  moves: counter(
    "evenkeel.session.moves",
    "{move}",
    "Sessions that were served elsewhere than the time before, by the deployment that they left and why.",
    ["deployment", "model", "moveReason"]
  ),
  cooldowns: counter(
    "evenkeel.cooldowns",
    "{cooldown}",
    "Answers that told a deployment's clients to wait, or that it does not exist.",
    ["deployment", "reason"]
  ),
  transitions: counter(
    "evenkeel.breaker.transitions",
    "{transition}",
    "Changes of a breaker's state: open, half-open, closed.",
    ["target", "name", "state", "reason"]
  ),
  ejections: counter(
    "evenkeel.deployment.ejections",
    "{ejection}",
    "Times that a deployment lost its traffic: because it failed, its resource failed, or it does not exist.",
    ["deployment", "reason"]
  ),
  checks: counter(
    "evenkeel.checks",
    "{check}",
    "Active checks of resources, by what was wrong.",
    ["resource", "outcome", "reason"]
  ),
  checkDuration: histogram(
    "evenkeel.check.duration",
    "s",
    "Duration of active checks.",
    ["resource", "outcome"],
    durations
  ),
  stalls: counter(
    "evenkeel.stalls",
    "{attempt}",
    "Attempts that were given up because nothing came in time, by what was waited for.",
    ["deployment", "model", "stage"]
  ),
  spillovers: counter(
    "evenkeel.spillovers",
    "{attempt}",
    "Attempts that the service itself passed on from a provisioned deployment to a standard one.",
    ["deployment", "model"]
  )
} satisfies Record<string, Instrument>

/**
 * State, as it is whenever someone looks.
 */
export const observed = {
  state: gauge(
    "evenkeel.deployment.state",
    "{deployment}",
    "1 for the state that a deployment is in, 0 for the others: healthy, cooling-down, open, half-open, draining.",
    [...place, "state"]
  ),
  outage: gauge(
    "evenkeel.deployment.outage",
    "{deployment}",
    "1 while a deployment gets no traffic for this reason.",
    ["deployment", "model", "reason"]
  ),
  info: gauge(
    "evenkeel.deployment.info",
    "{deployment}",
    "1 for each deployment, with what it is: to be multiplied with what is told of it.",
    [...place, "provisioned", "quota"]
  ),
  quotaWait: gauge(
    "evenkeel.deployment.time_to_quota",
    "s",
    "Time until a deployment's quota has room for the smallest request, by our own count; 0 when it has now.",
    ["deployment", "region", "model"]
  ),
  recovery: gauge(
    "evenkeel.deployment.time_to_recovery",
    "s",
    "Time until a deployment may be used again; 0 when it may now.",
    ["deployment", "model"]
  ),
  active: gauge(
    "evenkeel.deployment.active_requests",
    "{request}",
    "Attempts under way.",
    ["deployment", "region", "model"]
  ),
  waiting: gauge(
    "evenkeel.deployment.waiting_requests",
    "{request}",
    "Attempts under way whose first content has not come.",
    ["deployment", "region", "model"]
  ),
  utilisation: gauge(
    "evenkeel.deployment.utilization",
    "1",
    "Share of the scarcer limit in force that is used, by us and by others; above 1 where the service counted past it.",
    ["deployment", "region", "model"]
  ),
  tokenUtilisation: gauge(
    "evenkeel.deployment.token.utilization",
    "1",
    "Share of the tokens a minute that is used, by us and by others. Only where a limit is known.",
    ["deployment", "region", "model"]
  ),
  requestUtilisation: gauge(
    "evenkeel.deployment.request.utilization",
    "1",
    "Share of the requests a minute that is used, by us and by others. Only where a limit is known.",
    ["deployment", "region", "model"]
  ),
  tokenLimit: gauge(
    "evenkeel.deployment.token.limit",
    "{token}",
    "Tokens a minute in force: configured, or told by the service; of the whole pool, where several share a quota. " +
      "Only where one is known.",
    ["deployment", "region", "model", "quota"]
  ),
  requestLimit: gauge(
    "evenkeel.deployment.request.limit",
    "{request}",
    "Requests a minute in force. Only where a limit is known.",
    ["deployment", "region", "model", "quota"]
  ),
  tokensUsed: gauge(
    "evenkeel.deployment.token.usage",
    "{token}",
    "Tokens of the last minute as the ledger has them: ours (self), and what other clients were seen to use (others).",
    ["deployment", "region", "model", "client"]
  ),
  requestsUsed: gauge(
    "evenkeel.deployment.request.usage",
    "{request}",
    "Requests of the last minute: ours (self), and what other clients were seen to send (others).",
    ["deployment", "region", "model", "client"]
  ),
  tokensRemaining: gauge(
    "evenkeel.deployment.token.remaining",
    "{token}",
    "Tokens that were left by the service's own word, in its last answer. Only where it said so.",
    ["deployment", "region", "model"]
  ),
  requestsRemaining: gauge(
    "evenkeel.deployment.request.remaining",
    "{request}",
    "Requests that were left by the service's own word, in its last answer. Only where it said so.",
    ["deployment", "region", "model"]
  ),
  slowness: gauge(
    "evenkeel.deployment.slowness",
    "1",
    "First tokens, answers and decoding as a ratio to what is expected of the model: 1 is as expected, 2 is twice as slow.",
    ["deployment", "region", "model"]
  ),
  warmth: gauge(
    "evenkeel.deployment.warmth",
    "1",
    "Share of its weight that a deployment gets while it comes back.",
    ["deployment", "model"]
  ),
  deployments: gauge(
    "evenkeel.model.deployments",
    "{deployment}",
    "Deployments of a model in each state. Healthy is 0 when all are down.",
    ["model", "state"]
  ),
  queue: gauge(
    "evenkeel.model.queue",
    "{request}",
    "Requests that wait for a deployment to come back.",
    ["model"]
  ),
  resource: gauge(
    "evenkeel.resource.state",
    "{resource}",
    "1 for the state that a resource is in, 0 for the others: healthy, open, half-open.",
    ["resource", "region", "state"]
  ),
  retriesLeft: gauge("evenkeel.retry.budget", "{attempt}", "Retries that the budget would grant now.", []),
  fleetMembers: gauge(
    "evenkeel.fleet.members",
    "{member}",
    "Members of the fleet that are heard, this one included: 1 where its store does not answer, 0 where there is no fleet.",
    []
  ),
  fleetAge: gauge(
    "evenkeel.fleet.age",
    "s",
    "How long ago the fleet's store was last heard; 0 where there is no fleet, or it was never heard.",
    []
  ),
  sessions: gauge("evenkeel.sessions", "{session}", "Sessions whose warm place is remembered.", [])
} satisfies Record<string, Instrument>

/** What the gateway counts. */
export const gateway = {
  requests: counter(
    "evenkeel.gateway.requests",
    "{request}",
    "Requests to the gateway, by the key that they came with and the status of their answer; those that their client gave up have none.",
    ["key", "status"]
  ),
  tokens: counter(
    "evenkeel.gateway.tokens",
    "{token}",
    "Tokens that were billed to the holder of a key.",
    ["key", "model", "tokenType"]
  ),
  underWay: gauge("evenkeel.gateway.active_requests", "{request}", "Requests under way at the gateway.", []),
  connections: gauge("evenkeel.gateway.connections", "{connection}", "Connections open to the gateway.", [])
} satisfies Record<string, Instrument>

/** Every instrument of a balancer. Of `genAi` and `genAiNext` one is in use. */
export const instruments: ReadonlyArray<Instrument> = [
  ...Object.values(genAi),
  ...Object.values(genAiNext),
  ...Object.values(counted),
  ...Object.values(observed)
]

/**
 * What a metric is called in Prometheus, on our own page as behind OpenTelemetry's collector: units and `_total` are part of
 * the name there. (OpenTelemetry: Prometheus and OpenMetrics compatibility.)
 */
export const prometheusName = ({ kind, name, unit }: Instrument): string => {
  const base = name.replaceAll(/[^a-zA-Z0-9_]/g, "_")
  const suffix = kind === "counter" ? "_total" : kind === "gauge" && unit === "1" ? "_ratio" : ""
  return `${base}${unit === "s" ? "_seconds" : ""}${suffix}`
}

/** What an attribute is called in Prometheus. */
export const prometheusLabel = (attribute: Attribute): string => attributes[attribute].replaceAll(".", "_")
