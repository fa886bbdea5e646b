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

/** Values of attributes, by their keys above. */
export type Facts = { readonly [Key in Attribute]?: string | undefined }

/** What an instrument measures. */
export interface Instrument {
  /** Which of all it is. */
  readonly id: number
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

/** Of what is known, the values of an instrument's attributes, in their order. */
export const labelsOf = ({ attributes }: Instrument, facts: Facts): ReadonlyArray<string | undefined> =>
  attributes.map((attribute) => facts[attribute])

/** Attributes by which OpenTelemetry overflows what has too many series. (Metrics SDK, cardinality limits.) */
export const overflow = { "otel.metric.overflow": "true" } as const

let made = 0

const counter = (
  name: string,
  unit: string,
  attributes: ReadonlyArray<Attribute>,
  about: Pick<Instrument, "description">
): Instrument => ({ id: made++, kind: "counter", name, unit, attributes, boundaries: undefined, ...about })

const gauge: typeof counter = (...of) => ({ ...counter(...of), kind: "gauge" })

const histogram = (
  name: string,
  unit: string,
  boundaries: ReadonlyArray<number>,
  attributes: ReadonlyArray<Attribute>,
  about: Pick<Instrument, "description">
): Instrument => ({ id: made++, kind: "histogram", name, unit, attributes, boundaries, ...about })

/** Bounds that the GenAI conventions give for durations, in seconds. */
const durations = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]

/** The same for what may take as long as a whole request, which by default is ten minutes. */
const lengths = [...durations, 163.84, 327.68, 655.36]

/** And for tokens. */
const tokens = [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864]

/** For what the balancer itself takes, in seconds. */
const short = [1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.05, 0.1, 1]

const call: ReadonlyArray<Attribute> = [
  "operation",
  "provider",
  "model",
  "responseModel",
  "serverAddress",
  "serverPort"
]

/** A piece of a stream is told before its answer is known. */
const chunk = call.filter((attribute) => attribute !== "responseModel")

/** What most gauges are told of. */
const served: ReadonlyArray<Attribute> = ["deployment", "region", "model"]

const place: ReadonlyArray<Attribute> = ["deployment", "resource", "region", "tier", "model"]

/**
 * Client metrics of the GenAI conventions, 1.41.1.
 */
export const genAi = {
  duration: histogram("gen_ai.client.operation.duration", "s", durations, [...call, "errorType"], {
    description: "Duration of requests, over all of their attempts and waits."
  }),
  tokens: histogram("gen_ai.client.token.usage", "{token}", tokens, [...call, "tokenType"], {
    description: "Tokens of each answer as billed. Cached tokens are part of the input, reasoning tokens of the output."
  }),
  firstChunk: histogram("gen_ai.client.operation.time_to_first_chunk", "s", durations, call, {
    description: "Time from a streamed request to its first content."
  }),
  perChunk: histogram("gen_ai.client.operation.time_per_output_chunk", "s", durations, chunk, {
    description: "Time between one piece of a stream and the next."
  })
} satisfies Record<string, Instrument>

/**
 * The names that follow them, still in development.
 */
export const genAiNext = {
  inference: histogram("gen_ai.client.inference.duration", "s", durations, [...call, "errorType"], {
    description: "Duration of inference requests, over all of their attempts and waits."
  }),
  embeddings: histogram("gen_ai.client.embeddings.duration", "s", durations, [...call, "errorType"], {
    description: "Duration of embeddings requests, over all of their attempts and waits."
  }),
  firstChunk: histogram("gen_ai.client.inference.time_to_first_chunk", "s", durations, call, {
    description: "Time from a streamed request to its first content."
  }),
  perChunk: histogram("gen_ai.client.inference.time_per_output_chunk", "s", durations, chunk, {
    description: "Time between one piece of a stream and the next."
  }),
  input: counter("gen_ai.client.inference.usage.input_tokens", "{token}", [...call, "modality"], {
    description: "Input tokens as billed."
  }),
  output: counter("gen_ai.client.inference.usage.output_tokens", "{token}", [...call, "modality"], {
    description: "Output tokens as billed."
  }),
  cacheRead: counter("gen_ai.client.inference.usage.cache_read.input_tokens", "{token}", [...call, "modality"], {
    description: "Input tokens that were read from a prompt cache."
  }),
  cacheWrite: counter("gen_ai.client.inference.usage.cache_write.input_tokens", "{token}", [...call, "modality"], {
    description: "Input tokens that were written to a prompt cache."
  }),
  reasoning: counter("gen_ai.client.inference.usage.reasoning.output_tokens", "{token}", [...call, "modality"], {
    description: "Output tokens that were spent on reasoning."
  }),
  inputEach: histogram("gen_ai.client.inference.operation.input_tokens", "{token}", tokens, call, {
    description: "Input tokens of each answer."
  }),
  outputEach: histogram("gen_ai.client.inference.operation.output_tokens", "{token}", tokens, call, {
    description: "Output tokens of each answer."
  }),
  embeddingsInputEach: histogram("gen_ai.client.embeddings.operation.input_tokens", "{token}", tokens, call, {
    description: "Input tokens of each embeddings answer."
  })
} satisfies Record<string, Instrument>

