/**
 * A Grafana dashboard, made of the names that the balancer measures by, so that it cannot drift from them.
 *
 * It is the classic model, which every Grafana from 10 on imports and which newer ones convert by themselves.
 */
import { type Attribute, counted, observed, prometheusLabel, prometheusName } from "@evenkeel/core/internal"
import { each, type Panel, type PanelQuery, type Row } from "./Panel.ts"
import { rows } from "./Panels.ts"
import { job, promql, sumRate, variables } from "./PromQl.ts"

/** What a dashboard is made for. */
export interface DashboardOptions {
  /** Default: `Evenkeel`. */
  readonly title?: string | undefined
  /** Part of its address in Grafana. Default: `evenkeel`. */
  readonly uid?: string | undefined
  /** Names of the GenAI conventions in use, as in `TelemetryOptions`. Default: `stable`. */
  readonly genAi?: "stable" | "latest" | undefined
}

/** A query of the dashboard, and the title of its panel. */
export interface DashboardQuery extends PanelQuery {
  readonly panel: string
}

/** A graph, table or figure as Grafana has it. */
export type GrafanaPanel = ReturnType<typeof drawn>

/** Where a panel is, of 24 columns. */
interface GridPosition {
  readonly x: number
  readonly y: number
  readonly w: number
  readonly h: number
}

/** By what the dashboard's variable says. */
const datasource = { type: "prometheus", uid: "${datasource}" }

/** Marks in every graph: a deployment lost its traffic. */
const ejections = each(["deployment", "reason"], (by) => promql`${sumRate(counted.ejections, by)} > 0`)

/** Every query of the dashboard, for tests, documentation and whoever builds another one. */
export const queries = ({ genAi }: DashboardOptions = {}): ReadonlyArray<DashboardQuery> => [
  ...rows(genAi).flatMap(({ panels }) =>
    panels.flatMap(({ queries, title }) => queries.map((query) => ({ panel: title, ...query })))
  ),
  { panel: "Ejections (marks in every graph)", ...ejections }
]

/** Numbers of the panels, by their titles: what `viewPanel` in an address of Grafana refers to. */
export const panelIds = (options: DashboardOptions = {}): ReadonlyMap<string, number> =>
  new Map(grafanaDashboard(options).panels.map(({ id, title }) => [title, id]))

/**
 * The dashboard, to be written as JSON.
 *
 * **Example** (As a file)
 *
 * ```ts
 * writeFileSync("dashboard.json", JSON.stringify(grafanaDashboard(), null, 2))
 * ```
 */
export const grafanaDashboard = ({ genAi, title = "Evenkeel", uid = "evenkeel" }: DashboardOptions = {}) => ({
  uid,
  title,
  description: "Load balancing of Azure OpenAI and OpenAI: what callers feel, and why. Made by evenkeel-otel.",
  tags: ["evenkeel", "genai"],
  schemaVersion: 42,
  editable: true,
  graphTooltip: 1,
  refresh: "30s",
  time: { from: "now-3h", to: "now" },
  timezone: "browser",
  annotations: {
    list: [{
      name: "Ejections",
      datasource,
      enable: true,
      hide: false,
      iconColor: "red",
      expr: ejections.expression.panel,
      step: "60s",
      titleFormat: "Deployment lost its traffic",
      textFormat: ejections.legend
    }]
  },
  templating: { list: templating() },
  panels: layout(rows(genAi))
})

const COLUMNS = 24

const heights: Readonly<Record<Panel["kind"], number>> = { stat: 4, timeseries: 8, table: 8, "state-timeline": 8 }

/** Puts panels beside one another until a line is full. */
const layout = (all: ReadonlyArray<Row>): ReadonlyArray<GrafanaPanel | GrafanaRow> => {
  const placed: Array<GrafanaPanel | GrafanaRow> = []
  let y = 0
  for (const { panels, title } of all) {
    placed.push(heading(placed.length + 1, title, y))
    y++
    let x = 0
    let tallest = 0
    for (const panel of panels) {
      const { kind, width: w } = panel
      const h = heights[kind]
      if (x + w > COLUMNS) {
        y += tallest
        x = 0
        tallest = 0
      }
      placed.push(drawn(panel, placed.length + 1, { x, y, w, h }))
      x += w
      tallest = Math.max(tallest, h)
    }
    y += tallest
  }
  return placed
}

type GrafanaRow = ReturnType<typeof heading>

const heading = (id: number, title: string, y: number) => ({
  id,
  type: "row" as const,
  title,
  collapsed: false,
  gridPos: { x: 0, y, w: COLUMNS, h: 1 },
  panels: []
})

