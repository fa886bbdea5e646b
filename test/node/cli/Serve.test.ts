import { startSimulator } from "#node/simulator/SimulatorServer"
import { assert, describe, it } from "@effect/vitest"
import { nowhere, startEvenkeel } from "../../support/Child.ts"
import { startCollector } from "../../support/Collector.ts"

describe("evenkeel serve", { concurrent: false }, () => {
  it("exports what it counts to where the environment says", async () => {
    await using collector = await startCollector()
    const serving = startEvenkeel(["serve", "--port", "0"], {
      ...nowhere,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_METRIC_EXPORT_INTERVAL: "200"
    })
    const said = await serving.said(/base URL for clients: \S+/)
    const url = /base URL for clients: (\S+)/.exec(said)![1]!
    assert.strictEqual((await fetch(`${url}/models`)).status, 200)
    const exported = await collector.find(({ path, text }) =>
      path === "/v1/metrics" && text.includes("evenkeel.gateway.requests")
    )
    assert.include(exported.text, "evenkeel.gateway.connections")
    serving.child.kill("SIGTERM")
    assert.deepInclude(await serving.ended, { code: 0, signal: null })
  })
  it("prints a line of JSON for each thing that it says, where it is asked to, and no secret", async () => {
    const east = { name: "east", apiKey: "secret-of-east", deployments: [{ name: "gpt-4o" }] }
    await using simulator = await startSimulator({ resources: [east] })
    await using collector = await startCollector()
    const resources = [{ ...simulator.resources[0]!.config(), deployments: [{ name: "gone" }] }]
    const keys = [{ name: "a", key: "secret-of-a" }]
    const serving = startEvenkeel(["serve", "--port", "0", "--log-format", "json"], {
      EVENKEEL_CONFIG: JSON.stringify({ resources, gateway: { keys } }),
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url
    })
    const said = await serving.said(/base URL for clients: [^"\s]+/)
    const url = /base URL for clients: ([^"\s]+)/.exec(said)![1]!
    const answer = await fetch(`${url}/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer secret-of-a" },
      body: JSON.stringify({ model: "gone", messages: [{ role: "user", content: "Hello" }] })
    })
    assert.strictEqual(answer.status, 404)
    await answer.text()
    serving.child.kill("SIGTERM")
    const { code, stderr, stdout } = await serving.ended
    assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
    const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line))
    for (const { level, message, timestamp } of lines) {
      assert.match(level, /^(?:INFO|WARN|ERROR)$/)
      assert.isString(message)
      assert.isFalse(Number.isNaN(Date.parse(timestamp)))
    }
    assert.match(lines[0].message, /^Evenkeel listens at/)
    const missing = lines.find(({ level }) => level === "ERROR")
    assert.match(missing.message, /east\/gone does not exist/)
    assert.strictEqual(missing.annotations.deployment, "east/gone")
    assert.match(lines.at(-1).message, /^Stopping/)
    assert.notInclude(stdout, "secret-of")
    // what is exported is exported besides
    await collector.find(({ path, text }) => path === "/v1/logs" && text.includes("does not exist"))
  })
})
