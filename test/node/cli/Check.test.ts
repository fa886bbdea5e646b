import { render } from "#node/cli/CheckTable"
import { startSimulator } from "#node/simulator/SimulatorServer"
import { assert, describe, it } from "@effect/vitest"
import { CheckReport, type CheckResult } from "@evenkeel/core"
import { runEvenkeel } from "../../support/Child.ts"
import { fast } from "../../support/Served.ts"

const none = { tokens: undefined, requests: undefined }

const found = (name: string, change: Partial<CheckResult> = {}): CheckResult => ({
  kind: name.includes("/") ? "deployment" : "resource",
  name,
  host: "127.0.0.1",
  model: name.includes("/") ? "gpt-4o" : undefined,
  ok: change.problem === undefined,
  state: change.problem === undefined ? "ok" : "failed",
  isAsked: true,
  problem: undefined,
  cure: undefined,
  warnings: [],
  limits: none,
  duration: 12.4,
  ...change
})

const refused = { problem: "http 401", cure: "Its key or token is refused.", duration: undefined }

const report = new CheckReport([
  found("east"),
  found("east/gpt-4o", { limits: { tokens: 30_000, requests: 180 } }),
  found("east/slow", { state: "throttled" }),
  found("west", refused),
  found("west/gpt-4o", refused)
])

const plain = { width: Infinity, hasColor: false }

const unasked = (model: string) => render(new CheckReport([found("east/a", { state: "not asked", model })]), plain)

describe("the table of a check", () => {
  it("has a line for each, what is wrong once, and what to do about it", () => {
    assert.strictEqual(
      render(report, plain),
      [
        "DEPLOYMENT        MODEL   STATE      LIMITS               TOOK",
        "east (127.0.0.1)          ok                              12 ms",
        "  gpt-4o          gpt-4o  ok         30,000 tpm, 180 rpm  12 ms",
        "  slow            gpt-4o  throttled                       12 ms",
        "west (127.0.0.1)          failed",
        "    http 401. Its key or token is refused.",
        "  gpt-4o          gpt-4o  failed",
        "",
        "Something is wrong with 1 resource and 1 deployment."
      ].join("\n")
    )
  })

  it("fits the screen", () => {
    for (const width of [40, 60, 80]) {
      for (const line of render(report, { width, hasColor: false }).split("\n")) assert.isAtMost(line.length, width)
    }
  })

  it("shows states in colour where there is some, and lets a service paint nothing", () => {
    const shown = render(new CheckReport([found("east", { problem: "http 500 \u001B[2J", cure: "c" })]), {
      width: 80,
      hasColor: true
    })
    assert.include(shown, "\u001B[31mfailed")
    assert.notInclude(shown, "\u001B[2J")
    assert.notInclude(render(report, plain), "\u001B")
  })

  it("tells what is worth a look under its line, in how many places, and that all is well", () => {
    const warned = new CheckReport([
      found("east", { warnings: ["http 404 for /models \u001B[2J."] }),
      found("east/gpt-4o", { warnings: ["One.", "Another."] })
    ])
    assert.isTrue(warned.ok)
    assert.strictEqual(
      render(warned, plain),
      [
        "DEPLOYMENT        MODEL   STATE  LIMITS  TOOK",
        "east (127.0.0.1)          ok             12 ms",
        "    Warning: http 404 for /models  [2J.",
        "  gpt-4o          gpt-4o  ok             12 ms",
        "    Warning: One.",
        "    Warning: Another.",
        "",
        "All is well: 1 resource and 1 deployment. Warnings: 3."
      ].join("\n")
    )
  })

  it("says what only a completion finds out", () => {
    assert.match(unasked("a"), /All is well: 0 resources and 1 deployment\. Not asked: 1 deployment; --completion asks/)
    assert.notInclude(unasked("*"), "Not asked")
  })
})

const configured = (resources: ReadonlyArray<object>) => JSON.stringify({ resources })

describe("evenkeel check", { concurrent: false }, () => {
  const deployments = [{ name: "gpt-4o", tpm: 30_000, rpm: 180, latency: fast }]

  it("ends with 0 where all is well, and tells limits where it may ask for a token", async () => {
    await using simulator = await startSimulator({ resources: [{ name: "east", deployments }] })
    const EVENKEEL_CONFIG = configured(simulator.resources.map((resource) => resource.config()))
    const { code, stderr, stdout } = await runEvenkeel(["check", "--completion"], { EVENKEEL_CONFIG })
    assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
    assert.match(stdout, /^ {2}gpt-4o +gpt-4o {2}ok {5}30,000 tpm, 180 rpm {2}\d+ ms$/m)
    assert.match(stdout, /\nAll is well: 1 resource and 1 deployment\.\n$/)
  })

  it("ends with 0 where there is but something to be warned of", async () => {
    await using simulator = await startSimulator({ resources: [{ name: "east", deployments }] })
    const config = simulator.resources[0]!.config()
    const EVENKEEL_CONFIG = configured([{ ...config, deployments: [{ name: "gpt-4o", tpm: 60_000 }] }])
    const { code, stdout } = await runEvenkeel(["check", "--completion"], { EVENKEEL_CONFIG })
    assert.strictEqual(code, 0)
    assert.match(stdout, /^ {4}Warning: The service allows less: 30,000 tokens a minute, where `tpm` is 60,000\. .*$/m)
    assert.match(stdout, /\nAll is well: 1 resource and 1 deployment\. Warnings: 1\.\n$/)
  })

  it("ends with 1 where something is wrong, says what to do, and shows no key", async () => {
    await using simulator = await startSimulator({ resources: [{ name: "east", deployments }] })
    const EVENKEEL_CONFIG = configured([{ ...simulator.resources[0]!.config(), apiKey: "secret-and-wrong" }])
    const { code, stderr, stdout } = await runEvenkeel(["check", "--json"], { EVENKEEL_CONFIG })
    assert.deepStrictEqual({ code, stderr }, { code: 1, stderr: "" })
    const { ok, results } = JSON.parse(stdout)
    assert.isFalse(ok)
    assert.deepInclude(results[1], { name: "east/gpt-4o", model: "gpt-4o", state: "failed", problem: "http 401" })
    assert.match(results[1].cure, /Its key or token is refused/)
    assert.notInclude(stdout, "secret-and-wrong")
  })

  it("ends with 2 where the configuration is wrong, and tells every mistake", async () => {
    const { code, stderr } = await runEvenkeel(["check"], {
      EVENKEEL_CONFIG: configured([{ name: "a" }, { name: "a" }])
    })
    assert.strictEqual(code, 2)
    assert.include(stderr, "resources[0].provider: is missing")
    assert.include(stderr, "resources[1].name: \"a\" is already the name of resources[0]")
    assert.notMatch(stderr, /\.ts:\d+/)
  })
})
