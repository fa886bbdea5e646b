import * as Yaml from "#core/config/Yaml"
import { counted } from "#core/telemetry/Names"
import { alerts, prometheusRules } from "#otel/Alerts"
import { panelIds } from "#otel/Dashboard"
import { any, literal, series } from "#otel/PromQl"
import { assert, describe, it } from "@effect/vitest"
import { parse } from "effect/encoding/Yaml"

interface Parsed {
  readonly groups: ReadonlyArray<{
    readonly name: string
    readonly rules: ReadonlyArray<{
      readonly alert: string
      readonly expr: string
      readonly for: string
      readonly labels: { readonly severity: string }
      readonly annotations: Readonly<Record<string, string>>
    }>
  }>
}

const rulesOf = (options: Parameters<typeof prometheusRules>[0] = {}) =>
  (parse(prometheusRules(options)) as Parsed).groups.flatMap(({ rules }) => rules)

describe("alerts", () => {
  it("come back from YAML as they are", () => {
    const options = { costPerHour: 50 }
    const rules = rulesOf(options)
    assert.deepStrictEqual(
      new Set(rules.map(({ alert }) => alert)),
      new Set(alerts(options).map(({ name }) => name))
    )
    for (const alert of alerts(options)) {
      const rule = rules.find((rule) => rule.alert === alert.name)!
      assert.strictEqual(rule.expr, alert.expression.text)
      assert.strictEqual(rule.for, alert.for)
      assert.deepStrictEqual(rule.labels, { severity: alert.severity })
      const { description, panel, summary } = alert
      assert.deepStrictEqual(rule.annotations, { description, panel, summary })
    }
  })

  it("say what to look at, and link to it where they are told where the dashboard is", () => {
    for (const { annotations, alert } of rulesOf({ dashboardUrl: "https://grafana.example/d/evenkeel" })) {
      const id = panelIds().get(annotations["panel"]!)
      assert.strictEqual(
        annotations["dashboard_url"],
        `https://grafana.example/d/evenkeel?viewPanel=panel-${id}`,
        alert
      )
    }
  })

  it("know a limit of cost only where one is given", () => {
    assert.notInclude(prometheusRules(), "EvenkeelCostHigh")
    assert.include(prometheusRules({ costPerHour: 12.5 }), "> 12.5")
  })

  it("tell services apart by the labels that they are told", () => {
    for (const { expression, name } of alerts({ labels: ["namespace", "job"] })) {
      assert.match(expression.text, /by \(namespace, job[,)]/, name)
    }
  })
})

describe("YAML", () => {
  it("quotes what would be something else, and folds what is long", () => {
    const value = {
      plain: "It is plain (really)",
      quoted: ["yes", "null", "12", "a: b", "- a", "", " a", "#", "{{ $value }}", "a \"b\"", "two\nlines"],
      numbers: [1, 0.5, true],
      long: "word ".repeat(60).trim(),
      spaced: `${"word ".repeat(60)} word`,
      nested: [{ a: "b", c: { d: "e" } }]
    }
    const text = Yaml.stringify({ ...value, nothing: undefined })
    assert.deepStrictEqual(parse(text), value)
    assert.include(text, "plain: It is plain (really)\n")
    assert.include(text, "long: >-\n")
    assert.isTrue(text.split("\n").filter((line) => !line.startsWith("spaced")).every((line) => line.length < 120))
  })
})

describe("PromQL", () => {
  it("cannot be made of what an instrument is not, or has not", () => {
    assert.throws(() => series(counted.requests, { deployment: "east/gpt-4o" }), "evenkeel.requests has no deployment")
    assert.throws(() => series(counted.waits), "is a histogram")
    assert.throws(() => series(counted.requests, {}, "sum"), "is a counter")
  })

  it("is narrowed by the dashboard's variables, but for what is asked for", () => {
    const { panel, text } = series(counted.hedges, { model: "gpt-4o", deployment: any })
    assert.strictEqual(text, "evenkeel_hedges_total{gen_ai_request_model=\"gpt-4o\"}")
    assert.strictEqual(panel, "evenkeel_hedges_total{job=~\"$job\", gen_ai_request_model=\"gpt-4o\"}")
    assert.deepStrictEqual(series(counted.hedges).panel.match(/\$\w+/g), ["$job", "$deployment", "$model"])
    assert.deepStrictEqual(literal("5m").instruments, [])
  })
})
