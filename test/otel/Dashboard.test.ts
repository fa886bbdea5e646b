import {
  attributes,
  counted,
  genAi,
  genAiNext,
  type Instrument,
  instruments,
  observed,
  prometheusLabel,
  prometheusName
} from "#core/telemetry/Names"
import { alerts } from "#otel/Alerts"
import { grafanaDashboard, type GrafanaPanel, panelIds, queries } from "#otel/Dashboard"
import { variables } from "#otel/PromQl"
import { assert, describe, it } from "@effect/vitest"

/** Instruments that no panel shows, and why. */
const unshown: ReadonlyMap<Instrument, string> = new Map([
  [genAiNext.embeddings, "the latency of embeddings is told by `evenkeel.attempt.duration`, by deployment and model"],
  [genAiNext.embeddingsInputEach, "likewise, `evenkeel.tokens`"],
  [genAiNext.input, "`evenkeel.tokens` tells the same by deployment, and without an option"],
  [genAiNext.output, "likewise"],
  [genAiNext.cacheRead, "likewise"],
  [genAiNext.cacheWrite, "likewise"],
  [genAiNext.reasoning, "likewise"]
])

/** Labels by the names of metrics, parts of histograms included. */
const labelsOf = new Map(instruments.flatMap((instrument) => {
  const name = prometheusName(instrument)
  const labels = new Set(["job", ...instrument.attributes.map(prometheusLabel)])
  return instrument.kind === "histogram"
    ? ["bucket", "sum", "count"].map((part) => [`${name}_${part}`, labels] as const)
    : [[name, labels] as const]
}))

const words = new Set([
  ..."by on or and unless group_left offset bool sum min max avg count rate increase clamp clamp_min histogram_quantile"
    .split(" "),
  ..."predict_linear avg_over_time min_over_time max_over_time".split(" ")
])

const foreign = ["le", "job", "__name__", "otel_metric_overflow"]

const known = new Set([
  ...foreign,
  ...Object.keys(attributes).map((key) => prometheusLabel(key as keyof typeof attributes))
])

/** What is wrong with the names in a query. */
const mistakes = (expression: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  // selectors: each label must be one of its metric's
  const rest = expression.replaceAll(/(\w+)\{([^}]*)\}/g, (_, name: string, matchers: string) => {
    for (const [, label] of matchers.matchAll(/(\w+)(?:=~|!~|!=|=)"[^"]*"/g)) {
      if (labelsOf.get(name)?.has(label!) !== true) found.push(`${name} has no ${label}`)
    }
    return ` ${name} `
  })
  for (const [word] of rest.replaceAll(/\{[^}]*\}|\[[^\]]*\]|offset \w+/g, " ").matchAll(/[A-Za-z_]\w*/g)) {
    if (!words.has(word) && !labelsOf.has(word) && !known.has(word)) found.push(`there is no ${word}`)
  }
  return found
}

const panelsOf = (genAi: "stable" | "latest"): ReadonlyArray<GrafanaPanel> =>
  grafanaDashboard({ genAi }).panels.filter((panel): panel is GrafanaPanel => panel.type !== "row")

const shown = (genAi: "stable" | "latest") =>
  new Set(queries({ genAi }).flatMap(({ expression }) => expression.instruments))

describe("the dashboard", () => {
  for (const genAi of ["stable", "latest"] as const) {
    it(`names only instruments and labels that there are, with the ${genAi} names of the GenAI conventions`, () => {
      for (const { expression: { panel: template, text }, panel } of queries({ genAi })) {
        assert.deepStrictEqual(mistakes(text), [], panel)
        assert.deepStrictEqual(mistakes(template), [], panel)
        assert.notInclude(text, "$", panel)
        for (const [, name] of template.matchAll(/\$(\w+)/g)) {
          assert.include([...Object.values(variables), "job", "__rate_interval"], name, panel)
        }
      }
      for (const { expression, name } of alerts({ genAi, costPerHour: 1 })) {
        assert.deepStrictEqual(mistakes(expression.text), [], name)
      }
    })
  }

  it("finds names that there are not", () => {
    assert.deepStrictEqual(mistakes("sum by (evenkeel_shape) (rate(evenkeel_requests_total[5m]))"), [
      "there is no evenkeel_shape"
    ])
    assert.deepStrictEqual(mistakes("evenkeel_requests{evenkeel_tier=\"1\"}"), [
      "evenkeel_requests has no evenkeel_tier",
      "there is no evenkeel_requests"
    ])
  })

  it("shows every instrument", () => {
    const stable = shown("stable")
    const classic = [...Object.values(counted), ...Object.values(observed), ...Object.values(genAi)]
    assert.deepStrictEqual(classic.filter((one) => !stable.has(one) && !unshown.has(one)).map(({ name }) => name), [])
    const latest = shown("latest")
    const next: ReadonlyArray<Instrument> = Object.values(genAiNext)
    assert.deepStrictEqual(next.filter((one) => !latest.has(one) && !unshown.has(one)).map(({ name }) => name), [])
    assert.deepStrictEqual([...unshown.keys()].filter((one) => stable.has(one) || latest.has(one)), [])
  })

  it("is the same each time, and survives JSON", () => {
    const text = JSON.stringify(grafanaDashboard())
    assert.strictEqual(JSON.stringify(grafanaDashboard()), text)
    assert.deepStrictEqual(JSON.parse(text), grafanaDashboard())
    const { title, uid } = grafanaDashboard({ title: "Chat", uid: "chat" })
    assert.deepStrictEqual({ title, uid }, { title: "Chat", uid: "chat" })
  })

  it("has panels with titles, legends and places of their own", () => {
    const { panels } = grafanaDashboard()
    assert.strictEqual(new Set(panels.map(({ id }) => id)).size, panels.length)
    assert.strictEqual(new Set(panels.map(({ title }) => title)).size, panels.length)
    const taken = new Set<string>()
    for (const { gridPos: { h, w, x, y }, title } of panels) {
      assert.isAtMost(x + w, 24, title)
      for (let column = x; column < x + w; column++) {
        for (let line = y; line < y + h; line++) {
          assert.isFalse(taken.has(`${column} ${line}`), title)
          taken.add(`${column} ${line}`)
        }
      }
    }
    for (const { description, targets, title } of panelsOf("stable")) {
      assert.isAbove(description.length, 0, title)
      const legends = targets.map(({ legendFormat }) => legendFormat)
      assert.strictEqual(new Set(legends).size, legends.length, title)
      for (const { expr, legendFormat } of targets) {
        const grouped = new Set([...expr.matchAll(/ by \(([^)]*)\)/g)].flatMap(([, names]) => names!.split(", ")))
        for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) assert.isTrue(grouped.has(label!), title)
      }
    }
  })

  it("is narrowed by variables that each offer what those before them leave", () => {
    const { templating: { list } } = grafanaDashboard()
    assert.deepStrictEqual(list.map(({ name }) => name), ["datasource", "job", "model", "region", "deployment"])
    const last = list.at(-1)!
    assert.deepStrictEqual(mistakes(String(last["definition"]).replace(/^label_values\((.*), \w+\)$/, "$1")), [])
    assert.include(String(last["definition"]), "$region")
  })

  it("numbers its panels as links of alerts have them", () => {
    const ids = panelIds()
    for (const { id, title } of panelsOf("stable")) assert.strictEqual(ids.get(title), id)
    for (const { name, panel } of alerts({ costPerHour: 1 })) assert.isTrue(ids.has(panel), name)
  })
})
