/**
 * The standard environment variables of OpenTelemetry, read as its specification says: an empty one is not set, and one
 * that makes no sense is told of and left out, because telemetry must not keep a program from starting.
 *
 * (OpenTelemetry: environment variable specification; OTLP exporter configuration.)
 */
import { TelemetryDefaults, type TelemetryOptions } from "@evenkeel/core"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"

/** What is exported. */
export type Signal = "traces" | "metrics" | "logs"

/** Where one signal is exported to by OTLP. */
export interface OtlpTarget {
  readonly url: string
  readonly protocol: "http/protobuf" | "http/json" | "grpc"
  readonly headers: Readonly<Record<string, string>>
  readonly compression: "gzip" | "none"
  /** Milliseconds. */
  readonly timeout: number
}

/** The value of a variable, without the spaces around it; `undefined` where it is not set, or empty. */
const read = (name: string): Effect.Effect<string | undefined> =>
  Config.option(Config.String(name)).pipe(
    Effect.map((value) => Option.getOrUndefined(value)?.trim() || undefined),
    Effect.orElseSucceed(() => undefined)
  )

/** Reads variables as something; what one holds that is none is told of, and left out. */
const readAs = <A>(expected: string, parse: (text: string) => A | undefined, shown = (text: string) => text) => {
  const ignored = (name: string, text: string) =>
    Effect.as(Effect.logWarning(`${name}=${shown(text)} is ignored: expected ${expected}`), undefined)
  return (name: string): Effect.Effect<A | undefined> =>
    Effect.flatMap(read(name), (text) => {
      const value = text === undefined ? undefined : parse(text)
      return text !== undefined && value === undefined ? ignored(name, text) : Effect.succeed(value)
    })
}

const readNumber = readAs("a number of 0 or more", (text) => {
  const number = Number(text)
  return number >= 0 && Number.isFinite(number) ? number : undefined
})

const readPort = readAs("a port", (text) => {
  const port = Number(text)
  return Number.isInteger(port) && port >= 0 && port <= 65_535 ? port : undefined
})

const readWord = <const W extends string>(words: ReadonlyArray<W>) =>
  readAs(words.join(", "), (text) => words.find((word) => word === text.toLowerCase()))

/** What it holds may have a password in it. */
const readUrl = readAs(
  "a URL that begins with http:// or https://",
  (text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) ? text : undefined,
  () => "…"
)

/** Whether `OTEL_SDK_DISABLED` is true: only that word switches anything off. */
export const isDisabled: Effect.Effect<boolean> = Effect.map(
  read("OTEL_SDK_DISABLED"),
  (value) => value?.toLowerCase() === "true"
)

/** `OTEL_TRACES_EXPORTER` and its like: where a signal goes. Default: `otlp`. */
export const exporters = (signal: Signal): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(read(`OTEL_${signal.toUpperCase()}_EXPORTER`), (value) => {
    const named = (value ?? "otlp").split(",").map((name) => name.trim().toLowerCase()).filter((name) => name !== "")
    return named.filter((name) => name !== "none")
  })

/**
 * Where a signal goes by OTLP.
 *
 * @param protocol where none is named
 */
export const otlpTarget = (signal: Signal, protocol: OtlpTarget["protocol"]): Effect.Effect<OtlpTarget> =>
  Effect.gen(function*() {
    const own = `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}`
    const all = "OTEL_EXPORTER_OTLP"
    /** A signal's own variable comes before the one of all. */
    const first = <A>(what: string, read: (name: string) => Effect.Effect<A | undefined>) =>
      Effect.map(Effect.all([read(`${own}_${what}`), read(`${all}_${what}`)]), ([ofOwn, ofAll]) => ofOwn ?? ofAll)
    const endpoint = yield* readUrl(`${own}_ENDPOINT`)
    const base = (yield* readUrl(`${all}_ENDPOINT`)) ?? "http://localhost:4318"
    return {
      // an endpoint of its own is used as it is
      url: endpoint ?? `${base.replace(/\/+$/, "")}/v1/${signal}`,
      protocol: (yield* first("PROTOCOL", readWord(["http/protobuf", "http/json", "grpc"]))) ?? protocol,
      headers: parseHeaders(yield* first("HEADERS", read)),
      compression: (yield* first("COMPRESSION", readWord(["gzip", "none"]))) ?? "none",
      timeout: (yield* first("TIMEOUT", readNumber)) ?? 10_000
    }
  })

