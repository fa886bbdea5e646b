import * as SimulatedService from "#core/simulation/SimulatedService"
import * as SimulatedTransport from "#core/simulation/SimulatedTransport"
import { metricProducer } from "#otel/MetricProducer"
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Telemetry } from "@evenkeel/core"
import { createLoadBalancer } from "@evenkeel/node"
import { OtelGlobal, OtlpLive, PrometheusServer } from "@evenkeel/otel"
import { OtelLive } from "@evenkeel/otel/OtelLive"
import { context, trace } from "@opentelemetry/api"
import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node"
import { ConfigProvider, Effect, Exit, Layer, Metric } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { fleet, hello, service } from "../support/Balanced.ts"
import { startCollector } from "../support/Collector.ts"
import { fromOtel, fromOtlp, type OtlpBody, samplesOf } from "../support/Exported.ts"

const quick = { baseMs: 1, perPromptTokenMs: 0, perOutputTokenMs: 0, jitter: 0, errorMs: 1 }

/** Two calls, of which one is failed over, with a process's own registry of metrics. */
const calls = (telemetry: Layer.Layer<never, unknown>, env: Record<string, string>) => {
  const two = fleet(
    [service("east", { latency: quick }), service("west", { latency: quick })],
    { tiers: { east: 1, west: 2 } },
    { telemetry: Telemetry.layer() }
  )
  two.services["east"]!.fault("*", { kind: "status", status: 503, times: 1 })
  return Effect.gen(function*() {
    const lb = yield* LoadBalancer
    yield* lb.chat(hello)
    yield* lb.chat(hello)
  }).pipe(
    Effect.provide(
      two.layer.pipe(
        Layer.provideMerge(telemetry),
        Layer.provideMerge(Layer.succeed(Metric.MetricRegistry, new Map())),
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
      )
    )
  )
}

let turn = Promise.resolve()

/**
 * Runs with these variables, which OpenTelemetry's own exporters read where the process has them: one test after the other,
 * since there is one process.
 */
const withEnv = (env: Record<string, string>, run: () => Promise<void>): Promise<void> => {
  turn = turn.catch(() => {}).then(() => runWith(env, run))
  return turn
}

const runWith = async (env: Record<string, string>, run: () => Promise<void>): Promise<void> => {
  const before = { ...process.env }
  Object.assign(process.env, env)
  try {
    await run()
  } finally {
    for (const name of Object.keys(env)) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
  }
}

describe("OtlpLive", () => {
  it("exports spans, metrics and logs, the last of them when the program ends", async () => {
    await using collector = await startCollector()
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_HEADERS: "x-team=sre",
      OTEL_SERVICE_NAME: "shop",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test"
    }
    await Effect.runPromise(calls(Layer.mergeAll(OtlpLive), env))
    const traces = await collector.find(({ path }) => path === "/v1/traces")
    assert.strictEqual(traces.headers["x-team"], "sre")
    for (const word of ["chat gpt-4o", "attempt east/gpt-4o", "attempt west/gpt-4o", "\"shop\"", "\"test\""]) {
      assert.include(traces.text, word)
    }
    const metrics = await collector.find(({ path }) => path === "/v1/metrics")
    const attempts = fromOtlp(JSON.parse(metrics.text) as OtlpBody).filter(({ name }) => name === "evenkeel.attempts")
    assert.lengthOf(attempts, 3)
  })

  it("sends protobuf where it is told to, and only what it is asked for", async () => {
    await using collector = await startCollector()
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
      OTEL_TRACES_EXPORTER: "none",
      OTEL_LOGS_EXPORTER: "none"
    }
    await Effect.runPromise(calls(OtlpLive, env))
    const metrics = await collector.find(() => true)
    assert.strictEqual(metrics.headers["content-type"], "application/x-protobuf")
    assert.include(metrics.text, "evenkeel.attempts")
    assert.deepStrictEqual([...new Set(collector.exports.map(({ path }) => path))], ["/v1/metrics"])
  })

  it("exports nothing when it is disabled", async () => {
    await using collector = await startCollector()
    await Effect.runPromise(
      calls(OtlpLive, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SDK_DISABLED: "true" })
    )
    assert.lengthOf(collector.exports, 0)
  })

  it("keeps a share of the traces, whole ones", async () => {
    await using collector = await startCollector()
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_TRACES_SAMPLER: "always_off"
    }
    await Effect.runPromise(calls(OtlpLive, env))
    assert.deepStrictEqual([...new Set(collector.exports.map(({ path }) => path))], ["/v1/metrics"])
  })

  it("a collector that refuses harms nobody", async () => {
    await using collector = await startCollector(503)
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }
    const exit = await Effect.runPromiseExit(calls(OtlpLive, env))
    assert.isTrue(Exit.isSuccess(exit))
  })
})

describe("the promise facade", () => {
  it("exports what it is instrumented for, the last of it when it is closed", async () => {
    await using collector = await startCollector()
    const east = SimulatedService.make(service("east", { latency: quick }))
    await withEnv({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SERVICE_NAME: "facade" }, async () => {
      const lb = createLoadBalancer({ resources: [east.config()] }, {
        transport: SimulatedTransport.layer([east]),
        instrumentation: OtlpLive
      })
      await lb.openai.chat.completions.create(hello)
      await lb.close()
    })
    const traces = await collector.find(({ path }) => path === "/v1/traces")
    for (const word of ["chat gpt-4o", "attempt east/gpt-4o", "facade"]) assert.include(traces.text, word)
    assert.include((await collector.find(({ path }) => path === "/v1/metrics")).text, "evenkeel.attempts")
  })
})