/**
 * What requests and attempts do.
 */
export const counted = {
  requests: counter("evenkeel.requests", "{request}", ["model", "api", "outcome", "limitedBy"], {
    description: "Requests that ended: answered, interrupted by their caller, or with the error that the caller saw."
  }),
  duration: histogram("evenkeel.request.duration", "s", lengths, ["model", "api", "streamed", "outcome"], {
    description:
      "Duration of requests, over all of their attempts and waits, by how they ended; of streams to their last event."
  }),
  waits: histogram("evenkeel.request.wait.duration", "s", lengths, ["model"], {
    description:
      "Time that requests spent in line for a deployment to come back, or backing off; requests that did neither are left out."
  }),
  overhead: histogram("evenkeel.request.overhead.duration", "s", short, ["api"], {
    description:
      "Time of requests in which no attempt was under way and nothing was waited for: what the balancer itself took."
  }),
  attempts: counter("evenkeel.attempts", "{attempt}", [...place, "role", "outcome", "errorType"], {
    description: "Attempts that ended, by why they were made and how they ended."
  }),
  attemptDuration: histogram("evenkeel.attempt.duration", "s", lengths, [...served, "streamed", "outcome"], {
    description: "Duration of attempts at one deployment."
  }),
  attemptFirstChunk: histogram("evenkeel.attempt.time_to_first_chunk", "s", durations, served, {
    description: "Time from a streamed attempt to its first content."
  }),
  selection: histogram("evenkeel.selection.duration", "s", short, ["model"], {
    description: "Time that choosing a deployment took."
  }),
  tokens: counter("evenkeel.tokens", "{token}", [...served, "tokenType", "session"], {
    description:
      "Tokens as billed, of every attempt: input, cached and cache_write as parts of it; output, reasoning as part of it."
  }),
  cost: counter("evenkeel.cost", "{USD}", [...served, "role"], {
    description:
      "What answers cost at list or configured prices; provisioned deployments cost nothing more. Unpriced attempts are not in it."
  }),
  unpriced: counter("evenkeel.cost.unknown", "{attempt}", ["deployment", "model", "responseModel"], {
    description: "Attempts that billed tokens at a price that nobody knows."
  }),
  failovers: counter("evenkeel.failovers", "{failover}", ["deployment", "model", "errorType"], {
    description: "Requests that went on to another attempt, by the deployment that they left and why."
  }),
  hedges: counter("evenkeel.hedges", "{hedge}", ["deployment", "model"], {
    description:
      "Requests whose first token was late, so that another deployment was asked beside; by the deployment that was late."
  }),
  hedgeWins: counter("evenkeel.hedge.wins", "{hedge}", ["deployment", "model"], {
    description: "Second tries that answered first; by the deployment that did."
  }),
  hedgeTokens: counter("evenkeel.hedge.tokens", "{token}", ["deployment", "model"], {
    description: "Tokens of second tries: billed where the service said so, else reserved. It is what hedging costs."
  }),
  panics: counter("evenkeel.panics", "{attempt}", ["deployment", "model"], {
    description: "Attempts at a deployment that is known to fail, because all others fail too."
  }),
  placements: counter("evenkeel.session.placements", "{request}", ["deployment", "model", "session"], {
    description:
      "Answered requests of sessions: where the prompt cache is warm (home), elsewhere (moved), or warm nowhere (new)."
  }),
  moves: counter("evenkeel.session.moves", "{move}", ["deployment", "model", "moveReason"], {
    description: "Sessions that were served elsewhere than the time before, by the deployment that they left and why."
  }),
  cooldowns: counter("evenkeel.cooldowns", "{cooldown}", ["deployment", "reason"], {
    description: "Answers that told a deployment's clients to wait, or that it does not exist."
  }),
  transitions: counter("evenkeel.breaker.transitions", "{transition}", ["target", "name", "state", "reason"], {
    description: "Changes of a breaker's state: open, half-open, closed."
  }),
  ejections: counter("evenkeel.deployment.ejections", "{ejection}", ["deployment", "reason"], {
    description:
      "Times that a deployment lost its traffic: because it failed, its resource failed, or it does not exist."
  }),
  checks: counter("evenkeel.checks", "{check}", ["resource", "outcome", "reason"], {
    description: "Active checks of resources, by what was wrong."
  }),
  checkDuration: histogram("evenkeel.check.duration", "s", durations, ["resource", "outcome"], {
    description: "Duration of active checks."
  }),
  stalls: counter("evenkeel.stalls", "{attempt}", ["deployment", "model", "stage"], {
    description: "Attempts that were given up because nothing came in time, by what was waited for."
  }),
  spillovers: counter("evenkeel.spillovers", "{attempt}", ["deployment", "model"], {
    description: "Attempts that the service itself passed on from a provisioned deployment to a standard one."
  })
} satisfies Record<string, Instrument>

/**
 * State, as it is whenever someone looks.
 */
