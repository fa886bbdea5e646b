/**
 * The page and the rules, as Prometheus' own tool sees them.
 */
import {
  type Attribute,
  counted,
  genAi,
  type Instrument,
  observed,
  prometheusLabel,
  prometheusName
} from "#core/telemetry/Names"
import { prometheusRules } from "#otel/Alerts"
import { grafanaDashboard, queries } from "#otel/Dashboard"
import { page } from "#otel/Prometheus"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { sample } from "../support/Check.ts"
import { tour } from "../support/Tour.ts"
import { Folder, isInstalled, named, promtool } from "./Tools.ts"

const hasPromtool = isInstalled("promtool")

type Labels = Readonly<Partial<Record<Attribute | "job" | "instance" | "le", string>>>

/** A series as promtool's tests have it, and its values: `0+60x10` is 0, 60, 120 and so on. */
const series = (instrument: Instrument, labels: Labels, values: string, part = "") => ({
  series: `${prometheusName(instrument)}${part}{${
    Object.entries({ job: "chat", ...labels }).map(([key, value]) =>
      `${["job", "instance", "le"].includes(key) ? key : prometheusLabel(key as Attribute)}="${value}"`
    ).join(",")
  }}`,
  values
})

interface Case {
  readonly name: string
  readonly interval?: string
  readonly given: ReadonlyArray<ReturnType<typeof series>>
  /** The alerts that fire at a time, and of what. */
  readonly fires: Readonly<Record<string, ReadonlyArray<string>>>
}

/** The label by which an alert's subject is told here: one that it has. */
const subjects: ReadonlyArray<Attribute> = ["deployment", "resource", "model"]

const gpt = { model: "gpt-4o" }
const mini = { model: "o4-mini" }
const chat = { ...gpt, api: "chat" }

const requests = (outcome: string, values: string, labels: Labels = chat) =>
  series(counted.requests, { ...labels, outcome }, values)

