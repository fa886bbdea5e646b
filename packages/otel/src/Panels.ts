/**
 * The questions of an on-call night, and the queries that answer them: symptoms first, causes after.
 *
 * A panel is plain data: the dashboard draws it, alerts name it as the place to look next, and docs/observability.md quotes
 * it. Its queries add up over processes what is counted, and take of state what the worst process sees.
 */
import type { LoadBalancerErrorReason } from "@evenkeel/core"
import {
  type Attribute,
  counted,
  genAi,
  genAiNext,
  type Instrument,
  observed,
  prometheusLabel
} from "@evenkeel/core/internal"
import {
  aggregate,
  any,
  type Expression,
  type Grouping,
  interval,
  labels,
  type Matcher,
  type Matchers,
  mean,
  promql,
  quantile,
  rate,
  series,
  share,
  window
} from "./PromQl.ts"

/** Units of Grafana that are in use. */
export type Unit = "s" | "percentunit" | "currencyUSD" | "short" | "reqps" | "none"

/** Text of a value, and its colour. */
export interface Mapping {
  readonly value: number
  readonly text: string
  readonly color: string
}

/** From a value on, a colour. */
export interface Step {
  readonly from: number
  readonly color: string
}

/** A query of a panel. */
export interface PanelQuery {
  readonly expression: Expression
  /** As Grafana's templates have it. */
  readonly legend: string
}

/** One graph, table or figure. */
export interface Panel {
  readonly title: string
  /** How to read it, and what to do. */
  readonly description: string
  readonly kind: "timeseries" | "stat" | "table" | "state-timeline"
  readonly unit: Unit
  readonly queries: ReadonlyArray<PanelQuery>
  /** Of 24. Default: 8. */
  readonly width?: number
  readonly stacked?: boolean
  /** The colour below the first step is green, where there are steps. */
  readonly steps?: ReadonlyArray<Step>
  readonly mappings?: ReadonlyArray<Mapping>
}

/** Panels that answer one question. */
export interface Row {
  readonly title: string
  readonly panels: ReadonlyArray<Panel>
}

/** Metrics of the GenAI conventions, by whichever names are in use. */
export interface CallMetrics {
  readonly duration: Instrument
  readonly firstChunk: Instrument
  readonly perChunk: Instrument
  /** Tokens of each answer: what went in, and what came out. */
  readonly input: readonly [Instrument, Matchers]
  readonly output: readonly [Instrument, Matchers]
}

/** Metrics of the GenAI conventions, as `TelemetryOptions.genAi` names them. */
export const callMetrics = (names: "stable" | "latest" = "stable"): CallMetrics =>
  names === "stable"
    ? {
      duration: genAi.duration,
      firstChunk: genAi.firstChunk,
      perChunk: genAi.perChunk,
      input: [genAi.tokens, { tokenType: "input" }],
      output: [genAi.tokens, { tokenType: "output" }]
    }
    : {
      duration: genAiNext.inference,
      firstChunk: genAiNext.firstChunk,
      perChunk: genAiNext.perChunk,
      input: [genAiNext.inputEach, {}],
      output: [genAiNext.outputEach, {}]
    }

/** Errors that a caller sees though there was nothing wrong with what it asked. */
export const unanswered = [
  "Throttled",
  "Unavailable",
  "TimedOut",
  "StreamInterrupted"
] as const satisfies ReadonlyArray<
  LoadBalancerErrorReason["_tag"]
>

/** Requests that could have been answered: not those that their caller gave up, or that no service would answer. */
const answerable = ["success", ...unanswered]

/** Share of requests that ended with an error which is not the caller's own. */
export const errorRatio = (by: Grouping, over: Expression = interval): Expression =>
  share(
    aggregate("sum", rate(series(counted.requests, { outcome: unanswered }), over), by),
    aggregate("sum", rate(series(counted.requests, { outcome: answerable }), over), by)
  )

/** Requests a second that could have been answered. */
export const answerableRate = (by: Grouping, over: Expression = interval): Expression =>
  aggregate("sum", rate(series(counted.requests, { outcome: answerable }), over), by)

/** Requests belong to no deployment and no region, and so neither may what is divided by them. */
const everywhere: Matchers = { deployment: any, region: any }

