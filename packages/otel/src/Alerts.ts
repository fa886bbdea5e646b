/**
 * Alerts for Prometheus, made of the names that the balancer measures by, so that they cannot drift from them.
 *
 * Symptoms wake people, causes do not: `critical` is for what callers feel, or will within minutes; `warning` is for the
 * morning; `info` is for whoever looks. Each says which panel of the dashboard to look at next.
 */
import { type Attribute, counted, observed, overflow, prometheusLabel, Yaml } from "@evenkeel/core/internal"
import { panelIds } from "./Dashboard.ts"
import {
  answerableRate,
  attemptsPerRequest,
  cachedShare,
  callMetrics,
  costPerHour,
  errorRatio,
  headroom,
  wastedRatio
} from "./Indicators.ts"
import {
  aggregate,
  type Expression,
  type Grouping,
  literal,
  promql,
  quantile,
  series,
  share,
  sumRate,
  window
} from "./PromQl.ts"

/** When alerts are to be raised. */
export interface AlertOptions {
  /** USD an hour of one job above which `EvenkeelCostHigh` is raised. Default: it is left out. */
  readonly costPerHour?: number | undefined
  /** Share of requests that are to be answered, which burn rates are measured against. Default: 0.99. */
  readonly objective?: number | undefined
  /** Seconds that the 99th percentile of the time to first token may take. Default: 10. */
  readonly timeToFirstToken?: number | undefined
  /** Share of a model's limits that is to be left. Default: 0.1. */
  readonly headroom?: number | undefined
  /** Requests in an hour below which error ratios and latencies mean nothing. Default: 20. */
  readonly minimumRequests?: number | undefined
  /** Labels of Prometheus by which services are told apart. Default: `job` alone. */
  readonly labels?: ReadonlyArray<string> | undefined
  /** Address of the dashboard in Grafana, as `https://grafana.example/d/evenkeel`; each alert links to its panel then. */
  readonly dashboardUrl?: string | undefined
  /** Names of the GenAI conventions in use, as in `TelemetryOptions`. Default: `stable`. */
  readonly genAi?: "stable" | "latest" | undefined
}

/** How soon someone should look: now, in the morning, some time. */
export type Severity = "critical" | "warning" | "info"

/** One alert. */
export interface Alert {
  readonly name: string
  readonly group: "symptoms" | "capacity" | "configuration" | "cost"
  readonly severity: Severity
  readonly expression: Expression
  /** How long it must hold. */
  readonly for: string
  readonly summary: string
  /** What it means, and what to look at next. In templates of Prometheus. */
  readonly description: string
  /** Title of the panel to look at next. */
  readonly panel: string
}

/** What an alert's label is, in its texts. */
const of = (attribute: Attribute): string => `{{ $labels.${prometheusLabel(attribute)} }}`

const percentage = "{{ $value | humanizePercentage }}"

/** Numbers without the noise of binary fractions. */
const round = (value: number): number => Number(value.toPrecision(6))

/**
 * Something was counted of late. A series that is new began with its first event, which `increase` does not see.
 */
const happened = (counter: Expression, by: Grouping, over: "15m" | "1h"): Expression => {
  const now = aggregate("sum", counter, by)
  const before = aggregate("sum", promql`${counter} offset ${window(over)}`, by)
  const grown = aggregate("sum", promql`increase(${counter}[${window(over)}])`, by)
  return promql`${grown} > 0 or (${now} > 0 unless ${before})`
}

/**
 * Every alert, as data.
 */
