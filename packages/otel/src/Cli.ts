/**
 * The command `evenkeel-otel`: writes the dashboard and the alerts as files.
 */
import { parseArgs } from "node:util"
import { prometheusRules } from "./Alerts.ts"
import { grafanaDashboard } from "./Dashboard.ts"

/** What a command gives: what to print, and how to end. */
export interface Answer {
  readonly code: number
  readonly out: string
  readonly error: string
}

/** What the command says of itself. */
export const usage = `Usage: evenkeel-otel <what> [options]

  evenkeel-otel dashboard > dashboard.json    a dashboard for Grafana (Dashboards, New, Import)
  evenkeel-otel rules > rules.yaml            alerts for Prometheus (rule_files)

Options of both:
  --gen-ai stable|latest       names of OpenTelemetry's GenAI conventions in use (default: stable)
  --help                       this text

Options of dashboard:
  --title <text>               default: Evenkeel
  --uid <text>                 part of its address in Grafana (default: evenkeel)

Options of rules:
  --cost-per-hour <usd>        raise EvenkeelCostHigh above this (default: never)
  --objective <share>          share of requests that are to be answered (default: 0.99)
  --time-to-first-token <s>    seconds that its 99th percentile may take (default: 10)
  --headroom <share>           share of a model's limits that is to be left (default: 0.1)
  --minimum-requests <count>   requests in an hour below which ratios mean nothing (default: 20)
  --label <name>               label that tells services apart; may be repeated (default: job)
  --dashboard-url <url>        address of the dashboard in Grafana, which alerts then link to
`

const text = { type: "string" } as const

const common = { "gen-ai": text, help: { type: "boolean" } } as const

/**
 * Runs the command.
 *
 * @param args what stands behind its name
 */
export const run = (args: ReadonlyArray<string>): Answer => {
  const [what = "", ...rest] = args
  if (args.includes("--help") || what === "help") return { code: 0, out: usage, error: "" }
  try {
    switch (what) {
      case "dashboard": {
        const { values } = parseArgs({ args: rest, options: { ...common, title: text, uid: text } })
        const dashboard = grafanaDashboard({ genAi: namesOf(values["gen-ai"]), title: values.title, uid: values.uid })
        return { code: 0, out: `${JSON.stringify(dashboard, null, 2)}\n`, error: "" }
      }
      case "rules": {
        const { values } = parseArgs({
          args: rest,
          options: {
            ...common,
            "cost-per-hour": text,
            objective: text,
            "time-to-first-token": text,
            headroom: text,
            "minimum-requests": text,
            label: { type: "string", multiple: true },
            "dashboard-url": text
          }
        })
        const number = (name: Numeric, most = Infinity) => numberOf(name, values[name], most)
        const rules = prometheusRules({
          genAi: namesOf(values["gen-ai"]),
          costPerHour: number("cost-per-hour"),
          objective: number("objective", 1),
          timeToFirstToken: number("time-to-first-token"),
          headroom: number("headroom", 1),
          minimumRequests: number("minimum-requests"),
          labels: values.label?.map(labelOf),
          dashboardUrl: values["dashboard-url"]
        })
        return { code: 0, out: rules, error: "" }
      }
      default:
        return refused(what === "" ? "say what to write" : `there is no "${what}"`)
    }
  } catch (cause) {
    return refused(cause instanceof Error ? cause.message : String(cause))
  }
}

const refused = (why: string): Answer => ({ code: 2, out: "", error: `evenkeel-otel: ${why}\n\n${usage}` })

type Numeric = "cost-per-hour" | "objective" | "time-to-first-token" | "headroom" | "minimum-requests"

const numberOf = (name: Numeric, given: string | undefined, most: number): number | undefined => {
  if (given === undefined) return undefined
  const value = Number(given)
  const isFit = given.trim() !== "" && Number.isFinite(value) && value >= 0 && value <= most
  if (!isFit) throw new Error(`--${name} takes a number${most === 1 ? " from 0 to 1" : ""}, and not "${given}"`)
  return value
}

const labelOf = (name: string): string => {
  if (!/^[a-zA-Z_]\w*$/.test(name)) throw new Error(`--label takes the name of a label, and not "${name}"`)
  return name
}

const namesOf = (given: string | undefined): "stable" | "latest" | undefined => {
  if (given === undefined || given === "stable" || given === "latest") return given
  throw new Error(`--gen-ai takes stable or latest, and not "${given}"`)
}