describe("OtelLive", () => {
  it("exports spans, metrics and logs through the SDK", async () => {
    await using collector = await startCollector()
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SERVICE_NAME: "shop" }
    await withEnv(env, () => Effect.runPromise(calls(OtelLive, env)))
    const traces = await collector.find(({ path }) => path === "/v1/traces")
    for (const word of ["chat gpt-4o", "attempt east/gpt-4o", "attempt west/gpt-4o", "shop"]) {
      assert.include(traces.text, word)
    }
    const metrics = await collector.find(({ path }) => path === "/v1/metrics")
    for (const word of ["evenkeel.attempts", "gen_ai.client.operation.duration", "{attempt}"]) {
      assert.include(metrics.text, word)
    }
  })

  it("says which package is missing", async () => {
    const env = { OTEL_TRACES_EXPORTER: "otlp", OTEL_METRICS_EXPORTER: "none", OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }
    const exit = await Effect.runPromiseExit(calls(OtelLive, env))
    assert.include(String(exit), "@opentelemetry/exporter-trace-otlp-grpc is not installed")
  })
})

describe("OtelGlobal", () => {
  it("gives spans to the SDK that is there, below the span that is active, and metrics to its readers", async () => {
    const exporter = new InMemorySpanExporter()
    const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
    provider.register()
    try {
      // by a name of its own: the process's metrics are those of all tests beside it, too
      const alone = SimulatedService.make({ ...service("alone", { latency: quick }) })
      await using lb = createLoadBalancer({ resources: [alone.config()] }, {
        transport: SimulatedTransport.layer([alone]),
        instrumentation: OtelGlobal
      })
      const outer = provider.getTracer("app").startSpan("outer")
      await context.with(
        trace.setSpan(context.active(), outer),
        () => lb.openai.chat.completions.create(hello)
      )
      outer.end()
      const spans = exporter.getFinishedSpans()
      const request = spans.find(({ name }) => name === "chat gpt-4o")!
      assert.strictEqual(request.parentSpanContext?.spanId, outer.spanContext().spanId)
      const attempt = spans.find(({ name }) => name === "attempt alone/gpt-4o")!
      assert.strictEqual(attempt.parentSpanContext?.spanId, request.spanContext().spanId)
      const { resourceMetrics } = await metricProducer().collect()
      const attempts = fromOtel(resourceMetrics).filter(({ labels, name }) =>
        name === "evenkeel.attempts" && labels.includes("evenkeel.deployment=alone/gpt-4o")
      )
      assert.lengthOf(attempts, 1)
    } finally {
      await provider.shutdown()
      trace.disable()
      context.disable()
    }
  })
})

const get = (url: string) =>
  Effect.flatMap(
    HttpClient.get(url),
    (response) =>
      Effect.map(response.text, (text) => ({ status: response.status, text, type: response.headers["content-type"] }))
  )

describe("the page for Prometheus", () => {
  it("is served at /metrics, and nowhere else", () =>
    Effect.runPromise(
      Effect.gen(function*() {
        const one = fleet([service("east", { latency: quick })], {}, { telemetry: Telemetry.layer() })
        const port = yield* PrometheusServer.serve({ port: 0 })
        const page = yield* Effect.gen(function*() {
          yield* (yield* LoadBalancer).chat(hello)
          return yield* get(`http://localhost:${port}/metrics`)
        }).pipe(Effect.provide(one.layer))
        assert.strictEqual(page.status, 200)
        assert.strictEqual(page.type, "text/plain; version=0.0.4; charset=utf-8")
        const attempts = samplesOf(page.text).filter(({ name }) => name === "evenkeel_attempts_total")
        assert.deepStrictEqual(attempts.map(({ value }) => value), [1])
        assert.strictEqual((yield* get(`http://localhost:${port}/`)).status, 404)
      }).pipe(
        Effect.scoped,
        Effect.provide(FetchHttpClient.layer),
        Effect.provideService(Metric.MetricRegistry, new Map())
      )
    ))

  it("is served to plain TypeScript too, until the server is closed", async () => {
    const server = await PrometheusServer.start({ port: 0 })
    const url = `http://localhost:${server.port}/metrics`
    assert.include(await (await fetch(url)).text(), "# TYPE evenkeel_attempts_total counter")
    await server.close()
    await fetch(url).then(() => assert.fail("it still serves"), () => {})
  })

  it("says so where something else listens", async () => {
    const other = createServer().listen(0, "localhost")
    await new Promise((resolve) => other.once("listening", resolve))
    const { port } = other.address() as AddressInfo
    const exit = await Effect.runPromiseExit(Effect.scoped(PrometheusServer.serve({ port })))
    other.close()
    assert.include(String(exit), `localhost:${port} (EADDRINUSE)`)
    const none = await Effect.runPromiseExit(Effect.scoped(PrometheusServer.serve({ port: 70_000 })))
    assert.include(String(none), "localhost:70000 (ERR_SOCKET_BAD_PORT)")
  })
})