export const alerts = (options: AlertOptions = {}): ReadonlyArray<Alert> => {
  const {
    costPerHour: budget,
    genAi,
    headroom: least = 0.1,
    labels = ["job"],
    minimumRequests = 20,
    objective = 0.99,
    timeToFirstToken = 10
  } = options
  const service = labels.map((label) => ({ label }))
  const { firstChunk } = callMetrics(genAi)
  const model: Grouping = [...service, "model"]
  const isBusy = promql`${answerableRate(model, window("1h"))} * 3600 >= ${minimumRequests}`
  const burns = (factor: number, long: "1h" | "6h", short: "5m" | "30m"): Expression => {
    const threshold = round(factor * (1 - objective))
    return promql`${errorRatio(model, window(long))} > ${threshold} and ${
      errorRatio(model, window(short))
    } > ${threshold} and ${isBusy}`
  }
  const deployment: Grouping = [...service, "deployment", "model"]
  const resource: Grouping = [...service, "resource"]
  const inState = (state: string): Expression =>
    aggregate("avg", promql`avg_over_time(${series(observed.state, { state })}[${window("15m")}])`, deployment)
  const cachedNow = cachedShare(model, window("30m"))
  const grownBefore = (tokenType: string): Expression =>
    aggregate("sum", promql`rate(${series(counted.tokens, { tokenType })}[30m] offset 1d)`, model)
  const cachedBefore = promql`(${grownBefore("cached")} / ${grownBefore("input")})`
  const promptTokens = sumRate(counted.tokens, model, { tokenType: "input" }, window("30m"))

  const alert = (
    group: Alert["group"],
    severity: Severity,
    name: string,
    rest: Omit<Alert, "group" | "severity" | "name">
  ): Alert => ({ name: `Evenkeel${name}`, group, severity, ...rest })

  return [
    alert("symptoms", "critical", "ModelDown", {
      expression: promql`${
        aggregate("avg", promql`(${series(observed.deployments, { state: "healthy" })} == bool 0)`, model)
      } >= 0.5`,
      for: "2m",
      summary: `No deployment of ${of("model")} takes traffic`,
      description:
        `${percentage} of the processes see every deployment of ${of("model")} out: failing, told to wait, or ` +
        "draining. Requests wait, then fail. The table says why each is out and for how long yet.",
      panel: "Out now, why, and for how long yet"
    }),
    alert("symptoms", "critical", "ErrorBudgetBurnsFast", {
      expression: burns(14.4, "1h", "5m"),
      for: "2m",
      summary: `${percentage} of the requests to ${of("model")} end unanswered`,
      description:
        `At this rate the error budget of 30 days (objective ${objective}) is gone in two days. The panel says ` +
        "what ended the search for an answer: quota, failures, or configuration.",
      panel: "What ended the search for an answer"
    }),
    alert("symptoms", "warning", "ErrorBudgetBurnsSlowly", {
      expression: burns(6, "6h", "30m"),
      for: "15m",
      summary: `${percentage} of the requests to ${of("model")} end unanswered, for hours`,
      description:
        `At this rate the error budget of 30 days (objective ${objective}) is gone in five days. The panel says ` +
        "what ended the search for an answer.",
      panel: "What ended the search for an answer"
    }),
    alert("symptoms", "warning", "TimeToFirstTokenHigh", {
      expression: promql`${quantile(0.99, firstChunk, model, {}, window("10m"))} > ${timeToFirstToken} and ${isBusy}`,
      for: "10m",
      summary: `Streams of ${of("model")} begin late: p99 is {{ $value | humanizeDuration }}`,
      description: "Waiting is quota, failed attempts are an outage, the answering attempt is the service or longer " +
        "prompts. The panel says which.",
      panel: "Where the time of a request goes"
    }),
    alert("symptoms", "critical", "Panic", {
      expression: promql`${sumRate(counted.panics, model, {}, window("5m"))} > 0`,
      for: "2m",
      summary: `Every deployment of ${of("model")} is failing`,
      description: "Requests are sent to deployments that are known to fail, as there is no other. All regions at " +
        "once: the network, DNS or credentials on our side, or all of the service.",
      panel: "Failed attempts by region"
    }),
    alert("capacity", "warning", "QueueStanding", {
      expression: promql`${
        aggregate("sum", promql`min_over_time(${series(observed.queue)}[${window("5m")}])`, model)
      } > 0`,
      for: "5m",
      summary: `Requests to ${of("model")} stand in line, and the line does not go away`,
      description: "There is more traffic than quota. The panel says how long they wait; see also `Headroom by model`.",
      panel: "Time spent waiting"
    }),
    ...(["tokens", "requests"] as const).map((kind) =>
      alert("capacity", "warning", kind === "tokens" ? "TokenHeadroomLow" : "RequestHeadroomLow", {
        expression: promql`${headroom(kind, model)} < ${least}`,
        for: "10m",
        summary: `${percentage} of the ${kind} a minute of ${of("model")} are left`,
        description: "When nothing is left, requests wait and then fail with 429. Ask for quota or add a deployment; " +
          "the panel says which deployments are full, and whether others use their quota.",
        panel: `Who uses the quota: ${kind} a minute`
      })
    ),
    alert("capacity", "warning", "RetriesAmplify", {
      expression: promql`${attemptsPerRequest(model, window("10m"))} > 1.5 and ${
        wastedRatio(model, window("10m"))
      } > 0.5 and ${isBusy}`,
      for: "10m",
      summary: `Each request to ${of("model")} takes {{ $value | humanize }} attempts`,
      description:
        "Most of those beyond the first fail too: they add load to what is left, and help nobody. The panel " +
        "says how they end; fewer `failover.attempts` are better until it is over.",
      panel: "How attempts beyond the first end"
    }),
    alert("capacity", "warning", "RetryBudgetSpent", {
      expression: promql`${
        share(
          sumRate(counted.requests, model, { limitedBy: "budget" }, window("5m")),
          answerableRate(model, window("5m"))
        )
      } > 0.01`,
      for: "5m",
      summary: `${percentage} of the requests to ${of("model")} fail because the retry budget is spent`,
      description:
        "Too many attempts fail for each to be made again. More retries would not help; look for what fails.",
      panel: "Failed attempts by deployment"
    }),
    alert("capacity", "warning", "DeploymentOut", {
      expression: promql`${inState("open")} + ${inState("half-open")} > 0.5`,
      for: "15m",
      summary: `${of("deployment")} is failing, and gets no traffic`,
      description: "Others take its traffic while their quota lasts. The table says why it is out; 5xx and timeouts " +
        "are the service's, and its status page and support want the request ids in the spans of attempts.",
      panel: "Out now, why, and for how long yet"
    }),
    alert("configuration", "warning", "DeploymentMissing", {
      expression: happened(series(counted.ejections, { reason: "missing" }), [...service, "deployment"], "15m"),
      for: "1m",
      summary: `${of("deployment")} does not exist`,
      description: "The service answered that it knows no such deployment, or that we may not use it. Correct the " +
        "configuration, or make the deployment; it is asked again within five minutes.",
      panel: "Ejections a minute"
    }),
    alert("configuration", "warning", "CredentialRefused", {
      expression: promql`${
        aggregate(
          "max",
          promql`max_over_time(${series(observed.outage, { reason: ["401", "403", "credential"] })}[${window("5m")}])`,
          [...deployment, "reason"]
        )
      } == 1`,
      for: "2m",
      summary: `The credential of ${of("deployment")} is refused (${of("reason")})`,
      description: "401: the key or token is wrong or was renewed elsewhere. 403: it may not use this, or the " +
        "network rules of the resource keep us out. credential: none could be had. It does not heal by itself.",
      panel: "Out now, why, and for how long yet"
    }),
    alert("configuration", "warning", "ChecksFailing", {
      expression: promql`${
        share(
          sumRate(counted.checks, resource, { outcome: "failed" }, window("10m")),
          sumRate(counted.checks, resource, {}, window("10m"))
        )
      } > 0.5`,
      for: "10m",
      summary: `Active checks of ${of("resource")} fail`,
      description: "The panel says what is wrong. Where its attempts succeed all the same, the check itself is wrong.",
      panel: "Active checks"
    }),
    alert("configuration", "info", "SeriesOverflow", {
      expression: promql`${
        aggregate(
          "count",
          literal(
            `{__name__=~"evenkeel_.*|gen_ai_client_.*", ${
              Object.entries(overflow).map(([key, value]) => `${key.replaceAll(".", "_")}="${value}"`).join(", ")
            }}`
          ),
          [...service, { label: "__name__" }]
        )
      } > 0`,
      for: "5m",
      summary: "{{ $labels.__name__ }} has too many series",
      description: "What is new since is counted in one series without labels: totals are right, the parts are not. " +
        "Too many deployments or models, or ones that come and go.",
      panel: "Attempts by why they were made"
    }),
    alert("cost", "warning", "CachesCold", {
      expression: promql`${cachedNow} < 0.5 * ${cachedBefore} and ${cachedBefore} > 0.1 and ${promptTokens} > 100`,
      for: "30m",
      summary: `The cached share of prompts to ${of("model")} fell to ${percentage}, less than half of a day before`,
      description: "Prompts cost more and take longer. Sessions that move lose their cache: the panel says why they " +
        "moved. If none moved, prompts changed at their beginning.",
      panel: "Session moves a minute"
    }),
    ...(budget === undefined ? [] : [
      alert("cost", "warning", "CostHigh", {
        expression: promql`${costPerHour(service, window("1h"))} > ${budget}`,
        for: "15m",
        summary: `Answers cost {{ $value | humanize }} USD an hour`,
        description:
          `More than ${budget} USD an hour. The panel says which model; longer prompts, colder caches and dearer ` +
          "models show in `Cost per thousand requests`.",
        panel: "Cost per hour by model"
      })
    ]),
    alert("cost", "info", "Unpriced", {
      expression: happened(series(counted.unpriced), [...service, "model", "responseModel"], "1h"),
      for: "5m",
      summary: `Answers of ${of("responseModel")} have no known price`,
      description: "They are missing from every cost. Give the deployment or the model a price.",
      panel: "Answers without a price"
    })
  ]
}

/** File of rules for Prometheus: `rule_files` of its configuration, or a `PrometheusRule` of its operator. */
export const prometheusRules = (options: AlertOptions = {}): string => {
  const all = alerts(options)
  const ids = panelIds({ genAi: options.genAi })
  const groups = [...new Set(all.map(({ group }) => group))]
  const text = Yaml.stringify({
    groups: groups.map((group) => ({
      name: `evenkeel-${group}`,
      rules: all.filter((alert) => alert.group === group).map((alert) => ({
        alert: alert.name,
        expr: alert.expression.text,
        for: alert.for,
        labels: { severity: alert.severity },
        annotations: {
          summary: alert.summary,
          description: alert.description,
          panel: alert.panel,
          dashboard_url: options.dashboardUrl === undefined
            ? undefined
            : `${options.dashboardUrl}?viewPanel=panel-${idOf(ids, alert.panel)}`
        }
      }))
    }))
  })
  return `# Made by evenkeel-otel from the names that Evenkeel measures by. Make it anew rather than edit it.\n${text}`
}

const idOf = (ids: ReadonlyMap<string, number>, title: string): number => {
  const id = ids.get(title)
  if (id === undefined) throw new Error(`there is no panel "${title}"`)
  return id
}
