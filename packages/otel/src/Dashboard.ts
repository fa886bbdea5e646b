/**
 * A Grafana dashboard, made of the names that the balancer measures by, so that it cannot drift from them.
 *
 * It is the classic model, which every Grafana from 10 on imports and which newer ones convert by themselves.
 */
import {
  type Attribute,
  counted,
  type Instrument,
  observed,
  prometheusLabel,
  prometheusName
} from "@evenkeel/core/internal"
import { type Panel, type PanelQuery, rows, type Unit } from "./Panels.ts"
import { aggregate, type Expression, job, promql, rate, series, variables } from "./PromQl.ts"

/** What a dashboard is made for. */
export interface DashboardOptions {
  /** Default: `Evenkeel`. */
  readonly title?: string | undefined
  /** Part of its address in Grafana. Default: `evenkeel`. */
  readonly uid?: string | undefined
  /** Names of the GenAI conventions in use, as in `TelemetryOptions`. Default: `stable`. */
  readonly genAi?: "stable" | "latest" | undefined
}

/** A query of the dashboard, and where it is. */
export interface DashboardQuery {
  /** Title of the panel. */
  readonly panel: string
  readonly legend: string
  /** As Prometheus takes it. */
  readonly expression: string
  /** As the panel has it, with Grafana's variables. */
  readonly template: string
  readonly instruments: ReadonlyArray<Instrument>
  readonly attributes: ReadonlyArray<Attribute>
}

/** Where a panel is, of 24 columns. */
export interface GridPosition {
  readonly x: number
  readonly y: number
  readonly w: number
  readonly h: number
}

/** A data source, by what the dashboard's variable says. */
export interface DataSource {
  readonly type: "prometheus"
  readonly uid: string
}

/** A query as Grafana has it. */
export interface GrafanaTarget {
  readonly refId: string
  readonly datasource: DataSource
  readonly editorMode: "code"
  readonly expr: string
  readonly legendFormat: string
  readonly range: boolean
  readonly instant: boolean
  readonly format: "time_series" | "table"
}

/** From a value on, a colour; `null` is from the beginning. */
export interface GrafanaThreshold {
  readonly color: string
  readonly value: number | null
}

/** A graph, table or figure as Grafana has it. */
export interface GrafanaPanel {
  readonly id: number
  readonly type: Panel["kind"]
  readonly title: string
  readonly description: string
  readonly datasource: DataSource
  readonly gridPos: GridPosition
  readonly fieldConfig: {
    readonly defaults: {
      readonly unit: Unit
      readonly min?: number
      readonly color: { readonly mode: string }
      readonly custom: Readonly<Record<string, unknown>>
      readonly thresholds: { readonly mode: "absolute"; readonly steps: ReadonlyArray<GrafanaThreshold> }
      readonly mappings: ReadonlyArray<unknown>
    }
    readonly overrides: ReadonlyArray<unknown>
  }
  readonly options: Readonly<Record<string, unknown>>
  readonly transformations: ReadonlyArray<unknown>
  readonly targets: ReadonlyArray<GrafanaTarget>
}

/** A heading. */
export interface GrafanaRow {
  readonly id: number
  readonly type: "row"
  readonly title: string
  readonly collapsed: false
  readonly gridPos: GridPosition
  readonly panels: readonly []
}

/** A dashboard of Grafana, to be written as JSON. */
export interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly description: string
  readonly tags: ReadonlyArray<string>
  readonly schemaVersion: number
  readonly editable: boolean
  readonly graphTooltip: number
  readonly refresh: string
  readonly time: { readonly from: string; readonly to: string }
  readonly timezone: string
  readonly annotations: { readonly list: ReadonlyArray<unknown> }
  readonly templating: { readonly list: ReadonlyArray<Readonly<Record<string, unknown>>> }
  readonly panels: ReadonlyArray<GrafanaPanel | GrafanaRow>
}

const datasource: DataSource = { type: "prometheus", uid: "${datasource}" }

/** Marks in every graph: a deployment lost its traffic. */
const ejections: PanelQuery = {
  legend: `{{${prometheusLabel("deployment")}}} {{${prometheusLabel("reason")}}}`,
  expression: promql`${aggregate("sum", rate(series(counted.ejections)), ["deployment", "reason"])} > 0`
}

const EJECTIONS = "Ejections (marks in every graph)"

/** Every query of the dashboard, for tests, documentation and whoever builds another one. */
export const queries = ({ genAi }: DashboardOptions = {}): ReadonlyArray<DashboardQuery> => [
  ...rows(genAi).flatMap(({ panels }) =>
    panels.flatMap(({ queries, title }) =>
      queries.map(({ expression, legend }) => described(title, legend, expression))
    )
  ),
  described(EJECTIONS, ejections.legend, ejections.expression)
]

const described = (panel: string, legend: string, expression: Expression): DashboardQuery => ({
  panel,
  legend,
  expression: expression.text,
  template: expression.panel,
  instruments: expression.instruments,
  attributes: expression.attributes
})

/** Numbers of the panels, by their titles: what `viewPanel` in an address of Grafana refers to. */
export const panelIds = ({ genAi }: DashboardOptions = {}): ReadonlyMap<string, number> =>
  new Map(
    layout(rows(genAi)).flatMap((placed) => placed.panel === undefined ? [] : [[placed.title, placed.id] as const])
  )

/**
 * The dashboard.
 *
 * **Example** (As a file)
 *
 * ```ts
 * writeFileSync("dashboard.json", JSON.stringify(grafanaDashboard(), null, 2))
 * ```
 */
export const grafanaDashboard = (options: DashboardOptions = {}): Dashboard => {
  const { genAi, title = "Evenkeel", uid = "evenkeel" } = options
  return {
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
    panels: layout(rows(genAi)).map(({ gridPos, id, panel, title }) =>
      panel === undefined
        ? { id, type: "row", title, collapsed: false, gridPos, panels: [] }
        : drawn(panel, id, gridPos)
    )
  }
}

interface Placed {
  readonly id: number
  readonly title: string
  readonly gridPos: GridPosition
  /** None is a heading. */
  readonly panel: Panel | undefined
}

const COLUMNS = 24

const heights: Readonly<Record<Panel["kind"], number>> = { stat: 4, timeseries: 8, table: 8, "state-timeline": 8 }

/** Puts panels beside one another until a line is full. */
const layout = (all: ReturnType<typeof rows>): ReadonlyArray<Placed> => {
  const placed: Array<Placed> = []
  let y = 0
  for (const { panels, title } of all) {
    placed.push({ id: placed.length + 1, title, gridPos: { x: 0, y, w: COLUMNS, h: 1 }, panel: undefined })
    y++
    let x = 0
    let tallest = 0
    for (const panel of panels) {
      const w = panel.width ?? 8
      const h = heights[panel.kind]
      if (x + w > COLUMNS) {
        y += tallest
        x = 0
        tallest = 0
      }
      placed.push({ id: placed.length + 1, title: panel.title, gridPos: { x, y, w, h }, panel })
      x += w
      tallest = Math.max(tallest, h)
    }
    y += tallest
  }
  return placed
}

const drawn = (panel: Panel, id: number, gridPos: GridPosition): GrafanaPanel => {
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

const thresholdsOf = (steps: Panel["steps"]): ReadonlyArray<GrafanaThreshold> => [
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
