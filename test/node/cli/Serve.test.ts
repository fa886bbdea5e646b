import { assert, describe, it } from "@effect/vitest"
import { startEvenkeel } from "../../support/Child.ts"
import { startCollector } from "../../support/Collector.ts"

describe("evenkeel serve", { concurrent: false }, () => {
  it("exports what it counts to where the environment says", async () => {
    await using collector = await startCollector()
    const serving = startEvenkeel(["serve", "--port", "0"], {
      OPENAI_API_KEY: "any",
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
})
