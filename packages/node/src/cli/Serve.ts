/**
 * `evenkeel serve`: the gateway.
 */
import type { Config } from "@evenkeel/core"
import { isLoopback } from "@evenkeel/core/internal"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ConfigSourceError } from "../ConfigSource.ts"
import { Gateway } from "../gateway/Gateway.ts"
import * as Reload from "../gateway/Reload.ts"
import { layerDecoded } from "../LoadBalancerLive.ts"
import { configFlag, environmentOf, plainly, readConfig } from "./Source.ts"

const flags = {
  config: configFlag,
  host: Flag.String("host").pipe(
    Flag.withMetavar("address"),
    Flag.withDescription("Interface to listen on (default: gateway.host, else 127.0.0.1)"),
    Flag.optional
  ),
  port: Flag.Int("port").pipe(
    Flag.withAlias("p"),
    Flag.withMetavar("number"),
    Flag.withDescription("Port to listen on (default: gateway.port, else 4000)"),
    Flag.optional
  )
}

/** What of the flags contradicts the configuration, whose own rules know nothing of them. */
const allowed = (config: Config): Effect.Effect<Config, ConfigSourceError> => {
  const { host, keys } = config.gateway
  if (isLoopback(host) || keys.length > 0) return Effect.succeed(config)
  const message = `is missing: whoever reaches ${host} could spend your quota; give keys, or listen on 127.0.0.1`
  return Effect.fail(new ConfigSourceError({ source: "--host", issues: [{ path: "gateway.keys", message }] }))
}

/** To be told to stop is how a gateway ends; to be told so again is to stop at once. */
const stopping = Effect.sync(() => {
  process.exitCode = 0
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(STOPPED))
})

/** What a shell makes of a process that was interrupted. */
const STOPPED = 130

/** Serves until it is told to stop: SIGTERM or SIGINT. */
export const serve = Command.make("serve", flags, ({ config: file, host, port }) =>
  plainly(Effect.gen(function*() {
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
    const path = environmentOf(file)["EVENKEEL_CONFIG"]
    const running = Effect.gen(function*() {
      const { operatorUrl, url } = yield* Gateway
      yield* Console.log(`Evenkeel listens at ${url}; base URL for clients: ${url}/v1`)
      if (operatorUrl !== url) yield* Console.log(`The operator's pages are at ${operatorUrl}`)
      return yield* Reload.watch(config, read, path)
    }).pipe(Effect.onInterrupt(() => stopping))
    return yield* Effect.provide(
      running,
      Gateway.layer(config.gateway).pipe(Layer.provideMerge(layerDecoded(config)))
    )
  }))).pipe(
    Command.withDescription("Serves the API of OpenAI and Azure OpenAI, balanced over the configured deployments"),
    Command.withExamples([
      { command: "evenkeel serve --config evenkeel.yaml", description: "Serve at 127.0.0.1:4000" }
    ])
  )
