/**
 * `evenkeel serve`: the gateway.
 */
import type { Config } from "@evenkeel/core"
import { isLoopback } from "@evenkeel/core/internal"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import { ConfigSourceError } from "../ConfigSource.ts"
import { Gateway } from "../gateway/Gateway.ts"
import * as Reload from "../gateway/Reload.ts"
import { layerDecoded } from "../LoadBalancerLive.ts"
import { untilStopped } from "./Exit.ts"
import { readConfig } from "./Source.ts"

/** Whether the environment says where spans and metrics go. */
const namesExporter = (): boolean =>
  Object.keys(process.env).some((name) => /^OTEL_(?:EXPORTER_OTLP_|(?:TRACES|METRICS|LOGS)_EXPORTER$)/.test(name))

/** Spans, metrics and logs by OTLP, where the environment says where to, and `@evenkeel/otel` is installed. */
const exported: Layer.Layer<never, Error> = Layer.unwrap(Effect.suspend(() =>
  namesExporter()
    ? Effect.promise(() => import("@evenkeel/otel")).pipe(
      Effect.map(({ OtlpLive }) => OtlpLive),
      Effect.catchDefect(() =>
        Effect.as(
          Effect.logWarning("OTEL_… names an exporter, and @evenkeel/otel is not installed: nothing is exported."),
          Layer.empty
        )
      )
    )
    : Effect.succeed(Layer.empty)
))

/** What it is given. */
export interface ServeInput {
  readonly config: Option.Option<string>
  readonly host: Option.Option<string>
  readonly port: Option.Option<number>
  readonly logFormat: "text" | "json"
}

/** A line of JSON for each entry, for whoever collects the output; spans have theirs as ever. */
const jsonLines = Logger.layer([Logger.consoleJson, Logger.tracerLogger])

/** What of the flags contradicts the configuration, whose own rules know nothing of them. */
const allowed = (config: Config): Effect.Effect<Config, ConfigSourceError> => {
  const { host, keys } = config.gateway
  if (isLoopback(host) || keys.length > 0) return Effect.succeed(config)
  const message = `is missing: whoever reaches ${host} could spend your quota; give keys, or listen on 127.0.0.1`
  return Effect.fail(new ConfigSourceError({ source: "--host", issues: [{ path: "gateway.keys", message }] }))
}

/** Serves until it is told to stop: SIGTERM or SIGINT. */
export const run = Effect.fnUntraced(function*({ config: file, host, logFormat, port }: ServeInput) {
  const read = Effect.flatMap(readConfig(file), (config) =>
    allowed({
      ...config,
      gateway: {
        ...config.gateway,
        host: Option.getOrElse(host, () => config.gateway.host),
        port: Option.getOrElse(port, () => config.gateway.port)
      }
    }))
  const config = yield* read
  const path = Option.getOrElse(file, () => process.env["EVENKEEL_CONFIG"])
  const running = Effect.gen(function*() {
    const { operatorUrl, url } = yield* Gateway
    const say = logFormat === "json" ? Effect.logInfo : Console.log
    yield* say(`Evenkeel listens at ${url}; base URL for clients: ${url}/v1`)
    if (operatorUrl !== url) yield* say(`The operator's pages are at ${operatorUrl}`)
    return yield* Reload.watch(config, read, path)
  }).pipe(untilStopped)
  return yield* Effect.provide(
    running,
    Gateway.layer(config.gateway).pipe(
      Layer.provideMerge(layerDecoded(config)),
      Layer.provideMerge(exported),
      Layer.provideMerge(logFormat === "json" ? jsonLines : Layer.empty)
    )
  )
})