const cases: ReadonlyArray<Case> = [
  {
    name: "a model is down when most processes have none of its deployments",
    given: [
      ...["0x30", "0x30", "1x30"].map((values, i) =>
        series(observed.deployments, { ...gpt, state: "healthy", instance: `${i}` }, values)
      ),
      ...["0x30", "1x30", "1x30"].map((values, i) =>
        series(observed.deployments, { ...mini, state: "healthy", instance: `${i}` }, values)
      )
    ],
    fires: { "1m": [], "5m": ["ModelDown gpt-4o"] }
  },
  {
    name: "errors that callers see burn the budget; wrong requests do not; what is over is over",
    given: [
      requests("success", "0+60x120"),
      requests("Unavailable", "0+20x90 1800x30"),
      requests("success", "0+60x120", { ...mini, api: "chat" }),
      requests("Rejected", "0+60x120", { ...mini, api: "chat" }),
      // one error of three requests in the night
      requests("success", "0 1 2x118", { model: "rare", api: "chat" }),
      requests("TimedOut", "0 0 0 1x117", { model: "rare", api: "chat" })
    ],
    fires: {
      "70m": ["ErrorBudgetBurnsFast gpt-4o", "ErrorBudgetBurnsSlowly gpt-4o"],
      "100m": ["ErrorBudgetBurnsSlowly gpt-4o"]
    }
  },
  {
    name: "few errors for long burn it too",
    interval: "5m",
    given: [requests("success", "0+460x100"), requests("Throttled", "0+40x100")],
    fires: { "7h": ["ErrorBudgetBurnsSlowly gpt-4o"] }
  },
  {
    name: "streams that begin late",
    given: [
      requests("success", "0+60x60"),
      ...([["10.24", "0+50x60"], ["20.48", "0+60x60"], ["+Inf", "0+60x60"]] as const).map(([le, values]) =>
        series(genAi.firstChunk, { ...gpt, le }, values, "_bucket")
      )
    ],
    fires: { "10m": [], "50m": ["TimeToFirstTokenHigh gpt-4o"] }
  },
  {
    name: "a deployment that does not exist is told from the first time on, and forgotten when it is there",
    given: [series(counted.ejections, { deployment: "east/gpt", reason: "missing" }, "_x10 1x60")],
    fires: { "9m": [], "14m": ["DeploymentMissing east/gpt"], "40m": [] }
  },
  {
    name: "a credential that is refused is not an outage of the service",
    given: [
      series(observed.outage, { deployment: "east/gpt", ...gpt, reason: "401" }, "0x5 1x5 0 1x20"),
      series(observed.outage, { deployment: "west/gpt", ...gpt, reason: "503" }, "1x30")
    ],
    fires: { "4m": [], "15m": ["CredentialRefused east/gpt"] }
  },
  {
    name: "a deployment is out when it fails for long, not when it is throttled",
    given: ["open", "half-open", "cooling-down", "healthy"].flatMap((state) => [
      series(observed.state, { deployment: "east/gpt", ...gpt, state }, state === "open" ? "1x4 0 1x60" : "0x60"),
      series(observed.state, { deployment: "west/gpt", ...gpt, state }, state === "cooling-down" ? "1x60" : "0x60")
    ]),
    fires: { "10m": [], "40m": ["DeploymentOut east/gpt"] }
  },
  {
    name: "headroom runs low before anything is refused, and what is out has none",
    given: [
      ...(["east", "west"] as const).flatMap((name) => [
        series(observed.tokenLimit, { deployment: name, ...gpt }, "1000x30"),
        series(observed.tokenUtilisation, { deployment: name, ...gpt }, name === "east" ? "0.95x30" : "0.1x30"),
        series(observed.state, { deployment: name, ...gpt, state: "healthy" }, name === "east" ? "1x30" : "1x10 0x20")
      ]),
      series(observed.requestLimit, { deployment: "east", ...gpt }, "60x30"),
      series(observed.requestUtilisation, { deployment: "east", ...gpt }, "0.5x30")
    ],
    fires: { "10m": [], "25m": ["TokenHeadroomLow gpt-4o"] }
  },
  {
    name: "retries multiply the load, until their budget is spent",
    given: [
      requests("success", "0+60x60"),
      requests("Unavailable", "0+6x60", { ...chat, limitedBy: "budget" }),
      series(counted.attempts, { ...gpt, role: "first", outcome: "success" }, "0+66x60"),
      series(counted.attempts, { ...gpt, role: "failover", outcome: "failed" }, "0+44x60"),
      series(counted.attempts, { ...gpt, role: "check", outcome: "success" }, "0+600x60"),
      requests("success", "0+60x60", { ...mini, api: "chat" }),
      series(counted.attempts, { ...mini, role: "first", outcome: "throttled" }, "0+60x60"),
      series(counted.attempts, { ...mini, role: "failover", outcome: "success" }, "0+60x60")
    ],
    fires: { "40m": ["ErrorBudgetBurnsSlowly gpt-4o", "RetriesAmplify gpt-4o", "RetryBudgetSpent gpt-4o"] }
  },
  {
    name: "panic, and a line that stands",
    given: [
      series(counted.panics, { deployment: "east/gpt", ...gpt }, "0+5x30"),
      series(observed.queue, gpt, "3x30"),
      series(counted.panics, { deployment: "east/mini", ...mini }, "5x30"),
      series(observed.queue, mini, "3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0")
    ],
    fires: { "20m": ["Panic gpt-4o", "QueueStanding gpt-4o"] }
  },
  {
    name: "active checks that fail",
    given: [
      series(counted.checks, { resource: "east", outcome: "failed", reason: "connect" }, "0+6x30"),
      series(counted.checks, { resource: "west", outcome: "ok" }, "0+6x30")
    ],
    fires: { "25m": ["ChecksFailing east"] }
  },
  {
    name: "caches are colder than they were a day before, where there is traffic",
    interval: "5m",
    given: [
      series(counted.tokens, { ...gpt, tokenType: "input" }, "0+60000x400"),
      series(counted.tokens, { ...gpt, tokenType: "cached" }, "0+40000x288 11520000+5000x112"),
      series(counted.tokens, { ...mini, tokenType: "input" }, "0+6000x400"),
      series(counted.tokens, { ...mini, tokenType: "cached" }, "0+4000x288 1152000+500x112")
    ],
    fires: { "23h": [], "26h": ["CachesCold gpt-4o"] }
  },
  {
    name: "cost per hour, and what has no price",
    given: [
      series(counted.cost, { ...gpt, deployment: "east/gpt", role: "first" }, "0+1x120"),
      series(counted.unpriced, { ...mini, deployment: "east/mini", responseModel: "o4-mini-2" }, "_x60 1x60")
    ],
    fires: { "59m": [], "80m": ["CostHigh ", "Unpriced o4-mini"] }
  }
]