/** `key=value` pairs with commas between them, as W3C Baggage has them. */
const parseHeaders = (text: string | undefined): Readonly<Record<string, string>> => {
  const headers: Record<string, string> = {}
  for (const pair of text?.split(",") ?? []) {
    const at = pair.indexOf("=")
    const name = pair.slice(0, at).trim().toLowerCase()
    if (at > 0 && name !== "") headers[name] = decode(pair.slice(at + 1).trim())
  }
  return headers
}

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Milliseconds between two exports of metrics. Default: a minute. */
export const metricInterval: Effect.Effect<number> = Effect.map(
  readNumber("OTEL_METRIC_EXPORT_INTERVAL"),
  (millis) => millis ?? 60_000
)

/** Milliseconds between two exports, and the most that one of them holds. */
export interface Batches {
  readonly exportInterval: number
  readonly maxBatchSize: number
}

const batches = (processor: "BSP" | "BLRP", delay: number): Effect.Effect<Batches> =>
  Effect.gen(function*() {
    const exportInterval = (yield* readNumber(`OTEL_${processor}_SCHEDULE_DELAY`)) ?? delay
    const size = (yield* readNumber(`OTEL_${processor}_MAX_EXPORT_BATCH_SIZE`)) ?? 512
    return { exportInterval, maxBatchSize: Math.max(1, size) }
  })

/** Of spans. Default: 5 s, 512. */
export const spanBatches: Effect.Effect<Batches> = batches("BSP", 5000)

/** Of logs. Default: 1 s, 512. */
export const logBatches: Effect.Effect<Batches> = batches("BLRP", 1000)

/** Whether counters are exported as sums since the start, or since the last export. Default: since the start. */
export const temporality: Effect.Effect<"cumulative" | "delta"> = Effect.map(
  readWord(["cumulative", "delta", "lowmemory"])("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"),
  (preference) => preference === "delta" ? "delta" : "cumulative"
)

/** Which root spans are kept, and whether a parent's decision holds. */
export interface Sampler {
  readonly ratio: number
  readonly isParentBased: boolean
}

const readSampler = readWord([
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio"
])

/** `OTEL_TRACES_SAMPLER` and its argument. Default: all, unless their parent is not kept. */
export const sampler: Effect.Effect<Sampler> = Effect.gen(function*() {
  const name = (yield* readSampler("OTEL_TRACES_SAMPLER")) ?? "parentbased_always_on"
  const given = yield* readNumber("OTEL_TRACES_SAMPLER_ARG")
  const ratio = name.endsWith("always_off") ? 0 : name.endsWith("traceidratio") ? Math.min(1, given ?? 1) : 1
  return { ratio, isParentBased: name.startsWith("parentbased") }
})

/** Where Prometheus finds its page: `OTEL_EXPORTER_PROMETHEUS_HOST` and `_PORT`. Default: `localhost`, 9464. */
export const prometheus: Effect.Effect<{ readonly host: string; readonly port: number }> = Effect.gen(function*() {
  const port = yield* readPort("OTEL_EXPORTER_PROMETHEUS_PORT")
  return { host: (yield* read("OTEL_EXPORTER_PROMETHEUS_HOST")) ?? "localhost", port: port ?? 9464 }
})

/** What tells this process from others: its service, and which instance of it. */
export interface ProcessResource {
  readonly serviceName: string
  readonly attributes: Readonly<Record<string, string>>
}

/**
 * `OTEL_SERVICE_NAME`, else `service.name` of `OTEL_RESOURCE_ATTRIBUTES`; and an id of the instance, unless there is one among
 * those attributes. Without it a collector takes all processes of a service for one, whose counters then jump.
 */
export const resource: Effect.Effect<ProcessResource> = Effect.gen(function*() {
  const given = parseHeaders(yield* read("OTEL_RESOURCE_ATTRIBUTES"))
  const serviceName = (yield* read("OTEL_SERVICE_NAME")) ?? given["service.name"] ?? "unknown_service"
  return {
    serviceName,
    attributes: given["service.instance.id"] === undefined ? { "service.instance.id": crypto.randomUUID() } : {}
  }
})

const captures = new Set(["true", "span_only", "span_and_event"])

/**
 * What the variables of OpenTelemetry's conventions say of a balancer's telemetry: `OTEL_SEMCONV_STABILITY_OPT_IN` with
 * `gen_ai_latest_experimental` for the names in development, and `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` for
 * prompts and completions in spans.
 */
export const telemetryOptions: Effect.Effect<TelemetryOptions> = Effect.gen(function*() {
  const optIn = (yield* read("OTEL_SEMCONV_STABILITY_OPT_IN")) ?? ""
  const isLatest = optIn.split(",").some((name) => name.trim() === "gen_ai_latest_experimental")
  const capture = yield* read("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")
  return {
    genAi: isLatest ? "latest" as const : "stable" as const,
    captureContent: captures.has(capture?.toLowerCase() ?? "")
  }
})

/** They hold for every balancer below. */
export const layerTelemetryDefaults: Layer.Layer<never> = Layer.effect(TelemetryDefaults, telemetryOptions)