/** Attempts for each request, those of hedges included. */
export const attemptsPerRequest = (by: Grouping, over: Expression = interval): Expression =>
  promql`${aggregate("sum", rate(series(counted.attempts, { role: { not: ["check"] }, ...everywhere }), over), by)} / ${
    aggregate("sum", rate(series(counted.requests), over), by)
  }`

/** Share of the attempts beyond the first that did not help. */
export const wastedRatio = (by: Grouping, over: Expression = interval): Expression => {
  const role: Matcher = ["failover", "retry", "hedge"]
  return share(
    aggregate("sum", rate(series(counted.attempts, { role, outcome: ["failed", "throttled"] }), over), by),
    aggregate("sum", rate(series(counted.attempts, { role }), over), by)
  )
}

/** Cached prompt tokens as a share of all prompt tokens. */
export const cachedShare = (by: Grouping, over: Expression = interval): Expression =>
  share(
    aggregate("sum", rate(series(counted.tokens, { tokenType: "cached" }), over), by),
    aggregate("sum", rate(series(counted.tokens, { tokenType: "input" }), over), by)
  )

/** Share of attempts that ended in this way, of those that neither their caller nor a peer's answer ended. */
const attemptRatio = (outcome: "failed" | "throttled", by: Grouping): Expression =>
  share(
    aggregate("sum", rate(series(counted.attempts, { outcome })), by),
    aggregate("sum", rate(series(counted.attempts, { outcome: ["success", "failed", "throttled"] })), by)
  )

/**
 * What is left of all known limits of a model, as a share of them, at deployments that take traffic now.
 *
 * @param by the model, and what else there is above the deployments
 */
export const headroom = (of: "tokens" | "requests", by: Grouping): Expression => {
  const [limit, utilisation] = of === "tokens"
    ? [observed.tokenLimit, observed.tokenUtilisation]
    : [observed.requestLimit, observed.requestUtilisation]
  const each: Grouping = ["deployment", ...by]
  const limits = aggregate("max", series(limit), [...each, "quota"])
  const left = promql`clamp_min(1 - ${aggregate("max", series(utilisation), each)}, 0)`
  // processes need not agree: one that sends nothing there does not notice
  const isUp = aggregate("avg", series(observed.state, { state: "healthy" }), each)
  const open = promql`${limits} * on (${labels(each)}) group_left () (${left} * ${isUp})`
  // a quota that several share is there once, whichever of them is up
  const ofQuotas = (expression: Expression) => aggregate("sum", aggregate("max", expression, [...by, "quota"]), by)
  return promql`${ofQuotas(open)} / ${ofQuotas(limits)}`
}

/** What answers cost an hour, in USD. */
export const costPerHour = (by: Grouping, over: Expression = interval): Expression =>
  promql`3600 * ${aggregate("sum", rate(series(counted.cost), over), by)}`

const perMinute = (instrument: Instrument, by: Grouping, matchers: Matchers = {}): Expression =>
  promql`60 * ${aggregate("sum", rate(series(instrument, matchers)), by)}`

const sumOf = (instrument: Instrument, by: Grouping = [], matchers: Matchers = {}): Expression =>
  aggregate("sum", rate(series(instrument, matchers)), by)

const maxOf = (instrument: Instrument, by: Grouping, matchers: Matchers = {}): Expression =>
  aggregate("max", series(instrument, matchers), by)

/** A legend of attributes and words. */
const legend = (parts: TemplateStringsArray, ...attributes: ReadonlyArray<Attribute>): string =>
  parts.map((part, i) => i < attributes.length ? `${part}{{${prometheusLabel(attributes[i]!)}}}` : part).join("")

const query = (legend: string, expression: Expression): PanelQuery => ({ legend, expression })

const quantiles = (
  instrument: Instrument,
  by: ReadonlyArray<Attribute>,
  matchers: Matchers = {},
  qs: ReadonlyArray<number> = [0.5, 0.99]
): ReadonlyArray<PanelQuery> =>
  qs.map((q) =>
    query(
      [...by.map((one) => `{{${prometheusLabel(one)}}}`), `p${q * 100}`].join(" "),
      quantile(q, instrument, by, matchers)
    )
  )

/** States of a deployment from best to worst, as numbers that can be drawn. */
const states = [
  ["healthy", "green"],
  ["draining", "blue"],
  ["cooling-down", "yellow"],
  ["half-open", "orange"],
  ["open", "red"]
] as const