/** One of promtool's tests: exactly these alerts fire. */
const unitTest = ({ fires, given, interval = "1m" }: Case) => ({
  interval,
  input_series: given,
  promql_expr_test: Object.entries(fires).map(([at, names]) => ({
    expr: `count by (alertname, ${subjects.map(prometheusLabel).join(", ")}) (ALERTS{alertstate="firing"})`,
    eval_time: at,
    exp_samples: names.map((name) => {
      const [alert = "", subject = ""] = name.split(" ")
      const labels = [`alertname="Evenkeel${alert}"`]
      const by = subject.includes("/") ? "deployment" : /^(east|west)$/.test(subject) ? "resource" : "model"
      if (subject !== "") labels.push(`${prometheusLabel(by)}="${subject}"`)
      if (by === "deployment" && alert !== "DeploymentMissing") labels.push(`${prometheusLabel("model")}="gpt-4o"`)
      return { labels: `{${labels.join(", ")}}`, value: 1 }
    })
  }))
})

const idOf = (title: string): number | undefined => grafanaDashboard().panels.find((panel) => panel.title === title)?.id

describe("promtool", { concurrent: false, timeout: 30_000 }, () => {
  it.skipIf(!hasPromtool)(named("accepts the rules", hasPromtool, "promtool"), () => {
    using folder = new Folder()
    for (const options of [{}, { costPerHour: 50, genAi: "latest", labels: ["namespace", "job"] }] as const) {
      const { said, status } = promtool(["check", "rules", folder.write("rules.yaml", prometheusRules(options))])
      assert.strictEqual(status, 0, said)
      assert.match(said, /SUCCESS: \d+ rules found/)
    }
  })

  it.skipIf(!hasPromtool)(named("can read every query of the dashboard", hasPromtool, "promtool"), () => {
    using folder = new Folder()
    const read = (["stable", "latest"] as const).flatMap((genAi) => queries({ genAi }))
    const rules = read.map(({ expression }, i) => ({ record: `query:${i}`, expr: expression.text }))
    const file = folder.write("queries.json", JSON.stringify({ groups: [{ name: "queries", rules }] }))
    const { said, status } = promtool(["check", "rules", "--lint=none", file])
    assert.strictEqual(status, 0, said)
    assert.include(said, `SUCCESS: ${read.length} rules found`)
  })

  for (const one of sample(cases, 2)) {
    it.skipIf(!hasPromtool)(named(`raises alerts: ${one.name}`, hasPromtool, "promtool"), () => {
      using folder = new Folder()
      const rules = folder.write("rules.yaml", prometheusRules({ costPerHour: 50 }))
      const tests = { rule_files: [rules], evaluation_interval: one.interval ?? "1m", tests: [unitTest(one)] }
      const { said, status } = promtool(["test", "rules", folder.write("tests.json", JSON.stringify(tests))])
      assert.strictEqual(status, 0, said)
    })
  }

  it.skipIf(!hasPromtool)(named("fills the texts of an alert", hasPromtool, "promtool"), () => {
    using folder = new Folder()
    const tests = {
      rule_files: [folder.write("rules.yaml", prometheusRules({ dashboardUrl: "https://grafana.example/d/evenkeel" }))],
      evaluation_interval: "1m",
      tests: [{
        interval: "1m",
        input_series: [series(observed.deployments, { ...gpt, state: "healthy" }, "0x30")],
        alert_rule_test: [{
          alertname: "EvenkeelModelDown",
          eval_time: "5m",
          exp_alerts: [{
            exp_labels: { job: "chat", [prometheusLabel("model")]: "gpt-4o", severity: "critical" },
            exp_annotations: {
              summary: "No deployment of gpt-4o takes traffic",
              description:
                "100% of the processes see every deployment of gpt-4o out: failing, told to wait, or draining. " +
                "Requests wait, then fail. The table says why each is out and for how long yet.",
              panel: "Out now, why, and for how long yet",
              dashboard_url: `https://grafana.example/d/evenkeel?viewPanel=panel-${
                idOf("Out now, why, and for how long yet")
              }`
            }
          }]
        }]
      }]
    }
    const { said, status } = promtool(["test", "rules", folder.write("tests.json", JSON.stringify(tests))])
    assert.strictEqual(status, 0, said)
  })

  it.effect.skipIf(!hasPromtool)(named("accepts the page", hasPromtool, "promtool"), () =>
    Effect.gen(function*() {
      const { said, status } = promtool(["check", "metrics"], yield* tour(() => page))
      assert.strictEqual(said, "")
      assert.strictEqual(status, 0)
    }))
})