const drawn = (panel: Panel, id: number, gridPos: GridPosition) => {
  const { description, kind, mappings = [], queries, steps, title, unit } = panel
  const isTable = kind === "table"
  return {
    id,
    type: kind,
    title,
    description,
    datasource,
    gridPos,
    fieldConfig: {
      defaults: {
        unit,
        ...(kind === "timeseries" ? { min: 0 } : {}),
        color: { mode: kind === "timeseries" ? "palette-classic" : "thresholds" },
        custom: customOf(panel),
        thresholds: { mode: "absolute", steps: thresholdsOf(steps) },
        mappings: mappings.length === 0 ? [] : [{
          type: "value",
          options: Object.fromEntries(mappings.map(({ color, text, value }, index) => [value, { color, text, index }]))
        }]
      },
      overrides: []
    },
    options: optionsOf[kind],
    transformations: isTable ? tableOf(queries) : [],
    targets: queries.map(({ expression, legend }, i) => ({
      refId: String.fromCodePoint(65 + i),
      datasource,
      editorMode: "code",
      expr: expression.panel,
      legendFormat: legend,
      range: !isTable,
      instant: isTable,
      format: isTable ? "table" : "time_series"
    }))
  }
}

const customOf = ({ kind, stacked = false, steps = [] }: Panel): Readonly<Record<string, unknown>> => {
  switch (kind) {
    case "timeseries":
      return {
        drawStyle: "line",
        lineWidth: 1,
        fillOpacity: stacked ? 30 : 5,
        showPoints: "never",
        spanNulls: false,
        stacking: { mode: stacked ? "normal" : "none", group: "A" },
        thresholdsStyle: { mode: steps.length === 0 ? "off" : "dashed" }
      }
    case "state-timeline":
      return { fillOpacity: 80, lineWidth: 0 }
    default:
      return {}
  }
}

/** From a value on, a colour; `null` is from the beginning. */
const thresholdsOf = (steps: Panel["steps"]) => [
  ...(steps?.[0]?.from === -Infinity ? [] : [{ color: steps === undefined ? "text" : "green", value: null }]),
  ...(steps ?? []).map(({ color, from }) => ({ color, value: from === -Infinity ? null : from }))
]

const optionsOf: Readonly<Record<Panel["kind"], Readonly<Record<string, unknown>>>> = {
  timeseries: {
    legend: { displayMode: "table", placement: "bottom", showLegend: true, calcs: ["lastNotNull", "max"] },
    tooltip: { mode: "multi", sort: "desc" }
  },
  stat: {
    reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false },
    colorMode: "value",
    graphMode: "area",
    justifyMode: "auto",
    orientation: "auto",
    textMode: "auto"
  },
  table: { showHeader: true, cellHeight: "sm" },
  "state-timeline": {
    mergeValues: true,
    showValue: "never",
    alignValue: "left",
    rowHeight: 0.8,
    legend: { displayMode: "list", placement: "bottom", showLegend: true },
    tooltip: { mode: "single", sort: "none" }
  }
}

/** Columns by their short names, and no time beside what is true now. */
const tableOf = (queries: ReadonlyArray<PanelQuery>): ReadonlyArray<unknown> => {
  const attributes = new Set(queries.flatMap(({ expression }) => expression.attributes))
  return [{
    id: "organize",
    options: {
      excludeByName: { Time: true },
      renameByName: {
        ...Object.fromEntries([...attributes].map((attribute) => [prometheusLabel(attribute), attribute])),
        Value: "for how long yet"
      }
    }
  }]
}

/** The source of data, then what narrows every graph: each variable offers what those before it leave. */
const templating = (): ReadonlyArray<Readonly<Record<string, unknown>>> => {
  const narrowing = Object.entries(variables) as ReadonlyArray<[Attribute, string]>
  const all = [
    [job.label, job.label] as const,
    ...narrowing.map(([key, name]) => [prometheusLabel(key), name] as const)
  ]
  return [
    {
      name: "datasource",
      label: "Data source",
      type: "datasource",
      query: "prometheus",
      regex: "",
      hide: 0,
      includeAll: false,
      multi: false,
      refresh: 1
    },
    ...all.map(([label, name], i) => {
      const before = all.slice(0, i).map(([label, name]) => `${label}=~"$${name}"`).join(", ")
      const found = `${prometheusName(observed.state)}${before === "" ? "" : `{${before}}`}`
      return {
        name,
        label: `${name[0]!.toUpperCase()}${name.slice(1)}`,
        type: "query",
        datasource,
        query: { query: `label_values(${found}, ${label})`, refId: name },
        definition: `label_values(${found}, ${label})`,
        regex: "",
        hide: 0,
        includeAll: true,
        // series that lack the label, as a region that nobody named, are meant too
        allValue: ".*",
        multi: true,
        refresh: 2,
        sort: 1,
        current: { selected: true, text: ["All"], value: ["$__all"] }
      }
    })
  ]
}