const worstState = (instrument: Instrument, by: Grouping): Expression =>
  aggregate(
    "max",
    states
      .map(([state], i) => promql`${series(instrument, { state })} * ${i}`)
      .reduce((all, one) => promql`${all} or ${one}`),
    by
  )

const stateMappings = states.map(([text, color], value) => ({ value, text, color }))

const bad = (yellow: number, red: number): ReadonlyArray<Step> => [
  { from: yellow, color: "yellow" },
  { from: red, color: "red" }
]

const good = (yellow: number, green: number): ReadonlyArray<Step> => [
  { from: -Infinity, color: "red" },
  { from: yellow, color: "yellow" },
  { from: green, color: "green" }
]

/** No error of the service or of the balancer: answered, or given up by the caller. */
const answered: Matchers = { errorType: "" }

/**
 * Everything that the dashboard shows, from what callers feel down to what explains it.
 */
export const rows = (names: "stable" | "latest" = "stable"): ReadonlyArray<Row> => {
  const { duration, firstChunk, input, output, perChunk } = callMetrics(names)
  return [
    {
      title: "At a glance",
      panels: [
        {
          title: "Errors that callers see",
          description: "Share of requests that ended unanswered: throttled, unavailable, timed out or cut short. " +
            "Requests that were wrong themselves, or given up by their caller, are left out.",
          kind: "stat",
          unit: "percentunit",
          width: 4,
          steps: bad(0.001, 0.01),
          queries: [query("errors", errorRatio([]))]
        },
        {
          title: "Requests",
          description: "Requests a second that ended, however they did.",
          kind: "stat",
          unit: "reqps",
          width: 4,
          queries: [query("requests", sumOf(counted.requests))]
        },
        {
          title: "Latency p99 of answers",
          description:
            "Over all attempts and waits, to the last token. Long answers are slow: see the time to first token.",
          kind: "stat",
          unit: "s",
          width: 4,
          queries: [query("p99", quantile(0.99, duration, [], answered))]
        },
        {
          title: "Time to first token p99",
          description: "Of streams, over all attempts and waits. This is what people feel.",
          kind: "stat",
          unit: "s",
          width: 4,
          steps: bad(3, 10),
          queries: [query("p99", quantile(0.99, firstChunk))]
        },
        {
          title: "Healthy deployments",
          description:
            "Of each model, as the process sees it that sees fewest. 0: nothing is left but to wait or to fail. One whose " +
            "quota is used up is healthy all the same: see the headroom.",
          kind: "stat",
          unit: "none",
          width: 4,
          steps: good(1, 2),
          queries: [
            query(
              legend`${"model"}`,
              aggregate("min", series(observed.deployments, { state: "healthy" }), ["model"])
            )
          ]
        },
        {
          title: "Cost per hour",
          description: "At the rate of now, of what has a known price. Provisioned throughput is paid for besides.",
          kind: "stat",
          unit: "currencyUSD",
          width: 4,
          queries: [query("per hour", costPerHour([]))]
        }
      ]
    },
    {
      title: "What do callers feel?",
      panels: [
        {
          title: "Requests by outcome",
          description: "Rejected, ContentFiltered and UnknownModel are wrong requests: look at who sends them. " +
            "Interrupted ones were given up: look at the latency.",
          kind: "timeseries",
          unit: "reqps",
          stacked: true,
          queries: [query(legend`${"outcome"}`, sumOf(counted.requests, ["outcome"]))]
        },
        {
          title: "Error ratio by model",
          description:
            "Share of requests that ended unanswered. One model: its deployments. All: see who is to blame below.",
          kind: "timeseries",
          unit: "percentunit",
          steps: bad(0.001, 0.01),
          queries: [query(legend`${"model"}`, errorRatio(["model"]))]
        },
        {
          title: "What ended the search for an answer",
          description: "attempts: all failed. budget: the retry budget is spent. waiting: not enough quota. " +
            "no-deployment: none is up. missing: the configuration is wrong.",
          kind: "timeseries",
          unit: "reqps",
          stacked: true,
          queries: [
            query(
              legend`${"outcome"}, ${"limitedBy"}`,
              sumOf(counted.requests, ["outcome", "limitedBy"], { outcome: unanswered })
            )
          ]
        },
        {
          title: "Latency of answers",
          description: "Over all attempts and waits, to the last token.",
          kind: "timeseries",
          unit: "s",
          queries: quantiles(duration, ["model"], answered)
        },
        {
          title: "Latency of whole answers and of streams",
          description:
            "Requests that were answered: a stream lasts for as long as its reader takes, a whole answer does not.",
          kind: "timeseries",
          unit: "s",
          queries: quantiles(counted.duration, ["model", "streamed"], { outcome: "success" })
        },
        {
          title: "Time to first token",
          description: "Of streams, over all attempts and waits.",
          kind: "timeseries",
          unit: "s",
          queries: quantiles(firstChunk, ["model"])
        },
        {
          title: "Time between pieces of a stream",
          description: "Rises when the service decodes slowly; a p99 of seconds is a stream that stutters.",
          kind: "timeseries",
          unit: "s",
          queries: quantiles(perChunk, ["model"])
        }
      ]
    },
    {
      title: "Why did p99 rise?",
      panels: [
        {
          title: "Where the time of a request goes",
          description:
            "On average. What is between the whole, and its waiting and its answering attempt, was lost in " +
            "attempts that failed. The answering attempt itself: the service, or longer answers.",
          kind: "timeseries",
          unit: "s",
          queries: [
            query("the whole", mean(duration)),
            query("answering attempt", mean(counted.attemptDuration, [], { outcome: "success" })),
            query(
              "waiting",
              share(
                aggregate("sum", rate(series(counted.waits, {}, "sum"))),
                aggregate("sum", rate(series(duration, {}, "count")))
              )
            ),
            query("the balancer itself", mean(counted.overhead))
          ]
        },
        {
          title: "Time spent waiting",
          description:
            "Of requests that stood in line for a deployment to come back, or backed off. It is quota, or an " +
            "outage, and not slowness.",
          kind: "timeseries",
          unit: "s",
          queries: quantiles(counted.waits, ["model"])
        },
        {
          title: "Line of waiting requests",
          description: "A line that does not go away is more traffic than quota.",
          kind: "timeseries",
          unit: "short",
          queries: [query(legend`${"model"}`, aggregate("sum", series(observed.queue), ["model"]))]
        },
        {
          title: "Tokens of each answer",
          description: "Longer prompts raise the time to first token, longer answers the latency: nobody is slow then.",
          kind: "timeseries",
          unit: "short",
          queries: [
            query(legend`${"model"} in, p99`, quantile(0.99, input[0], ["model"], input[1])),
            query(legend`${"model"} out, p99`, quantile(0.99, output[0], ["model"], output[1]))
          ]
        },
        {
          title: "Attempts given up because nothing came in time",
          description: "A minute, by what was waited for. Each costs its caller the whole time limit.",
          kind: "timeseries",
          unit: "short",
          queries: [query(legend`${"deployment"}, ${"stage"}`, perMinute(counted.stalls, ["deployment", "stage"]))]
        },
        {
          title: "Balancer overhead",
          description:
            "What the balancer itself takes of a request, and of that the choice of a deployment. Milliseconds " +
            "mean that the process is short of CPU: the balancer is not the only one that is slow then.",
          kind: "timeseries",
          unit: "s",
          queries: [
            ...quantiles(counted.overhead, ["api"]),
            query(legend`choice for ${"model"} p99`, quantile(0.99, counted.selection, ["model"]))
          ]
        }
      ]
    },
    {
      title: "Is it us, one region or the service?",
      panels: [
        {
          title: "Failed attempts by region",
          description: "One region: the service's, and traffic leaves it by itself. All at once: us (network, DNS, " +
            "credentials), or all of the service. Deployments without a region are one line without a name.",
          kind: "timeseries",
          unit: "percentunit",
          steps: bad(0.01, 0.1),
          queries: [query(legend`${"region"}`, attemptRatio("failed", ["region"]))]
        },
        {
          title: "Failed attempts by deployment",
          description: "Share of attempts that failed there, throttling left out. Callers need not have noticed.",
          kind: "timeseries",
          unit: "percentunit",
          steps: bad(0.01, 0.1),
          queries: [query(legend`${"deployment"}`, attemptRatio("failed", ["deployment"]))]
        },
        {
          title: "Attempts that did not succeed, by error",
          description: "5xx, timeout and error-event: the service. dns, connect, tls, reset: the network between. " +
            "401, 403, credential: our keys. 404: our configuration. 429: quota.",
          kind: "timeseries",
          unit: "reqps",
          stacked: true,
          queries: [
            query(
              legend`${"errorType"}`,
              sumOf(counted.attempts, ["errorType"], { outcome: ["failed", "throttled", "refused"] })
            )
          ]
        },
        {
          title: "Time to first token by deployment",
          description:
            "p99 of streamed attempts. One line above the others is that deployment; all together, the service.",
          kind: "timeseries",
          unit: "s",
          queries: [
            query(legend`${"deployment"}`, quantile(0.99, counted.attemptFirstChunk, ["deployment"]))
          ]
        },
        {
          title: "Latency of attempts by region",
          description: "p99 of attempts that succeeded.",
          kind: "timeseries",
          unit: "s",
          queries: [
            query(
              legend`${"region"} ${"model"}`,
              quantile(0.99, counted.attemptDuration, ["region", "model"], { outcome: "success" })
            )
          ]
        },
        {
          title: "Slowness",
          description:
            "First tokens, answers and decoding against what is expected of the model: 2 is twice as slow, " +
            "whatever was asked. Traffic leaves slow deployments.",
          kind: "timeseries",
          unit: "short",
          steps: bad(1.5, 3),
          queries: [query(legend`${"deployment"}`, maxOf(observed.slowness, ["deployment"]))]
        },
        {
          title: "Resources that are out",
          description:
            "Processes that see a resource fail as a whole, with all its deployments: credentials, DNS, network.",
          kind: "timeseries",
          unit: "short",
          queries: [
            query(
              legend`${"resource"} ${"state"}`,
              aggregate("sum", series(observed.resource, { state: { not: ["healthy"] } }), ["resource", "state"])
            )
          ]
        },
        {
          title: "Active checks",
          description:
            "A minute, by what was wrong. Failing checks without failing attempts: the check itself is wrong.",
          kind: "timeseries",
          unit: "short",
          queries: [
            query(
              legend`${"resource"} ${"outcome"} ${"reason"}`,
              perMinute(counted.checks, ["resource", "outcome", "reason"])
            )
          ]
        },
        {
          title: "Duration of active checks",
          description: "The network and the service without any model: what every attempt pays before its first token.",
          kind: "timeseries",
          unit: "s",
          queries: quantiles(counted.checkDuration, ["resource"], {}, [0.99])
        }
      ]
    },
    {
      title: "Who is throttled or out, and until when?",
      panels: [
        {
          title: "State of each deployment",
          description: "The worst that any process sees. cooling-down: told to wait. open: failing, no traffic. " +
            "half-open: one request is let through to see.",
          kind: "state-timeline",
          unit: "none",
          width: 24,
          mappings: stateMappings,
          queries: [query(legend`${"deployment"}`, worstState(observed.state, ["deployment"]))]
        },
        {
          title: "What each deployment is",
          description: "Tier 1 is used first; a provisioned one is paid for by the hour, whether it is used or not.",
          kind: "table",
          unit: "none",
          width: 24,
          queries: [
            query(
              legend`${"deployment"}: tier ${"tier"}, ${"region"}, provisioned ${"provisioned"}, quota of ${"quota"}`,
              maxOf(observed.info, ["deployment", "model", "region", "tier", "provisioned", "quota"])
            )
          ]
        },
        {
          title: "Out now, why, and for how long yet",
          description: "Seconds until it may be used again, by the process that waits longest. 0: it is being tried. " +
            "429: quota. 401, 403, credential: our keys. missing: it does not exist. 5xx: the service.",
          kind: "table",
          unit: "s",
          width: 12,
          queries: [
            query(
              legend`${"deployment"} ${"reason"}`,
              promql`${
                aggregate("max", promql`${series(observed.outage)} == 1`, ["deployment", "model", "reason"])
              } * on (${labels(["deployment", "model"])}) group_left () ${
                maxOf(observed.recovery, ["deployment", "model"])
              }`
            )
          ]
        },
        {
          title: "Throttled attempts by deployment",
          description: "Share of attempts that were answered with 429. Some is the price of using all of a quota.",
          kind: "timeseries",
          unit: "percentunit",
          width: 12,
          steps: bad(0.05, 0.25),
          queries: [query(legend`${"deployment"}`, attemptRatio("throttled", ["deployment"]))]
        },
        {
          title: "Cooldowns a minute",
          description: "Answers that told us to wait, or that there is no such deployment (404).",
          kind: "timeseries",
          unit: "short",
          queries: [query(legend`${"deployment"} ${"reason"}`, perMinute(counted.cooldowns, ["deployment", "reason"]))]
        },
        {
          title: "Time to recovery",
          description: "Until a deployment may be used again. Waits that grow are a service that keeps refusing.",
          kind: "timeseries",
          unit: "s",
          queries: [query(legend`${"deployment"}`, maxOf(observed.recovery, ["deployment"]))]
        }
      ]
    },
    {
      title: "How much headroom is left before 429s?",
      panels: [
        {
          title: "Headroom by model",
          description:
            "What is left of all known limits of a model, at deployments that take traffic now. At 0 requests " +
            "wait, then fail. Deployments whose limit nobody knows are not in it.",
          kind: "timeseries",
          unit: "percentunit",
          steps: good(0.1, 0.25),
          queries: [
            query(legend`${"model"} tokens`, headroom("tokens", ["model"])),
            query(legend`${"model"} requests`, headroom("requests", ["model"]))
          ]
        },
        {
          title: "Utilisation by deployment",
          description: "Of the scarcer limit, by us and by others. Above 0.85 quota decides where requests go.",
          kind: "timeseries",
          unit: "percentunit",
          steps: bad(0.85, 1),
          queries: [query(legend`${"deployment"}`, maxOf(observed.utilisation, ["deployment"]))]
        },
        {
          title: "Time until the quota has room",
          description:
            "By our own count, for the smallest request; 0 is room now. One that is full is healthy, and gets nothing.",
          kind: "timeseries",
          unit: "s",
          queries: [query(legend`${"deployment"}`, maxOf(observed.quotaWait, ["deployment"]))]
        },
        {
          title: "Utilisation in half an hour",
          description: "If it goes on as in the last half hour. Above 1: ask for quota, or add a deployment, now.",
          kind: "timeseries",
          unit: "percentunit",
          steps: bad(0.85, 1),
          queries: [
            query(
              legend`${"deployment"}`,
              aggregate(
                "max",
                promql`clamp(predict_linear(${series(observed.utilisation)}[${window("30m")}], 1800), 0, 2)`,
                [
                  "deployment"
                ]
              )
            )
          ]
        },
        {
          title: "Utilisation: tokens or requests?",
          description:
            "Which of the two limits is the scarcer one. Requests: ask for more requests a minute, not tokens.",
          kind: "timeseries",
          unit: "percentunit",
          queries: [
            query(legend`${"deployment"} tokens`, maxOf(observed.tokenUtilisation, ["deployment"])),
            query(legend`${"deployment"} requests`, maxOf(observed.requestUtilisation, ["deployment"]))
          ]
        },
        {
          title: "Who uses the quota: tokens a minute",
          description: "Self is this service, summed over its processes. Others is what one process saw of all other " +
            "clients, and so counts this service's other processes too.",
          kind: "timeseries",
          unit: "short",
          queries: [
            query(
              legend`${"deployment"} self`,
              aggregate("sum", series(observed.tokensUsed, { client: "self" }), ["deployment"])
            ),
            query(legend`${"deployment"} others`, maxOf(observed.tokensUsed, ["deployment"], { client: "others" })),
            query(legend`${"deployment"} limit`, maxOf(observed.tokenLimit, ["deployment"]))
          ]
        },
        {
          title: "Who uses the quota: requests a minute",
          description: "Likewise, in requests.",
          kind: "timeseries",
          unit: "short",
          queries: [
            query(
              legend`${"deployment"} self`,
              aggregate("sum", series(observed.requestsUsed, { client: "self" }), ["deployment"])
            ),
            query(legend`${"deployment"} others`, maxOf(observed.requestsUsed, ["deployment"], { client: "others" })),
            query(legend`${"deployment"} limit`, maxOf(observed.requestLimit, ["deployment"]))
          ]
        },
        {
          title: "Left by the service's own word: tokens",
          description: "From its last answer. It stands still where there is no traffic.",
          kind: "timeseries",
          unit: "short",
          queries: [
            query(
              legend`${"deployment"}`,
              aggregate("min", series(observed.tokensRemaining), ["deployment"])
            )
          ]
        },
        {
          title: "Left by the service's own word: requests",
          description: "From its last answer. It stands still where there is no traffic.",
          kind: "timeseries",
          unit: "short",
          queries: [
            query(
              legend`${"deployment"}`,
              aggregate("min", series(observed.requestsRemaining), ["deployment"])
            )
          ]
        },
        {
          title: "Spilled over by the service",
          description:
            "A minute: a provisioned deployment was full, and the service used a standard one, which is paid " +
            "for by the token.",
          kind: "timeseries",
          unit: "short",
          queries: [query(legend`${"deployment"}`, perMinute(counted.spillovers, ["deployment"]))]
        }
      ]
    },
    {
      title: "Are retries making it worse?",
      panels: [
        {
          title: "Attempts per request",
          description:
            "1 is none but the first. While half of the deployments are healthy, a request's first failover to one with " +
            "quota is free; what is beyond that is held to a budget.",
          kind: "timeseries",
          unit: "short",
          steps: bad(1.2, 1.5),
          queries: [query(legend`${"model"}`, attemptsPerRequest(["model"]))]
        },
        {
          title: "Attempts by why they were made",
          description: "first, failover to another deployment, retry at the same one, hedge beside a late one, check.",
          kind: "timeseries",
          unit: "reqps",
          stacked: true,
          queries: [query(legend`${"role"}`, sumOf(counted.attempts, ["role"]))]
        },
        {
          title: "How attempts beyond the first end",
          description: "Failovers that succeed hide an outage, and are worth it. Ones that fail only add load.",
          kind: "timeseries",
          unit: "reqps",
          queries: [
            query(
              legend`${"role"} ${"outcome"}`,
              sumOf(counted.attempts, ["role", "outcome"], { role: ["failover", "retry", "hedge"] })
            )
          ]
        },
        {
          title: "Failovers a minute",
          description: "By the deployment that was left, and why.",
          kind: "timeseries",
          unit: "short",
          queries: [
            query(legend`${"deployment"} ${"errorType"}`, perMinute(counted.failovers, ["deployment", "errorType"]))
          ]
        },
        {
          title: "Retries that the budget would grant",
          description:
            "Of the process that has fewest. At 0 requests fail without another attempt, so that an outage is " +
            "not multiplied.",
          kind: "timeseries",
          unit: "short",
          queries: [query("fewest", aggregate("min", series(observed.retriesLeft)))]
        },
        {
          title: "Hedges a minute, and those that won",
          description:
            "Hedges were sent beside a late deployment; wins answered first. Few wins: hedging is not worth it.",
          kind: "timeseries",
          unit: "short",
          queries: [
            query(legend`${"deployment"} was late`, perMinute(counted.hedges, ["deployment"])),
            query(legend`${"deployment"} won`, perMinute(counted.hedgeWins, ["deployment"]))
          ]
        },
        {
          title: "Tokens of hedges",
          description: "A second: what hedging uses of quotas.",
          kind: "timeseries",
          unit: "short",
          queries: [query(legend`${"deployment"}`, sumOf(counted.hedgeTokens, ["deployment"]))]
        },
        {
          title: "Panic",
          description: "Attempts a minute at deployments that are known to fail, because all others fail too.",
          kind: "timeseries",
          unit: "short",
          steps: bad(0.1, 1),
          queries: [query(legend`${"model"} ${"deployment"}`, perMinute(counted.panics, ["model", "deployment"]))]
        },
        {
          title: "Ejections a minute",
          description:
            "Times that a deployment lost its traffic, and why: its own failures, its resource's, or missing.",
          kind: "timeseries",
          unit: "short",
          queries: [query(legend`${"deployment"} ${"reason"}`, perMinute(counted.ejections, ["deployment", "reason"]))]
        },
        {
          title: "Breakers a minute",
          description: "open, half-open, open again: it is still failing. closed: it is back.",
          kind: "timeseries",
          unit: "short",
          queries: [query(legend`${"name"} ${"state"}`, perMinute(counted.transitions, ["name", "state"]))]
        },
        {
          title: "Warmth",
          description: "Share of its weight that a deployment gets while it comes back.",
          kind: "timeseries",
          unit: "percentunit",
          queries: [query(legend`${"deployment"}`, aggregate("min", series(observed.warmth), ["deployment"]))]
        },
        {
          title: "Attempts under way",
          description:
            "And those of them whose first token has not come: when they rise and the rate does not, it is stuck.",
          kind: "timeseries",
          unit: "short",
          queries: [
            query(legend`${"deployment"}`, aggregate("sum", series(observed.active), ["deployment"])),
            query(legend`${"deployment"} waiting`, aggregate("sum", series(observed.waiting), ["deployment"]))
          ]
        }
      ]
    },
    {
      title: "Are caches warm? Which sessions moved, and why?",
      panels: [
        {
          title: "Cached share of prompt tokens by deployment",
          description:
            "Cached tokens are cheaper, and come sooner. It falls when sessions move, or prompts change at their " +
            "beginning.",
          kind: "timeseries",
          unit: "percentunit",
          queries: [query(legend`${"deployment"}`, cachedShare(["deployment"]))]
        },
        {
          title: "Cached share by placement",
          description:
            "home should be far above moved and new. Where it is not, the service's cache does not hold them.",
          kind: "timeseries",
          unit: "percentunit",
          queries: [query(legend`${"session"}`, cachedShare(["session"]))]
        },
        {
          title: "Requests of sessions by placement",
          description: "home: where the cache is warm. moved: elsewhere. new: warm nowhere.",
          kind: "timeseries",
          unit: "reqps",
          stacked: true,
          queries: [query(legend`${"session"}`, sumOf(counted.placements, ["session"]))]
        },
        {
          title: "Session moves a minute",
          description: "By the deployment that was left, and why. Which sessions they were is in spans and events.",
          kind: "timeseries",
          unit: "short",
          width: 12,
          queries: [
            query(legend`${"deployment"} ${"moveReason"}`, perMinute(counted.moves, ["deployment", "moveReason"]))
          ]
        },
        {
          title: "Sessions remembered",
          description: "Over all processes. A fall to 0 is a restart: caches are still warm, but nobody knows where.",
          kind: "timeseries",
          unit: "short",
          width: 12,
          queries: [query("sessions", aggregate("sum", series(observed.sessions)))]
        }
      ]
    },
    {
      title: "Does the fleet hear of itself?",
      panels: [
        {
          title: "Members that each process hears",
          description:
            "The fewest and the most of any process. 1 is a process that goes on alone, as its fleet's store does " +
            "not answer; 0 one that is in no fleet.",
          kind: "timeseries",
          unit: "short",
          width: 12,
          queries: [
            query("fewest", aggregate("min", series(observed.fleetMembers))),
            query("most", aggregate("max", series(observed.fleetMembers)))
          ]
        },
        {
          title: "Age of what was heard last",
          description: "The oldest of any process. It is below a second or so while the store answers.",
          kind: "timeseries",
          unit: "s",
          width: 12,
          queries: [query("oldest", aggregate("max", series(observed.fleetAge)))]
        }
      ]
    },
    {
      title: "What does this cost?",
      panels: [
        {
          title: "Cost per hour by model",
          description: "At the rate of now, at list or configured prices.",
          kind: "timeseries",
          unit: "currencyUSD",
          stacked: true,
          queries: [query(legend`${"model"}`, costPerHour(["model"]))]
        },
        {
          title: "Cost per hour by deployment",
          description: "Provisioned deployments cost nothing more; what was spilled over by the service does.",
          kind: "timeseries",
          unit: "currencyUSD",
          stacked: true,
          queries: [query(legend`${"deployment"}`, costPerHour(["deployment"]))]
        },
        {
          title: "Cost per hour by why it was spent",
          description: "What failovers, retries, hedges and checks cost beside first attempts.",
          kind: "timeseries",
          unit: "currencyUSD",
          stacked: true,
          queries: [query(legend`${"role"}`, costPerHour(["role"]))]
        },
        {
          title: "Cost per thousand requests",
          description: "It rises with longer prompts and answers, colder caches, or dearer models.",
          kind: "timeseries",
          unit: "currencyUSD",
          queries: [
            query(
              legend`${"model"}`,
              promql`1000 * ${sumOf(counted.cost, ["model"], everywhere)} / ${sumOf(counted.requests, ["model"])}`
            )
          ]
        },
        {
          title: "Tokens by kind",
          description: "A second. Cached tokens are part of input, reasoning tokens of output.",
          kind: "timeseries",
          unit: "short",
          queries: [query(legend`${"tokenType"}`, sumOf(counted.tokens, ["tokenType"]))]
        },
        {
          title: "Answers without a price",
          description: "A minute. They are missing from every cost above: give their model a price.",
          kind: "timeseries",
          unit: "short",
          steps: bad(0.001, 1),
          queries: [
            query(
              legend`${"deployment"} ${"responseModel"}`,
              perMinute(counted.unpriced, ["deployment", "responseModel"])
            )
          ]
        }
      ]
    }
  ]
}
