import * as Environment from "#otel/Environment"
import { assert, describe, it } from "@effect/vitest"
import { TelemetryDefaults } from "@evenkeel/core"
import { ConfigProvider, Effect, Layer, Logger } from "effect"

/** What is read of these variables, and what is logged of them. */
const reading = <A>(effect: Effect.Effect<A>, env: Record<string, string> = {}) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => void lines.push(String(message)))
    const value = yield* effect.pipe(
      Effect.provide(Layer.merge(Logger.layer([logger]), ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))
    )
    return { value, lines }
  })

const exporters = (value: string) =>
  Effect.map(reading(Environment.exporters("metrics"), { OTEL_METRICS_EXPORTER: value }), ({ value }) => value)

const sampler = (env: Record<string, string>) => Effect.map(reading(Environment.sampler, env), ({ value }) => value)

const resource = (env: Record<string, string>) => Effect.map(reading(Environment.resource, env), ({ value }) => value)

describe("the environment", () => {
  it.effect("without variables, everything goes to a collector on this machine", () =>
    Effect.gen(function*() {
      const { lines, value } = yield* reading(Effect.all({
        disabled: Environment.isDisabled,
        traces: Environment.exporters("traces"),
        target: Environment.otlpTarget("metrics", "http/protobuf"),
        interval: Environment.metricInterval,
        sampler: Environment.sampler,
        prometheus: Environment.prometheus,
        options: Environment.telemetryOptions
      }))
      assert.deepStrictEqual(lines, [])
      assert.deepStrictEqual(value, {
        disabled: false,
        traces: ["otlp"],
        target: {
          url: "http://localhost:4318/v1/metrics",
          protocol: "http/protobuf",
          headers: {},
          compression: "none",
          timeout: 10_000
        },
        interval: 60_000,
        sampler: { ratio: 1, isParentBased: true },
        prometheus: { host: "localhost", port: 9464 },
        options: { genAi: "stable", captureContent: false }
      })
    }))

  it.effect("a signal's own variable comes before the one of all; its endpoint is used as it is", () =>
    Effect.gen(function*() {
      const env = {
        OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector.example/base/",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://traces.example/in",
        OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20a,x-team= b ,=nothing,odd",
        OTEL_EXPORTER_OTLP_METRICS_HEADERS: "x-team=metrics",
        OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
        OTEL_EXPORTER_OTLP_LOGS_COMPRESSION: "none",
        OTEL_EXPORTER_OTLP_TIMEOUT: "2000",
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json"
      }
      const traces = (yield* reading(Environment.otlpTarget("traces", "http/protobuf"), env)).value
      assert.deepStrictEqual(traces, {
        url: "https://traces.example/in",
        protocol: "http/json",
        headers: { authorization: "Bearer a", "x-team": "b" },
        compression: "gzip",
        timeout: 2000
      })
      const metrics = (yield* reading(Environment.otlpTarget("metrics", "http/protobuf"), env)).value
      assert.strictEqual(metrics.url, "https://collector.example/base/v1/metrics")
      assert.deepStrictEqual(metrics.headers, { "x-team": "metrics" })
      assert.strictEqual(
        (yield* reading(Environment.otlpTarget("logs", "http/protobuf"), env)).value.compression,
        "none"
      )
    }))

  it.effect("an empty variable is not set, and one that makes no sense is told of and left out", () =>
    Effect.gen(function*() {
      const { lines, value } = yield* reading(
        Effect.all({
          interval: Environment.metricInterval,
          sampler: Environment.sampler,
          target: Environment.otlpTarget("logs", "http/protobuf"),
          exporters: Environment.exporters("logs"),
          disabled: Environment.isDisabled
        }),
        {
          OTEL_METRIC_EXPORT_INTERVAL: "soon",
          OTEL_TRACES_SAMPLER: "some",
          // a scheme was forgotten
          OTEL_EXPORTER_OTLP_ENDPOINT: "localhost:4318",
          OTEL_LOGS_EXPORTER: " ",
          OTEL_SDK_DISABLED: "1"
        }
      )
      assert.strictEqual(value.interval, 60_000)
      assert.deepStrictEqual(value.sampler, { ratio: 1, isParentBased: true })
      assert.strictEqual(value.target.url, "http://localhost:4318/v1/logs")
      assert.deepStrictEqual(value.exporters, ["otlp"])
      assert.isFalse(value.disabled)
      assert.deepStrictEqual(lines.toSorted(), [
        "OTEL_EXPORTER_OTLP_ENDPOINT=… is ignored: expected a URL that begins with http:// or https://",
        "OTEL_METRIC_EXPORT_INTERVAL=soon is ignored: expected a number of 0 or more",
        "OTEL_TRACES_SAMPLER=some is ignored: expected always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio"
      ])
    }))

  it.effect("a process is an instance of its service, unless the attributes say which", () =>
    Effect.gen(function*() {
      const [one, other] = [yield* resource({}), yield* resource({ OTEL_SERVICE_NAME: "shop" })]
      assert.deepStrictEqual([one.serviceName, other.serviceName], ["unknown_service", "shop"])
      assert.match(one.attributes["service.instance.id"]!, /^[0-9a-f-]{36}$/)
      assert.notStrictEqual(one.attributes["service.instance.id"], other.attributes["service.instance.id"])
      const given = { OTEL_RESOURCE_ATTRIBUTES: "service.name=store,service.instance.id=pod-1" }
      assert.deepStrictEqual(yield* resource(given), { serviceName: "store", attributes: {} })
    }))

  it.effect("a port that is none is ignored", () =>
    Effect.gen(function*() {
      const { lines, value } = yield* reading(Environment.prometheus, { OTEL_EXPORTER_PROMETHEUS_PORT: "70000" })
      assert.strictEqual(value.port, 9464)
      assert.deepStrictEqual(lines, ["OTEL_EXPORTER_PROMETHEUS_PORT=70000 is ignored: expected a port"])
    }))

  it.effect("exporters are a list, and `none` is none", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* exporters("none"), [])
      assert.deepStrictEqual(yield* exporters("otlp, Prometheus"), ["otlp", "prometheus"])
    }))

  it.effect("samplers are those of the specification", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* sampler({ OTEL_TRACES_SAMPLER: "always_off" }), { ratio: 0, isParentBased: false })
      assert.deepStrictEqual(
        yield* sampler({ OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.25" }),
        { ratio: 0.25, isParentBased: true }
      )
      assert.deepStrictEqual(
        yield* sampler({ OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "7" }),
        { ratio: 1, isParentBased: false }
      )
    }))

  it.effect("the conventions' own variables choose names and the capture of content", () =>
    Effect.gen(function*() {
      const { value } = yield* reading(
        Effect.provide(Effect.service(TelemetryDefaults), Environment.layerTelemetryDefaults),
        {
          OTEL_SEMCONV_STABILITY_OPT_IN: "http, gen_ai_latest_experimental",
          OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: "SPAN_ONLY"
        }
      )
      assert.deepStrictEqual(value, { genAi: "latest", captureContent: true })
    }))
})