export const observed = {
  state: gauge("evenkeel.deployment.state", "{deployment}", [...place, "state"], {
    description:
      "1 for the state that a deployment is in, 0 for the others: healthy, cooling-down, open, half-open, draining."
  }),
  outage: gauge("evenkeel.deployment.outage", "{deployment}", ["deployment", "model", "reason"], {
    description: "1 while a deployment gets no traffic for this reason."
  }),
  info: gauge("evenkeel.deployment.info", "{deployment}", [...place, "provisioned", "quota"], {
    description: "1 for each deployment, with what it is: to be multiplied with what is told of it."
  }),
  quotaWait: gauge("evenkeel.deployment.time_to_quota", "s", served, {
    description:
      "Time until a deployment's quota has room for the smallest request, by our own count; 0 when it has now."
  }),
  recovery: gauge("evenkeel.deployment.time_to_recovery", "s", ["deployment", "model"], {
    description: "Time until a deployment may be used again; 0 when it may now."
  }),
  active: gauge("evenkeel.deployment.active_requests", "{request}", served, {
    description: "Attempts under way."
  }),
  waiting: gauge("evenkeel.deployment.waiting_requests", "{request}", served, {
    description: "Attempts under way whose first content has not come."
  }),
  utilisation: gauge("evenkeel.deployment.utilization", "1", served, {
    description:
      "Share of the scarcer limit in force that is used, by us and by others; above 1 where the service counted past it."
  }),
  tokenUtilisation: gauge("evenkeel.deployment.token.utilization", "1", served, {
    description: "Share of the tokens a minute that is used, by us and by others. Only where a limit is known."
  }),
  requestUtilisation: gauge("evenkeel.deployment.request.utilization", "1", served, {
    description: "Share of the requests a minute that is used, by us and by others. Only where a limit is known."
  }),
  tokenLimit: gauge("evenkeel.deployment.token.limit", "{token}", [...served, "quota"], {
    description:
      "Tokens a minute in force: configured, or told by the service; of the whole pool, where several share a quota. " +
      "Only where one is known."
  }),
  requestLimit: gauge("evenkeel.deployment.request.limit", "{request}", [...served, "quota"], {
    description: "Requests a minute in force. Only where a limit is known."
  }),
  tokensUsed: gauge("evenkeel.deployment.token.usage", "{token}", [...served, "client"], {
    description:
      "Tokens of the last minute as the ledger has them: ours (self), and what other clients were seen to use (others)."
  }),
  requestsUsed: gauge("evenkeel.deployment.request.usage", "{request}", [...served, "client"], {
    description: "Requests of the last minute: ours (self), and what other clients were seen to send (others)."
  }),
  tokensRemaining: gauge("evenkeel.deployment.token.remaining", "{token}", served, {
    description: "Tokens that were left by the service's own word, in its last answer. Only where it said so."
  }),
  requestsRemaining: gauge("evenkeel.deployment.request.remaining", "{request}", served, {
    description: "Requests that were left by the service's own word, in its last answer. Only where it said so."
  }),
  slowness: gauge("evenkeel.deployment.slowness", "1", served, {
    description:
      "First tokens, answers and decoding as a ratio to what is expected of the model: 1 is as expected, 2 is twice as slow."
  }),
  warmth: gauge("evenkeel.deployment.warmth", "1", ["deployment", "model"], {
    description: "Share of its weight that a deployment gets while it comes back."
  }),
  deployments: gauge("evenkeel.model.deployments", "{deployment}", ["model", "state"], {
    description: "Deployments of a model in each state. Healthy is 0 when all are down."
  }),
  queue: gauge("evenkeel.model.queue", "{request}", ["model"], {
    description: "Requests that wait for a deployment to come back."
  }),
  resource: gauge("evenkeel.resource.state", "{resource}", ["resource", "region", "state"], {
    description: "1 for the state that a resource is in, 0 for the others: healthy, open, half-open."
  }),
  retriesLeft: gauge("evenkeel.retry.budget", "{attempt}", [], {
    description: "Retries that the budget would grant now."
  }),
  fleetMembers: gauge("evenkeel.fleet.members", "{member}", [], {
    description:
      "Members of the fleet that are heard, this one included: 1 where its store does not answer, 0 where there is no fleet."
  }),
  fleetAge: gauge("evenkeel.fleet.age", "s", [], {
    description: "How long ago the fleet's store was last heard; 0 where there is no fleet, or it was never heard."
  }),
  sessions: gauge("evenkeel.sessions", "{session}", [], {
    description: "Sessions whose warm place is remembered."
  })
} satisfies Record<string, Instrument>

/** What the gateway counts. */
export const gateway = {
  requests: counter("evenkeel.gateway.requests", "{request}", ["key", "status"], {
    description:
      "Requests to the gateway, by the key that they came with and the status of their answer; those that their client gave up have none."
  }),
  tokens: counter("evenkeel.gateway.tokens", "{token}", ["key", "model", "tokenType"], {
    description: "Tokens that were billed to the holder of a key."
  }),
  underWay: gauge("evenkeel.gateway.active_requests", "{request}", [], {
    description: "Requests under way at the gateway."
  }),
  connections: gauge("evenkeel.gateway.connections", "{connection}", [], {
    description: "Connections open to the gateway."
  })
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
