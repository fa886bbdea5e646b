import { prometheusRules } from "#otel/Alerts"
import { run, usage } from "#otel/Cli"
import { grafanaDashboard } from "#otel/Dashboard"
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { usualEnvironment } from "../support/Child.ts"

const program = fileURLToPath(new URL("../../packages/otel/src/bin.ts", import.meta.url))

const command = (...args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = spawnSync(process.execPath, [program, ...args], {
    encoding: "utf8",
    env: usualEnvironment,
    timeout: 15_000
  })
  return { code: status, out: stdout, error: stderr }
}

describe("evenkeel-otel", () => {
  it("writes the dashboard, whole, to a pipe", () => {
    const { code, error, out } = command("dashboard")
    assert.deepStrictEqual({ code, error }, { code: 0, error: "" })
    assert.deepStrictEqual(JSON.parse(out), grafanaDashboard())
  })

  it("ends with 2, and says why and how it is used, where it does not understand", () => {
    const { code, error, out } = command("dashboards")
    assert.deepStrictEqual({ code, out }, { code: 2, out: "" })
    assert.strictEqual(error, `evenkeel-otel: there is no "dashboards"\n\n${usage}`)
  })

  it("hands its options on", () => {
    assert.strictEqual(
      run(["rules", "--cost-per-hour", "50", "--label", "namespace", "--label", "job", "--objective", "0.999"]).out,
      prometheusRules({ costPerHour: 50, labels: ["namespace", "job"], objective: 0.999 })
    )
    assert.deepStrictEqual(
      JSON.parse(run(["dashboard", "--gen-ai", "latest", "--title", "Chat"]).out),
      grafanaDashboard({ genAi: "latest", title: "Chat" })
    )
  })

  it("refuses options that it does not have, or cannot read", () => {
    for (
      const [args, why] of [
        [[], "say what to write"],
        [["rules", "--cost-per-hour", "much"], "--cost-per-hour takes a number, and not \"much\""],
        [["rules", "--objective", "2"], "--objective takes a number from 0 to 1"],
        [["rules", "--label", "a b"], "--label takes the name of a label"],
        [["dashboard", "--gen-ai", "old"], "--gen-ai takes stable or latest"],
        [["dashboard", "--cost-per-hour", "50"], "Unknown option '--cost-per-hour'"],
        [["rules", "extra"], "extra"]
      ] as const
    ) {
      const { code, error, out } = run(args)
      assert.deepStrictEqual({ code, out }, { code: 2, out: "" })
      assert.include(error.split("\n", 1)[0], why)
    }
  })

  it("says how it is used when it is asked", () => {
    for (const args of [["--help"], ["help"], ["rules", "--help"]]) {
      assert.deepStrictEqual(run(args), { code: 0, out: usage, error: "" })
    }
  })
})
